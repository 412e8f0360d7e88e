"""What a library must be asked to build, worked out from the weights alone."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from napari_unet.engine.images.normalization import Normalization, Percentiles
from napari_unet.engine.networks.layers import Standardize
from napari_unet.engine.networks.network import Guess
from napari_unet.engine.networks.output_meaning import OutputMeaning


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A network of another library, not yet built."""

    title: str
    """What it is: "MONAI BasicUNet"."""
    extra: str
    """Extra of this package that brings the library."""
    library: str
    """What Python imports."""
    build: Callable[[], Any]
    """Makes the network with the library, which `library` has imported."""
    weights: Mapping[str, Tensor]
    """Under the names that the library gives them."""
    image_shape: tuple[int, ...]
    """(C, *spatial). A small image that it reads."""
    meaning: OutputMeaning
    normalization: Normalization = field(default_factory=Percentiles)
    standardize: Standardize | None = None
    """What is done to the image before the first layer."""
    guesses: tuple[Guess, ...] = ()


def weights_below(tensors: Mapping[str, Tensor], marker: str) -> Mapping[str, Tensor] | None:
    """Drop what a wrapper put before all names; None unless a name then begins with `marker`.

    Parameters
    ----------
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
