"""The example that comes with a bioimage.io package: what the network must make of it."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_unet.engine.base.errors import CheckpointError, UNetError
from napari_unet.engine.foreign.bioimage.description import PackageDescription, TensorFacts
from napari_unet.engine.foreign.bioimage.files import PackageFiles
from napari_unet.engine.foreign.bioimage.processing import Final, Postprocessing
from napari_unet.engine.foreign.guesses import FINAL, fixed_guess
from napari_unet.engine.images.source import open_image
from napari_unet.engine.networks.network import Network

_ALIKE = 1e-3
"""Largest difference from the package's own test output with which a network counts as the same."""

_MOST_NUMBERS = 300_000
"""Larger examples are not computed while a model is opened."""


def tested(
    network: Network, package: PackageDescription, files: PackageFiles, after: Postprocessing
) -> tuple[Network, bool]:
    """Compute the package's own example; say what came out, and whether that is right.

    Where the package does not tell what makes scores of the output, the example shows it.

    Parameters
    ----------
    network : Network
        Described as the package does.

    Raises
    ------
    CheckpointError
        If the network computes nothing of that shape, or the example is damaged.
    """
    image, expected = _example(package.inputs[0], files), _example(package.outputs[0], files)
    if image is None or expected is None:
        return network, True
    try:
        output = _output_of(network, image)
    except (UNetError, RuntimeError) as error:
        raise CheckpointError(f"The package fails at its own test ({error}).") from error
    if output.shape[1:] != expected.shape[1:]:
        raise CheckpointError(
            f"The network gives {tuple(output.shape)} where the package's own test has "
            f"{expected.shape}."
        )
    final, difference = _closest(output[0], expected[0], after)
    if difference <= _ALIKE and final is not None and after.final is None:
        network = _with_final(network, final)
    description = network.description
    guesses = description.guesses
    if difference > _ALIKE:
        reason = (
            f"The output differs from the package's own test by {difference:.2g}: one of the "
            "other guesses is wrong, or the package is."
        )
        guesses += (fixed_guess("own_test", "The package's own test", "not passed", reason),)
    metrics = {**description.metrics, "own test": {"largest difference": difference}}
    description = replace(description, metrics=metrics, guesses=guesses)
    return Network(network.unet, description), difference <= _ALIKE


def _example(tensor: TensorFacts, files: PackageFiles) -> NDArray[Any] | None:
    """Read the example of a tensor; None if there is none, or none that is computed quickly."""
    if not tensor.test_file:
        return None
    content = files.path(tensor.test_file).read_bytes()
    try:
        array: NDArray[Any] = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise CheckpointError(f"The package's '{tensor.test_file}' is damaged.") from error
    return array if array.ndim == len(tensor.axes) and array.size <= _MOST_NUMBERS else None


def _output_of(network: Network, image: NDArray[Any]) -> Tensor:
    """What the author's network makes of (1, C, *S) pixels, (1, C', *S')."""
    config = network.description.architecture
    source = open_image(
        image[0],
        ndim=config.ndim,
        in_channels=config.in_channels,
        normalization=network.description.normalization,
        channel_axis=0,
    )
    pixels = source.read(tuple(slice(0, n) for n in source.shape))
    unet: Any = network.unet
    with torch.inference_mode():
        output: Tensor = unet.author_output(torch.from_numpy(pixels)[None])
    return output


def _closest(
    output: Tensor, expected: NDArray[Any], after: Postprocessing
) -> tuple[Final | None, float]:
    """How the output must be finished to be as promised, and the difference that remains.

    A network may end with a sigmoid or softmax that its weights do not show:
    where the package tells nothing, these are tried too.
    """
    finals: tuple[Final | None, ...] = (after.final,)
    if after.final is None:
        finals = (None, "sigmoid", "softmax")
    found: list[tuple[float, Final | None]] = []
    for final in finals:
        y = _finished(output, final)
        y = y if after.threshold is None else y > after.threshold
        wrong = np.abs(y.cpu().numpy().astype(np.float64) - expected.astype(np.float64))
        # A pixel right at a threshold may fall to either side: only their share counts.
        found.append((float(wrong.max() if after.threshold is None else wrong.mean()), final))
    difference, best = min(found, key=lambda each: each[0])
    within = expected.min() >= 0 and expected.max() <= 1
    return (best or ("probability" if within else None)), difference


def _finished(output: Tensor, final: Final | None) -> Tensor:
    if final == "sigmoid":
        return torch.sigmoid(output)
    if final == "softmax":
        return torch.softmax(output, dim=0)
    return output.clamp(0, 1) if final == "probability" else output


def _with_final(network: Network, final: Final) -> Network:
    """Read the output as the package's own test has shown."""
    description = network.description
    config: Any = network.unet.config  # of other people's networks, which have a meaning
    if config.meaning.final == "none":
        return network
    meaning = replace(config.meaning, final=final)
    unet = network.unet.with_config(replace(config, meaning=meaning))
    guesses = tuple(guess for guess in description.guesses if guess.about != FINAL)
    description = replace(
        description, architecture=unet.config, class_roles=meaning.class_roles, guesses=guesses
    )
    return Network(unet, description)
