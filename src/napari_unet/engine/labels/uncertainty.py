"""Where the network is least certain: that is where it errs most, and where to annotate next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import block_reduce

from napari_unet.engine.base.errors import ImageShapeError, SettingsError
from napari_unet.engine.base.regions import Region
from napari_unet.engine.images.image import LabelImage, Scores
from napari_unet.engine.networks.class_roles import CELL, as_cells
from napari_unet.engine.weight_map.weight_map import boundary_weight_map, check_labels

UncertaintyKind: TypeAlias = Literal["unsure", "unstable", "gap"]

_WINDOW_CELLS = 4.0
"""Median cells along a side of a window."""

_SMALLEST_WINDOW_PX, _USUAL_WINDOW_PX, _LARGEST_WINDOW_PX = 48, 128, 256
_BLOCKS = 4
"""A window is made of so many blocks along each axis, and starts at one."""

# Chosen on 73 test images of the 2018 Data Science Bowl and the bundled model: the windows that
# come first, 19 % of the image, hold 61 % of the wrong pixels (benchmarks/retraining.py).
_EDGE_PX = 2
"""Scores change within so many pixels on either side of any edge; that is no uncertainty."""

_GAP_SIGMA_PX = 2.0
_UNSTABLE, _GAP = 2.0, 30.0
"""Weights beside that of being unsure."""

_LEAST_UNCERTAINTY = 1e-3
_TIE = 1e-6
_LEAST_PART = 0.15
"""A smaller share of a window's uncertainty is not its reason."""


@dataclass(frozen=True, slots=True)
class UncertainRegion:
    """A window in which the network is uncertain.

    Parameters
    ----------
    centre : tuple of float
        In pixels.
    box : tuple of slices
    uncertainty : float
        Weighed mean over the window; 0 for none, 1 where it knows nothing.
    kind : {"unsure", "unstable", "gap"}
        What it has more of than other windows: scores near each other, scores that differ for
        the mirrored image, or narrow gaps between cells.
    reason : str
        The same in one sentence.
    """

    centre: tuple[float, ...]
    box: Region
    uncertainty: float
    kind: UncertaintyKind
    reason: str

    @property
    def doubt(self) -> float:
        """Former name of `uncertainty`."""
        return self.uncertainty


def rank_uncertainty(
    scores: Scores,
    class_roles: Sequence[str],
    labels: LabelImage | None = None,
    *,
    reviewed: NDArray[np.bool_] | None = None,
    flipped_scores: Scores | None = None,
    count: int = 20,
    window_px: int | None = None,
) -> tuple[UncertainRegion, ...]:
    """Say where to annotate next: the windows in which the network is least certain.

    Parameters
    ----------
    scores : (C, H, W) or (C, Z, H, W) float array
        Probability of each class role, as `segment` returns them.
    class_roles : sequence of str
    labels : integer array of the image's shape, optional
        Cells made of these scores; with them narrow gaps count.
    reviewed : bool array of the image's shape, optional
        What a person has looked at already; there nothing is uncertain.
    flipped_scores : float array of the shape of `scores`, optional
        Those for mirrored images, or their mean, brought back to the image.
    count : int
        Windows at most.
    window_px : int, optional
        Side of a window; without it about four cells.

    Returns
    -------
    tuple of UncertainRegion
        The least certain first; they do not overlap. Fewer than `count` where
        the rest is clear.

    Raises
    ------
    ImageShapeError
        If the shapes do not fit.
    SettingsError
        If `count` or `window_px` is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_unet import rank_uncertainty
    >>> cell = np.zeros((64, 64), np.float32)
    >>> cell[40:60, 40:60] = 0.5
    >>> scores = np.stack([1 - cell, cell])
    >>> region = rank_uncertainty(scores, ("background", "cell"), window_px=32)[0]
    >>> region.box, region.kind
    ((slice(32, 64, None), slice(32, 64, None)), 'unsure')
    """
    _check(scores, class_roles, labels, reviewed, flipped_scores)
    if flipped_scores is not None:
        flipped_scores, _ = as_cells(flipped_scores, class_roles)
    scores, class_roles = as_cells(scores, class_roles)
    for name, value in (("count", count), ("window_px", window_px)):
        if value is not None and value < 1:
            raise SettingsError(f"{name} is {value}; use 1 or more.")
    shape = scores.shape[1:]
    if not all(shape):
        return ()
    grid = _Grid.of(shape, window_px or _usual_window_px(labels))
    sums = []
    for uncertainty in _uncertainties(scores, class_roles, labels, flipped_scores):
        if reviewed is not None:
            uncertainty[reviewed] = 0
        sums.append(grid.window_sums(uncertainty) / grid.window_size)
    best = _best(sums, grid, count)
    return tuple(sorted(best, key=lambda region: -region.uncertainty))


