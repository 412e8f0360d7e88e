"""What is kept and shown of the cells of a Labels layer: scores of a network, and colours."""
