"""What is kept of work: versions of a model, a training as it runs, the journal of corrections."""

from napari_unet.versions.history import ModelHistory, Version, kept_versions, other_models
from napari_unet.versions.notes import data_folder

__all__ = ["ModelHistory", "Version", "data_folder", "kept_versions", "other_models"]
