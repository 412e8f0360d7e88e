"""What `nuclei` learns from, what is held out, and how often each kind is drawn.

Expected in one folder: `dsb2018`, `bbbc039_u2os_nuclei` and `bitdepth_tissue_nuclei`. No test
image, and no neighbour of one, is opened.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage

from napari_unet import TrainingPair
from napari_unet.engine.training.augmentation.stain import StainChange
from napari_unet.files.images import read_image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from picture_sets import Parts, Picture, evenly, pictures, rows, some_groups, weighted_pairs

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


FOREIGN_COLOURS = (
    StainChange(np.array([[0.1, 0.2, 0.7], [0.2, 0.5, 0.3], [0.7, 0.3, 0.0]])),  # brown
    StainChange(np.array([[0.4, 0.6, 0.0], [0.0, 0.1, 0.4], [0.3, 0.4, 0.1]])),  # green
    StainChange(np.eye(3), np.full(3, 1 / 3), inverted=True),
    StainChange(np.eye(3), np.array([0.2, 0.7, 0.1])),
)
"""In turn for held-out tissue: how blind to stains it is, beside the few images of another one."""


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
        seen += some_groups(of_it, least=8)
    u2os = pictures(folder / "bbbc039_u2os_nuclei", "U2OS")
    # Bone marrow is left out: its labels are known to lack nuclei.
    dapi = pictures(
        folder / "bitdepth_tissue_nuclei", "tissue DAPI", keep=lambda r: r["organ"] != "bone"
    )
    held = {
        "fluorescence": [n for n in nuclei if n.kind == "fluorescence" and n.fold == fold],
        "brightfield": [n for n in nuclei if n.kind == "brightfield" and n.fold == fold],
        "histology": seen,
        "other stain": foreign,
        "U2OS": some_groups(u2os, least=12),
        "tissue DAPI": some_groups(dapi, least=10),
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
        for row in rows(folder)
        if row["split"] == "train"
    ]


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


def training_pairs(parts: Parts) -> list[TrainingPair]:
    """Read training images, each kind with its share of the patches."""
    return weighted_pairs(parts.learn, SHARES)


def measured_pairs(parts: Parts) -> dict[str, list[TrainingPair]]:
    """Few images of each kind, always the same, so that to validate takes little time."""
    learn = {
        kind: [item for item in parts.learn if item.kind == kind]
        for kind in ("fluorescence", "histology", "U2OS", "tissue DAPI")
    }
    counts = {"fluorescence": 20, "histology": 16, "U2OS": 5, "tissue DAPI": 6}
    sets = {
        f"validation, {kind}": _read(evenly(items, counts.get(kind, 4)))
        for kind, items in parts.held.items()
    }
    sets["validation, recoloured"] = [
        replace(pair, image=recoloured(pair.image, number))
        for number, pair in enumerate(_read(evenly(parts.held["histology"], 12)))
    ]
    counts = {"fluorescence": 10, "histology": 8, "U2OS": 2, "tissue DAPI": 3}
    learned = {f"training, {kind}": _read(evenly(learn[kind], n)) for kind, n in counts.items()}
    return sets | learned


def _read(items: Sequence[Picture]) -> list[TrainingPair]:
    return [item.pair() for item in items]


def recoloured(image: Any, number: int) -> Any:
    """A stained image in colours that no training image has."""
    colours = torch.from_numpy(np.moveaxis(image[..., :3], -1, 0).astype(np.float32) / image.max())
    changed = FOREIGN_COLOURS[number % len(FOREIGN_COLOURS)].apply(colours)
    return np.moveaxis(np.repeat(changed.numpy(), 3 // len(changed), axis=0), 0, -1)
