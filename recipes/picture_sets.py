"""Sets of images with labels: what is read, held out, and how often each kind is drawn.

A set is a folder with `images`, `labels` and an `index.csv`, in which the column `group` says which
images show the same field or well. Groups are never torn.
"""

from __future__ import annotations

import csv
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from skimage.transform import resize

from napari_unet import TrainingPair
from napari_unet.engine.images.resampling import nearest_index, zoomed_shape
from napari_unet.files.images import read_image, read_labels


@dataclass(frozen=True, slots=True)
class Picture:
    """One image of a set.

    Parameters
    ----------
    kind, name, group, fold : str
    image, labels : Path
    zoom : float
        Factor by which both are resized, as a segmentation resizes them.
    """

    kind: str
    name: str
    group: str
    image: Path
    labels: Path
    fold: str = ""
    zoom: float = 1.0

    def pair(self) -> TrainingPair:
        """Read image and labels."""
        image = read_image(self.image).array
        channel_axis = -1 if image.ndim == 3 else None
        labels = read_labels(self.labels).array
        if self.zoom != 1:
            shape = zoomed_shape(labels.shape, (self.zoom,) * labels.ndim)
            image = resize(image.astype(np.float32), shape, order=1, anti_aliasing=self.zoom < 1)
            grid = zip(shape, labels.shape, strict=True)
            labels = labels[np.ix_(*(nearest_index(n, m) for n, m in grid))]
        return TrainingPair(image, labels, self.name, channel_axis)


@dataclass(frozen=True, slots=True)
class Parts:
    """Training images, and held-out images by kind."""

    learn: tuple[Picture, ...]
    held: dict[str, tuple[Picture, ...]]


def rows(folder: Path) -> list[dict[str, str]]:
    """Of the index of a set."""
    with (folder / "index.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def pictures(
    folder: Path,
    kind: str,
    *,
    part: str = "",
    zoom: float = 1.0,
    keep: Callable[[dict[str, str]], bool] = lambda _row: True,
) -> list[Picture]:
    """Images of a set that is one kind.

    Parameters
    ----------
    part : str
        Folder of the set in which `images` and `labels` lie.
    zoom : float
        Factor by which all are resized.
    """
    labels = {path.stem: path for path in (folder / part / "labels").iterdir()}
    return [
        Picture(
            kind,
            row["id"],
            row.get("group", row["id"]),
            folder / part / "images" / row.get("image", f"{row['id']}.png"),
            labels[row["id"]],
            zoom=zoom,
        )
        for row in rows(folder)
        if keep(row)
    ]


def some_groups(items: Sequence[Picture], *, least: int) -> list[Picture]:
    """Whole groups with at least so many images, in the order of a hash of their names."""
    chosen: list[Picture] = []
    for group in sorted({item.group for item in items}, key=_lot):
        if len(chosen) >= least:
            break
        chosen += [item for item in items if item.group == group]
    return chosen


def _lot(name: str) -> str:
    return hashlib.sha256(f"validation:{name}".encode()).hexdigest()


def evenly(items: Any, count: int) -> list[Picture]:
    """At most so many of the items, evenly spread."""
    if len(items) <= count:
        return list(items)
    return [items[int(place)] for place in np.linspace(0, len(items) - 1, count)]


def weighted_pairs(items: Sequence[Picture], shares: Mapping[str, float]) -> list[TrainingPair]:
    """Read training images, with the weights that give each kind its share of the patches."""
    pairs = [item.pair() for item in items]
    # As patches are drawn: by the root of the number of cells.
    odds = [math.sqrt(1 + np.unique(pair.labels[pair.labels > 0]).size) for pair in pairs]
    total = dict.fromkeys(shares, 0.0)
    for item, each in zip(items, odds, strict=True):
        total[item.kind] += each
    return [
        replace(pair, weight=shares[item.kind] / total[item.kind])
        for item, pair in zip(items, pairs, strict=True)
    ]
