"""The 2018 Data Science Bowl nuclei (BBBC038, CC0) as the recipe reads them.

Expected: a folder with `index.csv` (columns id, split, modality, fold, stardist_split) and, for
each split, `<split>/images/<id>.png` and `<split>/labels/<id>.png` (16-bit, one number a nucleus).
"""

from __future__ import annotations

import csv
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from napari_unet.files.images import read_image, read_labels


@dataclass(frozen=True, slots=True)
class Nuclei:
    """One image of the set; paths are files."""

    name: str
    split: str
    modality: str
    fold: str
    in_stardist_test: bool
    image: Path
    labels: Path

    def read(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Image (H, W) or (H, W, 3), and labels (H, W)."""
        return read_image(self.image).array, read_labels(self.labels).array


def read_index(folder: Path) -> list[Nuclei]:
    """Every image of the set, in the order of its index."""
    with (folder / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        Nuclei(
            row["id"],
            row["split"],
            row["modality"],
            row["fold"],
            row["stardist_split"] == "test",
            folder / row["split"] / "images" / f"{row['id']}.png",
            folder / row["split"] / "labels" / f"{row['id']}.png",
        )
        for row in rows
    ]


def lay_out(nuclei: list[Nuclei], folder: Path) -> tuple[Path, Path]:
    """Copy images and labels to two folders, as `napari-unet train` reads them."""
    images, labels = folder / "images", folder / "labels"
    for path in (images, labels):
        path.mkdir(parents=True, exist_ok=True)
    for item in nuclei:
        shutil.copy(item.image, images / item.image.name)
        shutil.copy(item.labels, labels / item.labels.name)
    return images, labels
