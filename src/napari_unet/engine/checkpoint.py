"""Model files: one self-describing .safetensors file, written whole or not at all."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from napari_unet.engine.architecture import NetworkModule
from napari_unet.engine.errors import CheckpointError
from napari_unet.engine.network import Network, NetworkDescription, build_module
from napari_unet.engine.whole_file import whole_file

FORMAT = "napari-unet"
FORMAT_VERSION = "1"
SUFFIX = ".safetensors"

_LARGEST_HEADER = 100_000_000
"""Bytes; the limit of the safetensors format itself."""


def bundled_models() -> dict[str, Path]:
    """Names of the models that come with the package, and their files."""
    folder = Path(str(resources.files("napari_unet") / "bundled"))
    return {path.stem: path for path in sorted(folder.glob(f"*{SUFFIX}"))}


def load_checkpoint(
    name_or_path: str | os.PathLike[str],
    *,
    allow_code: bool = False,  # noqa: ARG001
) -> Network:
    """Load a network from a bundled model's name or a `.safetensors` file of this project.

    Nothing in the file is executed: it holds numbers and one JSON text.

    Parameters
    ----------
    name_or_path : str or path
        For example "nuclei".

    Returns
    -------
    Network
        On the CPU, in float32.

    Raises
    ------
    CheckpointError
        If there is no such model, or the file is torn or of another kind.

    Examples
    --------
    >>> from napari_unet import load_checkpoint
    >>> network = load_checkpoint("nuclei")
    >>> network.description.class_roles
    ('background', 'cell', 'border')
    """
    bundled = bundled_models()
    path = bundled.get(str(name_or_path), Path(name_or_path).expanduser())
    description = read_description(path)
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"'{path}' is torn or damaged ({error}); copy or download it again."
        ) from error
    network = Network(_skeleton(description, path), description)
    expected = network.unet.state_dict()
    if weights.keys() != expected.keys():
        missing = sorted(expected.keys() ^ weights.keys())[0]
        raise CheckpointError(
            f"'{path}' does not hold the network it describes (for example '{missing}'); "
            "save the model again."
        )
    for key, value in weights.items():
        if value.shape != expected[key].shape:
            raise CheckpointError(
                f"'{path}': '{key}' has shape {tuple(value.shape)}, its description asks for "
                f"{tuple(expected[key].shape)}; save the model again."
            )
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise CheckpointError(
                f"'{path}': '{key}' holds NaN or infinite weights; use an earlier version "
                "of this model."
            )
    network.unet.load_state_dict(
        {key: value.to(expected[key].dtype) for key, value in weights.items()}
    )
    network.unet.eval()
    return network


def _skeleton(description: NetworkDescription, path: Path) -> NetworkModule:
    """Make an uninitialised network, unless its weights cannot possibly be in the file."""
    with torch.device("meta"):
        unet = build_module(description.unet)
    smallest = sum(parameter.numel() for parameter in unet.parameters())
    if smallest > path.stat().st_size:
        raise CheckpointError(
            f"'{path}' describes a network of {smallest / 1e6:.1f} M values but has only "
            f"{path.stat().st_size / 1e6:.1f} MB; copy or download it again."
        )
    return unet.to_empty(device="cpu")


def read_description(path: str | os.PathLike[str]) -> NetworkDescription:
    """Read only what a model file says about itself; no weights are loaded.

    Raises
    ------
    CheckpointError
        If it is no readable model file of this project.
    """
    path = Path(path)
    metadata = _read_metadata(path)
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"'{path}' is a safetensors file of another program; "
            "expected one written by napari-unet-cells."
        )
    if metadata.get("version") != FORMAT_VERSION:
        raise CheckpointError(
            f"'{path}' has format version {metadata.get('version')}; this napari-unet-cells "
            f"reads version {FORMAT_VERSION}: update it."
        )
    try:
        return NetworkDescription.from_json(metadata.get("description", ""))
    except CheckpointError as error:
        raise CheckpointError(f"'{path}': {error}") from error


def _read_metadata(path: Path) -> dict[str, str]:
    known = ", ".join(bundled_models())
    try:
        with path.open("rb") as file:
            start = file.read(8)
            size = path.stat().st_size
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            header = file.read(length) if 2 <= length <= min(size - 8, _LARGEST_HEADER) else b""
    except FileNotFoundError as error:
        raise CheckpointError(
            f"There is no model '{path}'; give a file, or one of the bundled models: {known}."
        ) from error
    except IsADirectoryError as error:
        raise CheckpointError(f"'{path}' is a folder; give the model file in it.") from error
    except OSError as error:
        raise CheckpointError(
            f"'{path}' cannot be read ({error.strerror}); check its permissions."
        ) from error
    # The length of a header, which comes first, can begin with the same bytes as a pickle.
    if not header.startswith(b"{") and (start[:2] == b"PK" or start[:1] == b"\x80"):
        raise CheckpointError(
            f"'{path}' is a Python pickle (.pt, .pth), which can carry code; it was not opened. "
            "Expected a .safetensors file written by napari-unet-cells."
        )
    try:
        metadata = json.loads(header)["__metadata__"]
        return {str(key): str(value) for key, value in metadata.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"'{path}' is no model file or is torn; expected a .safetensors file written by "
            "napari-unet-cells. Copy or download it again, or give one of the bundled models: "
            f"{known}."
        ) from error


def save_checkpoint(
    network: Network,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    half: bool = False,
) -> Path:
    """Write a network and its description to one file.

    The file appears under its name only when it is complete.

    Parameters
    ----------
    network : Network
    path : str or path
        `.safetensors` is appended if it has no such suffix.
    overwrite : bool
        Replace an existing file.
    half : bool
        Store weights in float16: half the size, about three decimal digits.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    CheckpointError
        If the file exists or cannot be written.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from napari_unet import load_checkpoint, save_checkpoint
    >>> with TemporaryDirectory() as folder:
    ...     save_checkpoint(load_checkpoint("nuclei"), Path(folder) / "mine").name
    'mine.safetensors'
    """
    path = Path(path).expanduser()
    if path.suffix != SUFFIX:
        path = path.with_name(path.name + SUFFIX)
    if path.exists() and not overwrite:
        raise CheckpointError(f"'{path}' exists; choose another name or allow overwriting it.")
    weights = {
        key: (value.half() if half and value.is_floating_point() else value)
        .detach()
        .cpu()
        .contiguous()
        for key, value in network.unet.state_dict().items()
    }
    metadata = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "description": network.description.to_json(),
    }
    write_atomically(path, lambda temporary: save_file(weights, temporary, metadata))
    return path


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file that appears under `path` only once it is complete.

    Raises
    ------
    CheckpointError
        If the folder is missing, not writable or full; `path` is as before.
    """
    try:
        with whole_file(path) as partial:
            write(partial)
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CheckpointError(
            f"'{path}' cannot be written ({reason}); choose a folder that exists, "
            "is writable and has room."
        ) from error
