"""Computes the scores of a plane: tile by tile, over copies of it, by one network or more."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TypeAlias

import torch

from napari_unet.engine.base.device import resolve_device, resolve_precision
from napari_unet.engine.base.device_errors import gpu_errors_explained
from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.base.regions import (
    Region,
    aligned,
    grown,
    region_of,
    shared,
    sizes,
    whole,
    within,
    without,
)
from napari_unet.engine.base.settings import InstanceSettings, SegmentationSettings, slices_note
from napari_unet.engine.images.resampling import ZoomedSource, interpolated
from napari_unet.engine.images.source import ImageSource
from napari_unet.engine.networks.network import Network
from napari_unet.engine.segmentation.copies import CopiedSource, Copy, copies
from napari_unet.engine.segmentation.detours import Detours
from napari_unet.engine.segmentation.planes import PlaneScores, room_for, scaled_box
from napari_unet.engine.segmentation.tiling import (
    TileableNetwork,
    TileScores,
    automatic_tile_px,
    predict_tiles,
)
from napari_unet.engine.segmentation.whole_tile import tileable

_Source: TypeAlias = ImageSource | ZoomedSource

_CELLS_AROUND_REGION = 2.0
"""Cell diameters that are computed around a region at first; more where a cell goes on."""

_BAND_PIXELS = 1 << 22
"""Of scores that are interpolated at a time."""

_USUAL_DIAMETER_PX = 32.0  # of a cell, where the model does not say how large its cells are


class Scorer:
    """One network on its device, which notes what went another way than asked for.

    Parameters
    ----------
    network : Network
    settings : SegmentationSettings
    device : torch.device
    dtype : torch.dtype
    """

    def __init__(
        self,
        network: Network,
        settings: SegmentationSettings,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self._network = network
        self.tile_px = settings.tile_px
        self._device, self._dtype = device, dtype
        with gpu_errors_explained(device):
            self._tileable = tileable(network.for_inference(device, dtype))
        self.detours = Detours()

    def size_multiples(self, ndim: int) -> tuple[int, ...]:
        """Tiles begin at multiples of so many pixels along each axis."""
        config = self._tileable.config
        return tuple(config.along(axis).size_multiple for axis in range(ndim))

    def automatic_tile_px(self, shape: tuple[int, ...]) -> int:
        """Length of a tile that suits the memory that is free."""
        with gpu_errors_explained(self._device):
            return automatic_tile_px(self._tileable, shape)

    @property
    def notes(self) -> list[str]:
        """One sentence for each thing that went another way than asked for."""
        return self.detours.notes(self._network.description, self._dtype)

    def add_copy(
        self,
        plane: PlaneScores,
        source: _Source,
        copy: Copy,
        *,
        count: int,
        near: Sequence[int] | None,
        whole_grid: bool,
    ) -> Iterator[TileScores]:
        """Take a copy of an image into a plane's scores, which are a mean of so many before.

        Parameters
        ----------
        plane : PlaneScores
            On the grid of the image; whatever it holds where `count` is 0.
        source : ImageSource or ZoomedSource
        copy : Copy
        count : int
            Copies in the mean so far.
        near : sequence of int, optional
            Pixel of the copy from which tiles are computed outwards.
        whole_grid : bool
            As `predict_tiles` has it.

        Yields
        ------
        TileScores
            Those of the copy, after they were taken in.
        """
        box, into = copy.box_in(plane.box, source.shape), copy.view(plane.scores)
        for tile in predict_tiles(
            CopiedSource(source, copy),
            self._tileable,
            tile_px=self.detours.smallest_tile_px or self.tile_px,
            region=box,
            near=near,
            whole_grid=whole_grid,
            in_float32=self._in_float32,
        ):
            is_part = whole_grid and sizes(tile.region) != copy.shape_of(source.shape)
            smaller_px = tile.tile_px if tile.halvings else None
            is_tiled = tile.total > 1 or is_part
            self.detours = self.detours.joined(Detours(int(tile.overflowed), smaller_px, is_tiled))
            # Rounding to the network's multiple goes another way in the mirror.
            both = shared(box, tile.region)
            target = into[(slice(None), *within(both, box))]
            fresh = tile.scores[(slice(None), *within(both, tile.region))]
            if count == 0:
                target[...] = fresh
            else:
                target += (fresh - target) / (count + 1)
            yield tile

    def release_memory(self) -> None:
        """Give back what is kept between tiles."""
        self._tileable.release_memory()

    def _in_float32(self) -> TileableNetwork:
        with gpu_errors_explained(self._device):
            return tileable(self._network.unet.fused(self._device, torch.float32))


class PlanePredictor:
    """Computes the mean scores of networks, of each over the copies that are asked for.

    The mean is taken on the first network's grid, whose thresholds and sizes
    hold. There is one sum of the scores and, for a network that reads the image
    at another scale, one more on its own grid while it is at work.

    Parameters
    ----------
    networks : sequence of Network
        With the same classes and axes.
    settings : SegmentationSettings
    device : str
        As `resolve_device` takes it.

    Raises
    ------
    DeviceError, SettingsError
        If the device or the precision is not there.
    """

    def __init__(
        self, networks: Sequence[Network], settings: SegmentationSettings, device: str
    ) -> None:
        self._description = networks[0].description
        self._settings = settings
        self._copies = copies(settings.averaging)
        where = resolve_device(device)
        dtype = resolve_precision(settings.precision, where)
        self._scorers = [Scorer(each, settings, where, dtype) for each in networks]

    @property
    def notes(self) -> tuple[str, ...]:
        """One sentence for each thing that went another way than asked for."""
        notes = dict.fromkeys(note for each in self._scorers for note in each.notes)
        reads_volumes, learned = self._description.spacing is not None, self._description.anisotropy
        told = slices_note(self._settings.anisotropy, learned) if reads_volumes else None
        return (*notes, *filter(None, (told,)))

    @property
    def size_multiples(self) -> tuple[int, ...]:
        """Tiles of the first network begin at multiples of so many pixels along each axis."""
        return self._scorers[0].size_multiples(self._description.architecture.ndim)

    def tile_px(self, shape: tuple[int, ...]) -> int:
        """Length of a tile of an image of that shape at the model's scale."""
        return self._settings.tile_px or self._scorers[0].automatic_tile_px(shape)

    def taken_detours(self) -> tuple[Detours, ...]:
        """Those of each network since they were taken last."""
        taken = tuple(scorer.detours for scorer in self._scorers)
        for scorer in self._scorers:
            scorer.detours = Detours(smallest_tile_px=scorer.detours.smallest_tile_px)
        return taken

    def fix_tile_px(self, tile_px: int) -> None:
        """Compute in tiles of this length from now on."""
        for scorer in self._scorers:
            scorer.tile_px = tile_px

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
        roles = self._description.class_roles
        return PlaneScores(room_for(box, roles), roles, shape, scaled_shape, box, wanted)

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
        inner = scaled_box(plane.wanted, plane.shape, plane.scaled_shape)
        ends = [[part.start, part.stop] for part in plane.box]
        for axis, end in cut:
            # Twice as far from the region as before: few rounds, and little more than is needed.
            ends[axis][end] = 2 * ends[axis][end] - (inner[axis].start, inner[axis].stop)[end]
        box = tuple(slice(max(0, start), stop) for start, stop in ends)
        box = aligned(box, self.size_multiples, plane.scaled_shape)
        larger = replace(plane, scores=room_for(box, plane.class_roles), box=box)
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
        diameter_px = self._description.object_diameter_px or _USUAL_DIAMETER_PX
        margin = max(1, round(_CELLS_AROUND_REGION * diameter_px))
        around = grown(scaled_box(wanted, shape, scaled_shape), [margin] * len(shape), scaled_shape)
        return aligned(around, self.size_multiples, scaled_shape)

    def predict_into(
        self,
        plane: PlaneScores,
        sources: Sequence[_Source],
        *,
        near: Sequence[int] | None = None,
        whole_grid: bool = False,
    ) -> Iterator[tuple[int, int, Region | None]]:
        """Fill a plane's scores tile by tile.

        Parameters
        ----------
        plane : PlaneScores
        sources : sequence of ImageSource or ZoomedSource
            The plane's image as each network reads it.
        near : sequence of int, optional
            Pixel of the first from which tiles are computed outwards.
        whole_grid : bool
            As `predict_tiles` has it.

        Yields
        ------
        tuple of int, int and region
            Tiles done, tiles in all, and the box in which scores are there for
            the first time; None where they only became better.
        """
        if any(source.scaling.is_constant for source in sources):
            # A constant image holds no cells, whatever a network makes of zeros.
            return
        work = [math.prod(source.shape) for source in sources]
        done = 0
        for number, (scorer, source) in enumerate(zip(self._scorers, sources, strict=True)):
            is_same_grid = source.shape == plane.scaled_shape
            own = plane if is_same_grid else _on_grid_of(source, plane)
            before = number * len(self._copies) if is_same_grid else 0
            # In tiles of this network, as larger images have more of them.
            later = sum(work[number + 1 :]) / work[number] * len(self._copies)
            for turn, copy in enumerate(self._copies):
                is_first = number == turn == 0
                left = len(self._copies) - turn + later
                for tile in scorer.add_copy(
                    own,
                    source,
                    copy,
                    count=before + turn,
                    near=near if is_first else None,
                    whole_grid=whole_grid,
                ):
                    total = done + max(tile.total, round(tile.total * left))
                    yield done + tile.done, total, tile.region if is_first else None
                done += tile.total
            if not is_same_grid:
                for _ in _add_to_mean(plane, own, count=number):
                    yield done, total, None
            if len(self._scorers) > 1:
                scorer.release_memory()


def _on_grid_of(source: _Source, plane: PlaneScores) -> PlaneScores:
    """Make room for the scores of a plane on the grid of another network's image."""
    around = scaled_box(plane.box, plane.scaled_shape, source.shape)
    box = grown(around, [1] * len(around), source.shape)
    scores = room_for(box, plane.class_roles)
    return replace(plane, scores=scores, scaled_shape=source.shape, box=box)


def _add_to_mean(plane: PlaneScores, other: PlaneScores, *, count: int) -> Iterator[None]:
    """Take another network's scores into those of a plane, a mean of so many networks.

    It pauses after each band of rows, lest a Stop waits for large images.
    """
    first, *others = plane.box
    rows = max(1, _BAND_PIXELS // math.prod(sizes(tuple(others))))
    for mean, each in zip(plane.scores, other.scores, strict=True):
        for start in range(first.start, first.stop, rows):
            band = (slice(start, min(first.stop, start + rows)), *others)
            into = mean[within(band, plane.box)]
            fresh = interpolated(each, other.box, other.scaled_shape, band, plane.scaled_shape)
            into += (fresh - into) / (count + 1)
            yield


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
