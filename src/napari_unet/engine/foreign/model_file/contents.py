"""Any file that a user may call a model: what it is, and the weights in it."""

from __future__ import annotations

import io
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

from torch import Tensor

from napari_unet.engine.base.errors import CheckpointError
from napari_unet.engine.foreign.model_file.foreign_file import (
    EXPECTED,
    foreign_sentence,
    readable_text,
)
from napari_unet.engine.foreign.model_file.inert_pickle import LARGEST_PICKLE, read_inert
from napari_unet.engine.foreign.model_file.onnx_file import check_external_data, is_onnx
from napari_unet.engine.foreign.model_file.safetensors_file import (
    begins_like_safetensors,
    read_metadata,
    read_safetensors,
)
from napari_unet.engine.foreign.model_file.state_dict import StateDict, find_state_dict, plain_facts
from napari_unet.engine.foreign.model_file.stored_tensor import (
    Declared,
    listed,
    read_numbers,
    read_tensors,
    shown,
)
from napari_unet.engine.foreign.model_file.torch_file import (
    MAGIC_BYTES,
    MAGIC_NUMBER,
    PICKLE_NAME,
    SAVE_ALONE,
    read_legacy,
    read_zipped,
)
from napari_unet.engine.foreign.model_file.zip_directory import ZipDirectory

OWN_FORMAT = "napari-unet"
"""What the metadata of this project's own files call their format."""

PACKAGE_DESCRIPTION = r"(?:.*/)?(?:[^/]*\.)?(?:rdf|bioimageio)\.yaml"
"""Name of the file in a bioimage.io package that describes it."""

_HEAD = 65_536
_LONGEST_DESCRIPTION = 1_000_000
_EXPORT_NAME = r"(?:[^/]+/)?(?:archive_format|serialized_exported_program\.json)"
_SCRIPT_NAME = r"(?:.*/)?constants\.pkl"
_ANY_MODEL = r".*\.(?:pth?|pkl|ckpt|t7|safetensors|onnx|pt2|zip|h5)"


class ModelFileKind(StrEnum):
    """What a model file is, by its content."""

    OWN = "napari-unet-cells"
    SAFETENSORS = "safetensors"
    TORCH_WEIGHTS = "PyTorch weights"
    TORCH_LEGACY = "PyTorch weights (before 1.6)"
    TORCHSCRIPT = "TorchScript"
    TORCH_EXPORT = "torch.export"
    ONNX = "ONNX"
    BIOIMAGE = "bioimage.io"


_READERS: dict[ModelFileKind, Callable[[BinaryIO, int], Declared]] = {
    ModelFileKind.OWN: read_safetensors,
    ModelFileKind.SAFETENSORS: read_safetensors,
    ModelFileKind.TORCH_WEIGHTS: read_zipped,
    ModelFileKind.TORCH_LEGACY: read_legacy,
}
"""What reads the files that hold weights and no program."""


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """The weights of a network, from a file."""

    path: Path
    kind: ModelFileKind
    tensors: dict[str, Tensor]
    """By name, without `prefix`. Contiguous, on the CPU; every kind of float is float32."""
    found_under: str
    """Where in the file they are, for example "model_state_dict"; "" if it holds nothing else."""
    prefix: str
    """What was taken off in front of each name, for example "module."."""
    facts: dict[str, Any]
    """What else the file says, as far as JSON can say it; no optimizers and no other networks."""


def identify(path: str | PathLike[str]) -> ModelFileKind:
    """Say what kind of model a file or folder is, from its content and never from its suffix.

    Nothing in it is run, and no more of it is read than that takes.

    Raises
    ------
    CheckpointError
        If it is no model, or torn, or made to do harm.
    """
    path = Path(path).expanduser()
    with _named_in_errors(path):
        if path.is_dir():
            return _kind_of_folder(path)
        with _opened(path) as (file, size):
            return _kind_of_file(file, size, path)


def read_weights(path: str | PathLike[str], *, kind: ModelFileKind | None = None) -> WeightsFile:
    """Read the weights of a network from a file of another program; nothing in it is run.

    All that the file declares is checked against its size before memory is taken.

    Parameters
    ----------
    path : str or path
        A safetensors file, or what `torch.save` wrote: weights alone, or what a training saves.
    kind : ModelFileKind, optional
        What `identify` said of it; asked again if left out.

    Raises
    ------
    CheckpointError
        If there are no weights in it that can be used.
    """
    path = Path(path).expanduser()
    kind = identify(path) if kind is None else kind
    if kind not in _READERS:
        raise CheckpointError(
            f"'{path}' is a ready-made network ({kind}), not weights alone; "
            "expected .safetensors or what 'torch.save(model.state_dict(), ...)' writes."
        )
    with _named_in_errors(path), _opened(path) as (file, size):
        declared = _READERS[kind](file, size)
        if kind is ModelFileKind.OWN:  # whose names are as they should be
            found = StateDict(declared.root, "", "", declared.root)
        else:
            found = find_state_dict(declared.root, declared.networks)
        tensors = read_tensors(found.tensors, declared)
        if not any(tensor.is_floating_point() for tensor in tensors.values()):
            raise CheckpointError(
                "holds whole numbers only, as quantised networks do; expected floats. "
                "Save the network as it was before it was converted."
            )
        numbers = partial(read_numbers, rows=declared.rows)
        facts = plain_facts(declared.root, found, numbers) | declared.metadata
    return WeightsFile(path, kind, tensors, found.found_under, found.prefix, facts)


