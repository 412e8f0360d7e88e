"""A state dict made a network again: from the shapes and the order of its weights."""

from napari_unet.engine.foreign.recognition.opening import recognise

__all__ = ["recognise"]
