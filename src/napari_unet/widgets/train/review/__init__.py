"""What a training changed, and where to annotate next."""
