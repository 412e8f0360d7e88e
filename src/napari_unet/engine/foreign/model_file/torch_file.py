"""Files that `torch.save` writes: what is declared in them, and where its numbers lie."""

from __future__ import annotations

import io
import re
import struct
from functools import cache
from typing import BinaryIO

from napari_unet.engine.base.errors import CheckpointError
from napari_unet.engine.foreign.model_file.inert_pickle import (
    LARGEST_PICKLE,
    InertPickle,
    read_inert,
)
from napari_unet.engine.foreign.model_file.stored_tensor import Declared, Span, shown
from napari_unet.engine.foreign.model_file.zip_directory import (
    ZipDirectory,
    read_zip_directory,
    stored_span,
)

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
"""What the first pickle of a legacy file is."""

MAGIC_BYTES = MAGIC_NUMBER.to_bytes(10, "little")

PICKLE_NAME = r"(?:[^/]+/)?data\.pkl"
TORN = "torn or damaged; copy or download it again"
_NAMES_SHOWN = 3

SAVE_ALONE = (
    "ask its author for the weights alone, or save them where its code is: "
    "'torch.save(model.state_dict(), ...)'"
)


def read_zipped(file: BinaryIO, file_size: int) -> Declared:
    """Read what a zipped file of torch declares.

    Raises
    ------
    CheckpointError
        If it is torn or wants code to run. The message is a predicate.
    """
    directory = read_zip_directory(file, file_size)
    folder = pickle_folder(directory)
    span = stored_span(file, directory.entries[f"{folder}data.pkl"], file_size)
    if span.nbytes > LARGEST_PICKLE:
        raise CheckpointError(
            f"holds a pickle of {span.nbytes / 1e6:.0f} MB beside its weights, far more than a "
            f"network needs; {SAVE_ALONE}."
        )
    file.seek(span.start)
    root = _without_code(read_inert(io.BytesIO(file.read(span.nbytes)), file_size)).root
    byte_order = directory.entries.get(f"{folder}byteorder")
    if byte_order is not None:
        file.seek(stored_span(file, byte_order, file_size).start)
        _check_byte_order(little=file.read(6) == b"little")

    def find_span(key: str) -> Span | None:
        entry = directory.entries.get(f"{folder}data/{key}")
        return None if entry is None else stored_span(file, entry, file_size)

    return Declared(root, cache(find_span))


def pickle_folder(directory: ZipDirectory) -> str:
    """Give the folder in a zip archive, with its slash, that has torch's pickle in it."""
    first = directory.first.partition("/")[0]
    if f"{first}/data.pkl" in directory.entries:
        return f"{first}/"
    name = next(name for name in directory.entries if re.fullmatch(PICKLE_NAME, name))
    return name.removesuffix("data.pkl")


def read_legacy(file: BinaryIO, file_size: int) -> Declared:
    """Read what a file in torch's format before version 1.6 declares.

    It is a row of pickles (magic number, version, system, content, keys of storages), then the
    storages, each behind its count of numbers.

    Raises
    ------
    CheckpointError
        If it is torn or wants code to run. The message is a predicate.
    """
    file.seek(0)
    stream = io.BytesIO(file.read(LARGEST_PICKLE))
    _magic, _version, system = (read_inert(stream, file_size).root for _ in range(3))
    content = _without_code(read_inert(stream, file_size))
    keys = read_inert(stream, file_size).root
    _check_byte_order(little=not isinstance(system, dict) or bool(system.get("little_endian", 1)))
    if not isinstance(keys, list) or not all(isinstance(key, str | int) for key in keys):
        raise CheckpointError(f"is {TORN}.")
    spans: dict[str, Span] = {}
    place = stream.tell()
    for key in map(str, keys):
        file.seek(place)
        count = file.read(8)
        storage = content.storages.get(key)
        numel = struct.unpack("<q", count)[0] if len(count) == 8 else -1
        nbytes = numel * storage.dtype.itemsize if storage is not None else -1
        if not 0 <= nbytes <= file_size - place - 8:
            raise CheckpointError(
                f"is {TORN}: it ends within its weights ({file_size / 1e6:.1f} MB)."
            )
        spans[key] = Span(place + 8, nbytes)
        place += 8 + nbytes
    return Declared(content.root, spans.get)


def _without_code(pickle: InertPickle) -> InertPickle:
    """Refuse a pickle that cannot be rebuilt without running what it names."""
    if pickle.modules:
        raise CheckpointError(
            f"holds a whole network as Python objects (class {shown(pickle.modules[-1])}), which "
            f"only its own code can rebuild; none of it was run. Expected weights: {SAVE_ALONE}."
        )
    if pickle.foreign:
        names = ", ".join(shown(name) for name in pickle.foreign[:_NAMES_SHOWN])
        more = len(pickle.foreign) - _NAMES_SHOWN
        names += f" and {more} more" if more > 0 else ""
        raise CheckpointError(
            f"wants to run Python code when it is opened ({names}); none of it was run. "
            f"Expected weights: {SAVE_ALONE}."
        )
    return pickle


def _check_byte_order(*, little: bool) -> None:
    if not little:
        raise CheckpointError(
            "was written on a machine with the other byte order (big-endian); load it there and "
            "save it as .safetensors."
        )
