"""What `nuclei` learns from, what is held out, and how often each kind is drawn.

Expected in one folder: `dsb2018`, `bbbc039_u2os_nuclei` and `bitdepth_tissue_nuclei`, each with an
`index.csv` whose column `group` says which images show the same field or well. Groups are never
torn. No test image, and no neighbour of one, is opened.
"""

from __future__ import annotations

import csv
import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage

from napari_unet import TrainingPair
from napari_unet.files.images import read_image, read_labels

SHARES = {
    "histology": 0.40,
    "brightfield": 0.06,
    "fluorescence": 0.34,
    "U2OS": 0.08,
    "tissue DAPI": 0.12,
}
"""Of the patches, by kind."""

STAINS = 3
"""Groups of colours among the stained training images: lilac, on white, and pink."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One image of a set; paths are files."""

    kind: str
    name: str
    group: str
    image: Path
    labels: Path
    fold: str = ""

    def pair(self) -> TrainingPair:
        """Read image and labels."""
        image = read_image(self.image).array
        channel_axis = -1 if image.ndim == 3 else None
        labels = read_labels(self.labels).array
        return TrainingPair(image, labels, self.name, channel_axis)


@dataclass(frozen=True, slots=True)
class Parts:
    """Training images, and held-out images by kind."""

    learn: tuple[Picture, ...]
    held: dict[str, tuple[Picture, ...]]


def split(folder: Path, *, fold: str = "0") -> Parts:
    """Hold out one fold, some groups of each other kind, and one stain as a whole."""
    nuclei = dsb2018(folder / "dsb2018")
    tissue = [item for item in nuclei if item.kind == "histology"]
    stains = stain_groups(tissue)
    # The rarest stain: it costs least, and it is the one most unlike the others.
    rarest = min(set(stains), key=stains.count)
    foreign = [item for item, stain in zip(tissue, stains, strict=True) if stain == rarest]
    known = [item for item in tissue if item not in foreign]
    # The fold has images of one stain alone, so that of each other one two fields are added.
    in_fold = {stain for item, stain in zip(tissue, stains, strict=True) if item.fold == fold}
    seen = [item for item in known if item.fold == fold]
    for stain in sorted(set(stains) - in_fold - {rarest}):
        of_it = [item for item, own in zip(tissue, stains, strict=True) if own == stain]
        seen += _some_groups(of_it, least=8)
    u2os = others(folder / "bbbc039_u2os_nuclei", "U2OS")
    # Bone marrow is left out: its labels are known to lack nuclei.
    dapi = others(
        folder / "bitdepth_tissue_nuclei", "tissue DAPI", keep=lambda r: r["organ"] != "bone"
    )
    held = {
        "fluorescence": [n for n in nuclei if n.kind == "fluorescence" and n.fold == fold],
        "brightfield": [n for n in nuclei if n.kind == "brightfield" and n.fold == fold],
        "histology": seen,
        "other stain": foreign,
        "U2OS": _some_groups(u2os, least=12),
        "tissue DAPI": _some_groups(dapi, least=10),
    }
    out = {item.name for items in held.values() for item in items}
    learn = [item for item in (*nuclei, *u2os, *dapi) if item.name not in out]
    return Parts(tuple(learn), {kind: tuple(items) for kind, items in held.items()})


def dsb2018(folder: Path) -> list[Picture]:
    """The training images of the Data Science Bowl, in the order of their index."""
    return [
        Picture(
            row["modality"],
            row["id"],
            row["group"],
            folder / "train" / "images" / f"{row['id']}.png",
            folder / "train" / "labels" / f"{row['id']}.png",
            row["fold"],
        )
        for row in _rows(folder)
        if row["split"] == "train"
    ]


def others(
    folder: Path, kind: str, *, keep: Callable[[dict[str, str]], bool] = lambda _row: True
) -> list[Picture]:
    """Images of a set that is one kind."""
    labels = {path.stem: path for path in (folder / "labels").iterdir()}
    return [
        Picture(kind, row["id"], row["group"], folder / "images" / row["image"], labels[row["id"]])
        for row in _rows(folder)
        if keep(row)
    ]


def _rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "index.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def _some_groups(items: Sequence[Picture], *, least: int) -> list[Picture]:
    """Whole groups with at least so many images, in the order of a hash of their names."""
    chosen: list[Picture] = []
    for group in sorted({item.group for item in items}, key=_lot):
        if len(chosen) >= least:
            break
        chosen += [item for item in items if item.group == group]
    return chosen


def _lot(name: str) -> str:
    return hashlib.sha256(f"validation:{name}".encode()).hexdigest()


def stain_groups(tissue: Sequence[Picture]) -> list[int]:
    """Group stained images by the colour of their background and the mean of their dyes.

    Returns
    -------
    list of int
        A number for each image. No field is torn.
    """
    colours = np.array([_colours(read_image(item.image).array) for item in tissue])
    tree = linkage(colours / colours.std(axis=0), "ward")
    stains = [int(number) for number in fcluster(tree, STAINS, "maxclust")]
    of_group = {(item.group, stain) for item, stain in zip(tissue, stains, strict=True)}
    assert len(of_group) == len({group for group, _ in of_group}), "a field was torn"
    return stains


def _colours(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Optical density of the background, and of the mean up to its amount."""
    density = -np.log(np.maximum(image[..., :3], 1) / 255.0).reshape(-1, 3)
    mean = density.mean(axis=0)
    return np.concatenate([np.quantile(density, 0.1, axis=0), mean / mean.sum()])


def weighted_pairs(items: Sequence[Picture]) -> list[TrainingPair]:
    """Read training images, with the weights that give each kind its share of the patches."""
    pairs = [item.pair() for item in items]
    # As patches are drawn: by the root of the number of cells.
    odds = [math.sqrt(1 + np.unique(pair.labels[pair.labels > 0]).size) for pair in pairs]
    total = dict.fromkeys(SHARES, 0.0)
    for item, each in zip(items, odds, strict=True):
        total[item.kind] += each
    return [
        replace(pair, weight=SHARES[item.kind] / total[item.kind])
        for item, pair in zip(items, pairs, strict=True)
    ]
