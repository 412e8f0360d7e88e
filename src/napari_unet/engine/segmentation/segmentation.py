"""An image in, its cells out: the one call behind the widget, the command line and Python."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from napari_unet.engine.base.device import resolve_device, resolve_precision
from napari_unet.engine.base.errors import DeviceError, SettingsError
from napari_unet.engine.base.settings import InstanceSettings, SegmentationSettings
from napari_unet.engine.images.image import AnyImage, FloatImage, LabelImage, Region, Scores
from napari_unet.engine.images.resampling import ZoomedSource, nearest_index, restore_scores
from napari_unet.engine.images.source import ImageSource, open_image
from napari_unet.engine.networks.network import Network, NetworkDescription
from napari_unet.engine.segmentation.instances import check_class_roles, instances_from_scores
from napari_unet.engine.segmentation.tiling import (
    PixelSource,
    TileableNetwork,
    TileScores,
    aligned_box,
    gpu_errors_explained,
    predict_tiles,
)
from napari_unet.engine.segmentation.whole_tile import tileable

_Source: TypeAlias = ImageSource | ZoomedSource

_MOST_ZOOM = 20.0

_CELLS_AROUND_REGION = 2.0
"""Cell diameters that are computed around a region, so that cells on its edge are whole."""


@dataclass(frozen=True, slots=True)
class Segmentation:
    """The cells of an image.

    Parameters
    ----------
    labels : (H, W) or (Z, H, W) int32 array
        0 is background; cells are 1, 2, ... without gaps.
    scores : (C, H, W) or (C, Z, H, W) float32 array, optional
        Probability of each class role; None if they were not to be kept.
    class_roles : tuple of str
        What the channels of `scores` mean.
    cell_count : int
    settings : SegmentationSettings
    instances : InstanceSettings
    zoom : float
        Factor by which the image was resized for the network.
    notes : tuple of str
        Sentences about anything that went another way than asked for.
    """

    labels: LabelImage
    scores: Scores | None
    class_roles: tuple[str, ...]
    cell_count: int
    settings: SegmentationSettings
    instances: InstanceSettings
    zoom: float = 1.0
    notes: tuple[str, ...] = ()


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
        ends = []
        for part, index in zip(box, self._nearest(), strict=True):
            low, high = np.searchsorted(index, (part.start, part.stop))
            ends.append(slice(int(low), int(high)))
        return tuple(ends)

    def labels(self, instances: InstanceSettings) -> LabelImage:
        """Cells in `area`, numbered from 1 in reading order, without gaps."""
        found = instances_from_scores(self.scores, self.class_roles, instances)
        area = self.area
        if self.shape != self.scaled_shape:
            index = [
                nearest[part] - box.start
                for nearest, part, box in zip(self._nearest(), area, self.box, strict=True)
            ]
            found = np.ascontiguousarray(found[np.ix_(*index)])
        if self.wanted is not None:
            inside = found[
                tuple(
                    slice(max(0, want.start - part.start), max(0, want.stop - part.start))
                    for want, part in zip(self.wanted, area, strict=True)
                )
            ]
            reaches = np.bincount(inside.reshape(-1), minlength=int(found.max(initial=0)) + 1) > 0
            found = np.where(reaches[found], found, 0)
            return _without_gaps(found)
        # Between coarser pixels a cell can vanish.
        return found if self.shape == self.scaled_shape else _without_gaps(found)

    def part(self, area: Region, *, margin_px: int = 0) -> PlaneScores:
        """View the scores around an area given in the plane's own pixels."""
        box = []
        for part, own, index in zip(area, self.box, self._nearest(), strict=True):
            low = int(index[max(0, min(part.start, index.size - 1))]) - margin_px
            high = int(index[max(0, min(part.stop, index.size) - 1)]) + 1 + margin_px
            low = min(max(own.start, low), own.stop - 1)
            box.append(slice(low, max(low + 1, min(own.stop, high))))
        inside = tuple(
            slice(part.start - own.start, part.stop - own.start)
            for part, own in zip(box, self.box, strict=True)
        )
        return replace(self, scores=self.scores[(slice(None), *inside)], box=tuple(box))

    def on_own_grid(self) -> Scores:
        """Scores of the whole plane in its own pixels; background where none were computed."""
        whole = self.scores
        if whole.shape[1:] != self.scaled_shape:
            whole = _background(len(self.class_roles), self.scaled_shape, self.class_roles)
            whole[(slice(None), *self.box)] = self.scores
        return restore_scores(whole, self.shape)

    def _nearest(self) -> list[NDArray[np.intp]]:
        return [nearest_index(n, m) for n, m in zip(self.shape, self.scaled_shape, strict=True)]


