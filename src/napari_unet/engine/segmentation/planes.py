"""The scores of one plane: computed tile by tile, kept, and made into cells again and again."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from napari_unet.engine.base.device import resolve_device, resolve_precision
from napari_unet.engine.base.device_errors import gpu_errors_explained
from napari_unet.engine.base.errors import DeviceError, SettingsError
from napari_unet.engine.base.regions import (
    Region,
    aligned,
    grown,
    mirrored,
    region_of,
    shared,
    sizes,
    whole,
    within,
    without,
)
from napari_unet.engine.base.settings import InstanceSettings, SegmentationSettings
from napari_unet.engine.images.image import FloatImage, LabelImage, Scores
from napari_unet.engine.images.resampling import ZoomedSource, nearest_index, restore_scores
from napari_unet.engine.images.source import ImageSource
from napari_unet.engine.networks.network import Network
from napari_unet.engine.segmentation.instances import instances_from_scores
from napari_unet.engine.segmentation.rim import Side, cut_sides
from napari_unet.engine.segmentation.tiling import TileableNetwork, predict_tiles
from napari_unet.engine.segmentation.whole_tile import tileable

_Source: TypeAlias = ImageSource | ZoomedSource

_CELLS_AROUND_REGION = 2.0
"""Cell diameters that are computed around a region at first; more where a cell goes on."""

_USUAL_DIAMETER_PX = 32.0  # of a cell, where the model does not say how large its cells are


@dataclass(frozen=True, slots=True, eq=False)
class PlaneScores:
    """The scores of a plane, or of part of it, from which cells are made again and again.

    Parameters
    ----------
    scores : (C, *box) float32 array
        At the model's scale; "background" is 1 where nothing was computed yet.
    class_roles : tuple of str
        What the channels of `scores` mean.
    shape, scaled_shape : tuple of int
        Of the plane in its own pixels, and at the model's scale.
    box : tuple of slice
        Where `scores` lie in the plane at the model's scale.
    wanted : tuple of slice, optional
        Only cells that reach into this part, in the plane's own pixels, count.
    """

    scores: Scores
    class_roles: tuple[str, ...]
    shape: tuple[int, ...]
    scaled_shape: tuple[int, ...]
    box: Region
    wanted: Region | None = None

    @property
    def area(self) -> Region:
        """Where `labels` lie in the plane, in its own pixels."""
        return self.area_of(self.box)

    def area_of(self, box: Region) -> Region:
        """Own pixels whose nearest one at the model's scale lies in `box`."""
        ends = (
            np.searchsorted(index, (part.start, part.stop)).tolist()
            for part, index in zip(box, self._nearest(), strict=True)
        )
        return tuple(slice(*each) for each in ends)

    def labels(self, instances: InstanceSettings) -> LabelImage:
        """Cells in `area`, numbered from 1 in reading order, without gaps."""
        found = instances_from_scores(self.scores, self.class_roles, instances)
        is_resized, area = self.shape != self.scaled_shape, self.area
        if is_resized:
            found = np.ascontiguousarray(found[np.ix_(*self._nearest_in(area))])
        if self.wanted is not None:
            inside = found[within(shared(self.wanted, area), area)]
            reaches = np.bincount(inside.reshape(-1), minlength=int(found.max(initial=0)) + 1) > 0
            found = np.where(reaches[found], found, 0)
        # Between coarser pixels a cell can vanish, too.
        return _without_gaps(found) if is_resized or self.wanted is not None else found

    def nearest_scores(self) -> Scores:
        """Scores of `area`, those of the nearest pixel each; a view if it can be."""
        if self.shape == self.scaled_shape:
            return self.scores
        places = np.ix_(*self._nearest_in(self.area))
        return np.stack([each[places] for each in self.scores])

    def cut_sides(self, instances: InstanceSettings) -> tuple[Side, ...]:
        """Sides of `box` at which it is too small for the cells that are wanted."""
        sides = [(axis, 0) for axis, part in enumerate(self.box) if part.start > 0]
        ends = zip(self.box, self.scaled_shape, strict=True)
        sides += [(axis, -1) for axis, (part, n) in enumerate(ends) if part.stop < n]
        if self.wanted is None:
            return ()
        wanted = self._nearest_in(self.wanted)
        return cut_sides(self.scores, self.class_roles, instances, sides=sides, wanted=wanted)

    def placed(self, labels: LabelImage) -> LabelImage:
        """Labels of the whole plane, from those of `area`."""
        if labels.shape == self.shape:
            return labels
        placed = np.zeros(self.shape, labels.dtype)
        placed[self.area] = labels
        return placed

    def part(self, area: Region, *, margin_px: int = 0) -> PlaneScores:
        """View the scores around an area given in the plane's own pixels."""
        box = []
        for part, own, index in zip(area, self.box, self._nearest(), strict=True):
            low = int(index[max(0, min(part.start, index.size - 1))]) - margin_px
            high = int(index[max(0, min(part.stop, index.size) - 1)]) + 1 + margin_px
            low = min(max(own.start, low), own.stop - 1)
            box.append(slice(low, max(low + 1, min(own.stop, high))))
        inside = within(tuple(box), self.box)
        return replace(self, scores=self.scores[(slice(None), *inside)], box=tuple(box))

    def on_own_grid(self) -> Scores:
        """Scores of the whole plane in its own pixels; background where none were computed."""
        scores = self.scores
        if scores.shape[1:] != self.scaled_shape:
            scores = _background(self.scaled_shape, self.class_roles)
            scores[(slice(None), *self.box)] = self.scores
        return restore_scores(scores, self.shape)

    def _nearest(self) -> list[NDArray[np.intp]]:
        return [nearest_index(n, m) for n, m in zip(self.shape, self.scaled_shape, strict=True)]

    def _nearest_in(self, area: Region) -> list[NDArray[np.intp]]:
        """For each axis, the pixels of `scores` nearest to those of an area of own pixels."""
        parts = zip(self._nearest(), area, self.box, strict=True)
        return [nearest[part] - box.start for nearest, part, box in parts]


