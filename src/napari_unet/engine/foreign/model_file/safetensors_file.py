"""Files in the safetensors format, read by the format's own library."""

from __future__ import annotations

import re
import struct
from functools import partial
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from napari_unet.engine.base.errors import CheckpointError
from napari_unet.engine.foreign.model_file.stored_tensor import (
    Declared,
    Row,
    Storage,
    StoredTensor,
    shown,
)

_LARGEST_HEADER = 16_000_000
"""Bytes; the format allows six times as much, no network has a hundredth of it."""

_TORN = "is a torn or damaged safetensors file"

_REASONS = (
    (r"JSON.*(invalid|missing|unknown|duplicate)", "its header does not describe its tensors"),
    (r"JSON|Deserialization|UTF|Start", "its header is no JSON"),
    (r"offset|Offset|cover|Incomplete", "its header speaks of other numbers than there are"),
    (r"shape|TensorInvalidInfo", "the shape and the place of a tensor do not fit each other"),
    (r"", "its header makes no sense"),
)
"""What the library says, in its releases since 0.4, and what a user reads."""


def begins_like_safetensors(head: bytes) -> bool:
    """Tell whether the first bytes are the length of a header, then a JSON object."""
    # A JSON text may have a brace there too, but it has no such bytes as a length before it.
    return (
        head[8:9] == b"{"
        and head[9:].lstrip()[:1] in (b'"', b"}", b"")
        and not all(9 <= byte < 127 for byte in head[:8])
    )


def read_metadata(file: BinaryIO, file_size: int) -> dict[str, str]:
    """Read the texts that a safetensors file carries beside its weights.

    A torn file, or a header that is far too large, raises CheckpointError.
    """
    return dict(_opened(file, file_size).metadata() or {})


def read_safetensors(file: BinaryIO, file_size: int) -> Declared:
    """Read what a safetensors file declares.

    It raises CheckpointError as `read_metadata` does, or for numbers that torch does not have.
    """
    opened = _opened(file, file_size)
    tensors: dict[str, StoredTensor] = {}
    rows: dict[str, Row] = {}
    # The order in the file tells about the network; older releases know their own order only.
    for name in getattr(opened, "offset_keys", opened.keys)():
        try:
            mapped = opened.get_tensor(name)
        except (SafetensorError, AttributeError, LookupError, RuntimeError, TypeError) as error:
            raise CheckpointError(
                f"holds {shown(name)} as numbers that are not read; expected floats. "
                "Save the network as it was before it was converted."
            ) from error
        storage = Storage(name, mapped.dtype, mapped.numel())
        shape = tuple(mapped.shape)
        tensors[name] = StoredTensor(storage, 0, shape, tuple(mapped.stride()))
        rows[name] = Row(mapped.nbytes, partial(_copied, mapped))
    return Declared(tensors, rows, file_size, dict(opened.metadata() or {}))


def _copied(mapped: Tensor) -> Tensor:
    """Bytes of a tensor that does not keep its file mapped: see `read_row`."""
    return mapped.clone().reshape(-1).view(torch.uint8)


def _opened(file: BinaryIO, file_size: int) -> Any:
    """Let the library check the header of a file against its length."""
    file.seek(0)
    (length,) = struct.unpack("<Q", file.read(8))
    if length > _LARGEST_HEADER:
        raise CheckpointError(
            f"claims a safetensors header of {length / 1e6:.0f} MB; expected at most "
            f"{_LARGEST_HEADER / 1e6:.0f}. It is damaged: copy or download it again."
        )
    if length > file_size - 8:
        raise CheckpointError(f"{_TORN}: it ends within its header; copy or download it again.")
    try:
        return safe_open(file.name, "pt")
    except SafetensorError as error:
        said = str(error)
        reason = next(text for pattern, text in _REASONS if re.search(pattern, said))
        raise CheckpointError(f"{_TORN}: {reason}; copy or download it again.") from error
