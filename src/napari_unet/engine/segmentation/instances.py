"""From the network's scores to one number per cell."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from statistics import fmean
from typing import Any, TypeAlias

import numba
import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.border_test import BorderTest
from napari_unet.engine.base.errors import ImageShapeError, SettingsError
from napari_unet.engine.base.exact_sums import ONE, whole
from napari_unet.engine.base.settings import InstanceSettings
from napari_unet.engine.images.image import LabelImage, Scores
from napari_unet.engine.labels.runs import CommonRuns
from napari_unet.engine.networks.class_roles import as_cells, is_cell
from napari_unet.engine.segmentation.borders.borders import grow_basins
from napari_unet.engine.segmentation.foreground import OUTSIDE, Foreground, paint
from napari_unet.engine.segmentation.watershed import grow_seeds

Splitter: TypeAlias = Callable[[Foreground, InstanceSettings], None]

SPLITTERS: Mapping[str, Splitter] = {"watershed": grow_seeds, "borders": grow_basins}
"""Ways to split cells that touch: each changes the labels of a `Foreground` in place."""


def check_class_roles(class_roles: Sequence[str]) -> None:
    """Raise unless cells can be made from scores of these classes.

    Raises
    ------
    SettingsError
        If the roles hold no background or no cell.
    """
    if "background" not in class_roles or not any(map(is_cell, class_roles)):
        raise SettingsError(
            f"The network's classes are {', '.join(class_roles)}; to find cells it needs "
            "'background' and 'cell'. If one of them means cells, say so: roles in the Model "
            "widget, or --guess roles=..., one name for each channel."
        )


def instances_from_scores(
    scores: Scores,
    class_roles: Sequence[str],
    settings: InstanceSettings,
    *,
    beyond: NDArray[np.bool_] | None = None,
) -> NDArray[np.int32]:
    """Find and number the cells in a score image.

    Parameters
    ----------
    scores : (C, H, W) or (C, Z, H, W) float array
        Probability of each class role.
    class_roles : sequence of str
        "background", "cell" or types of cells, and perhaps "border", in the
        order of the channels.
    settings : InstanceSettings
    beyond : (H, W) bool array, optional
        As in `Foreground`.

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
    scores, class_roles = as_cells(scores, class_roles)
    shape = scores.shape[1:]
    found = np.zeros(shape, np.int32)
    if not found.size:
        return found
    background = np.require(scores[class_roles.index("background")], np.float32, ["C", "W"])
    foreground = Foreground.of_scores(scores, class_roles, settings, beyond)
    if settings.separate_touching:
        is_judged = settings.judges_borders and len(shape) == 2
        SPLITTERS["borders" if is_judged else "watershed"](foreground, settings)
    canvas, runs, places, numbers = (
        foreground.canvas,
        foreground.runs,
        foreground.places,
        foreground.numbers,
    )
    labels = canvas.labels.reshape(-1)
    if settings.fill_holes:
        owners = np.zeros(numbers.size, np.int32)
        _find_owners(
            places, runs.lengths, foreground.pieces, numbers, labels, canvas.beside, owners
        )
        holes = np.where(numbers == 0, np.maximum(owners[foreground.pieces], 0), 0)
        paint(places, runs.lengths, holes, labels)
        numbers = numbers + holes
    highest = int(canvas.labels.max(initial=0))
    sizes, totals = np.zeros(highest + 1, np.int64), np.zeros(highest + 1, np.int64)
    _measure(
        runs.starts, runs.lengths, places, numbers, labels, background.reshape(-1), sizes, totals
    )
    kept = are_kept(sizes, totals, settings)
    if settings.drop_border_cells:
        for axis in range(len(shape)):
            for end in (0, -1):
                kept[np.take(canvas.inner_labels, end, axis=axis)] = False
    # 0 for those that are dropped, and -1 for those that are not yet met.
    order = -kept.astype(np.int32)
    _number_in_reading_order(
        runs.starts, runs.lengths, places, numbers, labels, order, found.reshape(-1)
    )
    return found


