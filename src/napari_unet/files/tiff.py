"""TIFF files and their dialects (ImageJ, OME, LSM): read with their scale, and written for Fiji."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL.Image import DecompressionBombError
from typing_extensions import override

from napari_unet.files.image_file import ImageFile, ImageFormat, microscope_scale
from napari_unet.files.picture import read_frames

_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_MICROMETRE_NAMES = ("um", "µm", "μm", "\\u00b5m", "micron", "microns", "micrometer")
_UNITS_UM = {
    **dict.fromkeys(_MICROMETRE_NAMES, 1.0),
    "nm": 1e-3,
    "mm": 1e3,
    "cm": 1e4,
    "m": 1e6,
    "inch": 25400.0,
}
_IMAGEJ_BYTES = 1 << 31
"""Above this an ImageJ TIFF is not safe: it addresses 32 bits."""


class Tiff(ImageFormat):
    """What tifffile reads."""

    suffixes = (".tif", ".tiff", ".btf", ".lsm")

    @override
    def holds(self, start: bytes) -> bool:
        return start.startswith(_STARTS)

    @override
    def read(self, path: Path, *, palette_numbers: bool) -> ImageFile:
        try:
            with _refusing_logged_damage(), tifffile.TiffFile(path) as tiff:
                series = list(tiff.series)
                array, axes = series[0].asarray(), series[0].axes
                if len({(each.shape, each.dtype) for each in series}) == 1 < len(series):
                    # Pages written one by one: a stack to the user, even if not to the file.
                    array, axes = np.stack([each.asarray() for each in series]), "Z" + axes
                sizes = _pixel_size_um(tiff)
        except ValueError as error:
            if "imagecodecs" not in str(error):
                raise
            try:  # Pillow has its own decoders for the commonest of these compressions
                return read_frames(path, palette_numbers=True, formats=("TIFF",))
            except (OSError, SyntaxError, DecompressionBombError):
                raise error from None
        names = _axis_names(axes)
        scale = microscope_scale([sizes.get(axis) for axis in "ZYX" if axis in names])
        return ImageFile(path, array, names, scale)

    @override
    def holds_whole(self, path: Path, shape: tuple[int, ...]) -> bool:
        with tifffile.TiffFile(path) as tiff:
            return [tuple(series.shape) for series in tiff.series] == [shape]

    @override
    def problem(self, error: Exception, start: bytes) -> str:
        if "imagecodecs" not in str(error):
            return ""
        return (
            "is compressed in a way that needs the package imagecodecs; run "
            "'pip install imagecodecs', or save the image as uncompressed TIFF."
        )


class _DamageLog(logging.Handler):
    """Notes the damage that tifffile logs and then reads around, losing pages."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.found = False

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        self.found |= "invalid page offset" in text or "invalid or corrupted" in text


@contextmanager
def _refusing_logged_damage() -> Iterator[None]:
    log, handler = logging.getLogger("tifffile"), _DamageLog()
    propagate, log.propagate = log.propagate, False
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.propagate = propagate
    if handler.found:
        raise tifffile.TiffFileError


def _axis_names(axes: str) -> str:
    """Letters of `ImageFile.axes` for those of tifffile, each at most once as far as it can be."""
    channel = "S" if "S" in axes else "C"
    return "".join(
        "C" if axis == channel else axis if axis in "YXT" and axes.count(axis) == 1 else "Z"
        for axis in axes
    )


def _pixel_size_um(tiff: tifffile.TiffFile) -> dict[str, float]:
    if tiff.is_ome and tiff.ome_metadata:
        return _ome_pixel_size_um(tiff.ome_metadata)
    if tiff.is_lsm:
        lsm = tiff.lsm_metadata or {}
        names = {axis: lsm.get(f"VoxelSize{axis}") for axis in "ZYX"}
        return {axis: float(size) * 1e6 for axis, size in names.items() if size}
    tags = tiff.pages.first.tags
    densities = {"Y": tags.valueof("YResolution"), "X": tags.valueof("XResolution")}
    unit_um: float | None
    if tiff.is_imagej:
        metadata = tiff.imagej_metadata or {}
        unit_um = _UNITS_UM.get(str(metadata.get("unit", "")).strip().lower())
        depth = metadata.get("spacing")
    else:
        unit_um = {2: 25400.0, 3: 1e4}.get(int(tags.valueof("ResolutionUnit", 2)))
        depth = None
    if unit_um is None:
        return {}
    sizes = {
        axis: density[1] / density[0] * unit_um
        for axis, density in densities.items()
        # 1 pixel per inch or centimetre stands for "not known".
        if density and density[0] and (tiff.is_imagej or density[0] != density[1])
    }
    # A z step without a step in the plane is ImageJ's default of 1 pixel.
    return {**sizes, "Z": abs(float(depth)) * unit_um} if depth and sizes else sizes


def _ome_pixel_size_um(xml: str) -> dict[str, float]:
    sizes = {}
    for axis in "ZYX":
        size = re.search(rf'\bPhysicalSize{axis}="([^"]+)"', xml)
        unit = re.search(rf'\bPhysicalSize{axis}Unit="([^"]+)"', xml)
        unit_um = _UNITS_UM.get(unit.group(1).lower()) if unit else 1.0
        if size and unit_um:
            sizes[axis] = float(size.group(1)) * unit_um
    return sizes


def write_tiff(
    stream: IO[bytes],
    array: NDArray[Any],
    axes: str | None,
    pixel_size_um: Sequence[float] | None,
    *,
    display: tuple[float, float],
    plane_names: Sequence[str] = (),
) -> None:
    """Write an array compressed, so that Fiji and napari show its axes and its scale.

    Parameters
    ----------
    stream : binary file
    array : array
    axes : str, optional
        Letters as in `ImageFile.axes`; the last ones of TZYX if they do not fit.
    pixel_size_um : sequence of float, optional
        As in `ImageFile`.
    display : (low, high)
        What Fiji shows as black and as white.
    plane_names : sequence of str
        For Fiji, one for each plane.
    """
    names = axes if axes and len(axes) == array.ndim else "TZYX"[-array.ndim :]
    spatial = [axis for axis in "ZYX" if axis in names]
    # From the end: slices without a known distance still have a scale in the plane.
    sizes = dict(zip(reversed(spatial), reversed(pixel_size_um or ()), strict=False))
    metadata: dict[str, Any] = {"axes": names}
    options: dict[str, Any] = {"metadata": metadata}
    # ImageJ's own TIFF knows no 32-bit integers and no large files; OME-TIFF does.
    if array.dtype == np.uint32 or array.nbytes > _IMAGEJ_BYTES:
        metadata |= {f"PhysicalSize{axis}": size for axis, size in sizes.items()}
        options |= {"ome": True, "bigtiff": array.nbytes > _IMAGEJ_BYTES}
        unit_um, options["resolutionunit"] = 1e4, "CENTIMETER"
    else:
        metadata |= {"min": display[0], "max": display[1]}
        metadata |= {"Labels": list(plane_names)} if plane_names else {}
        metadata |= {"unit": "um"} if "X" in sizes else {}
        metadata |= {"spacing": sizes["Z"]} if "Z" in sizes else {}
        options["imagej"], unit_um = True, 1.0
    if "X" in sizes:
        options["resolution"] = (unit_um / sizes["X"], unit_um / sizes["Y"])
    else:
        options.pop("resolutionunit", None)
    tifffile.imwrite(stream, array, photometric="minisblack", compression="zlib", **options)
