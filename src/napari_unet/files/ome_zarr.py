"""Labels as OME-Zarr: a folder of compressed blocks at several sizes, for images of any size."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from napari_unet.engine.base.errors import FileError
from napari_unet.engine.base.whole_file import write_problem
from napari_unet.files.image_file import axis_sizes, existing

ZARR_SUFFIX = ".zarr"

_VERSION = "0.4"
"""Of OME-NGFF: the newest that every reader of it in use understands (with Zarr's format 2)."""

_BLOCK = 1024
"""Pixels along Y and X of a block, and of the smallest size that is kept."""

_ROOT_FILES = (".zgroup", ".zattrs", "zarr.json")
"""By which a folder is known as a Zarr group, which may be replaced by another one."""


def write_ome_zarr(
    path: Path,
    labels: NDArray[Any],
    axes: str,
    pixel_size_um: Sequence[float] | None,
    frame_interval_s: float | None = None,
    *,
    notes: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Write labels as a multiscale image that says that it holds labels.

    Parameters
    ----------
    path : Path
        The folder that is made; its name ends in `.zarr`.
    labels : integer array
    axes : str
        Letters as in `ImageFile.axes`, one for each axis of `labels`.
    pixel_size_um, frame_interval_s
        As in `ImageFile`.
    notes : mapping, optional
        How the labels came about; kept among the group's attributes.
    overwrite : bool
        Replace a Zarr group that exists.

    Raises
    ------
    FileError
        If something other than a Zarr group is there, or it exists and
        `overwrite` is off, or it cannot be written, or OME-Zarr does not know
        such axes; then nothing has changed.
    """
    import zarr  # takes half a second, and few write with it

    _check_axes(path, axes)
    _check_free(path, overwrite=overwrite)
    partial = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        group = zarr.open_group(partial, mode="w-", zarr_format=2)
        levels = _levels(labels)
        for number, level in enumerate(levels):
            stored = group.create_array(
                str(number),
                shape=level.shape,
                dtype=level.dtype,
                chunks=tuple(
                    min(size, _BLOCK if axis in "YX" else 1)
                    for size, axis in zip(level.shape, axes, strict=True)
                ),
                chunk_key_encoding={"name": "v2", "separator": "/"},
            )
            stored[...] = level
        scale = axis_sizes(axes, pixel_size_um, frame_interval_s)
        group.attrs.update(_attributes(path, axes, scale, len(levels), notes))
        _put_in_place(partial, path)
    except OSError as error:
        raise FileError(write_problem(path, error)) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _check_axes(path: Path, axes: str) -> None:
    if "".join(axis for axis in "TZYX" if axis in axes) != axes:
        raise FileError(
            f"OME-Zarr holds the axes T, Z, Y and X in this order, and the labels for '{path}' "
            f"have {', '.join(axes)}; save them as TIFF."
        )


def _check_free(path: Path, *, overwrite: bool) -> None:
    if not path.exists():
        return
    if not path.is_dir() or not any((path / name).exists() for name in _ROOT_FILES):
        raise FileError(
            f"'{path}' exists and is no Zarr group, so it is not replaced; choose another name."
        )
    if not overwrite:
        raise existing(path)


def _put_in_place(partial: Path, path: Path) -> None:
    """Rename, with the older group moved aside so that one of the two is always whole."""
    if not path.exists():
        partial.rename(path)
        return
    aside = path.with_name(f".{secrets.token_hex(8)}.old")
    path.rename(aside)
    try:
        partial.rename(path)
    except OSError:
        aside.rename(path)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _levels(labels: NDArray[Any]) -> list[NDArray[Any]]:
    """Every second pixel again and again: a label between two others would be a third cell."""
    levels = [labels]
    while max(levels[-1].shape[-2:]) > _BLOCK:
        levels.append(levels[-1][..., ::2, ::2])
    return levels


def _attributes(
    path: Path,
    axes: str,
    scale: Mapping[str, float],
    levels: int,
    notes: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """What OME-NGFF asks for (https://ngff.openmicroscopy.org/0.4), and our notes."""
    described = [
        {"name": axis.lower(), "type": "time" if axis == "T" else "space"}
        | ({"unit": "second" if axis == "T" else "micrometer"} if axis in scale else {})
        for axis in axes
    ]
    datasets = []
    for number in range(levels):
        steps = [scale.get(axis, 1.0) * (2**number if axis in "YX" else 1) for axis in axes]
        datasets.append(
            {
                "path": str(number),
                "coordinateTransformations": [{"type": "scale", "scale": steps}],
            }
        )
    attributes: dict[str, Any] = {
        "multiscales": [
            {
                "version": _VERSION,
                "name": path.name.split(".")[0],
                "axes": described,
                "datasets": datasets,
                "type": "nearest",
            }
        ],
        "image-label": {"version": _VERSION},
    }
    return attributes | ({"napari_unet": dict(notes)} if notes is not None else {})
