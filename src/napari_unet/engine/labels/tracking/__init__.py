"""Cells of a time series, followed from frame to frame."""
