"""Files in the safetensors format: a JSON header, then numbers."""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from typing import Any, BinaryIO

import torch

from napari_unet.engine.base.errors import CheckpointError
from napari_unet.engine.foreign.model_file.stored_tensor import Span, Storage, StoredTensor, shown

_LARGEST_HEADER = 16_000_000
"""Bytes; the format allows six times as much, no network has a hundredth of it."""

_TORN = "is a torn or damaged safetensors file"

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


@dataclass(frozen=True, slots=True)
class SafetensorsHeader:
    """The header of a safetensors file.

    Attributes
    ----------
    metadata : dict of str
        What its writer says about it.
    entries : dict
        What it says about each tensor, not checked.
    start : int
        Where the numbers begin, in bytes.
    """

    metadata: dict[str, str]
    entries: dict[str, Any]
    start: int


def begins_like_safetensors(head: bytes) -> bool:
    """Tell whether the first bytes are the length of a header, then a JSON object."""
    # A JSON text may have a brace there too, but it has no such bytes as a length before it.
    return (
        head[8:9] == b"{"
        and head[9:].lstrip()[:1] in (b'"', b"}", b"")
        and not all(9 <= byte < 127 for byte in head[:8])
    )


def read_header(file: BinaryIO, file_size: int) -> SafetensorsHeader:
    """Read the header of a safetensors file.

    Raises
    ------
    CheckpointError
        If it is torn or far too large. The message is a predicate.
    """
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
        entries = json.loads(file.read(length))
        metadata = entries.pop("__metadata__", None) or {}
        metadata = {str(key): str(value) for key, value in metadata.items()}
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{_TORN}: its header is no JSON; download it again.") from error
    return SafetensorsHeader(metadata, entries, 8 + length)


def declared_tensors(
    header: SafetensorsHeader, file_size: int
) -> tuple[dict[str, StoredTensor], dict[str, Span]]:
    """Give the tensors that a header declares, and the places of their numbers by name.

    Raises
    ------
    CheckpointError
        If they do not fit the file. The message is a predicate.
    """
    tensors: dict[str, StoredTensor] = {}
    spans: dict[str, Span] = {}
    for name, entry in header.entries.items():
        try:
            kind, shape = str(entry["dtype"]), tuple(entry["shape"])
            begin, end = entry["data_offsets"]
            spans[name] = Span(header.start + begin, end - begin)
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{_TORN}: its header does not describe {shown(name)}; download it again."
            ) from error
        if kind not in _DTYPES:
            raise CheckpointError(
                f"holds {shown(name)} as {shown(kind)}, which is not read; expected floats. "
                "Save the network as it was before it was converted."
            )
        tensors[name] = _stored(name, _DTYPES[kind], shape, spans[name])
    end = max((span.start + span.nbytes for span in spans.values()), default=header.start)
    held = sum(span.nbytes for span in spans.values())
    # The format has no gaps and no overlaps: what the header says is all there is.
    if end != file_size or held != file_size - header.start:
        raise CheckpointError(
            f"{_TORN}: its header speaks of {held / 1e6:.1f} MB of numbers, there are "
            f"{(file_size - header.start) / 1e6:.1f}; copy or download it again."
        )
    return tensors, spans


def _stored(name: str, dtype: torch.dtype, shape: tuple[Any, ...], span: Span) -> StoredTensor:
    whole = (*shape, span.start, span.nbytes)
    possible = all(type(number) is int and 0 <= number < 2**63 for number in whole)
    if not possible or len(shape) > 8 or math.prod(shape) * dtype.itemsize != span.nbytes:
        raise CheckpointError(
            f"{_TORN}: the shape and the place of {shown(name)} do not fit each other; "
            "copy or download it again."
        )
    stride = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
    storage = Storage(name, dtype, math.prod(shape))
    return StoredTensor(storage, dtype, 0, shape, stride)
