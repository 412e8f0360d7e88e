"""Files that belong together by their names: images with their labels, results with the truth."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.engine.base.errors import FileError, TrainingError
from napari_unet.files.finding import find_images
from napari_unet.files.image_file import ImageFile, image_stem
from napari_unet.files.images import read_image, read_labels

if TYPE_CHECKING:
    from napari_unet.engine.training.pairs import TrainingPair

_LABEL_ENDINGS = re.compile(r"[-_ ](cp_masks|masks?|labels?|truth|gt)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PairedFiles:
    """Files of two kinds that belong together.

    Parameters
    ----------
    pairs : list of (first, second)
    only_first, only_second : list of str
        Names without a partner.
    """

    pairs: list[tuple[Path, Path]]
    only_first: list[str]
    only_second: list[str]


def pair_files(first: Path, second: Path) -> PairedFiles:
    """Pair the files of two folders by their names without endings.

    The second file may also end in "_labels", "_mask" or the like: `cells.png`
    goes with `cells_masks.tif`. Two single files are a pair under any names.

    Raises
    ------
    FileError
        If there is no pair, or a name stands for two files.
    """
    firsts, seconds = find_images([first]), find_images([second])
    if first.is_file() and second.is_file():
        return PairedFiles([(first, second)], [], [])
    _refuse_ambiguous(firsts)
    _refuse_ambiguous(seconds)
    by_stem = {image_stem(path): path for path in seconds}
    shortened = {_LABEL_ENDINGS.sub("", stem): path for stem, path in by_stem.items()}
    partners = {
        path: by_stem.get(image_stem(path)) or shortened.get(image_stem(path)) for path in firsts
    }
    pairs = [(path, partner) for path, partner in partners.items() if partner is not None]
    if not pairs:
        raise FileError(
            f"No file in '{first}' has the name of one in '{second}' (for example "
            f"'{firsts[0].name}' and '{seconds[0].name}'); files belong together by their "
            "names without endings."
        )
    paired = {partner for _, partner in pairs}
    return PairedFiles(
        pairs,
        [path.name for path, partner in partners.items() if partner is None],
        [path.name for path in seconds if path not in paired],
    )


def _refuse_ambiguous(paths: Sequence[Path]) -> None:
    seen: dict[str, Path] = {}
    for path in paths:
        other = seen.setdefault(image_stem(path), path)
        if other is not path:
            raise FileError(
                f"'{other}' and '{path}' have the same name up to their endings; "
                "it is not clear which one to pair. Remove or rename one."
            )


def read_pairs(
    image_path: Path,
    labels_path: Path,
    *,
    ndim: int,
    make_pair: Callable[[Any, Any, str], TrainingPair],
) -> list[TrainingPair]:
    """Read an image and its labels; for a 2-D model each slice of a stack is a pair.

    Parameters
    ----------
    image_path, labels_path : Path
    ndim : int
        Axes that the network reads at once.
    make_pair : callable
        Is given an image, channels last, its labels, and a name for messages.

    Raises
    ------
    UNetError
        If a file cannot be read or the two do not belong together.
    """
    image, labels = read_image(image_path), read_labels(labels_path).array
    array = _channels_last(image, labels.ndim)
    if labels.ndim == ndim:
        return [make_pair(array, labels, image_path.name)]
    if labels.ndim != ndim + 1 or array.shape[0] != labels.shape[0]:
        raise TrainingError(
            f"'{labels_path}' has shape {labels.shape} and '{image_path}' {image.array.shape}; "
            f"a {ndim}-D model learns from {ndim}-D images or stacks of them."
        )
    return [
        make_pair(plane, plane_labels, f"{image_path.name}, slice {index + 1}")
        for index, (plane, plane_labels) in enumerate(zip(array, labels, strict=True))
    ]


def _channels_last(image: ImageFile, label_axes: int) -> Any:
    # Planes named channels are slices where the labels have as many axes.
    if image.channel_axis is None or image.array.ndim == label_axes:
        return image.array
    return np.moveaxis(image.array, image.channel_axis, -1)
