"""Images as arrays: axes, intensities, lazy reading, resizing."""