@dataclass(frozen=True, slots=True, eq=False)
class SegmentationReport:
    """How far a segmentation is.

    Parameters
    ----------
    tile, tiles : int
        Tiles done and in all, of the present slice.
    slice_index, slices : int
        Slice of a stack, counted from 0; one slice for everything else.
    plane : PlaneScores, optional
        Of the present slice, as far as they are computed.
    area : tuple of slice, optional
        Where scores are new, in pixels of the plane.
    labels : integer array, optional
        Cells of `plane.area`; the last report of a slice carries them. Their
        numbers go on from the slice before.
    notes : tuple of str
        Sentences about anything that went another way than asked for.
    result : Segmentation, optional
        The last report of `iterate_segmentation` carries it.
    """

    tile: int
    tiles: int
    slice_index: int
    slices: int
    plane: PlaneScores | None = None
    area: Region | None = None
    labels: LabelImage | None = None
    notes: tuple[str, ...] = ()
    result: Segmentation | None = None


def segment(
    image: AnyImage,
    network: Network,
    *,
    settings: SegmentationSettings | None = None,
    instances: InstanceSettings | None = None,
    device: str = "auto",
    intensity_reference: AnyImage | None = None,
    keep_scores: bool = True,
    **options: Any,
) -> Segmentation:
    """Find the cells in an image.

    Parameters
    ----------
    image : array
        (H, W), (Z, H, W), or either with one channel axis; any real dtype,
        any size.
    network : Network
        From `load_checkpoint`.
    settings : SegmentationSettings, optional
    instances : InstanceSettings, optional
        How cells are told apart; the model's own if left out.
    device : str
        "auto", "cpu", "cuda", "cuda:1" or "mps".
    intensity_reference : array, optional
        Measure intensities on this image, so that a crop of it is segmented
        as the whole.
    keep_scores : bool
        Whether to return the scores, which take 4 bytes for each pixel and
        class.
    **options
        Fields of `SegmentationSettings`, given one by one.

    Returns
    -------
    Segmentation
        With `labels` and `scores`.

    Raises
    ------
    UNetError
        If the image, a setting or the device does not fit; the message says
        what to do.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_unet import load_checkpoint, segment
    >>> result = segment(np.zeros((64, 64)), load_checkpoint("nuclei"))
    >>> result.cell_count
    0
    """
    settings = replace(settings or SegmentationSettings(), **options)
    reports = iterate_segmentation(
        image,
        network,
        settings=settings,
        instances=instances,
        device=device,
        intensity_reference=intensity_reference,
        keep_scores=keep_scores,
    )
    results = [report.result for report in reports if report.result is not None]
    return results[-1]


