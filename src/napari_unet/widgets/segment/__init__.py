"""The form that segments cells."""
