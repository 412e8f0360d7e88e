"""From an image to scores, tile by tile, and from scores to cells."""
