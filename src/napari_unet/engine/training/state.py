"""The state of a training in a file: all that an exact resume needs."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from napari_unet.engine.base.errors import CheckpointError
from napari_unet.engine.base.whole_file import whole_file
from napari_unet.engine.networks.network import Network, NetworkDescription, build_module
from napari_unet.engine.training.pairs import TrainingPair
from napari_unet.engine.training.settings import TrainingSettings

_FORMAT = "napari-unet training state 2"
_SAMPLED_PX = 1_000_000
"""Of an image, so that a fingerprint takes no longer than reading it."""

_Result = TypeVar("_Result")


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state, complete or not at all.

    Raises
    ------
    CheckpointError
        If the file cannot be written; one that was there before is whole.
    """
    values = {"format": _FORMAT, **state}
    # What torch raises for a full disk.
    with whole_file(path, refused=CheckpointError, library_errors=(RuntimeError,)) as partial:
        torch.save(values, partial)


def read_state(
    path: str | Path,
    device: torch.device,
    restore: Callable[[dict[str, Any]], _Result],
    *,
    otherwise: str,
) -> _Result:
    """Read a state and make something of it.

    Parameters
    ----------
    device : torch.device
        Where its tensors go.
    restore : callable
        Given the values of the state; whatever it raises says that they do not fit.
    otherwise : str
        What to do where it is none, with a place for the error: "'x' is no
        training state {error}".

    Raises
    ------
    CheckpointError
        If the file is gone, no state, or one that does not fit.
    """
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location=device)
        if state["format"] != _FORMAT:
            raise KeyError("format")
        return restore(state)
    except CheckpointError:
        raise
    except FileNotFoundError as error:
        raise CheckpointError(
            f"There is no training state '{path}'; start the training anew."
        ) from error
    except Exception as error:  # a torn or foreign file can hold anything
        found = f"({type(error).__name__})"
        raise CheckpointError(f"'{path}' is no training state {otherwise.format(found)}") from error


def fingerprint(pairs: Sequence[TrainingPair]) -> str:
    """Return what tells images and their labels from others, in hexadecimal digits.

    All labels and up to a million evenly spaced pixels of each image count.
    """
    digest = hashlib.blake2b(digest_size=16)
    for pair in pairs:
        image = np.asarray(pair.image)
        sampled = image.flat[:: max(1, image.size // _SAMPLED_PX)]
        reviewed = np.zeros(0, bool) if pair.reviewed is None else pair.reviewed
        for array in (sampled, np.asarray(pair.labels), reviewed):
            digest.update(f"{image.shape} {array.shape} {array.dtype.str}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        if pair.types:
            digest.update(repr(sorted(pair.types.items())).encode())
    return digest.hexdigest()


def note_of_changes(settings: TrainingSettings, before: str) -> str | None:
    """Say which settings are not those of a state, which are JSON there; None if none are.

    What the version that wrote them did not have yet was as it is by default.
    """
    usual = _plain(type(settings)())
    then = _completed(json.loads(before), usual)
    changed = [name for name, value in _plain(settings).items() if value != then[name]]
    if not changed:
        return None
    return (
        f"The training goes on with another {', '.join(changed)} than it was begun with, so it "
        "ends otherwise than it would have."
    )


def _plain(settings: TrainingSettings) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(settings)))
    return values


def _completed(values: Mapping[str, Any], usual: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _completed(values.get(name, {}), value)
        if isinstance(value, dict)
        else values.get(name, value)
        for name, value in usual.items()
    }


def load_interrupted(path: str | Path) -> Network:
    """Load what a network had learned by the time `TrainingRun.save_state` was called.

    Parameters
    ----------
    path : str or path
        The state; to go on with the training, give it to `train` as `resume_from` instead.

    Returns
    -------
    Network
        The best one by then, on the CPU.

    Raises
    ------
    CheckpointError
        If the file is gone, or no such state.
    """

    def restore(state: dict[str, Any]) -> Network:
        description = NetworkDescription.from_json(state["description"])
        return network_with(state["best"] or state["average"], description)

    device = torch.device("cpu")
    return read_state(path, device, restore, otherwise="{}; start the training anew.")


def network_with(weights: Mapping[str, Tensor], description: NetworkDescription) -> Network:
    """Make a network of its weights and its description, on the CPU."""
    with torch.device("meta"):  # no weights are drawn that are thrown away
        unet = build_module(description.architecture)
    unet.to_empty(device="cpu")
    unet.load_state_dict({key: value.detach().cpu() for key, value in weights.items()})
    return Network(unet.eval(), description)
