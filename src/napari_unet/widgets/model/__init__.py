"""The form that shows what a model is."""
