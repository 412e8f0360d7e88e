"""The table of contents of a zip file, read and judged before anything in it is."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Sequence
from typing import BinaryIO

from torch import Tensor

from napari_unet.engine.base.errors import CheckpointError
from napari_unet.engine.foreign.model_file.stored_tensor import Row, read_row, shown

_LARGEST_DIRECTORY = 8_000_000
"""Bytes; about a hundred thousand files. Those of networks have some hundred."""

_LARGEST_COMPRESSION = 20
"""Weights hardly shrink at all, images that come with a model do."""

_SLACK = 100_000_000
_TORN = "is a torn zip archive (its table of contents is missing or damaged)"
_DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, struct.error, LookupError, NotImplementedError),
    *(EOFError, OSError, OverflowError, RuntimeError, ValueError),
)
"""What a damaged archive makes `zipfile` raise."""


class ZipDirectory:
    """What is in a zip file; nothing is unpacked until it is asked for.

    Attributes
    ----------
    names : list of str
        In their order: torch calls its files by the folder of the first.
    nbytes : int
        Length of all files together, unpacked; bounded by the length of the archive.

    Raises
    ------
    CheckpointError
        If it is torn, or made to do harm when it is unpacked.
    """

    def __init__(self, file: BinaryIO, file_size: int) -> None:
        self._file, self._file_size = file, file_size
        if _directory_nbytes(file, file_size) > _LARGEST_DIRECTORY:
            raise CheckpointError(
                "is a zip archive of far more files than a model has; it was not opened. "
                "Ask its author for the weights alone."
            )
        try:
            self._archive = zipfile.ZipFile(file)
        except _DAMAGED as error:
            raise CheckpointError(f"{_TORN}; copy or download it again.") from error
        infos = self._archive.infolist()
        if not infos:
            raise CheckpointError("is an empty zip archive; download or copy it again.")
        _check_sizes(infos, file_size)
        self.names = [info.filename for info in infos]
        _check_names(self.names)
        self.nbytes = sum(info.file_size for info in infos)

    def row(self, name: str) -> Row | None:
        """Give the bytes of a file in the archive, which are read when they are asked for."""
        try:
            info = self._archive.getinfo(name)
        except KeyError:
            return None
        packed = info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1
        read = self._unpacked if packed else self._stored
        return Row(info.file_size, lambda: read(info))

    def _stored(self, info: zipfile.ZipInfo) -> Tensor:
        """Read from where the bytes lie.

        `zipfile` would check their sum, which takes longer than reading them, and which torch can
        be told not to write (`torch.serialization.set_crc32_options`).
        """
        self._file.seek(info.header_offset)
        header = self._file.read(30)
        if len(header) < 30 or header[:4] != b"PK\x03\x04":
            raise CheckpointError(f"{_TORN}; copy or download it again.")
        name_length, extra_length = struct.unpack_from("<HH", header, 26)
        start = info.header_offset + 30 + name_length + extra_length
        if start + info.file_size > self._file_size:
            raise CheckpointError(f"{_TORN}; copy or download it again.")
        return read_row(self._file, info.file_size, start)

    def _unpacked(self, info: zipfile.ZipInfo) -> Tensor:
        """Unpack what another program packed again; torch, told to map it, reads noise there."""
        if info.flag_bits & 1:
            raise CheckpointError(
                f"is locked with a password ({shown(info.filename)}); pack it again without one."
            )
        # `zipfile` unpacks other kinds without a bound to the memory that it takes.
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise CheckpointError(
                f"was packed again by another program ({shown(info.filename)} is compressed in an "
                "unusual way); expected it as 'torch.save' writes it. Load and save it with torch."
            )
        try:
            with self._archive.open(info) as stream:
                return read_row(stream, info.file_size)
        except _DAMAGED as error:
            raise CheckpointError(
                f"is a torn zip archive ({shown(info.filename)} cannot be unpacked); copy or "
                "download it again."
            ) from error


def _directory_nbytes(file: BinaryIO, file_size: int) -> int:
    """Bytes of the table of contents as the end of the file gives them."""
    tail_size = min(file_size, 22 + 65_535 + 20)
    file.seek(file_size - tail_size)
    tail = file.read(tail_size)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        raise CheckpointError(f"{_TORN}; copy or download it again.")
    (nbytes,) = struct.unpack_from("<I", tail, at + 12)
    if at >= 20 and tail[at - 20 : at - 16] == b"PK\x06\x07":
        (place,) = struct.unpack_from("<Q", tail, at - 12)
        if place + 56 <= file_size:
            file.seek(place)
            (nbytes,) = struct.unpack_from("<Q", file.read(56), 40)
    return int(nbytes)


def _check_sizes(infos: Sequence[zipfile.ZipInfo], file_size: int) -> None:
    stored = sum(i.file_size for i in infos if i.compress_type == zipfile.ZIP_STORED)
    claimed = sum(info.file_size for info in infos)
    if stored > file_size:
        raise CheckpointError(
            f"claims {stored / 1e6:.1f} MB of content but has only {file_size / 1e6:.1f} MB; "
            "it is torn, or made to fill the memory: copy or download it again."
        )
    if claimed > _LARGEST_COMPRESSION * file_size + _SLACK:
        raise CheckpointError(
            f"is a zip archive of {file_size / 1e6:.1f} MB that would unpack to "
            f"{claimed / 1e6:.0f} MB; it was made to fill the memory and was not opened. "
            "Ask its author for the weights alone."
        )


def _check_names(names: Sequence[str]) -> None:
    for name in names:
        is_absolute = name.startswith("/") or name[1:2] == ":"
        if is_absolute or ".." in name.split("/") or "\\" in name:
            raise CheckpointError(
                f"is a zip archive that would write outside of its folder ({shown(name)}); "
                "it was not opened. Do not trust it."
            )
