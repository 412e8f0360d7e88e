"""The form that shows the boundary weight map."""
