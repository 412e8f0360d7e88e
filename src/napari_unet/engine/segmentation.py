"""An image in, its cells out: the one call behind the widget, the command line and Python."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_unet.engine.banded_unet import BandedUNet
from napari_unet.engine.device import resolve_device, resolve_precision
from napari_unet.engine.errors import DeviceError, SettingsError
from napari_unet.engine.image import (
    AnyImage,
    FloatImage,
    ImageSource,
    LabelImage,
    Region,
    Scores,
    open_image,
    resize_channels,
    restore_labels,
    restore_scores,
)
from napari_unet.engine.instances import check_class_roles, instances_from_scores
from napari_unet.engine.network import Network, NetworkDescription
from napari_unet.engine.settings import InstanceSettings, SegmentationSettings
from napari_unet.engine.tiling import PixelSource, TileScores, predict_tiles

_MOST_ZOOM = 20.0


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


@dataclass(frozen=True, slots=True)
class SegmentationReport:
    """How far a segmentation is.

    Parameters
    ----------
    tile, tiles : int
        Tiles done and in all, of the present slice.
    slice_index, slices : int
        Slice of a stack, counted from 0; one slice for everything else.
    result : Segmentation, optional
        The last report carries it.
    """

    tile: int
    tiles: int
    slice_index: int
    slices: int
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
    check_class_roles(network.description.class_roles)
    zoom = _zoom(network.description, settings)
    is_stack = settings.every_slice and _is_stack(image, network.description, settings)
    source = open_image(
        image,
        ndim=network.description.unet.ndim + is_stack,
        in_channels=network.description.unet.in_channels,
        normalization=network.description.normalization,
        channel_axis=settings.channel_axis,
        intensity_reference=intensity_reference,
    )
    # Slices share the stack's intensities: an empty one must not be stretched to full contrast.
    planes = _slices(source) if is_stack else [source]
    predictor = _Predictor(network, settings, device)
    labels: list[LabelImage] = []
    scores: list[Scores] = []
    cell_count = 0
    tiles = 1
    for index, plane in enumerate(planes):
        source = plane if zoom == 1.0 else _zoomed(plane, zoom)
        plane_scores = predictor.empty_scores(source.shape)
        for tile in predictor.predict_into(plane_scores, source):
            tiles = tile.total
            yield SegmentationReport(tile.done, tiles, index, len(planes))
        roles = network.description.class_roles
        found = instances_from_scores(plane_scores, roles, instances)
        found = _without_gaps(restore_labels(found, plane.shape))
        count = int(found.max(initial=0))
        labels.append(np.where(found > 0, found + cell_count, 0).astype(np.int32))
        cell_count += count
        if keep_scores:
            scores.append(restore_scores(plane_scores, plane.shape))
    result = Segmentation(
        labels=np.stack(labels) if is_stack else labels[0],
        scores=(np.stack(scores, axis=1) if is_stack else scores[0]) if keep_scores else None,
        class_roles=network.description.class_roles,
        cell_count=cell_count,
        settings=settings,
        instances=instances,
        zoom=zoom,
        notes=predictor.notes,
    )
    yield SegmentationReport(tiles, tiles, len(planes) - 1, len(planes), result)


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


def _is_stack(
    image: AnyImage, description: NetworkDescription, settings: SegmentationSettings
) -> bool:
    """Whether there is an axis of slices beside those the network reads."""
    ndim = description.unet.ndim
    if settings.channel_axis is not None:
        return image.ndim == ndim + 2
    colours = image.ndim > ndim and image.shape[-1] in (3, 4)
    return image.ndim == ndim + 1 + colours


def _slices(stack: ImageSource) -> list[ImageSource]:
    return [replace(stack, array=stack.array[:, index]) for index in range(stack.shape[0])]


def _zoomed(source: ImageSource, zoom: float) -> ImageSource:
    return replace(source, array=resize_channels(source.array, zoom))


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
        self._banded = BandedUNet(network.for_inference(self._device, self._dtype))
        self._overflowed_tiles = 0
        self._smallest_tile_px: int | None = None

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
        return tuple(notes)

    def empty_scores(self, shape: tuple[int, ...]) -> Scores:
        """Room for the scores of one plane, all zero."""
        classes = self._network.description.unet.classes
        try:
            return np.zeros((classes, *shape), np.float32)
        except MemoryError as error:
            gib = 4 * classes * math.prod(shape) / 2**30
            raise DeviceError(
                f"The scores of this image need {gib:.1f} GiB of memory, which is not free; "
                "segment it in parts."
            ) from error

    def predict_into(self, scores: Scores, source: ImageSource) -> Iterator[TileScores]:
        """Fill `scores`, all zero at first, one tile after the other."""
        if source.scaling.scale == 0:
            # A constant image holds no cells, whatever a network makes of zeros.
            scores[self._network.description.class_roles.index("background")] = 1
            return
        flips = _in_plane_flips(len(source.shape)) if self._settings.flips else [()]
        for number, axes in enumerate(flips):
            for tile in self._tiles(_FlippedSource(source, axes) if axes else source):
                into = np.flip(scores, axes)[(slice(None), *tile.region)]
                into += tile.scores / len(flips)
                total = len(flips) * tile.total
                yield replace(tile, done=number * tile.total + tile.done, total=total)

    def _tiles(self, source: PixelSource) -> Iterator[TileScores]:
        tile_px = self._smallest_tile_px or self._settings.tile_px
        for tile in predict_tiles(
            source, self._banded, tile_px=tile_px, in_float32=self._banded_float32
        ):
            if tile.halvings:
                self._smallest_tile_px = tile.tile_px
            self._overflowed_tiles += tile.overflowed
            yield tile

    def _banded_float32(self) -> BandedUNet:
        return BandedUNet(self._network.unet.fused(self._device, torch.float32))


@dataclass(frozen=True, slots=True)
class _FlippedSource:
    """An image mirrored along some of its (negative) axes, still read in parts."""

    source: ImageSource
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
