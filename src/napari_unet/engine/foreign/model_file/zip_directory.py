"""The table of contents of a zip file, read and judged before anything in it is."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO

from napari_unet.engine.base.errors import CheckpointError
from napari_unet.engine.foreign.model_file.stored_tensor import Span, shown

_LARGEST_DIRECTORY = 8_000_000
"""Bytes; about a hundred thousand files. Those of networks have some hundred."""

_LARGEST_COMPRESSION = 20
"""Weights hardly shrink at all, images that come with a model do."""

_SLACK = 100_000_000
_TORN = "is a torn zip archive (its table of contents is missing or damaged)"


@dataclass(frozen=True, slots=True)
class ZipDirectory:
    """What is in a zip file.

    Attributes
    ----------
    entries : dict
        By name.
    first : str
        The name that comes first: torch calls its files by the folder of that.
    """

    entries: dict[str, zipfile.ZipInfo]
    first: str


def read_zip_directory(file: BinaryIO, file_size: int) -> ZipDirectory:
    """Read which files a zip file holds; nothing is unpacked.

    Raises
    ------
    CheckpointError
        If it is torn, or made to do harm when it is unpacked. The message is a predicate.
    """
    if _directory_nbytes(file, file_size) > _LARGEST_DIRECTORY:
        raise CheckpointError(
            "is a zip archive of far more files than a model has; it was not opened. "
            "Ask its author for the weights alone."
        )
    try:
        with zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
    # A damaged table makes `zipfile` raise many things, `struct.error` among them.
    except (
        *(zipfile.BadZipFile, struct.error, LookupError, NotImplementedError),
        *(OSError, OverflowError, RuntimeError, ValueError),
    ) as error:
        raise CheckpointError(f"{_TORN}; copy or download it again.") from error
    if not infos:
        raise CheckpointError("is an empty zip archive; download or copy it again.")
    _check_sizes(infos, file_size)
    _check_names(infos)
    return ZipDirectory({info.filename: info for info in infos}, infos[0].filename)


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


def _check_sizes(infos: Iterable[zipfile.ZipInfo], file_size: int) -> None:
    infos = list(infos)
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


def _check_names(infos: Iterable[zipfile.ZipInfo]) -> None:
    for info in infos:
        name = info.filename
        is_absolute = name.startswith("/") or name[1:2] == ":"
        if is_absolute or ".." in name.split("/") or "\\" in name:
            raise CheckpointError(
                f"is a zip archive that would write outside of its folder ({shown(name)}); "
                "it was not opened. Do not trust it."
            )


def stored_span(file: BinaryIO, info: zipfile.ZipInfo, file_size: int) -> Span:
    """Where the bytes of an uncompressed file of a zip archive lie.

    Raises
    ------
    CheckpointError
        If they are compressed, or not within the archive. The message is a predicate.
    """
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
        raise CheckpointError(
            f"was packed again by another program ({shown(info.filename)} is compressed); "
            "expected it as 'torch.save' writes it. Load and save it with torch."
        )
    file.seek(info.header_offset)
    header = file.read(30)
    if len(header) < 30 or header[:4] != b"PK\x03\x04":
        raise CheckpointError(f"{_TORN}; copy or download it again.")
    name_length, extra_length = struct.unpack_from("<HH", header, 26)
    span = Span(info.header_offset + 30 + name_length + extra_length, info.file_size)
    if span.start + span.nbytes > file_size:
        raise CheckpointError(f"{_TORN}; copy or download it again.")
    return span
