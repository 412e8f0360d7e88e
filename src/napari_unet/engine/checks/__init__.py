"""What may spoil a segmentation or a training, found before it starts."""
