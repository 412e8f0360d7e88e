"""Networks of MONAI, segmentation-models-pytorch and nnU-Net, opened from their weights."""