def iterate_segmentation(
    image: AnyImage,
    network: Network,
    *,
    settings: SegmentationSettings | None = None,
    instances: InstanceSettings | None = None,
    device: str = "auto",
    intensity_reference: AnyImage | None = None,
    keep_scores: bool = True,
) -> Iterator[SegmentationReport]:
    """Find the cells in an image, with a report after each tile.

    To stop, no longer iterate: it ends within one tile. Parameters and errors
    are those of `segment`; nothing is checked before the first iteration.

    Yields
    ------
    SegmentationReport
        The last one carries the result.
    """
    settings = settings or SegmentationSettings()
    instances = instances or network.description.instances
    labels: list[LabelImage] = []
    scores: list[Scores] = []
    for report in iterate_planes(
        image,
        network,
        settings=settings,
        instances=instances,
        device=device,
        intensity_reference=intensity_reference,
    ):
        yield report
        if report.labels is not None and report.plane is not None:
            labels.append(_whole_plane(report.labels, report.plane))
            if keep_scores:
                scores.append(report.plane.on_own_grid())
    stack = stack_shape(image, network.description, settings)
    shape = (*stack, *labels[0].shape)
    result = Segmentation(
        labels=np.stack(labels).reshape(shape) if stack else labels[0],
        scores=_stacked(scores, stack) if keep_scores else None,
        class_roles=network.description.class_roles,
        cell_count=max(int(plane.max(initial=0)) for plane in labels),
        settings=settings,
        instances=instances,
        zoom=_zoom(network.description, settings),
        notes=report.notes,
    )
    yield replace(report, plane=None, area=None, labels=None, result=result)


def iterate_planes(
    image: AnyImage,
    network: Network,
    *,
    settings: SegmentationSettings,
    instances: InstanceSettings,
    device: str = "auto",
    intensity_reference: AnyImage | None = None,
    near: Sequence[int] | None = None,
) -> Iterator[SegmentationReport]:
    """Find the cells plane by plane, and keep none of them in memory.

    Parameters
    ----------
    image, network, settings, instances, device, intensity_reference
        As in `segment`.
    near : sequence of int, optional
        Pixel of each plane from which its tiles are computed outwards.

    Yields
    ------
    SegmentationReport
        One after each tile, and one with the labels after each plane.
    """
    description = network.description
    check_class_roles(description.class_roles)
    zoom = _zoom(description, settings)
    stack = stack_shape(image, description, settings)
    # Slices share the stack's intensities: an empty one must not be stretched to full contrast.
    source = open_image(
        image,
        ndim=description.unet.ndim + len(stack),
        in_channels=description.unet.in_channels,
        normalization=description.normalization,
        channel_axis=settings.channel_axis,
        intensity_reference=intensity_reference,
    )
    predictor = _Predictor(network, settings, device)
    slices = math.prod(stack)
    cell_count = 0
    for number, index in enumerate(np.ndindex(*stack)):
        own = replace(source, array=source.array[(slice(None), *index)]) if stack else source
        scaled = own if zoom == 1.0 else ZoomedSource(own, zoom)
        plane = predictor.empty_plane(own.shape, scaled.shape)
        centre = [round(pixel * zoom) for pixel in near] if near is not None else None
        tile = tiles = 1
        for tile, tiles, box in predictor.predict_into(plane, scaled, near=centre):
            area = plane.area_of(box) if box else None
            yield SegmentationReport(tile, tiles, number, slices, plane, area)
        found = plane.labels(instances)
        numbers = np.where(found > 0, found + cell_count, 0).astype(np.int32, copy=False)
        cell_count += int(found.max(initial=0))
        notes = predictor.notes
        yield SegmentationReport(tile, tiles, number, slices, plane, None, numbers, notes)


def iterate_scores(
    image: AnyImage,
    network: Network,
    *,
    settings: SegmentationSettings,
    device: str = "auto",
    intensity_reference: AnyImage | None = None,
) -> Iterator[PlaneScores]:
    """Score an image for whatever classes the network has; a pause after each tile.

    Parameters and errors are those of `segment`, without slices and zoom.

    Yields
    ------
    PlaneScores
        Always the same one, as it is filled; complete at the end.
    """
    unet = network.description.unet
    source = open_image(
        image,
        ndim=unet.ndim,
        in_channels=unet.in_channels,
        normalization=network.description.normalization,
        channel_axis=settings.channel_axis,
        intensity_reference=intensity_reference,
    )
    predictor = _Predictor(network, settings, device)
    plane = predictor.empty_plane(source.shape, source.shape)
    for _ in predictor.predict_into(plane, source):
        yield plane
    yield plane


