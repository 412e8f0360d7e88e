"""The way from cell to cell, and the marks that cells are given on it."""
