"""Links by distance, made by laptrack: what moved too far to overlap, or was missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from napari_unet.engine.base.errors import TrackingError
from napari_unet.engine.labels.tracking.appearances import Appearances

_MANY = 400
"""Open ends that laptrack is given at a time, if they can be told from the others."""

_EXTRA = "pip install 'napari-unet-cells[tracks]'"


def load_laptrack() -> Any:
    """Import laptrack.

    Raises
    ------
    TrackingError
        If it is not installed.
    """
    try:
        import laptrack
    except ImportError as error:
        raise TrackingError(
            "Cells are followed with the package laptrack, which is not installed; run "
            f'"{_EXTRA}" and start again.'
        ) from error
    return laptrack


def distance_links(
    appearances: Appearances,
    places: NDArray[np.float64],
    links: NDArray[np.int64],
    *,
    largest_move: float,
    longest_gap_frames: int,
) -> Iterator[NDArray[np.int64]]:
    """Link the ends that overlaps left open, by the smallest sum of squared distances.

    First each frame to the next one, then over gaps (Jaqaman et al. 2008).

    Parameters
    ----------
    appearances : Appearances
    places : (N, D) float array
        Centre of each entry, in pixels of the last axis.
    links : (M, 2) int64 array
        Entries that are linked already, the earlier one first.
    largest_move : float
        Farthest that two linked entries are apart, in the same unit.
    longest_gap_frames : int

    Yields
    ------
    (K, 2) int64 array
        Further links of one part after the other, the first of ends that have
        only each other. The parts have no end within reach of another's, so
        that together they are what laptrack makes of all at once.
    """
    frames = appearances.frames
    heads = np.setdiff1d(np.arange(frames.size), links[:, 1])
    tails = np.setdiff1d(np.arange(frames.size), links[:, 0])
    if not frames.size:
        return
    chain = _chains(frames.size, links)
    possible = _within_reach(frames, places, tails, heads, largest_move, longest_gap_frames)
    if not possible.size:
        return
    size = int(chain.max()) + 1
    ends = chain[possible]
    near = coo_array((np.ones(len(ends), np.int8), (ends[:, 0], ends[:, 1])), (size, size))
    _, group = connected_components(near, directed=False)
    group_of_pair = group[ends[:, 0]]
    # Two ends that have only each other need no choice.
    is_sure = np.bincount(group_of_pair)[group_of_pair] == 1
    yield possible[is_sure]
    tracker = _tracker(largest_move, longest_gap_frames)
    head_of, tail_of = np.zeros(size, np.int64), np.zeros(size, np.int64)
    head_of[chain[heads]], tail_of[chain[tails]] = heads, tails
    for chains in _parts(np.unique(ends[~is_sure]), group):
        yield _linked(tracker, frames, places, head_of[chains], tail_of[chains])


def _chains(size: int, links: NDArray[np.int64]) -> NDArray[np.int64]:
    table = coo_array((np.ones(len(links), np.int8), (links[:, 0], links[:, 1])), (size, size))
    return connected_components(table, directed=False)[1].astype(np.int64)


def _within_reach(
    frames: NDArray[np.int64],
    places: NDArray[np.float64],
    tails: NDArray[np.int64],
    heads: NDArray[np.int64],
    largest_move: float,
    longest_gap_frames: int,
) -> NDArray[np.int64]:
    """Pairs (N, 2) of a tail and a later head that may be linked."""
    found = [np.zeros((0, 2), np.int64)]
    trees: dict[int, tuple[NDArray[np.int64], cKDTree]] = {}
    for frame in np.unique(frames[heads]).tolist():
        own = heads[frames[heads] == frame]
        trees[frame] = (own, cKDTree(places[own]))
    for frame in np.unique(frames[tails]).tolist():
        own = tails[frames[tails] == frame]
        tree = cKDTree(places[own])
        for later in range(frame + 1, frame + longest_gap_frames + 2):
            if later in trees:
                others, other_tree = trees[later]
                near = tree.sparse_distance_matrix(
                    other_tree, largest_move, output_type="coo_matrix"
                )
                found.append(np.stack([own[near.row], others[near.col]], axis=1))
    return np.concatenate(found)


def _parts(chains: NDArray[np.int64], group: NDArray[np.int32]) -> Iterator[NDArray[np.int64]]:
    """Chains, with those of a group together, in parts of about `_MANY`."""
    ordered = chains[np.argsort(group[chains], kind="stable")]
    stops = np.flatnonzero(np.diff(group[ordered], append=-1)) + 1
    begin = 0
    for stop in stops.tolist():
        if stop - begin >= _MANY or stop == ordered.size:
            yield ordered[begin:stop]
            begin = stop


def _tracker(largest_move: float, longest_gap_frames: int) -> Any:
    # Beyond any real distance, however the last bits are rounded.
    cutoff = (largest_move * (1 + 1e-6)) ** 2
    worst = 1.05 * cutoff
    return load_laptrack().LapTrack(
        metric="sqeuclidean",
        cutoff=cutoff,
        gap_closing_metric="sqeuclidean",
        gap_closing_cutoff=cutoff if longest_gap_frames else False,
        gap_closing_max_frame_count=longest_gap_frames + 1,
        splitting_cutoff=False,
        merging_cutoff=False,
        # Left out, they would come from whatever else is in the frame. The two together are what
        # it costs not to link.
        track_start_cost=worst / 2,
        track_end_cost=worst / 2,
        segment_start_cost=worst,
        segment_end_cost=worst,
        no_splitting_cost=worst,
        no_merging_cost=worst,
    )


def _linked(
    tracker: Any,
    frames: NDArray[np.int64],
    places: NDArray[np.float64],
    heads: NDArray[np.int64],
    tails: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Links of laptrack between chains, of which it is given the ends alone."""
    entries = np.unique(np.concatenate([heads, tails]))
    first, last = int(frames[entries].min()), int(frames[entries].max())
    # Something that never moves, out of everything's reach: the smallest cost of a frame, which
    # laptrack adds to each link, is then always the same.
    post = places[entries].max(axis=0) + 1e3 * np.sqrt(tracker.cutoff)
    nodes = [entries[frames[entries] == frame] for frame in range(first, last + 1)]
    coordinates: Sequence[Any] = [np.vstack([post, places[own]]) for own in nodes]
    index = {entry: (at, row + 1) for at, own in enumerate(nodes) for row, entry in enumerate(own)}
    known = [
        (index[head], index[tail])
        for head, tail in zip(heads.tolist(), tails.tolist(), strict=True)
        if head != tail
    ]
    tree = tracker.predict(coordinates, connected_edges=known or None)
    are_known = set(known)
    made = [
        (nodes[earlier[0]][earlier[1] - 1], nodes[later[0]][later[1] - 1])
        for earlier, later in tree.edges()
        if earlier[1] and later[1] and (earlier, later) not in are_known
    ]
    return np.array(made, np.int64).reshape(-1, 2)