def _background(shape: Sequence[int], class_roles: Sequence[str]) -> Scores:
    scores = np.zeros((len(class_roles), *shape), np.float32)
    if "background" in class_roles:
        scores[list(class_roles).index("background")] = 1
    return scores


def _room(box: Region, class_roles: Sequence[str]) -> Scores:
    """Background everywhere in a box.

    Raises
    ------
    DeviceError
        If there is not enough memory.
    """
    try:
        return _background(sizes(box), class_roles)
    except MemoryError as error:
        gib = 4 * len(class_roles) * math.prod(sizes(box)) / 2**30
        raise DeviceError(
            f"The scores of this image need {gib:.1f} GiB of memory, which is not free; "
            "segment it in parts."
        ) from error


def _scaled(box: Region, shape: Sequence[int], scaled_shape: Sequence[int]) -> Region:
    """A box of the plane's own pixels at the model's scale."""
    return tuple(
        slice(math.floor(part.start * m / n), math.ceil(part.stop * m / n))
        for part, n, m in zip(box, shape, scaled_shape, strict=True)
    )


def _without_gaps(labels: LabelImage) -> LabelImage:
    """Number the labels anew, in the same order, if some were lost."""
    present = np.bincount(labels.reshape(-1)) > 0
    if present[1:].all():
        return labels
    present[0] = False
    numbers: NDArray[np.int32] = (np.cumsum(present) * present).astype(np.int32)
    return numbers[labels]


