"""The array behind a layer of cells: filled plane by plane, never over what a person painted."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.regions import Region, shared, sizes, whole, within
from napari_unet.engine.base.settings import InstanceSettings
from napari_unet.engine.images.image import LabelImage, PlaneIndex, plane_key
from napari_unet.engine.labels.checksums import STRIP_ROWS, Checksums, checksum, strips_of
from napari_unet.engine.labels.runs import LabelRuns
from napari_unet.engine.segmentation.instances import keep_numbers

if TYPE_CHECKING:
    from napari_unet.engine.segmentation.planes import PlaneScores

_PREVIEW_MARGIN_PX = 32


class LabelCanvas:
    """Labels that grow while they are looked at.

    A worker writes, the window reads; `close` lets no write through any more.
    Nothing is written where anyone else wrote in the meantime.

    Parameters
    ----------
    array : integer array
        The layer's own memory; it is written in place.
    checksums : mapping, optional
        Of the planes as they were last written. A plane that differs was
        edited, and so was one without a checksum that is not empty.

    Attributes
    ----------
    planes_finished : int
        How many have all their cells.
    predictions : dict of str to LabelRuns
        Each plane that was finished here, by `plane_key`, as it was then.
    """

    def __init__(
        self, array: LabelImage, checksums: Mapping[str, Sequence[int]] | None = None
    ) -> None:
        self.array = array
        self.planes_finished = 0
        self.predictions: dict[str, LabelRuns] = {}
        self._checksums: Checksums = {k: list(v) for k, v in (checksums or {}).items()}
        self._lock = threading.Lock()
        self._is_open = True
        self._begun: PlaneIndex | None = None
        self._before: LabelImage | None = None
        self._checksums_before: list[int] = []
        self._highest: int | None = None
        self._reached_in: NDArray[Any] | None = None

    @property
    def is_begun(self) -> bool:
        """Whether any plane was begun."""
        return self._begun is not None or self.planes_finished > 0

    @property
    def is_empty(self) -> bool:
        """Whether no plane has all its cells, and the one that was begun has none."""
        begun = self._begun
        return not self.planes_finished and (begun is None or not self.array[begun].any())

    @property
    def checksums(self) -> Checksums:
        """What `__init__` takes, of the planes as they are now."""
        return {key: list(strips) for key, strips in self._checksums.items()}

    def is_edited(self, index: PlaneIndex) -> bool:
        """Whether anyone else changed a plane since it was written here; reads all of it."""
        plane = self.array[index]
        return self._differs(index, range(len(strips_of(plane))))

    def begin(self, index: PlaneIndex) -> None:
        """Remember a plane as it is, so that `close` can put it back."""
        plane = self.array[index]
        before = plane.copy() if plane.any() else None
        with self._lock:
            self._begun, self._before = index, before
            self._checksums_before = list(self._checksums.get(plane_key(index), []))

    def preview(
        self, index: PlaneIndex, plane: PlaneScores, area: Region, instances: InstanceSettings
    ) -> bool:
        """Write the cells of part of a plane, as far as the scores around it tell.

        Parameters
        ----------
        area : tuple of slice
            What is written, in pixels of the plane.

        Returns
        -------
        bool
            False if someone else wrote there: it is left alone.
        """
        if plane.wanted is not None:
            area = shared(area, plane.wanted)
            if self._reached_in is None:
                self._note_reached(self.array[index][plane.wanted])
        if 0 in sizes(area):
            return True
        around = plane.part(area, margin_px=_PREVIEW_MARGIN_PX)
        # The part's edge is not the image's.
        found = around.labels(replace(instances, drop_border_cells=False))
        numbers = found
        if not plane.gives_classes:
            numbers = self._numbered_as(self.array[index][around.area], found)
        return self._put(index, area, numbers[within(area, around.area)])

    def finish(
        self, index: PlaneIndex, plane: PlaneScores, labels: LabelImage, *, keeps_numbers: bool
    ) -> bool:
        """Write all cells of a plane, or of the region of it that is wanted.

        Parameters
        ----------
        labels : integer array
            Cells of `plane.area`.
        keeps_numbers : bool
            Give cells the numbers of those that they lie on, so that their
            colours stay; others get new ones. Numbers of classes are as they are.

        Returns
        -------
        bool
            False if someone else wrote there: it is left alone.
        """
        here = self.array[index]
        area = plane.area
        if plane.gives_classes:
            keeps_numbers = False
        if keeps_numbers:
            labels = _from_one(labels)
        if plane.gives_classes and plane.wanted is not None:
            part = shared(area, plane.wanted)
            is_written = self._put(index, part, labels[within(part, area)])
        elif plane.wanted is None:
            numbers = self._numbered_as(here[area], labels) if keeps_numbers else labels
            is_written = self._put(index, area, numbers)
        else:
            # Cells that reach into the region give way to what is found there now. A preview may
            # have wiped the part inside of one that is no longer found.
            reached_in = self._note_reached(here[plane.wanted])
            gone = np.zeros(max(int(here.max(initial=0)), int(reached_in.max(initial=0))) + 1, bool)
            gone[reached_in] = True
            replaced = gone[here] & (here > 0)
            labels_now = np.where(replaced, 0, here)
            numbers = self._numbered_as(np.where(replaced, here, 0)[area], labels)
            labels_now[area] = np.where(labels_now[area] == 0, numbers, labels_now[area])
            is_written = self._put(index, whole(here.shape), labels_now)
        if is_written:
            self.predictions[plane_key(index)] = LabelRuns.of(here)
            self._end_plane(labels)
        return is_written

    def _end_plane(self, labels: LabelImage) -> None:
        with self._lock:
            self._begun = self._before = self._reached_in = None
            self.planes_finished += self._is_open
        if self._highest is not None:
            self._highest = max(self._highest, int(labels.max(initial=0)))

    def _note_reached(self, inside: LabelImage) -> NDArray[Any]:
        """Numbers of the cells that reach into the region that is wanted, or did before."""
        numbers = np.flatnonzero(np.bincount(inside[inside > 0]))
        if self._reached_in is not None:
            numbers = np.union1d(numbers, self._reached_in)
        self._reached_in = numbers
        return numbers

    def reopened(self) -> LabelCanvas:
        """Close this one; the one returned goes on with the same array."""
        self.close()
        canvas = LabelCanvas(self.array)
        canvas._checksums = self._checksums
        canvas.predictions = self.predictions
        canvas._reached_in = self._reached_in
        return canvas

    def close(self) -> bool:
        """Let no more writes through; an unfinished plane becomes again what it was.

        Returns
        -------
        bool
            Whether the unfinished plane was put back; one that was empty
            keeps what was found so far.
        """
        with self._lock:
            self._is_open = False
            if self._begun is None or self._before is None:
                return False
            self.array[self._begun][...] = self._before
            self._checksums[plane_key(self._begun)] = self._checksums_before
            return True

    def _numbered_as(self, before: LabelImage, found: LabelImage) -> LabelImage:
        if self._highest is None:
            self._highest = int(self.array.max(initial=0))
        if before.any():
            numbers = keep_numbers(found, before, above=self._highest)
        else:
            numbers = np.where(found > 0, found + self._highest, 0).astype(np.int32, copy=False)
        self._highest = max(self._highest, int(numbers.max(initial=0)))
        return numbers

    def _put(self, index: PlaneIndex, area: Region, numbers: LabelImage) -> bool:
        plane = self.array[index]
        strips = strips_of(plane)
        rows = range(area[0].start // STRIP_ROWS, -(-area[0].stop // STRIP_ROWS))
        if not self._checksums.get(plane_key(index)):
            rows = range(len(strips))
        fresh: dict[int, int] = {}
        for row in rows:
            start = row * STRIP_ROWS
            strip = strips[row].copy()
            low = max(start, area[0].start)
            high = max(low, min(start + len(strip), area[0].stop))
            strip[(slice(low - start, high - start), *area[1:])] = numbers[
                low - area[0].start : high - area[0].start
            ]
            fresh[row] = checksum(strip)
        # As late as can be: whoever paints while cells are computed must not lose a stroke.
        if self._differs(index, rows):
            # Nor may `close` put back what was there before.
            self._before = None
            return False
        with self._lock:
            if self._is_open:
                plane[area] = numbers
                known = self._checksums.get(plane_key(index)) or [0] * len(strips)
                self._checksums[plane_key(index)] = [
                    fresh.get(row, before) for row, before in enumerate(known)
                ]
        return True

    def _differs(self, index: PlaneIndex, rows: range) -> bool:
        """Whether some strips of a plane are not as they were written."""
        plane = self.array[index]
        known = self._checksums.get(plane_key(index))
        if not known:
            return bool(plane.any())
        strips = strips_of(plane)
        return len(known) != len(strips) or any(checksum(strips[row]) != known[row] for row in rows)


def _from_one(labels: LabelImage) -> LabelImage:
    """Cells whose numbers go on from another plane, numbered from 1."""
    lowest = int(labels[labels > 0].min(initial=np.iinfo(np.int32).max))
    return labels if lowest == 1 else np.where(labels > 0, labels - (lowest - 1), 0)
