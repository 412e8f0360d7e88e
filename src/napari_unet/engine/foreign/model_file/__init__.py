"""Any file that a user may call a model: what it is, and the weights in it, nothing run.

Within this folder the message of a `CheckpointError` is a predicate ("is torn ..."): the functions
below, which are all that others use, put the file's name in front.
"""

from napari_unet.engine.foreign.model_file.contents import (
    OWN_FORMAT,
    PACKAGE_DESCRIPTION,
    ModelFileKind,
    WeightsFile,
    identify,
    read_own_metadata,
    read_weights,
)

__all__ = [
    "OWN_FORMAT",
    "PACKAGE_DESCRIPTION",
    "ModelFileKind",
    "WeightsFile",
    "identify",
    "read_own_metadata",
    "read_weights",
]
