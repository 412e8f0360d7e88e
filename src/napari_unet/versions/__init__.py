"""What is kept of a model: its versions, and the state of a training that runs."""

from napari_unet.versions.history import ModelHistory, Version, kept_versions, other_models
from napari_unet.versions.notes import data_folder

__all__ = ["ModelHistory", "Version", "data_folder", "kept_versions", "other_models"]
