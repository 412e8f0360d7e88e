"""Tracks as layers of napari, and folders of the Cell Tracking Challenge opened as these."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.images.image import LabelImage
from napari_unet.engine.labels.tracking.tracks import Tracks
from napari_unet.files.samples import LayerData
from napari_unet.files.tracking_challenge import TABLES, read_challenge

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.layers import Tracks as TracksLayer

_FEATURES = ("label", "area_px", "volume_px", "parent")


def new_numbered_layer(labels: LabelImage, *, name: str, place: Mapping[str, Any]) -> Labels:
    """Make a layer of followed cells, with one colour for each track; any thread may.

    Parameters
    ----------
    labels : (T, H, W) or (T, Z, H, W) int32 array
        Numbered by the tracks.
    name : str
        Of the layer of labels that were tracked.
    place : mapping
        As `place_of` gives it, along all axes.
    """
    from napari.layers import Labels

    return Labels(labels, name=f"{name}: tracked", **place)


def new_lines_layer(tracks: Tracks, *, name: str, place: Mapping[str, Any]) -> TracksLayer | None:
    """Make a layer of the ways of cells, with the divisions as its graph; any thread may.

    Returns
    -------
    Tracks layer or None
        None if there are no cells, as napari has no such layer.
    """
    from napari.layers import Tracks as TracksLayer

    if not tracks.count:
        return None
    return TracksLayer(**_lines(tracks), name=f"{name}: tracks", **place)


def take_lines(layer: TracksLayer, other: TracksLayer) -> None:
    """Show the tracks of another layer in one that stays, with the colours and the tail it has."""
    # Neither data nor graph may name tracks that the other one lacks.
    layer.graph = {}
    layer.data = other.data
    layer.features = other.features
    layer.graph = other.graph


def _lines(tracks: Tracks) -> dict[str, Any]:
    """What a Tracks layer is made from: its data, features and graph."""
    table = tracks.table()
    centres: list[NDArray[Any]] = [table[name] for name in ("z", "y", "x") if name in table]
    data = np.stack([table["track"], table["frame"], *centres], axis=1).astype(float)
    return {
        "data": data,
        "features": {name: table[name] for name in _FEATURES if name in table},
        "graph": {child: [parent] for child, parent in tracks.parents.items()},
    }


def get_reader(path: str | Sequence[str]) -> Callable[[Any], list[LayerData]] | None:
    """Return what opens the table of tracks in a folder of the Cell Tracking Challenge.

    Parameters
    ----------
    path : str or sequence of str
        As napari gives it. Several files at once are no such folder.
    """
    single = path if isinstance(path, str) else path[0] if len(path) == 1 else ""
    return open_challenge if Path(single).name in TABLES else None


def open_challenge(path: Any) -> list[LayerData]:
    """Open the folder that a table of tracks lies in, as labels and tracks; a reader of napari.

    Raises
    ------
    FileError, LabelsError
        See `read_challenge`.
    """
    folder = Path(path if isinstance(path, str) else path[0]).parent
    read = read_challenge(folder)
    name = folder.resolve().name
    layers: list[LayerData] = [(read.labels, {"name": name}, "labels")]
    if read.tracks.count:
        lines = _lines(read.tracks)
        layers.append((lines.pop("data"), {"name": f"{name}: tracks", **lines}, "tracks"))
    return layers
