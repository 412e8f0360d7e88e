"""ONNX files as far as they must be known before a library is given them.

onnxruntime before 1.24 opens whatever file on the computer a model names as its weights: outside of
its folder, by an absolute path, through a link. What it would read is found here first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import BinaryIO

from napari_unet.engine.base.errors import CheckpointError
from napari_unet.engine.foreign.model_file.stored_tensor import shown

_MODEL_FIELDS = {1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26}
_GRAPH = 7

# Where tensors can stand: by the kind of a message, the numbers of fields and what they hold.
_INSIDE: dict[str, dict[int, str]] = {
    "model": {_GRAPH: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor",
        10: "tensor",
        22: "sparse tensor",
        23: "sparse tensor",
        6: "graph",  # of a loop or a branch
        11: "graph",
    },
    "sparse tensor": {1: "tensor", 2: "tensor"},
}
_DATA_LOCATION, _EXTERNAL_DATA = 14, 13
_EXTERNAL = 1
_DEEPEST = 60
"""Messages within each other, at most: three for each loop or branch."""

_MOST_FIELDS = 300_000
_TEXT = 4096


@dataclass(frozen=True, slots=True)
class _Field:
    """One field of a protobuf message: a number, or where its bytes lie."""

    number: int
    value: int
    start: int
    end: int


class _NotProtobufError(ValueError):
    """The bytes are no protobuf message, or a torn one."""


class _Message:
    """Walks over the fields of protobuf messages in a file without reading what they hold."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._left = _MOST_FIELDS

    def fields(self, start: int, end: int) -> Iterator[_Field]:
        place = start
        while place < end:
            self._left -= 1
            if self._left < 0:
                raise _NotProtobufError("too many fields")
            tag, place = self._varint(place)
            number, wire = tag >> 3, tag & 7
            value, length = 0, {1: 8, 5: 4}.get(wire, 0)
            if wire in (0, 2):
                value, place = self._varint(place)
                length = value if wire == 2 else 0
            elif wire not in (1, 5):
                raise _NotProtobufError("unknown wire type")
            if place + length > end or not number:
                raise _NotProtobufError("a field reaches beyond its message")
            yield _Field(number, value, place, place + length)
            place += length

    def text(self, field: _Field) -> str:
        self._file.seek(field.start)
        return self._file.read(min(field.end - field.start, _TEXT)).decode("utf-8", "replace")

    def _varint(self, place: int) -> tuple[int, int]:
        """Give the number that stands at a place, and the place behind it."""
        self._file.seek(place)
        value = 0
        for index, byte in enumerate(self._file.read(10)):
            value |= (byte & 127) << (7 * index)
            if byte < 128:
                return value, place + index + 1
        raise _NotProtobufError("torn number")


def is_onnx(file: BinaryIO, file_size: int) -> bool:
    """Tell whether a file is an ONNX model, by the fields of its outermost message.

    One that begins like it and is torn raises CheckpointError.
    """
    seen: list[int] = []
    try:
        for field in _Message(file).fields(0, file_size):
            if field.number not in _MODEL_FIELDS or (not seen and not 0 < field.value < 100):
                return False
            seen.append(field.number)
    except _NotProtobufError as error:
        # The version of the format, then texts about the program that wrote it.
        if seen[:2] == [1, 2]:
            raise CheckpointError(
                "begins like an ONNX model but is torn; copy or download it again."
            ) from error
        return False
    return _GRAPH in seen and seen[0] == 1


def check_external_data(file: BinaryIO, file_size: int, path: Path) -> None:
    """Check that weights which an ONNX model keeps in other files are beside it, whole.

    If not, it raises CheckpointError.
    """
    message = _Message(file)
    try:
        for tensor in _tensors(message, "model", 0, file_size):
            _check_tensor(message, tensor, path)
    except _NotProtobufError as error:
        raise CheckpointError("is a damaged ONNX model; copy or download it again.") from error


def _tensors(
    message: _Message, kind: str, start: int, end: int, depth: int = 0
) -> Iterator[_Field]:
    """Find all tensors in a message, also the constants of nodes in loops and branches."""
    if depth > _DEEPEST:
        raise _NotProtobufError("too deep")
    for field in message.fields(start, end):
        inside = _INSIDE[kind].get(field.number)
        if inside == "tensor":
            yield field
        elif inside is not None:
            yield from _tensors(message, inside, field.start, field.end, depth + 1)


def _check_tensor(message: _Message, tensor: _Field, path: Path) -> None:
    fields = list(message.fields(tensor.start, tensor.end))
    if not any(f.number == _DATA_LOCATION and f.value == _EXTERNAL for f in fields):
        return
    where: dict[str, str] = {}
    for entry in fields:
        if entry.number == _EXTERNAL_DATA:
            texts = {f.number: message.text(f) for f in message.fields(entry.start, entry.end)}
            where[texts.get(1, "")] = texts.get(2, "")
    name = where.get("location", "")
    numbers = [where.get(key, "0") for key in ("offset", "length")]
    needed = sum(int(number) for number in numbers if re.fullmatch(r"[0-9]{1,18}", number))
    weights = path.parent / name
    if not name or PurePath(name).name != name or "\\" in name or weights.is_symlink():
        raise CheckpointError(
            f"is an ONNX model that reaches for a file outside of its folder ({shown(name)}); "
            "it was not opened. Save it as one file."
        )
    if not weights.is_file() or weights.stat().st_size < needed:
        raise CheckpointError(
            f"is an ONNX model whose weights are in {shown(name)}, which is missing or torn; "
            "put that file beside it, or save the model as one file."
        )
