"""Packages of bioimage.io, opened as their authors meant them; nothing in them is run."""
