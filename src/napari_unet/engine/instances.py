"""From the network's scores to one number per cell."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import watershed

from napari_unet.engine.errors import SettingsError
from napari_unet.engine.image import LabelImage, Scores
from napari_unet.engine.settings import InstanceSettings


def check_class_roles(class_roles: Sequence[str]) -> None:
    """Raise unless cells can be made from scores of these classes.

    Raises
    ------
    SettingsError
        If the roles hold no background or no cell.
    """
    if "background" not in class_roles or "cell" not in class_roles:
        raise SettingsError(
            f"The network's classes are {', '.join(class_roles)}; to find cells it needs "
            "'background' and 'cell'."
        )


def instances_from_scores(
    scores: Scores, class_roles: Sequence[str], settings: InstanceSettings
) -> NDArray[np.int32]:
    """Find and number the cells in a score image.

    Parameters
    ----------
    scores : (C, H, W) or (C, Z, H, W) float array
        Probability of each class role.
    class_roles : sequence of str
        "background", "cell" and perhaps "border", in the order of the channels.
    settings : InstanceSettings

    Returns
    -------
    (H, W) or (Z, H, W) int32 array
        0 is background; cells are 1, 2, ... in reading order of their first
        pixel, without gaps.

    Raises
    ------
    SettingsError
        If the roles hold no background or no cell.
    """
    check_class_roles(class_roles)
    roles = list(class_roles)
    foreground = scores[roles.index("background")] < 1 - settings.foreground_threshold
    if not foreground.any():
        return np.zeros(foreground.shape, np.int32)
    if settings.separate_touching:
        interior = scores[roles.index("cell")]
        labels = _grow_seeds(interior, foreground, settings)
    else:
        labels = ndimage.label(foreground)[0].astype(np.int32, copy=False)
    if settings.fill_holes:
        labels = _fill_holes(labels)
    if settings.min_score > 0:
        labels = _drop_doubtful(labels, scores[roles.index("background")], settings.min_score)
    return _select_and_number(labels, settings)


def _drop_doubtful(
    labels: NDArray[np.int32], background: NDArray[Any], min_score: float
) -> NDArray[np.int32]:
    cells = labels > 0
    members = labels[cells]
    sizes = np.bincount(members)
    totals = np.bincount(members, weights=background[cells])
    certain = totals <= (1 - min_score) * sizes
    return np.where(cells & certain[labels], labels, 0) if members.size else labels


def _grow_seeds(
    interior: NDArray[Any], foreground: NDArray[np.bool_], settings: InstanceSettings
) -> NDArray[np.int32]:
    seeded = (interior > settings.seed_threshold) & foreground
    seeds, count = ndimage.label(seeded)
    pieces, piece_count = ndimage.label(foreground)
    where = np.flatnonzero(seeded)
    seed_there = seeds.reshape(-1)[where]
    kept = np.bincount(seed_there, minlength=count + 1) >= max(1, settings.min_seed_px)
    kept[0] = False
    home = np.zeros(count + 1, np.intp)
    home[seed_there] = pieces.reshape(-1)[where]
    seeds_in = np.bincount(home[kept], minlength=piece_count + 1)
    # A piece with one seed is that cell; one without any is a faint cell, not background.
    numbers = np.arange(count, count + piece_count + 1, dtype=np.int32)
    numbers[home[kept]] = np.flatnonzero(kept)
    numbers[0] = 0
    labels: NDArray[np.int32] = numbers[pieces]
    crowded = (seeds_in > 1)[pieces]
    if not crowded.any():
        return labels
    markers = np.where(crowded & kept[seeds], seeds, 0).astype(np.int32, copy=False)
    # Only the rim is flooded: a pixel with seeds all around it meets nobody.
    inner = _surrounded(markers > 0)
    rim = crowded & ~inner
    flooded = watershed(-interior, markers, mask=rim)
    return np.where(crowded, np.where(inner, markers, flooded), labels)


def _surrounded(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of `mask` whose neighbours, across corners too, are all in it; none at the border."""
    for axis in range(mask.ndim):
        lines = np.moveaxis(mask, axis, 0)
        narrowed = np.zeros_like(lines)
        narrowed[1:-1] = lines[:-2] & lines[1:-1] & lines[2:]
        mask = np.moveaxis(narrowed, 0, axis)
    return mask


