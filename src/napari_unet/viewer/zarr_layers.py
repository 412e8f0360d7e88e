"""OME-Zarr opened in napari: images and their labels, large ones lazily, each in its place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pint
import zarr

from napari_unet.engine.base.errors import FileError
from napari_unet.files.image_file import image_stem
from napari_unet.files.samples import LayerData
from napari_unet.files.stores.ngff import (
    Multiscale,
    axis_letter,
    is_zarr_group,
    multiscale_of,
    ome_of,
)
from napari_unet.files.stores.zarr_image import ZarrImage
from napari_unet.viewer.cells.cell_types import features_of
from napari_unet.viewer.label_files import layer_options, predicted_types, types_beside

LAZY_BYTES = 1 << 28
"""Labels below are read into memory, so that they can be corrected."""

_NOTES = "napari_unet"


def get_reader(path: str | Sequence[str]) -> Callable[[Any], list[LayerData]] | None:
    """Return what opens a folder of Zarr; None leaves other folders to other readers."""
    single = path if isinstance(path, str) else path[0]
    if not isinstance(path, str) and len(path) > 1:
        return None
    return read_layers if is_zarr_group(Path(single)) else None


def read_layers(path: Any) -> list[LayerData]:
    """Open an OME-Zarr: its images, of which nothing is read yet, then its labels.

    Large labels are opened as they are, at all their sizes; others are read
    into memory, so that they can be corrected.

    Raises
    ------
    FileError
        If there is none in the folder, or what it says of itself cannot be.
    """
    path = Path(path if isinstance(path, str) else path[0])
    node: Any = zarr.open(path, mode="r")
    if isinstance(node, zarr.Group) and "image-label" in ome_of(node):
        return [_labels(path, image_stem(path), node)]
    if isinstance(node, zarr.Group) and "multiscales" not in ome_of(node):
        within = ome_of(node).get("labels")
        if isinstance(within, list):
            return [_labels(path, str(name), node[str(name)]) for name in within]
    images: list[LayerData] = []
    labels: list[LayerData] = []
    for name, (array, stored) in ZarrImage().images(path, ExitStack()).items():
        title = f"{image_stem(path)} {name}".strip()
        is_within = name and isinstance(node, zarr.Group) and stored.paths != ("",)
        group: Any = node[name] if is_within else node
        images.append(_image(title, group, array, stored))
        within = group.get("labels") if isinstance(group, zarr.Group) else None
        if isinstance(within, zarr.Group):
            names = ome_of(within).get("labels") or list(within.group_keys())
            labels += [_labels(path, str(each), within[str(each)]) for each in names]
    return [*images, *labels]


def _image(title: str, group: Any, array: Any, stored: Multiscale) -> LayerData:
    levels = _levels(group, array, stored)
    letters = stored.letters
    axis = letters.find("C")
    options = _place(stored, [at for at in range(len(letters)) if at != axis])
    if axis == len(letters) - 1 and array.shape[axis] in (3, 4):
        return levels, {**options, "name": title, "rgb": True}, "image"
    if axis < 0:
        return levels, {**options, "name": title}, "image"
    told = ome_of(group).get("omero", {}).get("channels", ()) if stored.paths != ("",) else ()
    names = [str(each.get("label", number)) for number, each in enumerate(told, start=1)]
    if len(names) != array.shape[axis]:
        names = [str(number) for number in range(1, array.shape[axis] + 1)]
    options |= {"channel_axis": axis, "name": [f"{title} {each}" for each in names]}
    return levels, options, "image"


def _labels(path: Path, name: str, group: Any) -> LayerData:
    stored = multiscale_of(path, group)
    array = group[stored.paths[0]]
    if np.dtype(array.dtype).kind not in "bui":
        raise FileError(f"'{path}' holds labels of {array.dtype}; labels are whole numbers.")
    letters = stored.letters
    kept = [at for at, letter in enumerate(letters) if letter != "C" or array.shape[at] > 1]
    options = {**_place(stored, kept), "name": name}
    notes = dict(group.attrs).get(_NOTES)
    if isinstance(notes, Mapping):
        options |= layer_options(notes, len(kept))
    rest = tuple(slice(None) if at in kept else 0 for at in range(len(letters)))
    if array.nbytes >= LAZY_BYTES:
        return _levels(group, array, stored, rest), options, "labels"
    labels = np.asarray(array[rest])
    types, sure = types_beside(path, labels)
    if types:
        options["features"] = features_of(types, sure)
        options["metadata"] = {**options.get("metadata", {}), **predicted_types(types, sure)}
    fits = labels.size == 0 or int(labels.max()) <= np.iinfo(np.int32).max
    return labels.astype(np.int32 if fits else np.int64), options, "labels"


def _levels(group: Any, array: Any, stored: Multiscale, where: tuple[int | slice, ...] = ()) -> Any:
    """A part of the arrays of all sizes, read as they are shown; one alone by itself."""
    arrays = [array] if len(stored.paths) == 1 else [group[each] for each in stored.paths]
    levels = [da.from_zarr(each)[where] for each in arrays]  # type: ignore[no-untyped-call]
    return levels if len(levels) > 1 else levels[0]


def _place(stored: Multiscale, kept: Sequence[int]) -> dict[str, Any]:
    """Scale, place, units and names of some of the axes."""
    axes = [stored.axes[at] for at in kept]
    return {
        "scale": [stored.scale[at] for at in kept],
        "translate": [stored.translation[at] for at in kept],
        "units": [_unit(axis) if stored.is_scaled else "pixel" for axis in axes],
        "axis_labels": [axis_letter(axis).lower() for axis in axes],
    }


def _unit(axis: Mapping[str, Any]) -> str:
    """Unit of an axis, as far as napari knows it."""
    unit = str(axis.get("unit") or "pixel")
    try:
        pint.application_registry.parse_units(unit)
    except (pint.UndefinedUnitError, pint.DefinitionSyntaxError):
        return "pixel"
    return unit
