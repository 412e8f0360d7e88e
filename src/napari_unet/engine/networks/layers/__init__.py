"""The kinds of layers that a network of others is made of; each answers for itself."""

from napari_unet.engine.networks.layers.layer import Axes, Layer, NotWholeError, made_layer
from napari_unet.engine.networks.layers.pointwise import (
    ACTIVATIONS,
    Activation,
    Clip,
    Norm,
    Standardize,
)
from napari_unet.engine.networks.layers.sizes import Input, Join, Pad, Upsample, centre_crop
from napari_unet.engine.networks.layers.windows import Convolution, Pool, TransposedConvolution

__all__ = [
    "ACTIVATIONS",
    "Activation",
    "Axes",
    "Clip",
    "Convolution",
    "Input",
    "Join",
    "Layer",
    "Norm",
    "NotWholeError",
    "Pad",
    "Pool",
    "Standardize",
    "TransposedConvolution",
    "Upsample",
    "centre_crop",
    "made_layer",
]
