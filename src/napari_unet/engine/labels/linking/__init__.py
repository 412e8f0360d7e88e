"""Cells of neighbouring slices that are one cell, found by how much they overlap."""
