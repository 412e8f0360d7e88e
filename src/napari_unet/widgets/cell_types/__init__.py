"""The form that shows of what types cells are, and gives them types."""