def _zoom(description: NetworkDescription, settings: SegmentationSettings) -> float:
    """Factor that brings the image to the scale the model was trained at."""
    zoom, reason = 1.0, ""
    if settings.diameter_px is not None:
        if description.object_diameter_px is None:
            raise SettingsError(
                f"Model {description.name!r} does not say how large the cells were that it was "
                "trained on, so a diameter cannot be used; leave it out and resize the image."
            )
        zoom = description.object_diameter_px / settings.diameter_px
        reason = f"A diameter of {settings.diameter_px:g} pixels"
    elif settings.pixel_size_um is not None and description.pixel_size_um is not None:
        zoom = settings.pixel_size_um / description.pixel_size_um
        reason = f"A pixel size of {settings.pixel_size_um:g} um"
    if not 1 / _MOST_ZOOM <= zoom <= _MOST_ZOOM:
        raise SettingsError(
            f"{reason} would resize the image {zoom:.3g} times; check the number, "
            f"between 1/{_MOST_ZOOM:g} and {_MOST_ZOOM:g} times are possible."
        )
    return zoom


def stack_shape(
    image: AnyImage, description: NetworkDescription, settings: SegmentationSettings
) -> tuple[int, ...]:
    """Lengths of the axes of slices, before those the network reads; () without any."""
    ndim = description.unet.ndim
    if not settings.every_slice:
        return ()
    shape = list(image.shape)
    if settings.channel_axis is not None and -image.ndim <= settings.channel_axis < image.ndim:
        del shape[settings.channel_axis]
    elif image.ndim > ndim and image.shape[-1] in (3, 4):
        del shape[-1]
    return tuple(int(n) for n in shape[:-ndim])


def _stacked(scores: list[Scores], stack: tuple[int, ...]) -> Scores:
    if not stack:
        return scores[0]
    joined = np.stack(scores, axis=1)
    return joined.reshape(joined.shape[0], *stack, *joined.shape[2:])


def _whole_plane(labels: LabelImage, plane: PlaneScores) -> LabelImage:
    if labels.shape == plane.shape:
        return labels
    whole = np.zeros(plane.shape, labels.dtype)
    whole[plane.area] = labels
    return whole


def _background(classes: int, shape: tuple[int, ...], class_roles: Sequence[str]) -> Scores:
    scores = np.zeros((classes, *shape), np.float32)
    if "background" in class_roles:
        scores[list(class_roles).index("background")] = 1
    return scores


def _without_gaps(labels: LabelImage) -> LabelImage:
    """Number the labels anew if some were lost: a cell can vanish between two coarser pixels."""
    present = np.bincount(labels.reshape(-1)) > 0
    if present[1:].all():
        return labels
    present[0] = False
    numbers: NDArray[np.int32] = (np.cumsum(present) * present).astype(np.int32)
    return numbers[labels]


