"""Cells of images larger than memory, from blocks: those of the whole image, pixel by pixel."""
