"""Which `Unet` of segmentation-models-pytorch a set of weights belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from napari_unet.engine.base.errors import CheckpointError
from napari_unet.engine.foreign.guesses import normalization_guess, output_guesses
from napari_unet.engine.foreign.libraries.blueprint import (
    Blueprint,
    count,
    smallest_image,
    weights_below,
)
from napari_unet.engine.images.normalization import Percentiles, TypeRange
from napari_unet.engine.networks.layers import Standardize
from napari_unet.engine.networks.output_meaning import guessed_meaning

_IMAGENET = Standardize((0,), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_IMAGENET_REASON = (
    "The file does not tell; encoders for colour images most often start from ImageNet, whose "
    "mean and deviation are then taken off first."
)
_GREY_REASON = "The file does not tell; 0..1 is the most usual range."

# Blocks of each stage, and whether they have three convolutions.
_RESNETS: dict[tuple[tuple[int, ...], bool], str] = {
    ((2, 2, 2, 2), False): "18",
    ((3, 4, 6, 3), False): "34",
    ((3, 4, 6, 3), True): "50",
    ((3, 4, 23, 3), True): "101",
    ((3, 8, 36, 3), True): "152",
}
_VGGS = {8: "vgg11", 10: "vgg13", 13: "vgg16", 16: "vgg19"}


def smp_unet(tensors: Mapping[str, Tensor]) -> Blueprint | None:
    """Recognise a `Unet` of segmentation-models-pytorch; None if these are other weights.

    Raises
    ------
    CheckpointError
        If it is one, but with an encoder that is not supported.
    """
    weights = weights_below(tensors, r"decoder\.blocks\.0\.conv1\.0\.weight")
    if weights is None or "segmentation_head.0.weight" not in weights:
        return None
    # A second head, for a class of the whole image, says nothing about pixels.
    weights = {k: v for k, v in weights.items() if k.startswith(("encoder", "decoder", "segment"))}
    depth = count(weights, "decoder.blocks.{}.conv1.0.weight")
    widths = [weights[f"decoder.blocks.{n}.conv1.0.weight"].shape[0] for n in range(depth)]
    encoder, first = _encoder(weights)
    outs = weights["segmentation_head.0.weight"].shape[0]
    if any(".attention" in key for key in weights):
        raise CheckpointError(
            "This is a Unet of segmentation-models-pytorch with attention (scSE), which looks at "
            "the image as a whole; it is not supported. Export it as ONNX and open that."
        )

    def build() -> Any:
        from segmentation_models_pytorch import Unet

        return Unet(
            encoder,
            encoder_depth=depth,
            encoder_weights=None,  # nothing is ever downloaded
            decoder_use_norm="decoder.blocks.0.conv1.1.weight" in weights,
            decoder_channels=widths,
            in_channels=first.shape[1],
            classes=outs,
        )

    meaning, is_colour = guessed_meaning(outs), first.shape[1] == 3
    normalization = TypeRange() if is_colour else Percentiles()
    reason = _IMAGENET_REASON if is_colour else _GREY_REASON
    return Blueprint(
        title=f"segmentation-models-pytorch Unet, encoder {encoder}",
        extra="smp",
        library="segmentation_models_pytorch",
        build=build,
        weights=weights,
        image_shape=smallest_image(first.shape[1], [(2, 2)] * depth),
        meaning=meaning,
        normalization=normalization,
        standardize=_IMAGENET if is_colour else None,
        guesses=(normalization_guess(normalization, reason), *output_guesses(meaning)),
    )


def _encoder(weights: Mapping[str, Tensor]) -> tuple[str, Tensor]:
    """Name of the encoder, and its first convolution."""
    stages = [count(weights, f"encoder.layer{n}.{{}}.conv1.weight") for n in range(1, 5)]
    first = weights.get("encoder.conv1.weight")
    deep = "encoder.layer1.0.conv3.weight" in weights
    size = _RESNETS.get((tuple(stages), deep))
    middle = weights.get("encoder.layer1.0.conv2.weight")
    if first is not None and size is not None and middle is not None:
        outs, ins = middle.shape[:2]
        return (f"resnet{size}" if ins == outs else f"resnext{size}_32x{ins}d"), first
    first = weights.get("encoder.features.0.weight")
    convolutions = sum(key.startswith("encoder.features.") and w.ndim == 4
                       for key, w in weights.items())  # fmt: skip
    name = _VGGS.get(convolutions)
    if first is not None and name is not None:
        return (f"{name}_bn" if "encoder.features.1.weight" in weights else name), first
    raise CheckpointError(
        "This is a Unet of segmentation-models-pytorch with an encoder that is not supported; "
        "ResNet, ResNeXt and VGG are. Export it as ONNX and open that."
    )
