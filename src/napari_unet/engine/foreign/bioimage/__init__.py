"""Packages of bioimage.io, opened as their authors meant them; nothing in them is run."""

from napari_unet.engine.foreign.bioimage.opening import (
    load_bioimage,
)

__all__ = ["load_bioimage"]
