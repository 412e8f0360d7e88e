"""Trainings of a queue: what is learned from which files, and what came of it."""
