"""TIFF files that keep axes, pixel size and frame interval, and that Fiji shows as meant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import IO, Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_unet.files.image_file import axis_sizes

_IMAGEJ_BYTES = 1 << 31
"""Above this an ImageJ TIFF is not safe: it addresses 32 bits."""

_IMAGEJ_AXES = "TZCYX"

_DENSITIES = (1e-4, 1e8)
"""Pixels per unit that the fractions of 32 bits in a TIFF hold to seven digits."""


def fitting_axes(axes: str | None, ndim: int) -> str:
    """Give `axes` if there are as many as the array has, otherwise the last ones of TZYX."""
    return axes if axes and len(axes) == ndim else "Z" * (ndim - 4) + "TZYX"[-ndim:]


def write_tiff(
    stream: IO[bytes],
    array: NDArray[Any],
    axes: str | None,
    pixel_size_um: Sequence[float] | None,
    frame_interval_s: float | None = None,
    *,
    display: tuple[float, float],
    plane_names: Sequence[str] = (),
    description: str = "",
    as_ome: bool = False,
) -> None:
    """Write an array compressed, so that Fiji and napari show its axes and its scale.

    ImageJ's TIFF, where it can hold the array with these axes; else OME-TIFF,
    where that can; else a plain TIFF that says shape, axes and scale as
    tifffile does. So any axes can be written, and read again as they were.

    Parameters
    ----------
    stream : binary file
    array : array
    axes : str, optional
        Letters as in `ImageFile.axes`; see `fitting_axes`.
    pixel_size_um : sequence of float, optional
        As in `ImageFile`.
    frame_interval_s : float, optional
    display : (low, high)
        What Fiji shows as black and as white.
    plane_names : sequence of str
        For Fiji, one for each plane.
    description : str
        Text that goes along: ImageJ shows it as the image's info, others as its description.
    as_ome : bool
        Write OME-TIFF also where ImageJ's would do, as the ending `.ome.tif` promises.
    """
    names = fitting_axes(axes, array.ndim)
    sizes = axis_sizes(names, pixel_size_um, frame_interval_s)
    interval_s = sizes.pop("T", None)
    options: dict[str, Any] = {"bigtiff": array.nbytes > _IMAGEJ_BYTES}
    density = _density(sizes, unit_um=1.0)
    is_ome = _fits_ome(array, names)
    if _fits_imagej(array, names) and (density or not sizes) and not (as_ome and is_ome):
        metadata: dict[str, Any] = {"axes": names, "min": display[0], "max": display[1]}
        metadata |= {"Labels": list(plane_names)} if plane_names else {}
        metadata |= {"unit": "um"} if density else {}
        metadata |= {"spacing": sizes["Z"]} if "Z" in sizes else {}
        metadata |= {"finterval": interval_s} if interval_s else {}
        metadata |= {"Info": description} if description else {}
        options["imagej"] = True
    else:
        metadata = {"axes": names} | {f"PhysicalSize{axis}": size for axis, size in sizes.items()}
        metadata |= {"TimeIncrement": interval_s} if interval_s else {}
        metadata |= {"Description": description} if description else {}
        options["ome"] = is_ome
        density = _density(sizes, unit_um=1e4)
        options |= {"resolutionunit": "CENTIMETER"} if density else {}
    tifffile.imwrite(
        stream,
        array,
        photometric="minisblack",
        compression="zlib",
        metadata=metadata,
        resolution=density,
        **options,
    )


def _density(sizes_um: Mapping[str, float], *, unit_um: float) -> tuple[float, float] | None:
    """Pixels per unit along X and Y; None if they are not known, or no fraction of a TIFF."""
    if not {"X", "Y"} <= sizes_um.keys():
        return None
    density = unit_um / sizes_um["X"], unit_um / sizes_um["Y"]
    return density if all(_DENSITIES[0] < each < _DENSITIES[1] for each in density) else None


def _fits_imagej(array: NDArray[Any], axes: str) -> bool:
    """Whether ImageJ's own TIFF holds this: no 32-bit integers, no large files, axes in its order.

    Axes of one position cannot be told there from axes that are not there, and of planes one pixel
    wide tifffile writes fewer than it says.
    """
    places = [_IMAGEJ_AXES.find(axis) for axis in axes]
    return (
        array.dtype in (np.uint8, np.uint16, np.float32)
        and array.nbytes <= _IMAGEJ_BYTES
        and min(places) >= 0
        and all(first < second for first, second in pairwise(places))
        and axes.endswith("YX")
        and 1 not in array.shape[:-2]
        and (array.ndim == 2 or array.shape[-1] > 1)
    )


def _fits_ome(array: NDArray[Any], axes: str) -> bool:
    """Whether OME-TIFF holds this: planes of Y and X, each of T, Z and C at most once."""
    return (
        axes.endswith("YX")
        and set(axes[:-2]) <= set("TZC")
        and len(set(axes)) == len(axes)
        and 1 not in array.shape[:-2]
    )