class _Predictor:
    """Computes scores on one device, in one precision, and notes what went another way."""

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
        reason = self._network.description.unet.inexact_because
        if reason and self._is_tiled:
            notes.append(
                f"The image was computed in tiles, and cells at their borders may differ a little "
                f"from the image as a whole: {reason}. A larger tile_px lessens it."
            )
        return tuple(notes)

    def empty_plane(self, shape: tuple[int, ...], scaled_shape: tuple[int, ...]) -> PlaneScores:
        """Room for the scores of one plane, or of the region of it that is wanted."""
        description = self._network.description
        region = self._settings.region
        if region is None:
            wanted, box = None, tuple(slice(0, n) for n in scaled_shape)
        else:
            wanted = _checked_region(region, shape)
            box = self._box_around(wanted, shape, scaled_shape)
        sizes = tuple(part.stop - part.start for part in box)
        try:
            scores = _background(description.unet.classes, sizes, description.class_roles)
        except MemoryError as error:
            gib = 4 * description.unet.classes * math.prod(sizes) / 2**30
            raise DeviceError(
                f"The scores of this image need {gib:.1f} GiB of memory, which is not free; "
                "segment it in parts."
            ) from error
        return PlaneScores(scores, description.class_roles, shape, scaled_shape, box, wanted)

    def _box_around(
        self, wanted: Region, shape: tuple[int, ...], scaled_shape: tuple[int, ...]
    ) -> Region:
        """Wanted region at the model's scale, and room for the cells that its edge cuts."""
        margin = round(_CELLS_AROUND_REGION * (self._network.description.object_diameter_px or 32))
        scaled = tuple(
            slice(
                max(0, math.floor(part.start * m / n) - margin),
                min(m, math.ceil(part.stop * m / n) + margin),
            )
            for part, n, m in zip(wanted, shape, scaled_shape, strict=True)
        )
        multiple = self._tileable.config.size_multiple
        return tuple(slice(*ends) for ends in aligned_box(scaled_shape, scaled, multiple))

    def predict_into(
        self, plane: PlaneScores, source: _Source, *, near: Sequence[int] | None = None
    ) -> Iterator[tuple[int, int, Region | None]]:
        """Fill a plane's scores tile by tile: tiles done, in all, and the box that is new."""
        if source.scaling.is_constant:
            # A constant image holds no cells, whatever a network makes of zeros.
            return
        flips = _in_plane_flips(len(source.shape)) if self._settings.flips else [()]
        for number, axes in enumerate(flips):
            mirrored = _mirrored_box(plane.box, source.shape, axes)
            into = np.flip(plane.scores, axes)
            tiles = self._tiles(
                _FlippedSource(source, axes) if axes else source,
                region=mirrored,
                near=None if axes else near,
            )
            for tile in tiles:
                # Rounding to the network's multiple goes another way in the mirror.
                inside, of_tile = _overlap(mirrored, tile.region)
                target = into[(slice(None), *inside)]
                fresh = tile.scores[(slice(None), *of_tile)]
                if number == 0:
                    target[...] = fresh
                else:
                    target += (fresh - target) / (number + 1)
                total = len(flips) * tile.total
                new = None if axes else tile.region
                yield number * tile.total + tile.done, total, new

    def _tiles(
        self, source: PixelSource, *, region: Region, near: Sequence[int] | None
    ) -> Iterator[TileScores]:
        tile_px = self._smallest_tile_px or self._settings.tile_px
        for tile in predict_tiles(
            source,
            self._tileable,
            tile_px=tile_px,
            region=region,
            near=near,
            in_float32=self._in_float32,
        ):
            if tile.halvings:
                self._smallest_tile_px = tile.tile_px
            self._overflowed_tiles += tile.overflowed
            self._is_tiled |= tile.total > 1
            yield tile

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
    parts = []
    for start, stop, size in zip(region[::2], region[1::2], shape, strict=True):
        low, high = max(0, start), min(size, stop)
        if low >= high:
            raise SettingsError(
                f"The region {' '.join(map(str, region))} holds no pixel of an image of shape "
                f"{shape}; give start and stop along each axis, in pixels."
            )
        parts.append(slice(low, high))
    return tuple(parts)


def _mirrored_box(box: Region, shape: tuple[int, ...], axes: tuple[int, ...]) -> Region:
    parts = list(box)
    for axis in axes:
        parts[axis] = slice(shape[axis] - box[axis].stop, shape[axis] - box[axis].start)
    return tuple(parts)


def _overlap(box: Region, tile: Region) -> tuple[Region, Region]:
    """What box and tile share, counted from the start of each."""
    in_box, in_tile = [], []
    for a, b in zip(box, tile, strict=True):
        low = max(a.start, b.start)
        high = max(low, min(a.stop, b.stop))
        in_box.append(slice(low - a.start, high - a.start))
        in_tile.append(slice(low - b.start, high - b.start))
    return tuple(in_box), tuple(in_tile)


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
        parts = list(region)
        for axis in self.axes:
            size, part = self.shape[axis], parts[axis]
            parts[axis] = slice(size - part.stop, size - part.start)
        return np.flip(self.source.read(tuple(parts)), self.axes)


def _in_plane_flips(ndim: int) -> list[tuple[int, ...]]:
    """Every set of the last two axes; along z most microscopes blur in one direction."""
    axes = range(-min(2, ndim), 0)
    return [c for n in range(len(axes) + 1) for c in itertools.combinations(axes, n)]
