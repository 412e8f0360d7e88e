"""The report of an evaluation: one HTML file with figures, curve and pictures in it."""
