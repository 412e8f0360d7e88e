"""Model files: one self-describing .safetensors file, written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from napari_unet.engine.base.errors import CheckpointError
from napari_unet.engine.base.whole_file import whole_file
from napari_unet.engine.foreign.opening import OWN_FORMAT as FORMAT
from napari_unet.engine.foreign.opening import WeightsFile, named, open_foreign, read_own_metadata
from napari_unet.engine.models.scores import told_apart
from napari_unet.engine.networks.architecture import NetworkModule
from napari_unet.engine.networks.bundled import BUNDLED_MODELS, EARLIER_MODELS
from napari_unet.engine.networks.network import Network, NetworkDescription, build_module

FORMAT_VERSION = "1"
SUFFIX = ".safetensors"


def bundled_models() -> dict[str, Path]:
    """Names of the models that come with the package, and their files.

    The default one is the first, and what models were in earlier versions the
    last.
    """
    return {row.name: row.file for row in (*BUNDLED_MODELS, *EARLIER_MODELS)}


def load_checkpoint(
    name_or_path: str | os.PathLike[str],
    *,
    allow_code: bool = False,
    guesses: Mapping[str, str] | None = None,
) -> Network:
    """Load a network from a bundled model's name or from a file, whoever wrote it.

    A file of this project describes its network. Of another program's weights
    the network is worked out from their shapes, and what they do not tell is
    guessed: see `NetworkDescription.guesses`. Nothing in a file is executed
    unless you allow it.

    Parameters
    ----------
    name_or_path : str or path
        For example "nuclei". `docs/model-files.md` lists the formats.
    allow_code : bool
        Open a file that carries a program (TorchScript) and let it run; only
        for files whose makers you trust.
    guesses : mapping of str to str, optional
        Corrections: what each is about, and its value.

    Returns
    -------
    Network
        On the CPU, in float32.

    Raises
    ------
    CheckpointError
        If there is no such model, or the file is torn, of another kind, or
        holds no U-Net.
    CodeInFileError
        If the file carries code that was not allowed.
    SettingsError
        If a correction makes no sense.

    Examples
    --------
    >>> from napari_unet import load_checkpoint
    >>> network = load_checkpoint("nuclei")
    >>> network.description.class_roles
    ('background', 'cell', 'border')
    """
    bundled = bundled_models()
    path = bundled.get(str(name_or_path), Path(name_or_path).expanduser())
    if not path.exists():
        raise CheckpointError(
            f"There is no model '{path}'; give a file, or one of the bundled models: "
            f"{', '.join(bundled)}."
        ) from FileNotFoundError(str(path))
    network = open_foreign(path, open_own=_own_network, allow_code=allow_code, guesses=guesses)
    network.unet.eval()
    network.description = told_apart(network.description)
    return network


def as_network(given: Network | str | os.PathLike[str]) -> Network:
    """Return a network that is given itself, or by what `load_checkpoint` takes."""
    return given if isinstance(given, Network) else load_checkpoint(given)


def _own_network(weights: WeightsFile) -> Network:
    """Make the network that a file of this project describes."""
    path = weights.path
    description = _description(weights.facts, path)
    network = Network(_skeleton(description, path), description)
    expected = network.unet.state_dict()
    if weights.tensors.keys() != expected.keys():
        missing = sorted(expected.keys() ^ weights.tensors.keys())[0]
        raise CheckpointError(
            f"'{path}' does not hold the network it describes (for example '{missing}'); "
            "save the model again."
        )
    for key, value in weights.tensors.items():
        if value.shape != expected[key].shape:
            raise CheckpointError(
                f"'{path}': '{key}' has shape {tuple(value.shape)}, its description asks for "
                f"{tuple(expected[key].shape)}; save the model again."
            )
    network.unet.load_state_dict(weights.tensors, assign=True)
    return network


def _skeleton(description: NetworkDescription, path: Path) -> NetworkModule:
    """Make a network without memory, unless its weights cannot possibly be in the file."""
    with torch.device("meta"):
        unet = build_module(description.architecture)
    smallest = sum(parameter.numel() for parameter in unet.parameters())
    if smallest > path.stat().st_size:
        raise CheckpointError(
            f"'{path}' describes a network of {smallest / 1e6:.1f} M values but has only "
            f"{path.stat().st_size / 1e6:.1f} MB; copy or download it again."
        )
    return unet


def read_description(path: str | os.PathLike[str]) -> NetworkDescription:
    """Read only what a model file says about itself; no weights are loaded.

    Raises
    ------
    CheckpointError
        If it is no readable model file of this project.
    """
    path = Path(path)
    return told_apart(_description(read_own_metadata(path), path))


def _description(metadata: Mapping[str, Any], path: Path) -> NetworkDescription:
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
        raise named(path, error) from error


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
    config = network.description.architecture
    if not config.is_trainable:
        raise CheckpointError(
            f"'{network.description.name}' is ready-made ({config.sentence}) and cannot be saved "
            f"as {SUFFIX}; keep or copy its own file."
        )
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
    with whole_file(path, refused=CheckpointError, library_errors=(SafetensorError,)) as partial:
        save_file(weights, partial, metadata)
    return path
