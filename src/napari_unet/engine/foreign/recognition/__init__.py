"""A state dict made a network again: from the shapes and the order of its weights."""
