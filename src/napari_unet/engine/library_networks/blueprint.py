"""What a library must be asked to build, worked out from the weights alone."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from napari_unet.engine.guess import Guess
from napari_unet.engine.image import Normalization
from napari_unet.engine.layer_graph import Standardize
from napari_unet.engine.output_meaning import OutputMeaning

_ACTIVATIONS = (
    *("ReLU", "leaky ReLU (0.01)", "leaky ReLU (0.1)", "leaky ReLU (0.2)"),
    *("ELU", "SELU", "GELU", "SiLU", "Mish"),
)
_NORMALIZATIONS = ("percentile 1 to 99.8", "percentile 0 to 99.8", "zero-mean", "none", "raw")


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A network of another library, not yet built.

    Parameters
    ----------
    title : str
        What it is: "MONAI BasicUNet".
    extra : str
        Extra of this package that brings the library.
    library : str
        What Python imports.
    build : callable
        Makes the network with the library, which `library` has imported.
    weights : mapping of str to tensor
        Under the names that the library gives them.
    image_shape : (C, *spatial)
        A small image that it reads.
    meaning : OutputMeaning
    normalization : Normalization
    standardize : Standardize, optional
        What is done to the image before the first layer.
    guesses : tuple of Guess
    """

    title: str
    extra: str
    library: str
    build: Callable[[], nn.Module]
    weights: Mapping[str, Tensor]
    image_shape: tuple[int, ...]
    meaning: OutputMeaning
    normalization: Normalization = field(default_factory=Normalization)
    standardize: Standardize | None = None
    guesses: tuple[Guess, ...] = ()


def weights_below(tensors: Mapping[str, Tensor], marker: str) -> Mapping[str, Tensor] | None:
    """Drop what a wrapper put before all names; None unless a name then begins with `marker`.

    Parameters
    ----------
    tensors : mapping
    marker : str
        A regular expression.
    """
    pattern = re.compile(rf"(|.*?\.){marker}")
    for key in tensors:
        found = pattern.match(key)
        if found:
            prefix = found[1]
            return {
                name.removeprefix(prefix): tensor
                for name, tensor in tensors.items()
                if name.startswith(prefix)
            }
    return None


def count(tensors: Iterable[str], pattern: str) -> int:
    """Count how many numbers 0, 1, 2, ... take the place of {} in a name that is there."""
    keys, number = set(tensors), 0
    while pattern.format(number) in keys:
        number += 1
    return number


def smallest_image(channels: int, strides: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """Shape of an image that strides shrink to one pixel, but for two along the last axis.

    Instance normalisation needs more than one pixel.
    """
    *lengths, last = (math.prod(steps) for steps in zip(*strides, strict=True))
    return (channels, *lengths, 2 * last)


def output_guesses(meaning: OutputMeaning, *, reason: str = "") -> tuple[Guess, ...]:
    """Say how the output is read where no file tells it.

    Parameters
    ----------
    meaning : OutputMeaning
        What is taken.
    reason : str
        Why its numbers are read so; by their count if left out.
    """
    channels = len(meaning.channels)
    many = "one is most often a mask" if channels == 1 else "several are most often classes"
    finals = ("softmax", "sigmoid", "probability", "none")
    roles = ", ".join(meaning.channels)
    return (
        Guess(
            "final",
            "Scores are made by",
            meaning.final,
            finals[1:] if channels == 1 else finals,
            reason or f"The file does not tell how output channels ({channels}) are read; {many}.",
        ),
        Guess(
            "roles",
            "Output channels",
            roles,
            (roles,),
            "The file does not name its output channels; this is the most usual order.",
        ),
    )


def activation_guess(value: str, reason: str) -> Guess:
    """Say which activation is taken where it leaves no trace in the weights."""
    return Guess("activation", "Activation", value, _ACTIVATIONS, reason)


def normalization_guess(normalization: Normalization, reason: str) -> Guess:
    """Say how intensities are brought to the range that the network knows."""
    value: str = normalization.kind
    if value == "percentile":
        low, high = normalization.low_percentile, normalization.high_percentile
        value = f"percentile {low:g} to {high:g}"
    options = _NORMALIZATIONS if value in _NORMALIZATIONS else (value, *_NORMALIZATIONS)
    return Guess("normalization", "Normalisation of the image", value, options, reason)


def fixed_guess(about: str, title: str, value: Any, reason: str) -> Guess:
    """Say what is taken where there is no choice to offer."""
    return Guess(about, title, str(value), (str(value),), reason)
