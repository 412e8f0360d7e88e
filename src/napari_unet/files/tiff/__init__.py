"""TIFF and its dialects: read whole or refused, and written so that Fiji and napari show it."""
