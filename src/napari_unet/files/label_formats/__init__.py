"""Labels as other programs keep them: ROIs of ImageJ, GeoJSON of QuPath, Cellpose's, OME-Zarr."""
