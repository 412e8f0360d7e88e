"""Labels layers that are saved and opened again as what they were: labels, in their place."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
from napari import current_viewer
from napari.layers import Image
from psygnal import Signal

from napari_unet.engine.base.errors import FileError, LabelsError
from napari_unet.files.cell_types import (
    read_cell_types,
    read_probabilities,
    table_beside,
    write_cell_types,
)
from napari_unet.files.image_file import ImageFile, axis_sizes
from napari_unet.files.images import (
    LABEL_FORMATS,
    image_series,
    label_format_of,
    read_image,
    read_labels,
    write_labels,
)
from napari_unet.files.label_formats.drawn import NO_GRID
from napari_unet.files.label_notes import (
    CELL_SCORES,
    LOOKED_OVER,
    mark_notes,
    noted_marks,
    noted_scores,
    score_notes,
)
from napari_unet.files.samples import LayerData
from napari_unet.files.tiff.writer import fitting_axes
from napari_unet.viewer.cells.cell_scores import CELL_SCORES_KEY
from napari_unet.viewer.cells.cell_types import TYPES_KEY, features_of, probabilities_in, types_in
from napari_unet.viewer.cells.features import LABEL_COLUMNS
from napari_unet.viewer.cells.marks import mark_columns, marks_in
from napari_unet.viewer.commands import PLUGIN
from napari_unet.viewer.layers import size_in
from napari_unet.viewer.results import METADATA_KEY

LABEL_PATTERNS = tuple(
    f"*{word}{ending}"
    for word in ("_labels", ".labels", "_masks")
    for ending in (".tif", ".tiff", ".ome.tif", ".ome.tiff")
)
"""Names of files that say that they hold labels; napari knows the same from the manifest.

Were it every TIFF, napari would ask with each of them which plugin is to read it.
"""

OTHER_PATTERNS = ("*.geojson", "*.zip", "*_seg.npy")
"""Names of labels of other programs; what is in them decides. The manifest has them, too."""

_CLAIMED_BY_NAPARI = (*LABEL_PATTERNS, "*_seg.npy")

_PLACE_KEY = "layer"
_PLACE = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
_OF_THIS_SESSION = ("layer_id", "image_id")


def write_layer(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Save a labels layer with its place, pixel size and provenance; a writer of napari.

    Parameters
    ----------
    path : str
        Its ending tells the format; see `write_labels`. What is there is
        replaced: napari has asked. Cellpose's files end in `_seg.npy`, and of
        `.npy` such a name is made.
    data : integer array, or a list of them
        Of a multiscale layer the finest is written.
    meta : dict
        As `Layer.as_layer_data_tuple` gives it.

    Returns
    -------
    list of str
        The path, and that of the table of the cells' types if they have any.

    Raises
    ------
    FileError, LabelsError
        See `write_labels`.
    """
    named = path
    path = re.sub(r"(?<!_seg)\.npy$", "_seg.npy", path, flags=re.IGNORECASE)
    array = np.asarray(data[0] if meta.get("multiscale") else data)
    features = meta.get("features", {})
    there = set(np.unique(array).tolist())
    types = {label: name for label, name in types_in(features).items() if label in there}
    options, marks = writing_options(meta, array.ndim), marks_in(features)
    if marks:
        options["notes"][LOOKED_OVER] = mark_notes(marks, there)
    options["notes"] |= score_notes(meta.get("metadata", {}).get(CELL_SCORES_KEY))
    write_labels(
        Path(path),
        array,
        **options,
        types=types,
        measurements=_measurements(features),
        overwrite=path == named,
    )
    saved_labels.saved.emit(Path(path), data)
    _prefer_for(path)
    table = table_beside(Path(path))
    holds_types = any(each.writes(Path(path)) and each.holds_types for each in LABEL_FORMATS)
    if holds_types or not (types or table.exists()):
        return [path]
    write_cell_types(table, types, probabilities_in(features), overwrite=True)
    return [path, str(table)]


class SavedLabels:
    """Tells of labels layers that were saved."""

    saved = Signal(Path, object)
    """Carries the file, and the layer's data."""


saved_labels = SavedLabels()
"""Of this process: napari calls a writer without saying which viewer the layer is from."""


