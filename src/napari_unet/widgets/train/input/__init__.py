"""What a network learns from: pairs of layers, folders, and what their labels mean."""
