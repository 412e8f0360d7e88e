"""What `cells` learns from, at the size that it works at, and what is held out.

Expected in one folder: `usiigaci_phase_cells` (phase contrast) and `dic_cho_bbbc030` (DIC). No test
image is opened.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from skimage.transform import resize

from napari_unet import TrainingPair
from napari_unet.engine.images.resampling import nearest_index, zoomed_shape

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from picture_sets import Parts, Picture, evenly, pictures, some_groups, weighted

ZOOM = 0.7
"""Of all images: half of the cells are then 30 to 40 pixels in diameter."""

SHARES = {"phase contrast": 0.7, "DIC": 0.3}
"""Of the patches, by kind: round DIC cells on an even ground are learned sooner."""


def split(folder: Path) -> Parts:
    """Hold out some groups of neighbouring fields, and some of the DIC images."""
    sets = (
        pictures(folder / "usiigaci_phase_cells", "phase contrast"),
        pictures(
            folder / "dic_cho_bbbc030", "DIC", part="train", keep=lambda r: r["split"] == "train"
        ),
    )
    held = {items[0].kind: some_groups(items, least=len(items) // 5 + 1) for items in sets}
    out = {item.name for items in held.values() for item in items}
    learn = [item for items in sets for item in items if item.name not in out]
    return Parts(tuple(learn), {kind: tuple(items) for kind, items in held.items()})


def training_pairs(parts: Parts) -> list[TrainingPair]:
    """Read training images, with the weights that give each kind its share of the patches."""
    return weighted(_resized(parts.learn), [item.kind for item in parts.learn], SHARES)


def measured_pairs(parts: Parts) -> dict[str, list[TrainingPair]]:
    """All that was held out, some of it at its own size, and few images that were learned."""
    sets = {f"validation, {kind}": _resized(items) for kind, items in parts.held.items()}
    for kind, items in parts.held.items():
        sets[f"not resized, {kind}"] = [item.pair() for item in evenly(items, 2)]
        learned = [item for item in parts.learn if item.kind == kind]
        sets[f"training, {kind}"] = _resized(evenly(learned, 2))
    return sets


def _resized(items: Sequence[Picture]) -> list[TrainingPair]:
    return [resized(item.pair(), ZOOM) for item in items]


def resized(pair: TrainingPair, zoom: float) -> TrainingPair:
    """Image and labels of other size, as a segmentation resizes them."""
    labels = np.asarray(pair.labels)
    shape = zoomed_shape(labels.shape, zoom)
    image = resize(np.asarray(pair.image, np.float32), shape, order=1, anti_aliasing=zoom < 1)
    grid = np.ix_(*(nearest_index(n, m) for n, m in zip(shape, labels.shape, strict=True)))
    return replace(pair, image=image, labels=labels[grid])