def writing_options(meta: Mapping[str, Any], ndim: int) -> dict[str, Any]:
    """Say how labels are written so that they are opened in the place of their layer.

    Parameters
    ----------
    meta : mapping
        As `Layer.as_layer_data_tuple` gives it.

    Returns
    -------
    dict of str to value
        For `write_labels`: axes, pixel size and notes.
    """
    made = dict(meta.get("metadata", {}).get(METADATA_KEY, {}))
    notes = {key: value for key, value in made.items() if key not in _OF_THIS_SESSION}
    notes[_PLACE_KEY] = {key: _plain(meta[key]) for key in _PLACE if key in meta}
    axes = _axes(meta, ndim)
    return {
        "axes": axes,
        "pixel_size_um": _in_unit(meta, "micrometer", [each in "ZYX" for each in axes]),
        "frame_interval_s": next(iter(_in_unit(meta, "second", [e == "T" for e in axes])), None),
        "notes": notes,
    }


def layer_options(notes: Mapping[str, Any] | None, ndim: int) -> dict[str, Any]:
    """Say with which options a layer is as it was when notes were taken of it."""
    rest = dict(notes or {})
    options = _kept_place(rest.pop(_PLACE_KEY, None), ndim)
    marks = noted_marks(rest.pop(LOOKED_OVER, None))
    if marks:
        options["features"] = mark_columns(marks)
    scores = noted_scores(rest)
    rest.pop(CELL_SCORES, None)
    if notes is not None:
        known = {} if scores is None else {CELL_SCORES_KEY: scores}
        options["metadata"] = {METADATA_KEY: rest, **known}
    return options


def _measurements(features: Any) -> dict[str, Any] | None:
    """The numbers in a layer's features by the label of each row, if there are any."""
    column = next((name for name in LABEL_COLUMNS if name in features), None)
    if column is None:
        return None
    rest = [name for name in features if name not in LABEL_COLUMNS]
    numbers = {str(name): features[name].to_numpy() for name in rest}
    return {"label": features[column].to_numpy(), **numbers} if numbers else None


def get_reader(path: str | Sequence[str]) -> Callable[[Any], list[LayerData]] | None:
    """Return what opens a file of labels.

    None leaves several files at once to other readers, and ZIP files that hold no ROIs.
    """
    single = path if isinstance(path, str) else path[0]
    if not isinstance(path, str) and len(path) > 1:
        return None
    is_others = any(fnmatch(Path(single).name.lower(), pattern) for pattern in OTHER_PATTERNS)
    return None if is_others and label_format_of(Path(single)) is None else read_layers


def read_layers(path: Any) -> list[LayerData]:
    """Open a file as labels, or as an image where its pixels are none; a reader of napari.

    Raises
    ------
    FileError
        See `read_image`.
    """
    path = Path(path if isinstance(path, str) else path[0])
    return [read_layer_data(path, each.number) for each in image_series(path)]


def read_layer_data(path: Path, series: int) -> LayerData:
    """Read one image of a file as `read_layers` does.

    Raises
    ------
    FileError
        See `read_image`.
    """
    file, are_labels = _read(path, series)
    file, place_below = _on_image_in_view(file) if NO_GRID in file.remarks else (file, None)
    name = file.name if file.series is None else f"{file.name} {file.series.label}"
    options: dict[str, Any] = {"name": name}
    if not are_labels:
        is_rgb = file.axes.endswith("C") and file.array.shape[-1] in (3, 4)
        options |= _measured_place(replace(file, axes=file.axes[:-1]) if is_rgb else file)
        return file.array, {**options, "rgb": is_rgb}, "image"
    kept = layer_options(file.notes, file.array.ndim)
    options |= place_below or (_measured_place(file) if "scale" not in kept else {})
    options |= {name: each for name, each in kept.items() if not place_below or name not in _PLACE}
    marks = marks_in(kept.get("features", {}))
    types, sure = dict(file.types), dict[int, float]()
    remarks = list(file.remarks)
    try:
        if not types:
            types, sure = types_beside(path, file.array)
    except FileError as error:
        remarks.append(str(error))
    for remark in remarks:
        from napari.utils.notifications import show_warning

        show_warning(f"{path.name}: {remark}" if remark in file.remarks else remark)
    if types:
        rows = {label: types.get(label, "") for label in {*types, *marks}}
        options["features"] = {**mark_columns(marks, among=rows), **features_of(rows, sure)}
        options["metadata"] = {**options.get("metadata", {}), **predicted_types(types, sure)}
    # So wide that cells can be added, and as our own layers are.
    fits = file.array.size == 0 or int(file.array.max()) <= np.iinfo(np.int32).max
    return file.array.astype(np.int32 if fits else np.int64), options, "labels"


