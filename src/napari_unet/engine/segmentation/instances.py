"""From the network's scores to one number per cell."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.errors import ImageShapeError, SettingsError
from napari_unet.engine.base.settings import InstanceSettings
from napari_unet.engine.images.image import LabelImage, Scores
from napari_unet.engine.labels.connected import BACKGROUND, SEED, Runs, cut_rows, join_runs
from napari_unet.engine.segmentation.watershed import OUTSIDE, UNDECIDED, flood


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
            "'background' and 'cell'. If one of them means cells, say so: roles in the Model "
            "widget, or --guess roles=..., one name for each channel."
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
    shape = scores.shape[1:]
    found = np.zeros(shape, np.int32)
    if not found.size:
        return found
    background, cell = (_rows(scores[class_roles.index(role)]) for role in ("background", "cell"))
    canvas = _Canvas(shape)
    runs = cut_rows(
        background,
        cell,
        np.float32(1 - settings.foreground_threshold),
        np.float32(settings.seed_threshold if settings.separate_touching else np.inf),
        canvas.row_places,
    )
    pieces, seeds = join_runs(runs, shape[-2])
    numbers, is_crowded = _number_runs(runs, pieces, seeds, max(1, settings.min_seed_px))
    labels = canvas.labels.reshape(-1)
    _paint(runs, numbers, labels)
    if is_crowded.any():
        bits = cell.reshape(-1).view(np.int32)
        flood(labels, bits, runs, is_crowded, canvas.beside, canvas.around)
    if settings.fill_holes:
        _fill_holes(runs, pieces, numbers, labels, canvas.beside)
    sizes, totals = _measure(runs, numbers, labels, background.reshape(-1))
    kept = sizes >= max(1, settings.min_size_px)
    if settings.min_score > 0:
        kept &= totals <= (1 - settings.min_score) * sizes
    if settings.drop_border_cells:
        for axis in range(len(shape)):
            for end in (0, -1):
                kept[np.take(canvas.inner_labels, end, axis=axis)] = False
    _number_in_reading_order(runs, numbers, labels, kept, found.reshape(-1))
    return found


def _rows(plane: NDArray[Any]) -> NDArray[np.float32]:
    """(rows, width), in the one memory layout that the loops are compiled for."""
    return np.require(plane, np.float32, ["C", "W"]).reshape(-1, plane.shape[-1])


class _Canvas:
    """Labels with a rim around them, so that every pixel has all of its neighbours.

    Places in it are flat indices, and its pixels are in reading order, too.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.labels = np.zeros([n + 2 for n in shape], np.int32)
        for axis in range(len(shape)):
            np.moveaxis(self.labels, axis, 0)[[0, -1]] = OUTSIDE
        self.inner_labels = self.labels[(slice(1, -1),) * len(shape)]
        strides = np.array(self.labels.strides) // self.labels.itemsize
        rows = np.indices(shape[:-1]).reshape(len(shape) - 1, -1)
        self.row_places = strides[:-1] @ (rows + 1) + 1
        self.beside = np.concatenate((-strides, strides[::-1]))
        steps = np.indices((3,) * len(shape)).reshape(len(shape), -1) - 1
        self.around = strides @ steps[:, steps.any(axis=0)]


@numba.njit(cache=True, nogil=True)
def _number_runs(runs: Runs, pieces: Any, seeds: Any, min_seed_px: int) -> tuple[Any, Any]:
    """Number each run and say whether several seeds compete for its piece.

    0 is background; a number stands for one cell and is anything below the
    number of runs.
    """
    count = pieces.size
    seed_sizes = np.zeros(count, np.int64)
    for run in range(count):
        if runs.kinds[run] == SEED:
            seed_sizes[seeds[run]] += runs.lengths[run]
    seeds_in = np.zeros(count, np.int64)
    for run in range(count):
        # Zero except in the first run of a seed.
        seeds_in[pieces[run]] += seed_sizes[run] >= min_seed_px
    numbers = np.zeros(count, np.int32)
    is_crowded = np.zeros(count, np.bool_)
    for run in range(count):
        if runs.kinds[run] == BACKGROUND:
            continue
        # A piece with one seed is that cell; one without any is a faint cell, not background.
        is_crowded[run] = seeds_in[pieces[run]] > 1
        if not is_crowded[run]:
            numbers[run] = pieces[run] + 1
        elif runs.kinds[run] == SEED and seed_sizes[seeds[run]] >= min_seed_px:
            numbers[run] = seeds[run] + 1
        else:
            numbers[run] = UNDECIDED
    return numbers, is_crowded


