"""Plots in the colours of the theme, drawn once what draws them is imported."""
