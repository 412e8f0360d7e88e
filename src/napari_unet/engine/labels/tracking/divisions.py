"""Which cells are daughters: two alike ones on either side of where one was."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from napari_unet.engine.labels.tracking.appearances import Appearances
from napari_unet.engine.labels.tracking.matching import best_pairs

_LEAST_ALIKE = 0.5
"""Size of the smaller daughter, divided by that of the larger one."""

_FARTHEST_OFF = 0.25
"""From the parent's middle to the point halfway between the daughters, by their distance."""


def find_divisions(
    appearances: Appearances,
    places: NDArray[np.float64],
    links: NDArray[np.int64],
    *,
    largest_move: float,
) -> NDArray[np.int64]:
    """Find the cells that begin as daughters of a cell that goes on.

    Both daughters are no larger than the parent was, the smaller one is at
    least half as large as the other, and the point halfway between them is
    nearer to the parent's middle than a quarter of their distance. What is
    there in one frame alone is taken for an error of the labels. Of several
    possible parents it is the one nearest to that point, by that distance.

    Parameters
    ----------
    appearances, places, links, largest_move
        As for `distance_links`; all links.

    Returns
    -------
    (N, 2) int64 array
        Entry of the parent in its last frame, and of the second daughter, which
        is in the next frame. The first daughter is linked to the parent.
    """
    frames = appearances.frames
    after, before = np.full(frames.size, -1), np.full(frames.size, -1)
    after[links[:, 0]], before[links[:, 1]] = links[:, 1], links[:, 0]
    is_followed = after >= 0
    is_parent = np.zeros(frames.size, np.bool_)
    is_parent[is_followed] = frames[after[is_followed]] == frames[is_followed] + 1
    lives_on = is_followed | (frames == appearances.frame_starts.size - 2)
    is_new = (before < 0) & lives_on & (frames > 0)
    found = [np.zeros((0, 2), np.int64)]
    for frame in np.unique(frames[is_new]).tolist():
        here, there = appearances.of_frame(frame), appearances.of_frame(frame - 1)
        new = here.start + np.flatnonzero(is_new[here])
        parents = there.start + np.flatnonzero(is_parent[there])
        near = cKDTree(places[parents]).sparse_distance_matrix(
            cKDTree(places[new]), largest_move, output_type="coo_matrix"
        )
        parent, second = parents[near.row], new[near.col]
        lives = lives_on[after[parent]]
        parent, second = parent[lives], second[lives]
        off = _off_the_middle(appearances.areas, places, parent, after[parent], second)
        likely = off <= _FARTHEST_OFF
        pairs = np.stack([parent, second], axis=1)[likely]
        found.append(pairs[best_pairs(pairs[:, 0], pairs[:, 1], 1 - off[likely])])
    return np.concatenate(found)


def _off_the_middle(
    areas: NDArray[np.int64],
    places: NDArray[np.float64],
    parent: NDArray[np.int64],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
) -> NDArray[np.float64]:
    """How far parents are from halfway between daughters, by the distance of these.

    Infinitely far where the sizes are not those of a parent and her daughters.
    """
    sizes = np.sort(areas[np.stack([first, second])], axis=0)
    fits = (sizes[0] >= _LEAST_ALIKE * sizes[1]) & (sizes[1] <= areas[parent])
    off = np.linalg.norm((places[first] + places[second]) / 2 - places[parent], axis=1)
    apart = np.linalg.norm(places[first] - places[second], axis=1)
    return np.where(fits & (apart > 0), off / np.maximum(apart, np.finfo(float).tiny), np.inf)
