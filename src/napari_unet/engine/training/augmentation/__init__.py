"""Variations of what is learned from: place and shape, brightness, noise, colour and stain."""
