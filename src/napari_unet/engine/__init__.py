"""The U-Net engine: arrays in, arrays out; no Qt, no napari."""
