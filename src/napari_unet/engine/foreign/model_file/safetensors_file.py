"""Files in the safetensors format, read by the format's own library."""

from __future__ import annotations

import re
import struct
from functools import partial
from typing import Any, BinaryIO

from safetensors import SafetensorError, safe_open

from napari_unet.engine.base.errors import CheckpointError
from napari_unet.engine.foreign.model_file.stored_tensor import (
    Declared,
    Row,
    Storage,
    StoredTensor,
    read_row,
    shown,
)

_LARGEST_HEADER = 16_000_000
"""Bytes; the format allows six times as much, no network has a hundredth of it."""

_TORN = "is a torn or damaged safetensors file"

_REASONS = (
    (r"JSON.*(invalid|missing|unknown|duplicate)", "its header does not describe its tensors"),
    (r"JSON|UTF", "its header is no JSON"),
    (r"offset|cover", "its header speaks of other numbers than there are"),
    (r"shape", "the shape and the place of a tensor do not fit each other"),
    (r"", "its header makes no sense"),
)
"""What the library says, and what a user reads."""


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
    _start, opened = _opened(file, file_size)
    return dict(opened.metadata() or {})


def read_safetensors(file: BinaryIO, file_size: int) -> Declared:
    """Read what a safetensors file declares.

    It raises CheckpointError as `read_metadata` does, or for numbers that torch does not have.
    """
    place, opened = _opened(file, file_size)
    tensors: dict[str, StoredTensor] = {}
    rows: dict[str, Row] = {}
    for name in opened.offset_keys():
        try:
            mapped = opened.get_tensor(name)  # of which nothing is read yet: see `read_row`
        except (SafetensorError, AttributeError, LookupError, RuntimeError, TypeError) as error:
            raise _unknown_numbers(name) from error
        storage = Storage(name, mapped.dtype, mapped.numel())
        tensors[name] = StoredTensor(storage, 0, tuple(mapped.shape), tuple(mapped.stride()))
        # The library has made sure that they lie one behind the other, without gaps.
        rows[name] = Row(mapped.nbytes, partial(read_row, file, mapped.nbytes, place))
        place += mapped.nbytes
    if place != file_size:
        raise _unknown_numbers(name)
    return Declared(tensors, rows, file_size, dict(opened.metadata() or {}))


def _unknown_numbers(name: str) -> CheckpointError:
    return CheckpointError(
        f"holds {shown(name)} as numbers that are not read; expected floats. "
        "Save the network as it was before it was converted."
    )


def _opened(file: BinaryIO, file_size: int) -> tuple[int, Any]:
    """Let the library check a file's header against its length; tell where the numbers begin."""
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
        return 8 + length, safe_open(file.name, "pt")
    except SafetensorError as error:
        said = str(error)
        reason = next(text for pattern, text in _REASONS if re.search(pattern, said))
        raise CheckpointError(f"{_TORN}: {reason}; copy or download it again.") from error