def _on_image_in_view(file: ImageFile) -> tuple[ImageFile, dict[str, Any] | None]:
    """Read cells again on the grid of the image that is chosen, or the only one, and its place."""
    viewer = current_viewer()
    if viewer is None:
        return file, None
    active = viewer.layers.selection.active
    images = [layer for layer in viewer.layers if isinstance(layer, Image)]
    layer = active if isinstance(active, Image) else images[0] if len(images) == 1 else None
    if layer is None:
        return file, None
    meta = layer.as_layer_data_tuple()[1]
    axes = _axes(meta, layer.ndim) + "C" * layer.rgb
    array = layer.data[0] if layer.multiscale else layer.data
    try:
        found = read_labels(file.path, image=ImageFile(file.path, array, axes))
    except FileError:  # planes that this image does not have
        return file, None
    return found, {key: meta[key] for key in _PLACE if key in meta}


def predicted_types(types: Mapping[int, str], sure: Mapping[int, float]) -> dict[str, Any]:
    """Metadata of a layer: types as they were predicted, which are those with a probability."""
    return {TYPES_KEY: {label: name for label, name in types.items() if label in sure}}


def types_beside(path: Path, labels: Any) -> tuple[dict[int, str], dict[int, float]]:
    """Types of the cells, and how sure they are, from a table beside the labels if there is one."""
    table = table_beside(path)
    if not table.exists():
        return {}, {}
    return read_cell_types(table, labels), read_probabilities(table)


def _read(path: Path, series: int) -> tuple[ImageFile, bool]:
    """Read an image, and tell whether it is labels: written as such, or called so and whole."""
    if label_format_of(path) is not None:
        return read_labels(path, series=series), True
    if not any(fnmatch(path.name.lower(), pattern) for pattern in LABEL_PATTERNS):
        file = read_image(path, series=series)
        if file.notes is None:
            return file, False
    try:
        return read_labels(path, series=series), True
    except LabelsError:  # a colour picture, or scores
        return read_image(path, series=series), False


def _axes(meta: Mapping[str, Any], ndim: int) -> str:
    """Letters of the axes by the names and units that the layer gives them."""
    names = "".join(str(label)[:1].upper() for label in meta.get("axis_labels", ()))
    if re.fullmatch("T?Z?YX", names) and len(names) == ndim:
        return names
    units = meta.get("units", ())
    first_is_time = len(units) == ndim == 3 and units[0].is_compatible_with("second")
    return "TYX" if first_is_time else fitting_axes(None, ndim)


def _in_unit(meta: Mapping[str, Any], unit: str, wanted: Sequence[bool]) -> list[float]:
    """Sizes along the last of the wanted axes that have a scale in such units."""
    sizes: list[float] = []
    for scale, own, is_wanted in zip(
        reversed(meta.get("scale", ())),
        reversed(meta.get("units", ())),
        reversed(wanted),
        strict=False,
    ):
        if not is_wanted:
            continue
        size = size_in(scale, own, unit)
        if size is None:
            break
        sizes.insert(0, size)
    return sizes


def _plain(values: Any) -> Any:
    """Turn numbers and units, in arrays or lists, into what JSON knows."""
    if isinstance(values, np.ndarray | list | tuple):
        return [_plain(value) for value in values]
    return float(values) if isinstance(values, float | int | np.number) else str(values)


def _kept_place(place: Any, ndim: int) -> dict[str, Any]:
    """The layer's place as it was saved; nothing where a program has changed the axes since."""
    fits = isinstance(place, dict) and len(place.get("scale", ())) == ndim
    return {key: place[key] for key in _PLACE if key in place} if fits else {}


def _measured_place(file: ImageFile) -> dict[str, Any]:
    """Scale, units and names of the axes, as the file states them."""
    sizes = axis_sizes(file.axes, file.pixel_size_um, file.frame_interval_s)
    units = {axis: "second" if axis == "T" else "micrometer" for axis in sizes}
    return {
        "scale": [sizes.get(axis, 1.0) for axis in file.axes],
        "units": [units.get(axis, "pixel") for axis in file.axes],
        "axis_labels": [axis.lower() for axis in file.axes],
    }


def _prefer_for(path: str) -> None:
    """Let napari open such files with us from now on, where it would have to ask, and say so."""
    from napari.settings import get_settings
    from napari.utils.notifications import show_info

    name = Path(path).name.lower()
    pattern = next((each for each in _CLAIMED_BY_NAPARI if fnmatch(name, each)), None)
    chosen = get_settings().plugins.extension2reader
    if pattern is None or any(fnmatch(str(Path(path).resolve()), each) for each in chosen):
        return
    get_settings().plugins.extension2reader = {**chosen, pattern: PLUGIN}
    show_info(
        f"Files named {pattern} open as labels with their pixel size from now on; to change it, "
        "see napari's Preferences > Plugins."
    )
