"""The form that trains a network."""
