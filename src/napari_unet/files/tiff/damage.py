"""TIFF files in which nothing is missing: what tifffile reads around is told here."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import tifffile

from napari_unet.files.tiff.ome import companion_xml


class _DamageLog(logging.Handler):
    """Keeps what tifffile logs of damage that it then reads around, losing pages."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.found = False

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        strips = _STRIPS.search(text)
        is_short = strips is not None and int(strips[1]) < int(strips[2])
        self.found |= is_short or _DAMAGE.search(text) is not None


_DAMAGE = re.compile(
    "invalid page offset|invalid or corrupted|OME series raised|discontiguous storage"
    "|is missing files|Missing data are zeroed|incompletely written|failed to re(shape|ad)"
    "|missing (data offset|ByteCounts)"
    "|tiles are not stitched|generic series raised|shaped series raised|loading .* frames"
)
"""Words of tifffile's warnings after which pixels are missing or zero."""

_STRIPS = re.compile(r"incorrect Strip\w+ count \((\d+) != (\d+)\)")
"""How many strips of pixels are there, and how many there should be; more do no harm."""


@contextmanager
def whole_tiff(path: Path) -> Iterator[tifffile.TiffFile]:
    """Open a TIFF; after the block, raise if tifffile has met damage and read around it."""
    log, handler = logging.getLogger("tifffile"), _DamageLog()
    propagate, log.propagate = log.propagate, False
    log.addHandler(handler)
    try:
        with tifffile.TiffFile(path) as tiff:
            xml = companion_xml(path, tiff.ome_metadata)
            if xml is None:
                yield tiff
            else:
                with tifffile.TiffFile(path, omexml=xml) as whole:
                    yield whole
    finally:
        log.removeHandler(handler)
        log.propagate = propagate
    if handler.found:
        raise tifffile.TiffFileError
