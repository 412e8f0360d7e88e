"""An image in, its cells out: the one call behind the widget, the command line and Python."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from napari_unet.engine.base.regions import Region
from napari_unet.engine.base.settings import InstanceSettings, SegmentationSettings
from napari_unet.engine.images.image import AnyImage, LabelImage, Scores
from napari_unet.engine.images.resampling import at_scale
from napari_unet.engine.images.source import ImageSource, open_image
from napari_unet.engine.labels.cell_list import CellScores, Window
from napari_unet.engine.labels.cell_types import CellTypes
from napari_unet.engine.labels.linking.discs import KnownCells
from napari_unet.engine.labels.linking.slices import SliceLinker
from napari_unet.engine.networks.network import Network, NetworkDescription
from napari_unet.engine.segmentation.ensemble import Networks, axis_zooms_of, ensemble, zoom_of
from napari_unet.engine.segmentation.instances import check_class_roles
from napari_unet.engine.segmentation.judgement import Judgement
from napari_unet.engine.segmentation.planes import PlaneScores
from napari_unet.engine.segmentation.predictor import PlanePredictor
from napari_unet.engine.segmentation.volumes.three_planes import predict_volume
from napari_unet.engine.segmentation.volumes.ways import check_volume, disc_count, own_instances


@dataclass(frozen=True, slots=True)
class Segmentation:
    """The cells of an image.

    Parameters
    ----------
    labels : (H, W) or (Z, H, W) int32 array
        0 is background; cells are 1, 2, ... without gaps. Of a network that
        tells no cells apart, the class of each pixel: 1 is the first of
        `class_roles`, and 0 "background" if there is one.
    scores : (C, H, W) or (C, Z, H, W) float32 array, optional
        Probability of each class role; None if they were not to be kept.
    class_roles : tuple of str
        What the channels of `scores` mean.
    cell_count : int
        0 where labels are classes.
    settings : SegmentationSettings
    instances : InstanceSettings
    zoom : float
        Factor by which the image was resized for the network.
    notes : tuple of str
        Sentences about anything that went another way than asked for, and
        `doubt`.
    doubt : str
        Why the result is not to be trusted, if its scores say so: the image is
        unlike what the network learned from. Empty else.
    types : CellTypes, optional
        The type of each cell, of a network that tells types apart.
    cell_scores : CellScores, optional
        Score and doubt of each cell, for `measure_cells`; None where labels are classes.
    linked_count : int, optional
        Cells that the discs of a stack are if they are linked from slice to slice:
        of a cell seen in five slices `cell_count` counts five unless `volume`
        says "linked". None where there are no discs.
    """

    labels: LabelImage
    scores: Scores | None
    class_roles: tuple[str, ...]
    cell_count: int
    settings: SegmentationSettings
    instances: InstanceSettings
    zoom: float = 1.0
    notes: tuple[str, ...] = ()
    doubt: str = ""
    types: CellTypes | None = None
    cell_scores: CellScores | None = None
    linked_count: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class SegmentationReport:
    """How far a segmentation is.

    Parameters
    ----------
    tile, tiles : int
        Tiles done and in all, of the present slice; there are more of them when
        memory runs out, and when a cell of the region goes on beyond what was
        computed. Of a volume of three planes, slices in all directions.
    slice_index, slices : int
        Slice of a stack, counted from 0; one slice for everything else. Linked
        cells of a slice come when the next one is done.
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


