"""Loss and quality while a network learns."""