@numba.njit(cache=True, nogil=True)
def _paint(runs: Runs, numbers: Any, labels: Any) -> None:
    for run in range(numbers.size):
        if numbers[run] != 0:
            labels[runs.places[run] : runs.places[run] + runs.lengths[run]] = numbers[run]


@numba.njit(cache=True, nogil=True)
def _fill_holes(runs: Runs, pieces: Any, numbers: Any, labels: Any, beside: Any) -> None:
    """Give each enclosed piece of background to the cell around it, if there is only one."""
    # Background is connected by faces, cells by more: a hole is a piece that touches no border.
    owners = np.zeros(numbers.size, np.int32)
    for run in range(numbers.size):
        if numbers[run] != 0:
            continue
        piece = pieces[run]
        for place in range(runs.places[run], runs.places[run] + runs.lengths[run]):
            if owners[piece] == OUTSIDE:
                break
            for step in beside:
                other = labels[place + step]
                if other != 0 and other != owners[piece]:
                    # The second one that it touches, and it is open.
                    owners[piece] = other if owners[piece] == 0 else OUTSIDE
    for run in range(numbers.size):
        if numbers[run] == 0 and owners[pieces[run]] > 0:
            numbers[run] = owners[pieces[run]]
            labels[runs.places[run] : runs.places[run] + runs.lengths[run]] = numbers[run]


@numba.njit(cache=True, nogil=True)
def _measure(runs: Runs, numbers: Any, labels: Any, background: Any) -> tuple[Any, Any]:
    """Pixels of each number, and the sum of their background scores."""
    sizes = np.zeros(numbers.size + 1, np.int64)
    totals = np.zeros(numbers.size + 1, np.float64)
    begin = 0
    for run in range(numbers.size):
        if numbers[run] != 0:
            for i in range(runs.lengths[run]):
                number = labels[runs.places[run] + i]
                sizes[number] += 1
                totals[number] += background[begin + i]
        begin += runs.lengths[run]
    return sizes, totals


@numba.njit(cache=True, nogil=True)
def _number_in_reading_order(
    runs: Runs, numbers: Any, labels: Any, is_kept: Any, found: Any
) -> None:
    """Write the cells that are kept as 1, 2, ... into an image of zeros."""
    order = np.zeros(numbers.size + 1, np.int32)
    count = 0
    begin = 0
    for run in range(numbers.size):
        if numbers[run] != 0:
            for i in range(runs.lengths[run]):
                number = labels[runs.places[run] + i]
                if is_kept[number]:
                    if order[number] == 0:
                        count += 1
                        order[number] = count
                    found[begin + i] = order[number]
        begin += runs.lengths[run]


def keep_numbers(labels: LabelImage, before: LabelImage, *, above: int = 0) -> NDArray[np.int32]:
    """Number cells so that each keeps the number of the earlier cell that it lies on.

    Parameters
    ----------
    labels : integer array
        Cells 1, 2, ...
    before : integer array of the same shape
        Earlier cells; their numbers may have gaps.
    above : int
        New numbers are higher than this, too: the highest one elsewhere.

    Returns
    -------
    int32 array of the same shape
        No number is given twice: of two cells on the same earlier one, the
        one that shares more pixels with it keeps its number. A cell on none,
        or on none that is left, gets a number above all in `labels` and
        `before`.

    Raises
    ------
    ImageShapeError
        If the shapes differ.
    """
    if labels.shape != before.shape:
        raise ImageShapeError(
            f"The cells have shape {labels.shape} and the earlier ones {before.shape}; "
            "give label images of the same shape."
        )
    if not labels.size:
        return labels.astype(np.int32)
    flat = np.require(labels, np.int32, ["C", "W"]).reshape(-1)
    count = int(flat.max())
    # Numbers that leave no room for `count` new ones above them are not kept.
    largest = np.iinfo(np.int32).max - count
    if int(before.max()) > largest:
        before = np.where(before > largest, 0, before)
    earlier = np.require(before, np.int32, ["C", "W"]).reshape(-1)
    pairs, shared_px = _overlaps(flat, earlier)
    pairs = pairs[np.argsort(-shared_px, kind="stable")]
    _, places = np.unique(pairs[:, 1], return_inverse=True)
    numbers = _match(pairs, places, count)
    new = np.flatnonzero(numbers[1:] == 0) + 1
    highest = max(count, int(earlier.max()), min(above, largest))
    numbers[new] = highest + 1 + np.arange(new.size)
    result: NDArray[np.int32] = _renumbered(flat, numbers).reshape(labels.shape)
    return result