def iterate_segmentation(
    image: AnyImage,
    network: Networks,
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
    networks = ensemble(network)
    description = networks[0].description
    if instances is None:
        instances = own_instances(description.instances, settings)
    labels: list[LabelImage] = []
    scores: list[Scores] = []
    known = KnownCells(linked=settings.volume == "linked")
    judgement = Judgement()
    stack = stack_shape(image, description, settings)
    discs = disc_count(stack, description, settings)
    for report in iterate_planes(
        image,
        networks,
        settings=settings,
        instances=instances,
        device=device,
        intensity_reference=intensity_reference,
    ):
        yield report
        if report.labels is not None and report.plane is not None:
            labels.append(report.plane.placed(report.labels))
            judgement.add(report.plane, report.labels)
            if discs is not None:
                discs.add(labels[-1])
            slices = (report.slices, *labels[-1].shape)
            window = Window.of_plane((report.slice_index,), slices)
            scored = report.plane.cell_scores(labels[-1], window=window)
            known.add(report.labels, scored, report.plane.types(report.labels))
            if keep_scores:
                scores.append(report.plane.on_own_grid())
    cell_count = max(int(plane.max(initial=0)) for plane in labels)
    if description.gives_classes:
        cell_count = 0
    ndim = labels[0].ndim
    if ndim > description.architecture.ndim:
        stack = stack[:-1]
    doubt = judgement.doubt(description)
    result = Segmentation(
        labels=_stacked(labels, stack, ndim),
        scores=_stacked(scores, stack, ndim) if keep_scores else None,
        class_roles=description.class_roles,
        cell_count=cell_count,
        settings=settings,
        instances=instances,
        zoom=zoom_of(description, settings),
        notes=(*report.notes, *filter(None, (doubt,))),
        doubt=doubt,
        types=known.types,
        cell_scores=known.scores,
        linked_count=None if discs is None else discs.linked,
    )
    yield replace(report, plane=None, area=None, labels=None, result=result)


def iterate_planes(
    image: AnyImage,
    network: Networks,
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
        As in `segment`, of networks alone.
    near : sequence of int, optional
        Pixel of each plane from which its tiles are computed outwards.

    Yields
    ------
    SegmentationReport
        One after each tile, and one with the labels after each plane.
    """
    networks = ensemble(network)
    description = networks[0].description
    if not description.gives_classes:
        check_class_roles(description.class_roles)
    stack = stack_shape(image, description, settings)
    check_volume(description, settings, stack)
    # Slices share the stack's intensities: an empty one must not be stretched to full contrast.
    sources = [
        opened(image, each, settings, intensity_reference, slice_axes=len(stack))
        for each in networks
    ]
    predictor = PlanePredictor(networks, settings, device)
    zooms = axis_zooms_of([each.description for each in networks], settings)
    work = _Work(sources, zooms, predictor)
    if settings.volume == "three_planes":
        yield from _iterate_volumes(work, stack[:-1], description, settings, instances)
        return
    reports = _iterate_slices(work, stack, instances, near)
    if settings.volume == "linked" and stack:
        reports = _linked(reports, settings, stack[-1])
    yield from reports


@dataclass(frozen=True, slots=True)
class _Work:
    """What is computed: an image as each network reads it, and who computes it."""

    sources: Sequence[ImageSource]
    zooms: Sequence[tuple[float, ...]]
    """Of each network, for the axes that it reads."""
    predictor: PlanePredictor

    def sources_at(self, index: tuple[int, ...]) -> list[ImageSource]:
        """The images at a place along the first axes."""
        if not index:
            return list(self.sources)
        where: Any = (slice(None), *index)
        return [replace(each, array=each.array[where]) for each in self.sources]


def _iterate_slices(
    work: _Work, stack: tuple[int, ...], instances: InstanceSettings, near: Sequence[int] | None
) -> Iterator[SegmentationReport]:
    predictor, zooms = work.predictor, work.zooms
    slices = math.prod(stack)
    cell_count = 0
    for number, index in enumerate(np.ndindex(*stack)):
        own = work.sources_at(index)
        scaled = [at_scale(each, zoom) for each, zoom in zip(own, zooms, strict=True)]
        plane = predictor.empty_plane(own[0].shape, scaled[0].shape)
        centre = None
        if near is not None:
            centre = [round(pixel * zoom) for pixel, zoom in zip(near, zooms[0], strict=True)]
        tiles = 0
        parts = [plane]
        while parts:
            for part in parts:
                before = tiles
                for tile, tiles_of_part, box in predictor.predict_into(part, scaled, near=centre):
                    area = plane.area_of(box) if box else None
                    tiles = before + tiles_of_part
                    yield SegmentationReport(before + tile, tiles, number, slices, plane, area)
                centre = None
            plane, parts = predictor.grown(plane, instances)
        tiles = max(1, tiles)
        found = plane.labels(instances)
        numbers = np.where(found > 0, found + cell_count, 0).astype(np.int32, copy=False)
        if not plane.gives_classes:
            cell_count += int(found.max(initial=0))
        notes = predictor.notes
        yield SegmentationReport(tiles, tiles, number, slices, plane, None, numbers, notes)


def _linked(
    reports: Iterator[SegmentationReport], settings: SegmentationSettings, slices: int
) -> Iterator[SegmentationReport]:
    """Give the cells of each `slices` slices the numbers of those that they are linked to."""
    linker, held = SliceLinker(settings), list[SegmentationReport]()
    for report in reports:
        if report.labels is None or report.plane is None:
            yield report
            continue
        held.append(report)
        final = linker.add(report.plane.placed(report.labels))
        if (report.slice_index + 1) % slices == 0:
            final += linker.end()
        for numbers in final:
            each = held.pop(0)
            area = each.plane.area if each.plane is not None else ()
            yield replace(each, labels=numbers[area])


def _iterate_volumes(
    work: _Work,
    frames: tuple[int, ...],
    description: NetworkDescription,
    settings: SegmentationSettings,
    instances: InstanceSettings,
) -> Iterator[SegmentationReport]:
    count, cell_count = math.prod(frames), 0
    for number, index in enumerate(np.ndindex(*frames)):
        for done, slices, volume in predict_volume(
            work.sources_at(index),
            [zooms[-1] for zooms in work.zooms],
            work.predictor,
            description.class_roles,
            anisotropy=settings.anisotropy or 1.0,
        ):
            yield SegmentationReport(done, slices, number, count, volume)
        found = volume.labels(instances)
        numbers = np.where(found > 0, found + cell_count, 0).astype(np.int32, copy=False)
        if not volume.gives_classes:
            cell_count += int(found.max(initial=0))
        notes = work.predictor.notes
        yield SegmentationReport(slices, slices, number, count, volume, None, numbers, notes)


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
    source = opened(image, network, settings, intensity_reference)
    predictor = PlanePredictor([network], settings, device)
    plane = predictor.empty_plane(source.shape, source.shape)
    for _ in predictor.predict_into(plane, [source]):
        yield plane
    yield plane


def opened(
    image: AnyImage,
    network: Network,
    settings: SegmentationSettings,
    intensity_reference: AnyImage | None,
    *,
    slice_axes: int = 0,
) -> ImageSource:
    """Open an image as a network reads it; `slice_axes` come before those of a plane."""
    return open_image(
        image,
        ndim=network.description.architecture.ndim + slice_axes,
        in_channels=network.description.architecture.in_channels,
        normalization=network.description.normalization,
        channel_axis=settings.channel_axis,
        intensity_reference=intensity_reference,
    )


def stack_shape(
    image: AnyImage, description: NetworkDescription, settings: SegmentationSettings
) -> tuple[int, ...]:
    """Lengths of the axes of slices, before those the network reads; () without any."""
    ndim = description.architecture.ndim
    if not settings.every_slice:
        return ()
    shape = list(image.shape)
    if settings.channel_axis is not None and -image.ndim <= settings.channel_axis < image.ndim:
        del shape[settings.channel_axis]
    elif image.ndim > ndim and image.shape[-1] in (3, 4):
        del shape[-1]
    return tuple(int(n) for n in shape[:-ndim])


def _stacked(planes: Sequence[Any], stack: tuple[int, ...], ndim: int) -> Any:
    """Join planes along the axes of slices, which come before their last `ndim` ones."""
    channels, sizes = planes[0].shape[:-ndim], planes[0].shape[-ndim:]
    joined = np.stack(planes, axis=len(channels)) if stack else planes[0]
    return joined.reshape(*channels, *stack, *sizes)
