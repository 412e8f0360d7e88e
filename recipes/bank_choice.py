"""Choose the bank of a bundled model: python recipes/MODEL/bank.py DATA.

It holds crops of 256 x 256 pixels, the ones with most cells: some that the model has learned from,
to be learned again beside a user's images, and some that were held out, by which the training of a
user is judged. Of each kind the images are taken evenly over how crowded they are.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from picture_sets import Picture, evenly
from recipe import Recipe

from napari_unet import TrainingPair
from napari_unet.engine.networks.bundled import FOLDER, bank_file
from napari_unet.engine.training.knowledge.bank import Bank, BankImage, Use, write_bank

SIDE_PX, STRIDE_PX = 256, 32


def chosen(items: Sequence[Picture], count: int, use: Use) -> list[BankImage]:
    """Crops of so many images of one kind."""
    pairs = sorted((item.pair() for item in items), key=_crowd)
    return [
        BankImage(items[0].kind, use, *crop(pair), pair.name)
        for pair in evenly(pairs, count)
        if pair.labels.max() > 0
    ]


def _crowd(pair: TrainingPair) -> float:
    return float(np.unique(pair.labels).size / np.size(pair.labels))


def crop(pair: TrainingPair) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """The part of an image with most cells, in 8 bit."""
    labels = np.asarray(pair.labels)
    rows, columns = (range(0, max(1, n - SIDE_PX + 1), STRIDE_PX) for n in labels.shape)
    parts = [np.s_[y : y + SIDE_PX, x : x + SIDE_PX] for y in rows for x in columns]
    part = max(parts, key=lambda each: np.unique(labels[each]).size)
    _, numbers = np.unique(labels[part], return_inverse=True)
    image = np.asarray(pair.image)[part]
    if image.dtype != np.uint8:
        low, high = np.percentile(pair.image, (0.01, 99.99))
        image = np.clip((image - low) * (255 / max(high - low, 1e-6)), 0, 255).astype(np.uint8)
    shown = numbers.reshape(labels[part].shape) + (0 if (labels[part] == 0).any() else 1)
    return image[..., :3] if image.ndim == 3 else image, shown.astype(np.int32)


def choose(
    recipe: Recipe, learn: Mapping[str, int], judge: Mapping[str, int], text: str | None
) -> None:
    """Write `<model>.bank.zip` beside the bundled model.

    Parameters
    ----------
    learn, judge : mapping
        How many images of each kind.
    """
    parser = argparse.ArgumentParser(
        description=f"{text}\n{__doc__}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, metavar="DATA", help="folder with the sets of images")
    parser.add_argument("--out", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    parts = recipe.split(arguments.data)
    images: list[BankImage] = []
    for kind, count in learn.items():
        images += chosen([item for item in parts.learn if item.kind == kind], count, "learn")
    for kind, count in judge.items():
        held = [replace(item, kind=kind) for item in parts.held[kind]]
        images += chosen(held, count, "judge")
    path = bank_file(arguments.out / recipe.description.name)
    write_bank(Bank(tuple(images)), path, lossy=True)
    print(f"{len(images)} images -> {path} ({path.stat().st_size / 1e6:.1f} MB)")
