"""Tensors as a file declares them: checked against the file first, then read."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from napari_unet.engine.base.errors import CheckpointError

_MOST_AXES = 8
_COPIES_OF_THE_FILE = 8
"""Half precision doubles in memory, and tied weights stand under several names."""

_SLACK = 1_000_000

_READABLE = {
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
    *(torch.float8_e4m3fn, torch.float8_e5m2),
    *(torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.bool),
}


@dataclass(frozen=True, slots=True)
class Storage:
    """Numbers in a row, under the key by which their file knows them.

    A legacy file may call a part of such a row a storage too: it then begins `first` numbers in.
    """

    key: str
    dtype: torch.dtype
    numel: int
    first: int = 0


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor as declared: a window into a storage. Nothing about it has been checked yet."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    layout: str = ""  # "sparse", "quantised", ...: what cannot be read; "" is an ordinary one

    @property
    def dtype(self) -> torch.dtype:
        """Of its numbers."""
        return self.storage.dtype


def unreadable(layout: str) -> StoredTensor:
    """Stand for a tensor of a kind that is not read."""
    return StoredTensor(Storage("", torch.float32, 0), 0, (), (), layout)


@dataclass(frozen=True, slots=True)
class Row:
    """The numbers of a storage as they lie in a file."""

    nbytes: int
    """Their length, which is known before any is read."""
    read: Callable[[], Tensor]
    """Reads them, as a uint8 tensor of `nbytes` numbers that is independent of the file."""


@dataclass(frozen=True, slots=True)
class Declared:
    """What a file of weights declares, before any of it is read."""

    root: Any
    """Dicts with `StoredTensor` in them."""
    rows: Mapping[str, Row]
    """By the keys of storages."""
    nbytes: int
    """Length of the file, of a packed one when it is unpacked."""
    metadata: dict[str, str] = field(default_factory=dict)
    """Texts that stand beside the weights."""
    networks: tuple[str, ...] = ()
    """Classes of whole networks that are in it as Python objects, the outermost last."""


def shown(name: object) -> str:
    """Make a name from an untrusted file fit to stand in a sentence."""
    text = str(name)
    text = text if len(text) <= 60 else f"{text[:57]}..."
    return ascii(text) if not text.isprintable() else f"'{text}'"


def listed(names: Sequence[str]) -> str:
    """Name the first three in a sentence, and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(map(shown, names[:3])) + more


def read_tensors(stored: Mapping[str, StoredTensor], declared: Declared) -> dict[str, Tensor]:
    """Read tensors after all of them have been checked.

    Parameters
    ----------
    declared : Declared
        All of the file that they are from.

    Returns
    -------
    dict of tensors
        Contiguous; every kind of float has become float32, whole numbers stay as they are.

    Raises
    ------
    CheckpointError
        If a tensor is of a kind that cannot be used, does not fit the file, or is not finite.
    """
    for name, tensor in stored.items():
        _check_kind(name, tensor)
        _check_extent(name, tensor, declared.rows)
    claimed = sum(4 * math.prod(tensor.shape) for tensor in stored.values())
    if claimed > _COPIES_OF_THE_FILE * declared.nbytes + _SLACK:
        raise CheckpointError(
            f"claims {claimed / 1e6:.0f} MB of weights but has only {declared.nbytes / 1e6:.1f} "
            "MB; it was made to fill the memory, or save it again with "
            "'torch.save(model.state_dict(), ...)'."
        )
    kept: dict[str, Tensor] = {}
    tensors = {name: _read(tensor, declared.rows, kept) for name, tensor in stored.items()}
    return _finite(
        {
            name: values.float() if values.is_floating_point() else values
            for name, values in tensors.items()
        }
    )


def read_numbers(tensor: StoredTensor, rows: Mapping[str, Row]) -> Any:
    """Read one small tensor as nested lists; it raises CheckpointError as `read_tensors` does."""
    _check_kind("", tensor)
    _check_extent("", tensor, rows)
    return _read(tensor, rows, {}).tolist()


