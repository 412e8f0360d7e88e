"""Files that `torch.save` writes: what is declared in them, and where its numbers lie."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Sequence
from functools import partial
from typing import BinaryIO

from napari_unet.engine.base.errors import CheckpointError
from napari_unet.engine.foreign.model_file.inert_pickle import (
    LARGEST_PICKLE,
    InertPickle,
    read_inert,
)
from napari_unet.engine.foreign.model_file.stored_tensor import Declared, Row, listed, read_row
from napari_unet.engine.foreign.model_file.zip_directory import ZipDirectory

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
"""What the first pickle of a legacy file is."""

MAGIC_BYTES = MAGIC_NUMBER.to_bytes(10, "little")

PICKLE_NAME = r"(?:.*/)?data\.pkl"

SAVE_ALONE = (
    "ask its author for the weights alone, or save them where its code is: "
    "'torch.save(model.state_dict(), ...)'"
)


def read_zipped(file: BinaryIO, file_size: int) -> Declared:
    """Read what a zipped file of torch declares, also one that another program packed again.

    It raises CheckpointError if it is torn or wants code to run.
    """
    directory = ZipDirectory(file, file_size)
    folder = _folder(directory.names)

    def content(name: str) -> bytes:
        row = directory.row(f"{folder}{name}")
        if row is not None and row.nbytes > LARGEST_PICKLE:
            raise CheckpointError(
                f"holds a pickle of {row.nbytes / 1e6:.0f} MB beside its weights, far more than a "
                f"network needs; {SAVE_ALONE}."
            )
        return b"" if row is None else row.read().numpy().tobytes()

    pickle = _without_code(read_inert(io.BytesIO(content("data.pkl")), file_size))
    _check_byte_order(little=content("byteorder")[:6] in (b"little", b""))
    rows = {key: directory.row(f"{folder}data/{key}") for key in pickle.storages}
    found = {key: row for key, row in rows.items() if row is not None}
    return Declared(pickle.root, found, directory.nbytes, pickle.metadata, networks=pickle.networks)


def _folder(names: Sequence[str]) -> str:
    """Give the folder in a zip archive, with its slash, that has torch's pickle in it."""
    first = names[0].partition("/")[0]
    if f"{first}/data.pkl" in names:
        return f"{first}/"
    # Programs that pack a folder put their own notes, or a further folder, in front of it.
    found = [name for name in names if re.fullmatch(PICKLE_NAME, name)]
    return min(found, key=lambda name: name.count("/")).removesuffix("data.pkl")


def read_legacy(file: BinaryIO, file_size: int) -> Declared:
    """Read what a file in torch's format before version 1.6 declares.

    It is a row of pickles (magic number, version, system, content, keys of storages), then the
    storages, each behind its count of numbers. It raises CheckpointError if it is torn or wants
    code to run.
    """
    file.seek(0)
    stream = io.BytesIO(file.read(LARGEST_PICKLE))
    _magic, _version, system = (read_inert(stream, file_size).root for _ in range(3))
    pickle = _without_code(read_inert(stream, file_size))
    keys = read_inert(stream, file_size).root
    _check_byte_order(little=not isinstance(system, dict) or bool(system.get("little_endian", 1)))
    if not isinstance(keys, list) or not all(isinstance(key, str | int) for key in keys):
        raise CheckpointError("is torn or damaged; copy or download it again.")
    rows: dict[str, Row] = {}
    place = stream.tell()
    for key in map(str, keys):
        file.seek(place)
        count = file.read(8)
        storage = pickle.storages.get(key)
        numel = struct.unpack("<q", count)[0] if len(count) == 8 else -1
        nbytes = numel * storage.dtype.itemsize if storage is not None else -1
        if not 0 <= nbytes <= file_size - place - 8:
            raise CheckpointError(
                "is torn or damaged; copy or download it again: it ends within its weights "
                f"({file_size / 1e6:.1f} MB)."
            )
        rows[key] = Row(nbytes, partial(read_row, file, nbytes, place + 8))
        place += 8 + nbytes
    return Declared(pickle.root, rows, file_size, pickle.metadata, networks=pickle.networks)


def _without_code(pickle: InertPickle) -> InertPickle:
    """Refuse a pickle that was made to do something, though nothing of it would be done."""
    if pickle.actions:
        raise CheckpointError(
            f"wants to run Python code when it is opened ({listed(pickle.actions)}); none of it "
            f"was run. Expected weights: {SAVE_ALONE}."
        )
    return pickle


def _check_byte_order(*, little: bool) -> None:
    if not little:
        raise CheckpointError(
            "was written on a machine with the other byte order (big-endian); load it there and "
            "save it as .safetensors."
        )