def _check(
    scores: Scores,
    class_roles: Sequence[str],
    labels: LabelImage | None,
    reviewed: NDArray[np.bool_] | None,
    flipped_scores: Scores | None,
) -> None:
    if scores.ndim not in (3, 4) or scores.shape[0] != len(class_roles) or len(class_roles) < 2:
        raise ImageShapeError(
            f"The scores have shape {scores.shape}, with {len(class_roles)} classes; give "
            "(C, H, W) or (C, Z, H, W) with two or more classes."
        )
    for name, array, shape in (
        ("labels", labels, scores.shape[1:]),
        ("reviewed pixels", reviewed, scores.shape[1:]),
        ("scores of mirrored images", flipped_scores, scores.shape),
    ):
        if array is not None and array.shape != shape:
            raise ImageShapeError(
                f"The {name} have shape {array.shape}, expected {shape}; give those of the same "
                "image."
            )


# -- uncertainty of each pixel -------------------------------------------------------------------


def _uncertainties(
    scores: Scores,
    class_roles: Sequence[str],
    labels: LabelImage | None,
    flipped_scores: Scores | None,
) -> Iterator[NDArray[np.float32]]:
    """Uncertainty of each pixel: of being unsure, of being unstable and of gaps."""
    yield pixel_uncertainty(scores)
    if flipped_scores is None:
        yield np.zeros(scores.shape[1:], np.float32)
    else:
        yield _UNSTABLE * _difference(scores, flipped_scores)
    if labels is None or CELL not in class_roles:
        yield np.zeros(scores.shape[1:], np.float32)
    else:
        yield _GAP * _gap_uncertainty(scores[list(class_roles).index(CELL)], labels)


def pixel_uncertainty(scores: Scores) -> NDArray[np.float32]:
    """How unsure a network is at each pixel, but at the edges of cells, where it always is.

    Parameters
    ----------
    scores : (C, H, W) or (C, Z, H, W) float array

    Returns
    -------
    float32 array of the image's shape
        0 where it is sure, 1 where the two best classes have the same score.
    """
    return _beyond_edges(_nearness(scores))


def _nearness(scores: Scores) -> NDArray[np.float32]:
    """How near the two best scores are: 1 for equal ones, 0 for a clear decision."""
    first = np.maximum(scores[0], scores[1])
    second = np.minimum(scores[0], scores[1])
    for each in scores[2:]:
        second = np.maximum(second, np.minimum(first, each))
        first = np.maximum(first, each)
    first -= second
    nearness: NDArray[np.float32] = np.clip(1 - first, 0, 1, dtype=np.float32)
    return nearness


def _difference(scores: Scores, flipped_scores: Scores) -> NDArray[np.float32]:
    """Largest difference of any class."""
    largest = np.zeros(scores.shape[1:], np.float32)
    for each, flipped in zip(scores, flipped_scores, strict=True):
        np.maximum(largest, np.abs(each - flipped), out=largest)
    return largest


def _beyond_edges(uncertainty: NDArray[np.float32]) -> NDArray[np.float32]:
    """Keep what covers more than the edge of a cell: the least one around each pixel."""
    # Five times as fast as scipy.ndimage.minimum_filter, with the same result.
    least = uncertainty
    for axis in (-2, -1):
        around, least = np.moveaxis(least, axis, 0), least.copy()
        found = np.moveaxis(least, axis, 0)
        for step in range(1, _EDGE_PX + 1):
            np.minimum(found[step:], around[:-step], out=found[step:])
            np.minimum(found[:-step], around[step:], out=found[:-step])
    return least