class PlanePredictor:
    """Computes scores on one device, in one precision, and notes what went another way.

    Parameters
    ----------
    network : Network
    settings : SegmentationSettings
    device : str
        As `resolve_device` takes it.

    Raises
    ------
    DeviceError, SettingsError
        If the device or the precision is not there.
    """

    def __init__(self, network: Network, settings: SegmentationSettings, device: str) -> None:
        self._network = network
        self._settings = settings
        self._device = resolve_device(device)
        self._dtype = resolve_precision(settings.precision, self._device)
        with gpu_errors_explained(self._device):
            self._tileable = tileable(network.for_inference(self._device, self._dtype))
        self._overflowed_tiles = 0
        self._smallest_tile_px: int | None = None
        self._is_tiled = False

    @property
    def notes(self) -> tuple[str, ...]:
        """One sentence for each thing that went another way than asked for."""
        notes = []
        if self._overflowed_tiles:
            name = str(self._dtype).removeprefix("torch.")
            notes.append(
                f"{self._overflowed_tiles} tiles held numbers beyond {name} and were computed "
                "in float32; choose precision float32 to spare the detour."
            )
        if self._smallest_tile_px is not None:
            notes.append(
                f"Memory ran out, so the tiles were made smaller ({self._smallest_tile_px} "
                "pixels); the result is the same."
            )
        reason = self._network.description.architecture.inexact_because
        if reason and self._is_tiled:
            notes.append(
                f"The image was computed in tiles, and cells at their borders may differ a little "
                f"from the image as a whole: {reason}. A larger tile_px lessens it."
            )
        return tuple(notes)

    def empty_plane(self, shape: tuple[int, ...], scaled_shape: tuple[int, ...]) -> PlaneScores:
        """Make room for the scores of one plane, or of the region of it that is wanted.

        Raises
        ------
        SettingsError
            If the region holds no pixel of the plane.
        DeviceError
            If there is not enough memory.
        """
        wanted, box = None, whole(scaled_shape)
        if self._settings.region is not None:
            wanted = _checked_region(self._settings.region, shape)
            box = self._box_around(wanted, shape, scaled_shape)
        roles = self._network.description.class_roles
        return PlaneScores(_room(box, roles), roles, shape, scaled_shape, box, wanted)

    def grown(
        self, plane: PlaneScores, instances: InstanceSettings
    ) -> tuple[PlaneScores, list[PlaneScores]]:
        """Make more room where cells of the region that is wanted are cut.

        Parameters
        ----------
        plane : PlaneScores
            Complete.
        instances : InstanceSettings

        Returns
        -------
        plane : PlaneScores
            With the scores that are there.
        parts : list of PlaneScores
            Views of those of its scores that are still to be computed; none
            if no cell was cut.
        """
        cut = plane.cut_sides(instances)
        if not cut or plane.wanted is None:
            return plane, []
        inner = _scaled(plane.wanted, plane.shape, plane.scaled_shape)
        ends = [[part.start, part.stop] for part in plane.box]
        for axis, end in cut:
            # Twice as far from the region as before: few rounds, and little more than is needed.
            ends[axis][end] = 2 * ends[axis][end] - (inner[axis].start, inner[axis].stop)[end]
        box = tuple(slice(max(0, start), stop) for start, stop in ends)
        box = aligned(box, self._tileable.config.size_multiple, plane.scaled_shape)
        larger = replace(plane, scores=_room(box, plane.class_roles), box=box)
        larger.scores[(slice(None), *within(plane.box, box))] = plane.scores
        parts = [
            replace(larger, scores=larger.scores[(slice(None), *within(part, box))], box=part)
            for part in without(box, plane.box)
        ]
        return larger, parts

    def _box_around(
        self, wanted: Region, shape: tuple[int, ...], scaled_shape: tuple[int, ...]
    ) -> Region:
        """Wanted region at the model's scale, and room for the cells that its edge cuts."""
        diameter_px = self._network.description.object_diameter_px or _USUAL_DIAMETER_PX
        margin = max(1, round(_CELLS_AROUND_REGION * diameter_px))
        around = grown(_scaled(wanted, shape, scaled_shape), [margin] * len(shape), scaled_shape)
        return aligned(around, self._tileable.config.size_multiple, scaled_shape)

    def predict_into(
        self, plane: PlaneScores, source: _Source, *, near: Sequence[int] | None = None
    ) -> Iterator[tuple[int, int, Region | None]]:
        """Fill a plane's scores tile by tile.

        Parameters
        ----------
        plane : PlaneScores
        source : ImageSource or ZoomedSource
            The plane's image at the model's scale.
        near : sequence of int, optional
            Pixel of it from which tiles are computed outwards.

        Yields
        ------
        tuple of int, int and region
            Tiles done, tiles in all, and the box in which scores are there for
            the first time; None where they only became better.
        """
        if source.scaling.is_constant:
            # A constant image holds no cells, whatever a network makes of zeros.
            return
        flips = _in_plane_flips(len(source.shape)) if self._settings.flips else [()]
        for number, axes in enumerate(flips):
            box = mirrored(plane.box, axes, source.shape)
            into = np.flip(plane.scores, axes)
            flipped = _FlippedSource(source, axes) if axes else source
            tile_px = self._smallest_tile_px or self._settings.tile_px
            for tile in predict_tiles(
                flipped,
                self._tileable,
                tile_px=tile_px,
                region=box,
                near=None if axes else near,
                in_float32=self._in_float32,
            ):
                if tile.halvings:
                    self._smallest_tile_px = tile.tile_px
                self._overflowed_tiles += tile.overflowed
                self._is_tiled |= tile.total > 1
                # Rounding to the network's multiple goes another way in the mirror.
                both = shared(box, tile.region)
                target = into[(slice(None), *within(both, box))]
                fresh = tile.scores[(slice(None), *within(both, tile.region))]
                if number == 0:
                    target[...] = fresh
                else:
                    target += (fresh - target) / (number + 1)
                new = None if axes else tile.region
                yield number * tile.total + tile.done, len(flips) * tile.total, new

    def _in_float32(self) -> TileableNetwork:
        with gpu_errors_explained(self._device):
            return tileable(self._network.unet.fused(self._device, torch.float32))


def _checked_region(region: Sequence[int], shape: tuple[int, ...]) -> Region:
    """Starts and stops of each axis as slices inside of the image."""
    if len(region) != 2 * len(shape):
        raise SettingsError(
            f"The region has {len(region)} numbers; a plane with {len(shape)} axes needs "
            f"{2 * len(shape)}: start and stop along each axis."
        )
    inside = shared(region_of(region), whole(shape))
    if 0 in sizes(inside):
        raise SettingsError(
            f"The region {' '.join(map(str, region))} holds no pixel of an image of shape "
            f"{shape}; give start and stop along each axis, in pixels."
        )
    return inside


@dataclass(frozen=True, slots=True)
class _FlippedSource:
    """An image mirrored along some of its (negative) axes, still read in parts."""

    source: _Source
    axes: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Spatial shape in pixels."""
        return self.source.shape

    def read(self, region: Region) -> FloatImage:
        """Read (in_channels, *region) of the mirrored image."""
        return np.flip(self.source.read(mirrored(region, self.axes, self.shape)), self.axes)


def _in_plane_flips(ndim: int) -> list[tuple[int, ...]]:
    """Every set of the last two axes; along z most microscopes blur in one direction."""
    axes = range(-min(2, ndim), 0)
    return [c for n in range(len(axes) + 1) for c in itertools.combinations(axes, n)]
