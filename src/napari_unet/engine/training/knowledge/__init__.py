"""What a network knows before a training, and whether it still does after it."""
