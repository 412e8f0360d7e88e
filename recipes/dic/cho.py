"""DIC images of CHO cells (BBBC030) as the recipe reads them: at half size.

Expected: a folder with `<split>/images/<name>.png` and `<split>/labels/<name>.png` (one number a
cell) for the splits `train` and `test`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.files.images import read_image, read_labels


@dataclass(frozen=True, slots=True)
class Cells:
    """An image (H, W) float32 and its cells (H, W), 0 for background."""

    name: str
    image: NDArray[np.float32]
    labels: NDArray[Any]


def read_split(folder: Path, split: str) -> list[Cells]:
    """Every image of a split, in the order of names; each pixel is the mean of four."""
    found = []
    for path in sorted((folder / split / "images").glob("*.png")):
        image = read_image(path).array
        labels = read_labels(folder / split / "labels" / path.name).array
        grey = image[..., :3].mean(-1) if image.ndim == 3 else image
        height, width = (n // 2 for n in grey.shape)
        blocks = grey[: 2 * height, : 2 * width].reshape(height, 2, width, 2)
        halved = labels[: 2 * height : 2, : 2 * width : 2]
        found.append(Cells(path.stem, blocks.mean((1, 3), dtype=np.float32), halved))
    return found