def _fill_holes(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Give each enclosed piece of background to the cell around it, if there is only one."""
    # Background is connected by faces, cells by more: a hole is a piece that touches no border.
    holes, count = ndimage.label(labels == 0)
    enclosed = np.ones(count + 1, bool)
    enclosed[0] = False
    for axis in range(labels.ndim):
        for end in (0, -1):
            enclosed[np.take(holes, end, axis=axis)] = False
    if not enclosed.any():
        return labels
    # Pixels of holes touch no border, so that each has two neighbours on every axis.
    where = np.flatnonzero(enclosed[holes])
    flat = labels.reshape(-1)
    hole = holes.reshape(-1)[where]
    lowest = np.full(count + 1, np.iinfo(np.int32).max, np.int32)
    highest = np.zeros(count + 1, np.int32)
    for step in np.cumprod((1, *labels.shape[:0:-1])):
        for neighbour in (where - step, where + step):
            cell = flat[neighbour]
            beside = cell > 0
            np.minimum.at(lowest, hole[beside], cell[beside])
            np.maximum.at(highest, hole[beside], cell[beside])
    owner = np.where(enclosed & (lowest == highest), highest, 0)
    filled = labels.copy()
    filled.reshape(-1)[where] = owner[hole]
    return filled


def _select_and_number(labels: NDArray[np.int32], settings: InstanceSettings) -> NDArray[np.int32]:
    flat = labels.reshape(-1)
    # Runs of one label are a hundredth of the pixels, and all that is needed of them.
    starts = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1))
    lengths = np.diff(np.append(starts, flat.size))
    members = flat[starts]
    sizes = np.bincount(members, weights=lengths)
    kept = sizes >= max(1, settings.min_size_px)
    kept[0] = False
    if settings.drop_border_cells:
        for axis in range(labels.ndim):
            for end in (0, -1):
                kept[np.take(labels, end, axis=axis)] = False
    # First pixel of each label: writing backwards leaves the earliest index.
    first = np.full(sizes.size, flat.size, np.int64)
    first[members[::-1]] = starts[::-1]
    order = np.argsort(first, kind="stable")
    order = order[kept[order]]
    numbers = np.zeros(sizes.size, np.int32)
    numbers[order] = np.arange(1, order.size + 1, dtype=np.int32)
    return numbers[labels]


def tune_instances(
    scored: Sequence[tuple[Scores, LabelImage]],
    class_roles: Sequence[str],
    quality: Callable[[LabelImage, LabelImage], float],
    start: InstanceSettings | None = None,
) -> InstanceSettings:
    """Choose the settings that segment a validation set best.

    Parameters
    ----------
    scored : sequence of (scores, truth)
        Scores of each validation image and its true labels.
    class_roles : sequence of str
    quality : callable
        (truth, prediction) -> number to be as high as possible in the mean.
    start : InstanceSettings, optional

    Returns
    -------
    InstanceSettings
        The best of a coarse grid of thresholds, then of each setting by itself.
    """
    best = start or InstanceSettings()

    def mean_quality(settings: InstanceSettings) -> float:
        def image_quality(pair: tuple[Scores, LabelImage]) -> float:
            scores, truth = pair
            return quality(truth, instances_from_scores(scores, class_roles, settings))

        with ThreadPoolExecutor() as pool:
            return float(np.mean(list(pool.map(image_quality, scored))))

    seeds, foregrounds = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9), (0.3, 0.4, 0.5, 0.6)
    grid = [
        replace(best, seed_threshold=seed, foreground_threshold=foreground)
        for seed, foreground in itertools.product(seeds, foregrounds)
    ]
    best = max([best, *grid], key=mean_quality)
    # One at a time from here; the thresholds again, because they suit the others.
    each: tuple[tuple[str, tuple[Any, ...]], ...] = (
        ("min_score", (0.0, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8)),
        ("min_seed_px", (1, 4, 8, 16, 30)),
        ("min_size_px", (8, 16, 30, 50)),
        ("seed_threshold", seeds),
        ("foreground_threshold", (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)),
    )
    for name, values in each:
        changed = [replace(best, **{name: value}) for value in values]
        best = max([best, *changed], key=mean_quality)
    return best