def _check_kind(name: str, tensor: StoredTensor) -> None:
    """Refuse tensors that a network here cannot be made of."""
    layout = tensor.layout
    if not layout and tensor.dtype not in _READABLE:
        layout = "complex" if tensor.dtype.is_complex else str(tensor.dtype)
    if layout:
        raise CheckpointError(
            f"holds {shown(name)} as a {layout} tensor; expected ordinary (dense, real) weights. "
            "Save the network as it was before it was converted."
        )


def _check_extent(name: str, tensor: StoredTensor, rows: Mapping[str, Row]) -> None:
    """Refuse a tensor that reaches beyond its storage, or is far larger than it."""
    storage, shape, stride = tensor.storage, tensor.shape, tensor.stride
    if len(shape) > _MOST_AXES:
        raise CheckpointError(
            f"holds {shown(name)} with {len(shape)} axes; weights of networks have at most 5. "
            "It is damaged or no network: copy or download it again."
        )
    whole = (*shape, *stride[:_MOST_AXES], tensor.offset, storage.numel, storage.first)
    possible = all(type(number) is int and 0 <= number < 2**63 for number in whole)
    if not possible or len(shape) != len(stride):
        raise CheckpointError(
            f"is damaged: {shown(name)} has a shape or place that makes no sense; "
            "copy or download it again."
        )
    numel = math.prod(shape)
    last = sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
    reach = tensor.offset + last + 1 if numel else 0
    row = rows.get(storage.key)
    there = 0 if row is None else row.nbytes // tensor.dtype.itemsize - storage.first
    # Without a stride of 0, a window never holds more than its storage does.
    if reach > min(there, storage.numel) or numel > storage.numel:
        raise CheckpointError(
            f"claims that {shown(name)} has shape {shape} but holds only "
            f"{max(0, min(there, storage.numel))} numbers for it; it is torn or damaged: "
            "copy or download it again."
        )


def _read(tensor: StoredTensor, rows: Mapping[str, Row], kept: dict[str, Tensor]) -> Tensor:
    """Read one checked tensor; `kept` keeps the storages that were read for the others."""
    if not math.prod(tensor.shape):
        return torch.empty(tensor.shape, dtype=tensor.dtype)
    key = tensor.storage.key
    if key not in kept:
        kept[key] = rows[key].read()
    size = tensor.dtype.itemsize
    numbers = kept[key][: kept[key].numel() // size * size].view(tensor.dtype)
    first = tensor.storage.first + tensor.offset
    return numbers.as_strided(tensor.shape, tensor.stride, first).contiguous()


def read_row(stream: IO[bytes], nbytes: int, start: int | None = None) -> Tensor:
    """Read bytes of a stream, from here or from a place, into memory that is taken once."""
    # Read, not mapped: a file that somebody cuts short meanwhile would end the whole program, and
    # on Windows a mapped file cannot be replaced by its next version.
    if start is not None:
        stream.seek(start)
    row = np.empty(nbytes, np.uint8)
    view = row.data
    while view:
        count = stream.readinto(view)  # type: ignore[attr-defined]
        if not count:
            raise CheckpointError("was cut short while it was read; copy or download it again.")
        view = view[count:]
    return torch.from_numpy(row)


def _finite(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    floats = {name: tensor for name, tensor in tensors.items() if tensor.is_floating_point()}
    # Sums are ten times as fast, but those of finite numbers may be infinite: then look closer.
    if not floats or torch.stack([tensor.sum() for tensor in floats.values()]).isfinite().all():
        return tensors
    for name, tensor in floats.items():
        if not tensor.isfinite().all():
            raise CheckpointError(
                f"holds NaN or infinite weights in {shown(name)}; its training went wrong: "
                "use an earlier version of this model."
            )
    return tensors
