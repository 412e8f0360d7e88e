"""Images of any size, read in parts, and their labels, written in parts: Zarr, HDF5, NumPy."""
