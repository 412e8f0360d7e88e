"""A model sent to other programs."""