@numba.njit(cache=True, nogil=True)
def _overlaps(labels: Any, before: Any) -> tuple[Any, Any]:
    """Every pair of a cell and an earlier cell that share pixels, and how many they share."""
    runs = 1
    for i in range(1, labels.size):
        runs += (labels[i] != labels[i - 1]) | (before[i] != before[i - 1])
    # A hash table of indices of pairs, counted from 1; at least half of it stays empty.
    slots = 2
    while slots < 2 * runs:
        slots *= 2
    table = np.zeros(slots, np.int32)
    pairs = np.empty((runs, 2), np.int32)
    shared_px = np.zeros(runs, np.int64)
    count = 0
    begin = 0
    for i in range(1, labels.size + 1):
        cell, earlier = labels[begin], before[begin]
        if i < labels.size and labels[i] == cell and before[i] == earlier:
            continue
        if cell > 0 and earlier > 0:
            slot = (cell * 40503 + earlier * 60493) & (slots - 1)
            while True:
                pair = table[slot] - 1
                if pair < 0:
                    pair = count
                    pairs[pair] = cell, earlier
                    count += 1
                    table[slot] = count
                if pairs[pair, 0] == cell and pairs[pair, 1] == earlier:
                    break
                slot = (slot + 1) & (slots - 1)
            shared_px[pair] += i - begin
        begin = i
    return pairs[:count], shared_px[:count]


@numba.njit(cache=True, nogil=True)
def _match(pairs: Any, places: Any, count: int) -> Any:
    """For each cell the number that it keeps, or 0; earlier pairs go first."""
    numbers = np.zeros(count + 1, np.int32)
    is_taken = np.zeros(places.size, np.bool_)
    for i in range(places.size):
        cell = pairs[i, 0]
        if numbers[cell] == 0 and not is_taken[places[i]]:
            numbers[cell] = pairs[i, 1]
            is_taken[places[i]] = True
    return numbers


@numba.njit(cache=True, nogil=True)
def _renumbered(labels: Any, numbers: Any) -> Any:
    result = np.empty_like(labels)
    for i in range(labels.size):
        result[i] = numbers[labels[i]]
    return result


def prepare_instances() -> None:
    """Compile what finds cells, a few seconds once, so that the first image need not wait."""
    cell = np.array([[0, 1, 0.6, 1, 0]], np.float32)
    settings = InstanceSettings(seed_threshold=0.8, min_seed_px=1, min_size_px=1)
    labels = instances_from_scores(np.stack([1 - cell, cell]), ("background", "cell"), settings)
    keep_numbers(labels, labels)


_SEEDS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_TUNED: tuple[tuple[str, tuple[float, ...]], ...] = (
    ("min_score", (0.0, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8)),
    ("min_seed_px", (1, 4, 8, 16, 30)),
    ("min_size_px", (8, 16, 30, 50)),
    ("seed_threshold", _SEEDS),
    ("foreground_threshold", (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)),
)
_TUNED_A_LITTLE: tuple[tuple[str, tuple[float, ...]], ...] = (
    ("foreground_threshold", (0.3, 0.35, 0.4, 0.5, 0.6)),
    ("min_size_px", (50, 80)),
)


def tune_instances(
    scored: Sequence[tuple[Scores, LabelImage]],
    class_roles: Sequence[str],
    quality: Callable[[LabelImage, LabelImage], float],
    start: InstanceSettings | None = None,
    *,
    a_little: bool = False,
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
    a_little : bool
        Only how far cells reach and how small they may be: for images that the
        network has learned from, on which it is surer than on others.

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

    if not a_little:
        grid = [
            replace(best, seed_threshold=seed, foreground_threshold=foreground)
            for seed, foreground in itertools.product(_SEEDS, (0.3, 0.4, 0.5, 0.6))
        ]
        best = max([best, *grid], key=mean_quality)
    # One at a time from here; the thresholds again, because they suit the others.
    for name, values in _TUNED_A_LITTLE if a_little else _TUNED:
        changed: list[InstanceSettings] = [replace(best, **{name: value}) for value in values]  # type: ignore[arg-type]
        best = max([best, *changed], key=mean_quality)
    return best
