"""What `cells` learns from, at the size that it works at, and what is held out.

Expected in one folder: `usiigaci_phase_cells` (phase contrast) and `dic_cho_bbbc030` (DIC). No test
image is opened.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from napari_unet import TrainingPair

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from picture_sets import Parts, Picture, evenly, pictures, some_groups, weighted_pairs

ZOOM = 0.7
"""Of all images: the median cell is then 32 (phase contrast) and 37 pixels (DIC) across."""

SHARES = {"phase contrast": 0.7, "DIC": 0.3}
"""Of the patches, by kind: round DIC cells on an even ground are learned sooner."""


def split(folder: Path) -> Parts:
    """Hold out some groups of neighbouring fields, and some of the DIC images."""
    phase = pictures(folder / "usiigaci_phase_cells", "phase contrast", zoom=ZOOM)
    sets = (phase, dic(folder, "train"))
    held = {items[0].kind: some_groups(items, least=len(items) // 5 + 1) for items in sets}
    out = {item.name for items in held.values() for item in items}
    learn = [item for items in sets for item in items if item.name not in out]
    return Parts(tuple(learn), {kind: tuple(items) for kind, items in held.items()})


def dic(folder: Path, part: str) -> list[Picture]:
    """Images of BBBC030, "train" or "test"."""
    folder = folder / "dic_cho_bbbc030"
    return pictures(folder, "DIC", part=part, zoom=ZOOM, keep=lambda row: row["split"] == part)


def training_pairs(parts: Parts) -> list[TrainingPair]:
    """Read training images, each kind with its share of the patches."""
    return weighted_pairs(parts.learn, SHARES)


def measured_pairs(parts: Parts) -> dict[str, list[TrainingPair]]:
    """All that was held out, some of it at its own size, and few images that were learned."""
    sets = {}
    for kind, items in parts.held.items():
        learned = evenly([item for item in parts.learn if item.kind == kind], 2)
        native = [replace(item, zoom=1.0) for item in evenly(items, 2)]
        sets[f"validation, {kind}"] = [item.pair() for item in items]
        sets[f"not resized, {kind}"] = [item.pair() for item in native]
        sets[f"training, {kind}"] = [item.pair() for item in learned]
    return sets
