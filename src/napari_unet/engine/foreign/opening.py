"""The one door to models of other programs: a file becomes a network, or one sentence.

A new format is a line in `model_file/contents.py`, which tells what a file is, and either a reader
of its weights there or a program in `ready_made/program.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from napari_unet.engine.base.errors import CheckpointError
from napari_unet.engine.foreign.bioimage.opening import load_bioimage
from napari_unet.engine.foreign.guesses import with_guess
from napari_unet.engine.foreign.libraries.opening import recognise_library
from napari_unet.engine.foreign.model_file.contents import (
    OWN_FORMAT,
    ModelFileKind,
    WeightsFile,
    identify,
    read_own_metadata,
    read_weights,
)
from napari_unet.engine.foreign.model_file.inert_pickle import OWN_NOTE
from napari_unet.engine.foreign.ready_made.network import load_ready_made
from napari_unet.engine.foreign.ready_made.program import PROGRAMS
from napari_unet.engine.foreign.recognition.opening import recognise
from napari_unet.engine.networks.network import Network, NetworkDescription

__all__ = ["OWN_FORMAT", "OWN_NOTE", "WeightsFile", "named", "open_foreign", "read_own_metadata"]


def open_foreign(
    path: Path,
    *,
    open_own: Callable[[WeightsFile], Network],
    allow_code: bool = False,
    guesses: Mapping[str, str] | None = None,
) -> Network:
    """Open a model, whoever wrote it; what it is, its content tells and never its suffix.

    Nothing in it is run, but for a program that was allowed.

    Parameters
    ----------
    path : Path
        A file, or the folder of a bioimage.io package.
    open_own : callable
        Makes the network of a file of this project, which a package may hold, too.
    allow_code, guesses
        As of `load_checkpoint`, of which this also has the result and the errors.
    """
    network = _opened(path, open_own, allow_code=allow_code)
    for about, value in (guesses or {}).items():
        network = with_guess(network, about, value)
    return network


def _opened(path: Path, open_own: Callable[[WeightsFile], Network], *, allow_code: bool) -> Network:
    kind = identify(path)
    if kind in PROGRAMS:
        return load_ready_made(path, kind=kind, allow_code=allow_code)
    if kind is ModelFileKind.BIOIMAGE:
        return load_bioimage(
            path,
            allow_code=allow_code,
            recognise=_recognised,
            open_own=lambda own: open_own(read_weights(own, kind=ModelFileKind.OWN)),
        )
    weights = read_weights(path, kind=kind)
    if kind is ModelFileKind.OWN:
        return open_own(weights)
    try:
        network = _recognised(weights.tensors, name=path.stem, facts=weights.facts)
        return _with_own_note(network, weights.facts)
    except CheckpointError as error:
        raise named(path, error) from error


def _recognised(tensors: Mapping[str, Tensor], *, name: str, facts: Mapping[str, Any]) -> Network:
    """Work out whose network the weights are: a library's, or else by their shapes alone."""
    network = recognise_library(tensors, facts, name=name)
    return recognise(tensors, name=name, facts=facts) if network is None else network


def _with_own_note(network: Network, facts: Mapping[str, Any]) -> Network:
    """Give a state dict that this project wrote what was found out for it, such as thresholds."""
    if OWN_NOTE not in facts:
        return network
    told = NetworkDescription.from_json(facts[OWN_NOTE])
    description = replace(
        network.description,
        instances=told.instances,
        object_diameter_px=told.object_diameter_px,
        pixel_size_um=told.pixel_size_um,
    )
    return Network(network.unet, description)


def named(path: Path, error: CheckpointError) -> CheckpointError:
    """Put the file's name in front of what was found wrong with its content."""
    # Names in a file may hold anything, line breaks too.
    sentence = "".join(letter if letter.isprintable() else "?" for letter in str(error))
    return CheckpointError(f"'{path}': {sentence}")
