"""Networks of MONAI, segmentation-models-pytorch and nnU-Net, opened from their weights."""

from napari_unet.engine.foreign.libraries.opening import (
    recognise_library,
)

__all__ = ["recognise_library"]
