"""Pixel sizes and frame intervals as the dialects of TIFF state them: OME, LSM, ImageJ, plain."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import tifffile

from napari_unet.files.image_file import dots_scale, microscope_scale

_PREFIXES = dict(
    zip(
        ("Y", "Z", "E", "P", "T", "G", "M", "k", "h", "da", ""),
        (24, 21, 18, 15, 12, 9, 6, 3, 2, 1, 0),
        strict=True,
    )
) | dict(
    zip(
        ("d", "c", "m", "µ", "n", "p", "f", "a", "z", "y"),
        (-1, -2, -3, -6, -9, -12, -15, -18, -21, -24),
        strict=True,
    )
)

_LENGTHS_UM = (
    # UnitsLength of the OME schema; "pixel" and "reference frame" say nothing about micrometres.
    {f"{prefix}m": 10.0 ** (power + 6) for prefix, power in _PREFIXES.items()}
    | {"Å": 1e-4, "thou": 25.4, "li": 25400 / 12, "in": 25400.0, "ft": 304_800.0, "yd": 914_400.0}
    | {"mi": 1.609344e9, "pt": 25400 / 72, "ua": 1.495978707e17, "ly": 9.4607304725808e21}
    | {"pc": 3.0856775814913673e22}
    # What ImageJ and people write; "âµm" is UTF-8 that was read as Latin-1.
    | {"um": 1.0, "micron": 1.0, "microns": 1.0, "âµm": 1.0, "inch": 25400.0, "inches": 25400.0}
    | {"å": 1e-4, "angstrom": 1e-4, "angstroms": 1e-4, "ångström": 1e-4}
    | {
        f"{prefix}{metre}{plural}": size
        for prefix, size in (
            ("nano", 1e-3),
            ("micro", 1),
            ("milli", 1e3),
            ("centi", 1e4),
            ("", 1e6),
        )
        for metre in ("meter", "metre")
        for plural in ("", "s")
    }
)

_TIMES_S = (
    {f"{prefix}s": 10.0**power for prefix, power in _PREFIXES.items()}
    | {"us": 1e-6, "min": 60.0, "h": 3600.0, "d": 86400.0}
    | {"sec": 1.0, "second": 1.0, "seconds": 1.0, "msec": 1e-3, "milliseconds": 1e-3}
    | {"minute": 60.0, "minutes": 60.0, "hr": 3600.0, "hour": 3600.0, "hours": 3600.0}
)

_DOTS_PER_INCH = (72, 96, 150, 300, 600, 1200)
"""What screens and printers have."""

_TAG_UNITS_UM = {2: 25400.0, 3: 1e4, 4: 1e3, 5: 1.0}
"""What ResolutionUnit says: inch, centimetre and, where the scale is meant, mm and µm."""

_ESCAPED_LETTER = re.compile(r"\\u([0-9a-fA-F]{4})")


@dataclass(frozen=True, slots=True)
class Scale:
    """What a file says about distances and times.

    Parameters
    ----------
    sizes_um : mapping of str to float
        Micrometres along those of Z, Y and X that are stated.
    frame_interval_s : float, optional
    from_dots : bool
        The sizes come from a resolution that may be a screen's or a printer's.
    """

    sizes_um: Mapping[str, float] = field(default_factory=dict)
    frame_interval_s: float | None = None
    from_dots: bool = False

    def along(self, axes: str) -> tuple[float, ...] | None:
        """Pixel sizes of an image with these axes, as in `ImageFile`."""
        sizes = [self.sizes_um.get(axis) for axis in "ZYX" if axis in axes]
        return dots_scale(sizes) if self.from_dots else microscope_scale(sizes)


def ome_scale(pixels: Mapping[str, Any]) -> Scale:
    """Read the attributes of a Pixels element of OME-XML."""
    sizes = {
        axis: _product(
            pixels.get(f"PhysicalSize{axis}"),
            _factor(_LENGTHS_UM, pixels.get(f"PhysicalSize{axis}Unit", "µm")),
        )
        for axis in "ZYX"
    }
    interval = _product(
        pixels.get("TimeIncrement"), _factor(_TIMES_S, pixels.get("TimeIncrementUnit", "s"))
    )
    return Scale(_known(sizes), interval)


def tiff_scale(tiff: tifffile.TiffFile, page: Any) -> Scale:
    """Read what a TIFF without OME-XML says of the image that begins with this page."""
    if tiff.is_lsm:
        lsm = tiff.lsm_metadata or {}
        metres = {axis: _product(lsm.get(f"VoxelSize{axis}"), 1e6) for axis in "ZYX"}
        interval = _product(lsm.get("TimeIntervall"), 1.0)
        return Scale(_known(metres), interval)
    if tiff.is_imagej:
        return _imagej_scale(tiff.imagej_metadata or {}, page)
    if tiff.is_shaped:
        stated = ome_scale(tiff.shaped_metadata[0] if tiff.shaped_metadata else {})
        if stated.sizes_um or stated.frame_interval_s:
            return stated
    return _dots_scale(page)


def _imagej_scale(metadata: Mapping[str, Any], page: Any) -> Scale:
    interval = _product(metadata.get("finterval"), _factor(_TIMES_S, metadata.get("tunit", "s")))
    unit = metadata.get("unit")
    if unit is None:
        # ImageJ takes the unit of the tags then.
        return Scale(_dots_scale(page).sizes_um, interval, from_dots=True)
    units = {axis: str(metadata.get(f"{axis.lower()}unit", unit)) for axis in "ZYX"}
    depth = metadata.get("spacing")
    steps = {axis: _unit_per_pixel(page, axis) for axis in "YX"}
    # A screen's dots, which ImageJ took from a picture and wrote as a scale.
    from_dots = units["X"].startswith("inch") and _is_usual(25400 * (steps["X"] or 0))
    steps["Z"] = abs(depth) if isinstance(depth, int | float) else None
    sizes = {
        axis: _product(step, _factor(_LENGTHS_UM, units[axis])) for axis, step in steps.items()
    }
    return Scale(_known(sizes), interval, from_dots)


def _dots_scale(page: Any) -> Scale:
    unit = page.tags.valueof("ResolutionUnit", 2)
    unit_um = _TAG_UNITS_UM.get(unit)
    sizes = {axis: _product(_unit_per_pixel(page, axis), unit_um) for axis in "YX"}
    # 1 pixel per inch or centimetre stands for "not known".
    sizes = {axis: size for axis, size in sizes.items() if unit_um == 1 or size != unit_um}
    # Programs that lay out pages count in inches; of centimetres only what is usual is theirs.
    return Scale(_known(sizes), from_dots=unit == 2 or (unit == 3 and _is_usual(sizes.get("X"))))


def _is_usual(pixel_um: float | None) -> bool:
    """Whether a pixel is as large as a dot of those that screens and printers have."""
    return any(abs(dots * (pixel_um or 0) / 25400 - 1) < 2e-3 for dots in _DOTS_PER_INCH)


def _unit_per_pixel(page: Any, axis: str) -> float | None:
    """Size of a pixel in the unit of its resolution tag, which is a fraction."""
    value = page.tags.valueof(f"{axis}Resolution")
    if isinstance(value, float):
        value = (value, 1.0)
    if not isinstance(value, tuple) or len(value) != 2 or not all(value):
        return None
    return float(value[1]) / float(value[0])


def _known(sizes: Mapping[str, float | None]) -> dict[str, float]:
    return {axis: size for axis, size in sizes.items() if size}


def _factor(factors: Mapping[str, float], unit: object) -> float | None:
    """How much of a unit there is in the base unit; None if it is no such unit."""
    text = _ESCAPED_LETTER.sub(lambda found: chr(int(found[1], 16)), str(unit)).strip()
    # The Greek letter and the sign look alike, as do the letter Å and the sign for ångström.
    text = text.replace("\u03bc", "µ").replace("\u212b", "Å")
    # Capitals tell Mm from mm; "UM" is one of those who do not mind them.
    return factors.get(text, factors.get(text.lower()))


def _product(value: object, factor: float | None) -> float | None:
    """Multiply two numbers if both are there and the result is a size."""
    if factor is None or isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        size = float(value) * factor
    except ValueError:
        return None
    return size if 0 < size < math.inf else None
