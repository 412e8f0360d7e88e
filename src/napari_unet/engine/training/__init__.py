"""Training: pairs, patches, augmentation, loss, learner, validation."""