def _gap_uncertainty(cell: NDArray[np.float32], labels: LabelImage) -> NDArray[np.float32]:
    """Weigh the gaps between cells by how near the network is to joining them."""
    # Of the map only the boundary term is left: what lies below is taken off.
    gaps = boundary_weight_map(
        check_labels(labels), w0=1.0, border_sigma_px=_GAP_SIGMA_PX, class_balance=False
    )
    gaps -= 1
    gaps *= cell
    return gaps


# -- windows -------------------------------------------------------------------------------------


def _usual_window_px(labels: LabelImage | None) -> int:
    if labels is None:
        return _USUAL_WINDOW_PX
    areas = np.bincount(check_labels(labels).reshape(-1))[1:]
    areas = areas[areas > 0]
    if not areas.size:
        return _USUAL_WINDOW_PX
    side = _WINDOW_CELLS * float(np.median(areas)) ** (1 / labels.ndim)
    return int(np.clip(round(side), _SMALLEST_WINDOW_PX, _LARGEST_WINDOW_PX))


@dataclass(frozen=True, slots=True)
class _Grid:
    """An image cut into blocks, and windows of several blocks; all by axis."""

    shape: tuple[int, ...]
    block: tuple[int, ...]
    blocks: tuple[int, ...]

    @classmethod
    def of(cls, shape: tuple[int, ...], window_px: int) -> _Grid:
        windows = [min(window_px, n) for n in shape]
        block = tuple(-(-window // _BLOCKS) for window in windows)
        blocks = tuple(-(-window // size) for window, size in zip(windows, block, strict=True))
        return cls(shape, block, blocks)

    @property
    def window_size(self) -> int:
        """Pixels of a window."""
        return int(np.prod(np.multiply(self.block, self.blocks)))

    def window_sums(self, image: NDArray[np.float32]) -> NDArray[np.float64]:
        """Sum of the pixels of each window, by its first block along each axis."""
        blocks = block_reduce(image, self.block, np.sum, func_kwargs={"dtype": np.float64})
        size = tuple(map(min, self.blocks, blocks.shape))
        windows = sliding_window_view(blocks, size)
        sums: NDArray[np.float64] = windows.sum(axis=tuple(range(-len(size), 0)))
        return sums

    def box(self, window: Sequence[int]) -> Region:
        """Pixels of a window."""
        return tuple(
            slice(int(first * block), int(min(n, (first + blocks) * block)))
            for first, block, blocks, n in zip(
                window, self.block, self.blocks, self.shape, strict=True
            )
        )


def _best(sums: list[NDArray[np.float64]], grid: _Grid, count: int) -> Iterator[UncertainRegion]:
    """Take the least certain window, then the next that does not overlap it, and so on."""
    total = np.sum(sums, axis=0)
    # Of windows around one place the middle one, which has the others on both sides.
    left = total + _TIE * ndimage.uniform_filter(total, 3, mode="nearest")
    usual = [float(each.mean()) or 1.0 for each in sums]
    for _ in range(count):
        window = np.unravel_index(int(np.argmax(left)), left.shape)
        if left[window] < 0 or total[window] < _LEAST_UNCERTAINTY:
            return
        box = grid.box([int(first) for first in window])
        kind = _kind([float(each[window]) for each in sums], usual)
        yield UncertainRegion(
            tuple((part.start + part.stop - 1) / 2 for part in box),
            box,
            float(min(1.0, total[window])),
            kind,
            _REASONS[kind],
        )
        near = tuple(
            slice(max(0, first - blocks + 1), first + blocks)
            for first, blocks in zip(window, grid.blocks, strict=True)
        )
        left[near] = -1


def _kind(parts: list[float], usual: list[float]) -> UncertaintyKind:
    """Of what counts in a window, name what it has more of than other windows."""
    excess = [
        part / mean if part >= _LEAST_PART * sum(parts) else 0.0
        for part, mean in zip(parts, usual, strict=True)
    ]
    return _KINDS[int(np.argmax(excess))]


_KINDS: tuple[UncertaintyKind, ...] = ("unsure", "unstable", "gap")
_REASONS: dict[UncertaintyKind, str] = {
    "unsure": "The network can hardly tell cell from background here.",
    "unstable": "The network sees other cells here when the image is mirrored.",
    "gap": "Cells lie close together here and the network would almost join them.",
}

rank_doubt = rank_uncertainty
"""Its name in version 0.1.0."""