def are_kept(
    sizes: NDArray[np.int64], totals: NDArray[np.int64], settings: InstanceSettings
) -> NDArray[np.bool_]:
    """Whether cells are large and sure enough.

    Parameters
    ----------
    sizes : (N,) int64 array
        In pixels.
    totals : (N,) int64 array
        Sums of their background scores, as whole numbers.
    settings : InstanceSettings
    """
    kept: NDArray[np.bool_] = sizes >= max(1, settings.min_size_px)
    if settings.min_score > 0:
        kept &= totals <= (1 - settings.least_mean_score) * ONE * sizes
    return kept


@numba.njit(cache=True, nogil=True)
def _find_owners(
    places: Any, lengths: Any, pieces: Any, numbers: Any, labels: Any, beside: Any, owners: Any
) -> None:
    """Name the cell around each enclosed piece of background; OUTSIDE if it is not the only one."""
    # Background is connected by faces, cells by more: a hole is a piece that touches no border.
    for run in range(numbers.size):
        if numbers[run] != 0:
            continue
        piece = pieces[run]
        for place in range(places[run], places[run] + lengths[run]):
            if owners[piece] == OUTSIDE:
                break
            for step in beside:
                other = labels[place + step]
                if other != 0 and other != owners[piece]:
                    # The second one that it touches, and it is open.
                    owners[piece] = other if owners[piece] == 0 else OUTSIDE


@numba.njit(cache=True, nogil=True)
def _measure(
    starts: Any,
    lengths: Any,
    places: Any,
    numbers: Any,
    labels: Any,
    background: Any,
    sizes: Any,
    totals: Any,
) -> None:
    """Count the pixels of each number and sum up their background scores."""
    for run in range(numbers.size):
        if numbers[run] != 0:
            for i in range(lengths[run]):
                number = labels[places[run] + i]
                sizes[number] += 1
                totals[number] += whole(background[starts[run] + i])


@numba.njit(cache=True, nogil=True)
def _number_in_reading_order(
    starts: Any, lengths: Any, places: Any, numbers: Any, labels: Any, order: Any, found: Any
) -> None:
    """Write the cells that are kept as 1, 2, ... into an image of zeros."""
    count = 0
    for run in range(numbers.size):
        if numbers[run] != 0:
            for i in range(lengths[run]):
                number = labels[places[run] + i]
                if order[number] < 0:
                    count += 1
                    order[number] = count
                found[starts[run] + i] = order[number]


def mean_scores(
    scores: Scores, class_roles: Sequence[str], labels: LabelImage
) -> NDArray[np.float64]:
    """Score of each cell, as `min_score` has it without a calibration.

    Parameters
    ----------
    scores : (C, H, W) or (C, Z, H, W) float array
        Probability of each class role.
    class_roles : sequence of str
    labels : (H, W) or (Z, H, W) integer array
        Cells 1, 2, ... without gaps.

    Returns
    -------
    (N,) float64 array
        For each cell the mean over its pixels of 1 less the score of background.
    """
    numbers = labels.reshape(-1)
    background = scores[class_roles.index("background")].reshape(-1)
    totals = np.bincount(numbers, background)[1:]
    means: NDArray[np.float64] = 1 - totals / np.bincount(numbers)[1:]
    return means


# -- numbers that stay ---------------------------------------------------------------------------


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
    count = int(labels.max())
    # Numbers that leave no room for `count` new ones above them are not kept.
    largest = np.iinfo(np.int32).max - count
    if int(before.max()) > largest:
        before = np.where(before > largest, 0, before)
    highest = max(count, int(before.max()), min(above, largest))
    runs = CommonRuns.of(labels, before)
    numbers = _kept_numbers(runs, count)
    new = np.flatnonzero(numbers[1:] == 0) + 1
    numbers[new] = highest + 1 + np.arange(new.size)
    return np.repeat(numbers[runs.numbers[0]], runs.lengths).reshape(labels.shape)


