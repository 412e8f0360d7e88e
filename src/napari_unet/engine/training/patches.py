"""Patches to learn from: drawn near cells, deformed, and each pixel given a class and a weight."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from napari_unet.engine.images.image import channels_first
from napari_unet.engine.images.source import ImageSource, open_image
from napari_unet.engine.networks.annotation import class_target, teaches_classes, training_target
from napari_unet.engine.networks.network import Network, NetworkDescription, TrainingIntensity
from napari_unet.engine.training.augmentation import (
    draw_deformation,
    sample_image,
    sample_labels,
    source_positions,
    vary_intensities,
)
from napari_unet.engine.training.pairs import TrainingPair
from napari_unet.engine.training.settings import TrainingSettings
from napari_unet.engine.training.stain import StainedImage, stained_image
from napari_unet.engine.weight_map.weight_map import (
    IGNORED,
    boundary_weight_map,
)

_MOST_PLACES = 20_000
"""Pixels of a kind that are remembered as places for patches."""

_TRIES = 20
"""Draws of a patch before one without a pixel that counts is taken."""

_MORE_CORRECTED = 2.0
"""How much more often an image with corrections is drawn."""

_DEBRIS = 0.1
"""Share of a small cell's area below which a piece is no cell."""

_TOUCHING_PX = 2
"""Cells that are not further apart than this touch each other, as far as crowds are concerned."""

Places = NDArray[np.float64]
"""(N, D) positions in an image, in pixels."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What a network learns from in one step.

    Parameters
    ----------
    images : (N + R, C, *P) float32 tensor
        N patches with labels, then R that are replayed without.
    target : (N, *P) int64 tensor
        Class index of each pixel.
    weights : (N, *P) float32 tensor
        0 where a pixel is ignored.
    knowledge : (R, classes, *P) float32 tensor
        What the starting network says about the replayed patches.
    """

    images: Tensor
    target: Tensor
    weights: Tensor
    knowledge: Tensor

    def to(self, device: torch.device, memory_format: torch.memory_format) -> Batch:
        """The same on a device."""
        return Batch(
            self.images.to(device, memory_format=memory_format, non_blocking=True),
            *(
                part.to(device, non_blocking=True)
                for part in (self.target, self.weights, self.knowledge)
            ),
        )


