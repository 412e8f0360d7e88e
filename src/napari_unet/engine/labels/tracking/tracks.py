"""Tracks: which cells of a time series are one and the same, and which are daughters of which."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.images.image import AnyImage, LabelImage
from napari_unet.engine.images.label_numbers import whole_numbers
from napari_unet.engine.labels.runs import run_starts
from napari_unet.engine.labels.tracking.appearances import Appearances


@dataclass(frozen=True, slots=True, eq=False)
class Tracks:
    """The cells of a time series, each with the number of its track."""

    appearances: Appearances
    numbers: NDArray[np.int64]
    """(N,) int64. Track of each entry of `appearances`: 1, 2, ... in the order of their begin;
    after `keeping`, those of before."""
    parents: Mapping[int, int]
    """For each daughter the track that she came from, which ends in the frame before."""
    largest_move_px: float
    """What `TrackingSettings.largest_move_px` was or came to; NaN without cells."""

    @property
    def count(self) -> int:
        """Number of tracks."""
        return int(np.unique(self.numbers).size)

    @property
    def frame_count(self) -> int:
        """Number of frames."""
        return self.appearances.frame_starts.size - 1

    @property
    def division_count(self) -> int:
        """Number of cells that divide."""
        return len(set(self.parents.values()))

    @property
    def cells_per_frame(self) -> NDArray[np.int64]:
        """(T,) int64. Number of cells in each frame."""
        counts: NDArray[np.int64] = np.diff(self.appearances.frame_starts)
        return counts

    def lives(self) -> dict[str, NDArray[np.int64]]:
        """A row for each track.

        Returns
        -------
        dict of str to (tracks,) int64 array
            "track"; "first_frame" and "last_frame", from 0; "frames" in which
            the cell is there; "parent", 0 for none.
        """
        order = np.argsort(self.numbers, kind="stable")
        tracks, begins, lengths = np.unique(
            self.numbers[order], return_index=True, return_counts=True
        )
        frames = self.appearances.frames[order]
        return {
            "track": tracks,
            "first_frame": frames[begins],
            "last_frame": frames[begins + lengths - 1],
            "frames": lengths,
            "parent": np.array([self.parents.get(each, 0) for each in tracks.tolist()], np.int64),
        }

    def table(self) -> dict[str, NDArray[Any]]:
        """A row for each cell in each frame, by track and then by frame.

        Returns
        -------
        dict of str to (N,) array
            "track"; "frame", from 0; "z" (of volumes), "y" and "x", the centroid
            in pixels; "label" in the labels that were tracked; "area_px"
            ("volume_px"); "parent", 0 for none.
        """
        appearances = self.appearances
        order = np.lexsort((appearances.frames, self.numbers))
        names = ("z", "y", "x")[-appearances.centres.shape[1] :]
        tracks = self.numbers[order]
        lives = self.lives()
        parents = lives["parent"][np.searchsorted(lives["track"], tracks)]
        return {
            "track": tracks,
            "frame": appearances.frames[order],
            **{name: appearances.centres[order, axis] for axis, name in enumerate(names)},
            "label": appearances.labels[order],
            "area_px" if len(names) == 2 else "volume_px": appearances.areas[order],
            "parent": parents,
        }

    def keeping(self, before: NDArray[np.int64], *, above: int = 0) -> Tracks:
        """Number tracks as before, as far as they are the same ones.

        A track gets the number that most of its cells had, and of several such
        tracks the one that shares the most cells; the others get new numbers.

        Parameters
        ----------
        before : (N,) int64 array
            The track that each entry of `appearances` was in; 0 for none.
        above : int
            Beyond it and beyond all of `before` new numbers begin.
        """
        known = before > 0
        pairs, shared = np.unique(
            np.stack([self.numbers[known], before[known]], axis=1), axis=0, return_counts=True
        )
        number: dict[int, int] = {}
        taken: set[int] = set()
        for at in np.argsort(-shared, kind="stable").tolist():
            new, old = map(int, pairs[at])
            if new not in number and old not in taken:
                number[new] = old
                taken.add(old)
        beyond = max(above, int(before.max(initial=0)))
        for new in np.unique(self.numbers).tolist():
            if new not in number:
                beyond += 1
                number[new] = beyond
        numbers = np.array([number[each] for each in self.numbers.tolist()], np.int64)
        parents = {number[child]: number[parent] for child, parent in self.parents.items()}
        return replace(self, numbers=numbers, parents=dict(sorted(parents.items())))

    def numbers_of(self, appearances: Appearances) -> NDArray[np.int64]:
        """Find the track of each cell in labels that were edited since; 0 for those that are new.

        Parameters
        ----------
        appearances : Appearances
            Of the edited labels: the same cell has the same label in the same frame.

        Returns
        -------
        (M,) int64 array
        """
        found = np.zeros(appearances.labels.size, np.int64)
        frames = min(self.frame_count, appearances.frame_starts.size - 1)
        for frame in range(frames):
            own, other = self.appearances.of_frame(frame), appearances.of_frame(frame)
            known, asked = self.appearances.labels[own], appearances.labels[other]
            if known.size:
                at = np.minimum(np.searchsorted(known, asked), known.size - 1)
                found[other] = np.where(known[at] == asked, self.numbers[own][at], 0)
        return found

    def relabelled(self, stack: AnyImage) -> Iterator[LabelImage]:
        """Number the cells of each frame by their tracks, so that each keeps its number.

        Parameters
        ----------
        stack : (T, H, W) or (T, Z, H, W) integer array
            The labels that were tracked.

        Yields
        ------
        (H, W) or (Z, H, W) int32 array
            One frame after the other.
        """
        for at, frame in enumerate(stack):
            labels = whole_numbers(np.asarray(frame))
            entries = self.appearances.of_frame(at)
            yield renumbered(labels, self.appearances.labels[entries], self.numbers[entries])


def renumbered(
    labels: LabelImage, old: NDArray[np.int64], new: NDArray[np.int64]
) -> NDArray[np.int32]:
    """Give cells other numbers; what is not in `old`, which ascends, becomes background."""
    starts = run_starts(labels)
    numbers = labels.reshape(-1)[starts].astype(np.int64)
    if not old.size:
        return np.zeros(labels.shape, np.int32)
    at = np.minimum(np.searchsorted(old, numbers), old.size - 1)
    values = np.where(old[at] == numbers, new[at], 0).astype(np.int32)
    return np.repeat(values, np.diff(starts, append=labels.size)).reshape(labels.shape)


def joined(
    appearances: Appearances,
    links: NDArray[np.int64],
    divisions: NDArray[np.int64],
    *,
    largest_move_px: float,
) -> Tracks:
    """Make tracks of links.

    Parameters
    ----------
    appearances : Appearances
    links : (M, 2) int64 array
        Entries of the same cell, or of a parent and her first daughter.
    divisions : (K, 2) int64 array
        As `find_divisions` returns them.
    largest_move_px : float
    """
    before = np.full(appearances.labels.size, -1)
    before[links[:, 1]] = links[:, 0]
    divides = np.zeros(before.size, np.bool_)
    divides[divisions[:, 0]] = True
    numbers = np.zeros(before.size, np.int64)
    used = 0
    for frame in range(appearances.frame_starts.size - 1):
        own = appearances.of_frame(frame)
        earlier = before[own]
        begins = (earlier < 0) | divides[earlier]
        numbers[own] = np.where(begins, 0, numbers[earlier])
        numbers[own][begins] = used + 1 + np.arange(begins.sum())
        used += int(begins.sum())
    first = np.flatnonzero((before >= 0) & divides[before])
    pairs = [*zip(before[first], first, strict=True), *divisions.tolist()]
    parents = {int(numbers[child]): int(numbers[parent]) for parent, child in pairs}
    return Tracks(appearances, numbers, dict(sorted(parents.items())), largest_move_px)