def read_own_metadata(path: str | PathLike[str]) -> dict[str, str]:
    """Read the texts that a file of this project carries beside its weights, which are not read.

    Raises
    ------
    CheckpointError
        If it is no such file, or torn.
    """
    path = Path(path).expanduser()
    with _named_in_errors(path), _opened(path) as (file, size):
        if not begins_like_safetensors(file.read(_HEAD)):
            raise CheckpointError("is no safetensors file; expected one of this project.")
        return read_metadata(file, size)


@contextmanager
def _named_in_errors(path: Path) -> Iterator[None]:
    """Put the file's name in front of what was found wrong with it."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"'{path}' {error}") from error
    except FileNotFoundError as error:
        raise CheckpointError(f"There is no file '{path}'; check its name.") from error
    except MemoryError as error:
        raise CheckpointError(
            f"'{path}' does not fit into the memory; close other programs."
        ) from error
    except OSError as error:
        raise CheckpointError(
            f"'{path}' cannot be read ({error.strerror or error}); check its permissions."
        ) from error


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """Open a regular file; devices and pipes, which may never end, are not even opened."""
    try:
        status = path.stat()
    except ValueError as error:  # no name that a file can have
        raise FileNotFoundError from error
    if not stat.S_ISREG(status.st_mode):
        raise CheckpointError(f"is a device or a pipe, not a file; {EXPECTED}.")
    if not status.st_size:
        raise CheckpointError("is empty (0 bytes); copy or download it again.")
    with path.open("rb") as file:
        yield file, status.st_size


def _kind_of_folder(path: Path) -> ModelFileKind:
    names = {entry.name for entry in path.iterdir()}
    if any(re.fullmatch(PACKAGE_DESCRIPTION, name) for name in names):
        return ModelFileKind.BIOIMAGE
    if names & {"saved_model.pb", "keras_metadata.pb"}:
        raise CheckpointError(foreign_sentence(b"tensorflow"))
    raise CheckpointError("is a folder; give the model file in it.")


def _kind_of_file(file: BinaryIO, size: int, path: Path) -> ModelFileKind:
    head = file.read(_HEAD)
    # First, because the length of a header may begin with the same bytes as any other kind.
    if begins_like_safetensors(head):
        own = read_metadata(file, size).get("format") == OWN_FORMAT
        return ModelFileKind.OWN if own else ModelFileKind.SAFETENSORS
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _kind_of_zip(file, size)
    if head[:1] == b"\x80":
        return _kind_of_pickle(file, head)
    if head[:1] == b"\x08" and is_onnx(file, size):
        check_external_data(file, size, path)
        return ModelFileKind.ONNX
    if _is_bioimage_description(file, head):
        return ModelFileKind.BIOIMAGE
    raise CheckpointError(foreign_sentence(head))


def _kind_of_zip(file: BinaryIO, size: int) -> ModelFileKind:
    names = set(ZipDirectory(file, size).names)

    def has(pattern: str) -> bool:
        return any(re.fullmatch(pattern, name) for name in names)

    if has(_SCRIPT_NAME):
        return ModelFileKind.TORCHSCRIPT
    if has(_EXPORT_NAME):
        return ModelFileKind.TORCH_EXPORT
    if has(PICKLE_NAME):
        return ModelFileKind.TORCH_WEIGHTS
    if has(PACKAGE_DESCRIPTION):
        return ModelFileKind.BIOIMAGE
    if {"config.json", "model.weights.h5"} <= names:
        raise CheckpointError(foreign_sentence(b"\x89HDF\r\n\x1a\n"))
    if all(name.endswith(".npy") for name in names):
        raise CheckpointError(f"holds NumPy arrays (.npz), not a model; {EXPECTED}.")
    if has(r"(?:[^/]+/)?\.data/.*"):
        raise CheckpointError(f"is a torch package, which holds Python code; {SAVE_ALONE}.")
    inside = next((name for name in names if re.fullmatch(_ANY_MODEL, name)), None)
    if inside is not None:
        raise CheckpointError(
            f"is a zip archive with {shown(inside)} in it; unpack it first and give that file."
        )
    raise CheckpointError(f"is a zip archive without a model; {EXPECTED}.")


def _kind_of_pickle(file: BinaryIO, head: bytes) -> ModelFileKind:
    file.seek(0)
    whole = head if MAGIC_BYTES in head[:32] else file.read(LARGEST_PICKLE)
    pickle = read_inert(io.BytesIO(whole), len(whole))
    if isinstance(pickle.root, int) and pickle.root == MAGIC_NUMBER:
        return ModelFileKind.TORCH_LEGACY
    wants = f", and wants to run {listed(pickle.actions)}" if pickle.actions else ""
    raise CheckpointError(
        f"is a Python pickle that torch did not write{wants}; none of it was run. "
        f"Expected weights: {SAVE_ALONE}."
    )


def _is_bioimage_description(file: BinaryIO, head: bytes) -> bool:
    if readable_text(head) is None:
        return False
    file.seek(0)
    text = file.read(_LONGEST_DESCRIPTION)
    return all(re.search(rb"(?m)^%s:" % key, text) for key in (b"format_version", b"weights"))
