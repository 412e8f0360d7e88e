"""The form that holds found cells against true ones."""