def _kept_numbers(runs: CommonRuns, count: int) -> NDArray[np.int32]:
    """For each of `count` cells, from 1, the number of an earlier cell that it keeps, or 0."""
    cells, earlier = runs.numbers
    on_one = (cells > 0) & (earlier > 0)
    cells, earlier = cells[on_one], earlier[on_one]
    # Both are below 2^31.
    _, first, pair = np.unique((cells << 31) + earlier, return_index=True, return_inverse=True)
    shared_px = np.bincount(pair, runs.lengths[on_one])
    # Those that share most go first; of equal ones that which comes first in the image.
    order = first[np.lexsort((first, -shared_px))]
    numbers, taken = np.zeros(count + 1, np.int32), set()
    for cell, number in zip(cells[order].tolist(), earlier[order].tolist(), strict=True):
        if numbers[cell] == 0 and number not in taken:
            numbers[cell] = number
            taken.add(number)
    return numbers


def prepare_instances() -> None:
    """Compile what finds cells, a few seconds once, so that the first image need not wait."""
    cell = np.array([[0, 1, 0.6, 1, 0]], np.float32)
    settings = InstanceSettings(seed_threshold=0.8, min_seed_px=1, min_size_px=1)
    scores = np.stack([1 - cell, cell])
    instances_from_scores(scores, ("background", "cell"), settings)
    judging = replace(settings, border_test=BorderTest.joining_none())
    instances_from_scores(scores, ("background", "cell"), judging)


_SIZE_FACTORS = (0.25, 0.5, 2.0, 4.0)
"""Sizes are tried in proportion to what they are: cells have ten pixels or a million."""

_SEEDS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_TUNED: tuple[tuple[str, tuple[float, ...]], ...] = (
    ("min_score", (0.0, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8)),
    ("min_seed_px", _SIZE_FACTORS),
    ("min_size_px", _SIZE_FACTORS),
    ("seed_threshold", _SEEDS),
    ("foreground_threshold", (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)),
    ("judge_borders", (True, False)),
)
_TUNED_A_LITTLE: tuple[tuple[str, tuple[float, ...]], ...] = (
    ("judge_borders", (True, False)),
    ("foreground_threshold", (0.3, 0.35, 0.4, 0.5, 0.6)),
    ("min_size_px", (2.0, 4.0)),
)


def tune_instances(
    scored: Sequence[tuple[Scores, LabelImage]],
    class_roles: Sequence[str],
    quality: Callable[[LabelImage, LabelImage], Any],
    start: InstanceSettings | None = None,
    *,
    a_little: bool = False,
    together: Callable[[list[Any]], float] = fmean,
) -> InstanceSettings:
    """Choose the settings that segment a validation set best.

    Parameters
    ----------
    scored : sequence of (scores, truth)
        Scores of each validation image and its true labels.
    class_roles : sequence of str
    quality : callable
        (truth, prediction) -> number to be as high as possible in the mean, or
        whatever `together` takes.
    start : InstanceSettings, optional
    a_little : bool
        Only how far cells reach and how small they may be: for images that the
        network has learned from, on which it is surer than on others.
    together : callable
        What `quality` returned for each image, in their order -> number to be
        as high as possible: for what is no mean, such as pooled counts.

    Returns
    -------
    InstanceSettings
        The best of a coarse grid of thresholds, then of each setting by itself.
    """
    best = start or InstanceSettings()

    def whole_quality(settings: InstanceSettings) -> float:
        def image_quality(pair: tuple[Scores, LabelImage]) -> Any:
            scores, truth = pair
            return quality(truth, instances_from_scores(scores, class_roles, settings))

        with ThreadPoolExecutor() as pool:
            return together(list(pool.map(image_quality, scored)))

    if not a_little:
        grid = [
            replace(best, seed_threshold=seed, foreground_threshold=foreground)
            for seed, foreground in itertools.product(_SEEDS, (0.3, 0.4, 0.5, 0.6))
        ]
        best = max([best, *grid], key=whole_quality)
    # One at a time from here; the thresholds again, because they suit the others.
    for name, values in _TUNED_A_LITTLE if a_little else _TUNED:
        best = max([best, *(_changed(best, name, value) for value in values)], key=whole_quality)
    return best


def _changed(settings: InstanceSettings, name: str, value: float) -> InstanceSettings:
    if name.endswith("_px"):
        value = max(1, round(value * getattr(settings, name)))
    return replace(settings, **{name: value})  # type: ignore[arg-type]
