"""Labels as OME-Zarr: a folder of compressed blocks at several sizes, for images of any size."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from napari_unet.engine.base.errors import FileError
from napari_unet.engine.base.whole_file import write_problem
from napari_unet.engine.images.label_numbers import whole_numbers
from napari_unet.files.image_file import (
    ImageFile,
    SeriesInfo,
    axis_sizes,
    chosen_series,
    existing,
    microscope_scale,
    numbered_series,
)
from napari_unet.files.label_formats.label_format import LabelFormat, Measurements
from napari_unet.files.stores.ngff import (
    NESTED_VERSION,
    is_zarr_group,
    multiscale_of,
    ome_of,
)

ZARR_SUFFIX = ".zarr"

_VERSION, _FORMAT = "0.4", 2
"""Of OME-NGFF and of Zarr: the newest that every reader of them in use understands."""

_BLOCK = 1024
"""Pixels along Y and X of a block, and of the smallest size that is kept."""

_OURS = "napari_unet"


class OmeZarr(LabelFormat):
    """Multiscale labels, alone or among those of an image, of OME-NGFF up to 0.5."""

    name = "ome-zarr"
    ending = ".ome.zarr"
    suffix = ".zarr"
    suffixes = (ZARR_SUFFIX,)

    @override
    def holds(self, path: Path, start: bytes) -> bool:
        return is_zarr_group(path)

    @override
    def writes(self, path: Path) -> bool:
        return super().writes(path) or image_around(path) is not None

    @override
    def series(self, path: Path) -> tuple[SeriesInfo, ...]:
        return numbered_series(
            (name, *_layout(path, group)) for name, group in _label_groups(path).items()
        )

    @override
    def read(self, path: Path, *, series: int | str | None, as_labels: bool) -> ImageFile:
        groups = _label_groups(path)
        found = self.series(path)
        info = chosen_series(path, found, series)
        file = _read(path, list(groups.values())[info.number - 1])
        return replace(file, series=info if len(found) > 1 else None)

    @override
    def read_labels(self, path: Path, *, image: ImageFile | None) -> ImageFile:
        return self.read(path, series=None, as_labels=True)

    @override
    def write(
        self,
        path: Path,
        labels: ImageFile,
        *,
        image: str,
        measurements: Measurements | None,
        overwrite: bool,
    ) -> None:
        # napari takes 32-bit integers for labels, and Zarr packs their zeros away.
        wide = replace(labels, array=labels.array.astype(np.uint32, copy=False))
        _check_axes(path, labels.axes)
        check_free(path, overwrite=overwrite)
        around = image_around(path)
        if around is None:
            _write_group(path, wide, _FORMAT)
            return
        import zarr

        try:
            group = zarr.open_group(around, mode="r+")
            _write_group(path, _on_grid_of(around, group, wide), group.metadata.zarr_format)
            add_to_list(group, path.name)
        except OSError as error:
            raise FileError(write_problem(path, error)) from error


def image_around(path: Path) -> Path | None:
    """Return the OME-Zarr image whose labels a path names: of IMAGE/labels/NAME it is IMAGE."""
    image = path.parent.parent
    return image if path.parent.name == "labels" and is_zarr_group(image) else None


def _label_groups(path: Path) -> dict[str, Any]:
    """The labels of a file by name: those of an image, or the group itself."""
    import zarr

    group = zarr.open(path, mode="r")
    if not isinstance(group, zarr.Group):
        raise FileError(f"'{path}' is a Zarr array; name the folder of the OME-Zarr image.")
    within = group if isinstance(ome_of(group).get("labels"), list) else group.get("labels")
    if isinstance(within, zarr.Group) and "image-label" not in ome_of(group):
        names = ome_of(within).get("labels") or list(within.group_keys())
        found = {str(name): within[name] for name in names if name in within}
        if found:
            return found
    if "multiscales" not in ome_of(group):
        raise FileError(f"'{path}' is a Zarr group without an OME-Zarr image; name one with it.")
    return {"": group}


def _layout(path: Path, group: Any) -> tuple[tuple[int, ...], str]:
    """Shape and axes of the largest size, as they are read."""
    image = multiscale_of(path, group)
    shape, letters = image.shapes[0], image.letters
    return tuple(shape[at] for at in image.kept), "".join(letters[at] for at in image.kept)


def _read(path: Path, group: Any) -> ImageFile:
    image = multiscale_of(path, group)
    array = np.asarray(group[image.paths[0]][...])
    shape, letters = _layout(path, group)
    rest = [at for at in range(array.ndim) if at not in image.kept]
    array = array.transpose([*image.kept, *rest]).reshape(shape)
    sizes, notes = image.sizes, dict(group.attrs).get(_OURS)
    return ImageFile(
        path,
        whole_numbers(array, holder=f"'{path}' holds"),
        letters,
        microscope_scale([sizes.get(axis) for axis in "ZYX" if axis in letters]),
        sizes.get("T") if "T" in letters else None,
        notes=dict(notes) if isinstance(notes, Mapping) else None,
    )


def _on_grid_of(path: Path, group: Any, labels: ImageFile) -> ImageFile:
    """Give labels the scale of the image that they are added to, if they have its grid."""
    shape, letters = _layout(path, group)
    grid = {axis: size for axis, size in zip(letters, shape, strict=True) if axis != "C"}
    if (labels.axes, labels.array.shape) != ("".join(grid), tuple(grid.values())):
        raise FileError(
            f"The labels have the shape {labels.array.shape} ({labels.axes}) and '{path}' "
            f"{tuple(grid.values())} ({''.join(grid)}); add labels of its own grid to an image."
        )
    sizes = multiscale_of(path, group).sizes
    size = microscope_scale([sizes.get(axis) for axis in "ZYX" if axis in grid])
    return replace(
        labels,
        pixel_size_um=size or labels.pixel_size_um,
        frame_interval_s=sizes.get("T") or labels.frame_interval_s,
    )


def add_to_list(image: Any, name: str) -> None:
    """Name labels among those of an image."""
    within = image.require_group("labels")
    told = ome_of(within)
    names = [*told.get("labels", ()), name]
    told["labels"] = list(dict.fromkeys(names))
    is_nested = image.metadata.zarr_format > _FORMAT
    within.attrs.update({"ome": {"version": NESTED_VERSION, **told}} if is_nested else told)


def _write_group(path: Path, labels: ImageFile, zarr_format: Any) -> None:
    """Write labels as a multiscale image that says that it holds labels."""
    import zarr  # takes half a second, and few write with it

    partial = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        group = zarr.open_group(partial, mode="w-", zarr_format=zarr_format)
        levels = _levels(labels.array)
        for number, level in enumerate(levels):
            stored = group.create_array(
                str(number),
                shape=level.shape,
                dtype=level.dtype,
                chunks=tuple(
                    min(size, _BLOCK if axis in "YX" else 1)
                    for size, axis in zip(level.shape, labels.axes, strict=True)
                ),
                chunk_key_encoding={"name": "v2", "separator": "/"},
            )
            stored[...] = level
        attributes = _attributes(path, labels, len(levels))
        if zarr_format > _FORMAT:
            for each in (*attributes["multiscales"], attributes["image-label"]):
                del each["version"]
            attributes = {"ome": {"version": NESTED_VERSION, **attributes}}
        if labels.notes is not None:
            attributes[_OURS] = dict(labels.notes)
        group.attrs.update(attributes)
        put_in_place(partial, path)
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


def check_free(path: Path, *, overwrite: bool) -> None:
    """Raise if something stands under a name that is not to be replaced.

    Raises
    ------
    FileError
        If it is no Zarr, or `overwrite` is off.
    """
    if not path.exists():
        return
    if not is_zarr_group(path):
        raise FileError(
            f"'{path}' exists and is no Zarr group, so it is not replaced; choose another name."
        )
    if not overwrite:
        raise existing(path)


def put_in_place(partial: Path, path: Path) -> None:
    """Give a group its name; an older one is moved aside, so that one of them is always whole."""
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


def _attributes(path: Path, labels: ImageFile, levels: int) -> dict[str, Any]:
    """What OME-NGFF asks for (https://ngff.openmicroscopy.org/0.4)."""
    axes = labels.axes
    scale = axis_sizes(axes, labels.pixel_size_um, labels.frame_interval_s)
    described = [
        {"name": axis.lower(), "type": "time" if axis == "T" else "space"}
        | ({"unit": "second" if axis == "T" else "micrometer"} if axis in scale else {})
        for axis in axes
    ]
    datasets = []
    for number in range(levels):
        steps = [scale.get(axis, 1.0) * (2**number if axis in "YX" else 1) for axis in axes]
        transforms = [{"type": "scale", "scale": steps}]
        datasets.append({"path": str(number), "coordinateTransformations": transforms})
    source = {} if image_around(path) is None else {"source": {"image": "../../"}}
    return {
        "multiscales": [
            {
                "version": _VERSION,
                "name": path.name.split(".")[0],
                "axes": described,
                "datasets": datasets,
                "type": "nearest",
            }
        ],
        "image-label": {"version": _VERSION, **source},
    }
