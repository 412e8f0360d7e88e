"""Dock widgets: forms over the engine."""
