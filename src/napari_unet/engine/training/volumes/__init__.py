"""Learning from volumes: how large what is learned from is, in which numbers, from which slices."""