@dataclass(frozen=True, slots=True, eq=False)
class PreparedPair:
    """A training pair, normalised, and where its patches may lie.

    Parameters
    ----------
    image : (C, *S) float32 tensor
    labels : (*S) int32 tensor
        `IGNORED` where not reviewed.
    foreground : tuple of (N, D) array
        Kinds of places that are drawn equally often: the centres of cells, or
        pixels of each class.
    corrected : (N, D) array
        Pixels that a person has changed.
    reviewed : (N, D) array, optional
        Pixels that count, where not all do.
    crowded : (N, D) array
        Pixels of cells that touch another, near that; empty if nobody asks.
    stained : StainedImage, optional
        Of a colour image of stained tissue.
    weight : float
        How much more often it is drawn than others.
    """

    image: Tensor
    labels: Tensor
    foreground: tuple[Places, ...]
    corrected: Places
    reviewed: Places | None
    crowded: Places
    stained: StainedImage | None
    weight: float

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the labels."""
        return tuple(self.labels.shape)

    @property
    def odds(self) -> float:
        """How often it is drawn, beside others."""
        if self.reviewed is not None and not len(self.reviewed):
            return 0.0
        # Crowded images teach more, yet not in proportion: neighbours look alike.
        odds = self.weight * math.sqrt(1 + sum(map(len, self.foreground)))
        return odds * (_MORE_CORRECTED if len(self.corrected) else 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Replayed:
    """An image of what the network knew before: image (C, *S), scores (classes, *S) float32."""

    image: Tensor
    scores: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """In pixels."""
        return tuple(self.scores.shape[1:])


class Patches:
    """Draws the batches of a training.

    Each patch has random numbers of its own, made from the seed, the step and
    its place in the batch: any batch can be made at any time, in any thread.

    Parameters
    ----------
    pairs : sequence of TrainingPair
    network : Network
        It says how images are read and what classes there are.
    settings : TrainingSettings
    replayed : sequence of Replayed
        A quarter of each batch comes from these if there are any.
    """

    def __init__(
        self,
        pairs: Sequence[TrainingPair],
        network: Network,
        settings: TrainingSettings,
        replayed: Sequence[Replayed] = (),
    ) -> None:
        self._description = network.description
        self._settings = settings
        self._replayed = tuple(replayed)
        self._is_semantic = teaches_classes(network.description.class_roles)
        crowds = settings.crowded_share > 0
        self.prepared = tuple(prepare_pair(p, network.description, crowds=crowds) for p in pairs)
        odds = np.array([pair.odds for pair in self.prepared])
        self._odds = odds / odds.sum()
        self._class_weights = self._balance() if settings.class_balance else None

    @property
    def cell_count(self) -> int:
        """Cells to learn from; 0 where labels are classes."""
        if self._is_semantic:
            return 0
        return sum(len(kind) for pair in self.prepared for kind in pair.foreground)

    @property
    def replay_count(self) -> int:
        """Patches of a batch that are replayed."""
        return max(1, self._settings.batch_size // 4) if self._replayed else 0

    def batch(self, step: int) -> Batch:
        """Draw and deform the patches of a step, counted from 0."""
        seed = self._settings.seed
        replay = self.replay_count
        new = max(1, self._settings.batch_size - replay)
        generators = [np.random.default_rng((seed, step, i)) for i in range(new + replay)]
        images, targets, weights = zip(*map(self._patch, generators[:new]), strict=True)
        knowledge = torch.empty((0, self._description.unet.classes, *targets[0].shape))
        if replay:
            again, scores = zip(*map(self._replay, generators[new:]), strict=True)
            images = (*images, *again)
            knowledge = torch.stack(scores)
        return Batch(torch.stack(images), torch.stack(targets), torch.stack(weights), knowledge)

    def _patch(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        pair = self.prepared[int(rng.choice(len(self.prepared), p=self._odds))]
        for _ in range(_TRIES):
            centre = self._draw_centre(rng, pair)
            positions = self._positions(rng, centre)
            labels, inside = sample_labels(pair.labels, self._output_part(positions))
            ids = np.where(inside.numpy(), labels.numpy(), np.int32(IGNORED))
            target, weights = self.supervise(ids)
            if weights.any():
                break
        varied = self._varied(pair.image, positions, rng, pair.stained)
        return varied, target, torch.from_numpy(weights)

    def _replay(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        replayed = self._replayed[int(rng.integers(len(self._replayed)))]
        size = np.array(replayed.shape, float)
        positions = self._positions(rng, self._held_inside(rng.uniform(0, size - 1), size))
        scores = sample_image(replayed.scores, self._output_part(positions))
        return self._varied(replayed.image, positions, rng), scores

    def _positions(self, rng: np.random.Generator, centre: NDArray[np.float64]) -> Tensor:
        config = self._description.unet
        deformation = draw_deformation(rng, self._settings.augmentation, config.ndim)
        shape = tuple(config.valid_input_size(n) for n in self._output_shape())
        return source_positions(deformation, centre, shape)

    def _varied(
        self,
        image: Tensor,
        positions: Tensor,
        rng: np.random.Generator,
        stained: StainedImage | None = None,
    ) -> Tensor:
        augmentation = self._settings.augmentation
        patch = sample_image(image, positions)
        if stained is not None and augmentation.changes_stain:
            patch = stained.varied(patch, rng, augmentation)
        patch = vary_intensities(patch, rng, augmentation)
        channels = self._description.unet.in_channels
        return patch.expand(channels, *patch.shape[1:]) if len(patch) < channels else patch

    def _output_shape(self) -> tuple[int, ...]:
        """Patches share a shape: only thin stacks get flatter patches."""
        config = self._description.unet
        size = self._settings.patch_size_px
        wanted: tuple[int, ...] = (size, size)
        if config.ndim == 3:
            wanted = (min(size, *(pair.shape[0] for pair in self.prepared)), size, size)
        return tuple(config.output_size(config.valid_input_size(n)) for n in wanted)

    def _output_part(self, positions: Tensor) -> Tensor:
        """Cut out the part of (D, *P) `positions` behind the output of an unpadded network."""
        for axis, wanted in enumerate(self._output_shape(), start=1):
            start = (positions.shape[axis] - wanted) // 2
            positions = positions.narrow(axis, start, wanted)
        return positions

    def _draw_centre(self, rng: np.random.Generator, pair: PreparedPair) -> NDArray[np.float64]:
        """Image position of a patch's centre, near a cell, with little beyond the border."""
        settings = self._settings
        size = np.array(pair.shape, float)
        if pair.foreground and rng.random() >= settings.background_share:
            kind = pair.foreground[int(rng.integers(len(pair.foreground)))]
            if len(pair.corrected) and rng.random() < settings.corrected_share:
                kind = pair.corrected
            elif len(pair.crowded) and rng.random() < settings.crowded_share:
                kind = pair.crowded
            centre = kind[rng.integers(len(kind))]
            half = np.array(self._output_shape()) / 2
            centre = centre + rng.uniform(-0.5, 0.5, len(size)) * half
        elif pair.reviewed is not None:
            centre = pair.reviewed[rng.integers(len(pair.reviewed))]
        else:
            centre = rng.uniform(0, size - 1)
        return self._held_inside(centre, size)

    def _held_inside(
        self, centre: NDArray[np.float64], size: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        margin = np.minimum(0.4 * np.array(self._output_shape()), size / 2)
        inside: NDArray[np.float64] = np.clip(centre, margin - 0.5, size - margin - 0.5)
        return inside

    def supervise(self, ids: NDArray[np.int32]) -> tuple[Tensor, NDArray[np.float32]]:
        """Class and weight of each pixel of labels with `IGNORED` pixels."""
        settings, roles = self._settings, self._description.class_roles
        if self._is_semantic:
            target, known = class_target(ids, roles)
            weights = known.astype(np.float32)
        else:
            target = training_target(ids, roles, border_width_px=settings.border_width_px)
            weights = boundary_weight_map(
                ids,
                w0=settings.w0,
                border_sigma_px=settings.border_sigma_px,
                class_balance=False,
                ignore_label=IGNORED,
            )
            known = ids != IGNORED
        if self._class_weights is not None:
            weights += (self._class_weights[target] - 1) * known
        return torch.from_numpy(target), weights

    def _balance(self) -> NDArray[np.float32]:
        """Weight of each class, so that all weigh the same over the training images."""
        roles = self._description.class_roles
        counts = np.zeros(len(roles))
        for pair in self.prepared:
            ids = pair.labels.numpy()
            if self._is_semantic:
                target, known = class_target(ids, roles)
            else:
                width = self._settings.border_width_px
                target = training_target(ids, roles, border_width_px=width)
                known = ids != IGNORED
            counts += np.bincount(target[known], minlength=len(roles))
        weights: NDArray[np.float32] = counts.sum() / (len(roles) * np.maximum(counts, 1))
        return weights.astype(np.float32)


def prepare_pair(
    pair: TrainingPair, description: NetworkDescription, *, crowds: bool = False
) -> PreparedPair:
    """Normalise an image and find the places around which patches are drawn."""
    source = _source(pair, description)
    labels = pair.checked_labels()
    is_semantic = teaches_classes(description.class_roles)
    if is_semantic:
        _, known = class_target(labels, description.class_roles)
        kinds = [_places((labels == number) & known) for number in np.unique(labels[known])]
    else:
        kinds = [_cell_centres(labels)]
    corrected = (pair.corrected & (labels != IGNORED)) if pair.corrected is not None else None
    return PreparedPair(
        _read(source, description),
        torch.from_numpy(labels),
        tuple(kind for kind in kinds if len(kind)),
        _places(corrected) if corrected is not None else np.empty((0, labels.ndim)),
        _places(labels != IGNORED) if pair.reviewed is not None else None,
        _places(_touching(labels) if crowds and not is_semantic else np.zeros_like(labels, bool)),
        _stained(pair, source, description),
        pair.weight,
    )


def normalised(pair: TrainingPair, description: NetworkDescription) -> Tensor:
    """(C, *S) float32; a grey image is kept once, however many channels the network reads."""
    return _read(_source(pair, description), description)


def _source(pair: TrainingPair, description: NetworkDescription) -> ImageSource:
    config = description.unet
    source = open_image(
        np.asarray(pair.image),
        ndim=config.ndim,
        in_channels=config.in_channels,
        normalization=description.normalization,
        channel_axis=pair.channel_axis,
        intensity_reference=pair.intensity_reference,
    )
    channels = 1 if source.array.shape[0] == 1 else config.in_channels
    return dataclasses.replace(source, in_channels=channels)


def _read(source: ImageSource, description: NetworkDescription) -> Tensor:
    everything = (slice(None),) * description.unet.ndim
    return torch.from_numpy(np.ascontiguousarray(source.read(everything)))


def _stained(
    pair: TrainingPair, source: ImageSource, description: NetworkDescription
) -> StainedImage | None:
    """What a change of stain needs of an image whose colours the network reads."""
    if source.in_channels != 3 or len(source.array) != 3:
        return None
    measured = source.array
    if pair.intensity_reference is not None:
        ndim, axis = description.unet.ndim, pair.channel_axis
        measured = channels_first(pair.intensity_reference, ndim=ndim, channel_axis=axis)[:3]
    return stained_image(measured, source.scaling, description.normalization)


def _touching(labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Pixels of cells with another cell not further than `_TOUCHING_PX` away."""
    size = 2 * _TOUCHING_PX + 1
    highest = ndimage.maximum_filter(labels, size)
    above_all = np.iinfo(labels.dtype).max
    lowest = ndimage.minimum_filter(np.where(labels > 0, labels, above_all), size)
    touching: NDArray[np.bool_] = (labels > 0) & (highest != lowest)
    return touching


def _cell_centres(labels: NDArray[np.int32]) -> Places:
    boxes = [box for box in ndimage.find_objects(np.maximum(labels, 0)) if box]
    centres = [[(part.start + part.stop - 1) / 2 for part in box] for box in boxes]
    return np.array(centres, float).reshape(-1, labels.ndim)


def _places(mask: NDArray[np.bool_]) -> Places:
    """Pixels of a mask, of many an even choice."""
    flat = np.flatnonzero(mask)
    flat = flat[:: max(1, math.ceil(flat.size / _MOST_PLACES))]
    return np.stack(np.unravel_index(flat, mask.shape), axis=1).astype(float)


@dataclass(frozen=True, slots=True)
class TrainingFacts:
    """What a network can say about the images that it learned from.

    Parameters
    ----------
    diameter_px : float, optional
        Median over the cells.
    debris_px : int, optional
        Pieces smaller than this are far too small to be one of the cells.
    intensity : TrainingIntensity
    """

    diameter_px: float | None
    debris_px: int | None
    intensity: TrainingIntensity


def training_facts(
    pairs: Sequence[TrainingPair], prepared: Sequence[PreparedPair]
) -> TrainingFacts:
    """Measure the numbered cells and the raw intensities of training images."""
    counts = [np.bincount(np.maximum(pair.labels.numpy(), 0).reshape(-1))[1:] for pair in prepared]
    areas = np.concatenate(counts).astype(float)
    areas = areas[areas > 0]
    diameters = 2 * np.sqrt(areas / math.pi)
    if len(prepared[0].shape) == 3:
        diameters = 2 * np.cbrt(3 * areas / (4 * math.pi))
    images = [
        pair.image if pair.intensity_reference is None else pair.intensity_reference
        for pair in pairs
    ]
    percentiles = np.array([np.percentile(image, (1, 50, 99.8)) for image in images])
    low, median, high = np.median(percentiles, axis=0)
    dtypes = [str(np.asarray(pair.image).dtype) for pair in pairs]
    dtype = max(set(dtypes), key=dtypes.count)
    return TrainingFacts(
        float(np.median(diameters)) if areas.size else None,
        int(_DEBRIS * np.percentile(areas, 5)) if areas.size else None,
        TrainingIntensity(dtype, float(low), float(median), float(high)),
    )
