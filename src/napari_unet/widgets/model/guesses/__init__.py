"""What was guessed about a foreign network, and other readings of it."""
