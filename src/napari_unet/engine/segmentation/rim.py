"""Which cells of part of an image go on beyond it, so that more of the image must be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.engine.base.settings import InstanceSettings
from napari_unet.engine.images.image import LabelImage, Scores
from napari_unet.engine.networks.class_roles import as_cells
from napari_unet.engine.segmentation.borders.basins import REACH_PX
from napari_unet.engine.segmentation.instances import instances_from_scores

Side: TypeAlias = tuple[int, int]
"""Spatial axis, and the end of it: 0 or -1."""

_ABOVE_ALL_SCORES = 2.0


def cut_sides(
    scores: Scores,
    class_roles: Sequence[str],
    settings: InstanceSettings,
    *,
    sides: Sequence[Side],
    wanted: Sequence[NDArray[np.intp]],
) -> tuple[Side, ...]:
    """Say where part of an image must grow before its cells are those of the whole.

    Parameters
    ----------
    scores : (C, *box) float array
        Of the part.
    class_roles : sequence of str
    settings : InstanceSettings
    sides : sequence of Side
        Where the image goes on beyond the part.
    wanted : one int array for each spatial axis
        Pixels of the part whose cells are asked for.

    Returns
    -------
    tuple of Side
        Sides at which a cell that is asked for goes on, or all of them if what
        lies beyond could change such a cell; () if the cells are those that
        the whole image would give. Not noticed is that what is asked for lies
        in the hole of a cell which goes around all of the part: to look for
        one from an empty place would mean to look through the whole image.
    """
    if not sides:
        return ()
    scores, class_roles = as_cells(scores, class_roles)
    # What a filter drops in the part it may keep in the whole.
    bare = replace(settings, min_size_px=0, min_score=0.0, drop_border_cells=False)
    found = instances_from_scores(scores, class_roles, bare)
    inside = np.ix_(*wanted)
    is_wanted = np.zeros(int(found.max(initial=0)) + 1, bool)
    is_wanted[found[inside]] = True
    is_wanted[0] = False
    cut = tuple(side for side in sides if is_wanted[_end(found, side)].any())
    if cut:
        return cut
    is_planar = found.ndim == 2
    contested = _is_judged_otherwise if settings.judges_borders and is_planar else _is_contested
    depends = (
        settings.separate_touching
        and is_wanted.any()
        and contested(scores, class_roles, bare, sides, is_wanted[found])
    ) or (settings.fill_holes and _may_be_hole(found, sides, inside))
    return tuple(sides) if depends else ()


def _end(array: NDArray[Any], side: Side) -> NDArray[Any]:
    end: NDArray[Any] = np.take(array, side[1], axis=side[0])
    return end


def _is_contested(
    scores: Scores,
    class_roles: Sequence[str],
    settings: InstanceSettings,
    sides: Sequence[Side],
    is_wanted: NDArray[np.bool_],
) -> bool:
    """Whether cells beyond the sides could take pixels of those that are wanted.

    They can where scores are equal. No seed beyond comes in on a better way than
    one that lies on the side itself and is better than all; and where another
    could have the lower label of two, that one has, which begins as early in
    reading order as its side. If it leaves the wanted cells whole, each of the
    others does.
    """
    widths = [[0, 0] for _ in is_wanted.shape]
    for axis, end in sides:
        side_px = is_wanted.size // is_wanted.shape[axis]
        # Thick enough to be a seed.
        widths[axis][end] = 1 + settings.min_seed_px // side_px
    shape = [low + n + high for (low, high), n in zip(widths, is_wanted.shape, strict=True)]
    inner = tuple(slice(low, low + n) for (low, _), n in zip(widths, is_wanted.shape, strict=True))
    surrounded = np.zeros((len(class_roles), *shape), np.float32)
    surrounded[class_roles.index("cell")] = _ABOVE_ALL_SCORES
    surrounded[(slice(None), *inner)] = scores
    found = instances_from_scores(surrounded, class_roles, settings)
    from_beyond = np.zeros(int(found.max()) + 1, bool)
    for side in sides:
        from_beyond[_end(found, side)] = True
    from_beyond[0] = False
    return bool((from_beyond[found[inner]] & is_wanted).any())


def _is_judged_otherwise(
    scores: Scores,
    class_roles: Sequence[str],
    settings: InstanceSettings,
    sides: Sequence[Side],
    is_wanted: NDArray[np.bool_],
) -> bool:
    """Whether what lies beyond the sides could change a wanted cell or one that touches it.

    What lies within `REACH_PX` of a side, or could belong to a seed that is too
    small without what lies beyond, is given to one cell that takes what it can
    reach. If that leaves the wanted
    cells and their neighbours whole, so that all of their borders measure the
    same, each of the others does.
    """
    found = instances_from_scores(scores, class_roles, settings)
    beyond = np.zeros(found.shape, np.bool_)
    for axis, end in sides:
        width = max(REACH_PX, settings.min_seed_px)
        strip = slice(None, width) if end == 0 else slice(-width, None)
        np.moveaxis(beyond, axis, 0)[strip] = True
    around = ndimage.binary_dilation(is_wanted) & (found > 0)
    counts = np.zeros(int(found.max()) + 1, np.bool_)
    counts[found[around]] = True
    looked_at = counts[found]
    if (looked_at & beyond).any():
        return True
    other = instances_from_scores(scores, class_roles, settings, beyond=beyond)
    # Of both images: whether each number of the one goes with one number of the other.
    pairs = np.unique(np.stack([found[looked_at], other[looked_at]]), axis=1)
    is_split = np.unique(pairs[0]).size < pairs.shape[1]
    goes_on = np.isin(other, pairs[1]) & ~looked_at
    is_joined = np.unique(pairs[1]).size < pairs.shape[1]
    return bool(is_split or is_joined or goes_on.any())


def _may_be_hole(found: LabelImage, sides: Sequence[Side], inside: tuple[Any, ...]) -> bool:
    """Whether wanted background could be a hole of a cell that goes around it outside.

    A cell that ends in the part does not go around; nor does anything where
    the background reaches the image's border.
    """
    pieces, _ = ndimage.label(found == 0)  # connected by faces, as holes are
    at_sides = [np.unique(_end(pieces, side)) for side in sides]
    every = ((axis, end) for axis in range(found.ndim) for end in (0, -1))
    at_border = [np.unique(_end(pieces, side)) for side in every if side not in sides]
    going_on = np.intersect1d(pieces[inside], np.concatenate(at_sides))
    cut_cells = np.concatenate([np.unique(_end(found, side)) for side in sides])
    for piece in np.setdiff1d(going_on, np.concatenate([[0], *at_border])):
        beside = found[ndimage.binary_dilation(pieces == piece)]
        beside = beside[beside > 0]
        if beside.size and np.isin(beside, cut_cells).all():
            return True
    return False
