"""Patches to learn from: drawn near cells, deformed, and each pixel given a class and a weight."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_unet.engine.networks.annotation import class_target, labels_are_classes, training_target
from napari_unet.engine.networks.class_roles import Types, cell_groups
from napari_unet.engine.networks.network import Network
from napari_unet.engine.training.augmentation.augmentation import (
    draw_deformation,
    sample_image,
    sample_labels,
    source_positions,
    vary_intensities,
)
from napari_unet.engine.training.augmentation.stain import StainedImage
from napari_unet.engine.training.knowledge.before import Before
from napari_unet.engine.training.pairs import TrainingPair
from napari_unet.engine.training.prepared import PreparedPair, median_diameter_px, prepare_pair
from napari_unet.engine.training.settings import TrainingSettings
from napari_unet.engine.training.volumes.patch_size import (
    MOST_VOXELS,
    memory_in_words,
    patch_shape,
    step_bytes,
)
from napari_unet.engine.weight_map.weight_map import IGNORED, boundary_weight_map

_TYPE_WEIGHT, _MOST_BALANCE = 4.0, 5.0
"""How much it counts which type a cell is, beside whether it is one, as few pixels show it; and
how much more at most where a type is rare."""

_TRIES = 20
"""Draws of a patch before one without a pixel that counts is taken."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What a network learns from in one step."""

    images: Tensor
    """(N + B, C, *P) float32. N patches to learn, then B of what is known."""
    target: Tensor
    """(N + B, *P) int64. Class index of each pixel, or `some_cell`."""
    weights: Tensor
    """(N + B, *P) float32: 0 where a pixel is ignored."""
    before: Tensor
    """(N + B, classes, *P) float32. What the starting network says of the patches, with all types
    of cells as one class; of length 0 where nobody asked it."""
    held: Tensor
    """(N + B, *P) float32. How strongly each pixel stays as it was before; of length 0 likewise."""
    new: int
    """N."""

    @property
    def balanced_weights(self) -> Tensor:
        """Weights that sum to N / (N + B) over the first N patches, to the rest over the others.

        So a few corrected pixels are not outvoted by images of which all counts.
        """
        parts = (self.weights[: self.new], self.weights[self.new :])
        shares = [len(part) / len(self.weights) / part.sum().clamp_min(1e-6) for part in parts]
        return torch.cat([part * share for part, share in zip(parts, shares, strict=True)])

    def to(self, device: torch.device, memory_format: torch.memory_format) -> Batch:
        """The same on a device."""
        parts = (self.target, self.weights, self.before, self.held)
        target, weights, before, held = (part.to(device, non_blocking=True) for part in parts)
        images = self.images.to(device, memory_format=memory_format, non_blocking=True)
        return Batch(images, target, weights, before, held, self.new)


@dataclass(frozen=True, slots=True)
class _Patch:
    """One of a batch; see `Batch`."""

    image: Tensor
    target: Tensor
    weights: Tensor
    before: Tensor | None = None
    held: Tensor = field(default_factory=lambda: torch.empty(0))


class Patches:
    """Draws the batches of a training.

    Each patch has random numbers of its own, made from the seed, the step and
    its place in the batch: any batch can be made at any time, in any thread.

    Parameters
    ----------
    network : Network
        It says how images are read and what classes there are.
    bank : sequence of TrainingPair
        What it knows, for `bank_share` of each batch; drawn by their weight.
    room_bytes : int, optional
        Memory that a single patch may take in a step.

    Attributes
    ----------
    shape : tuple of int
        Of what the network gives out for each patch.
    """

    def __init__(
        self,
        pairs: Sequence[TrainingPair],
        network: Network,
        settings: TrainingSettings,
        bank: Sequence[TrainingPair] = (),
        *,
        room_bytes: int | None = None,
    ) -> None:
        self._description = network.description
        self._settings = settings
        self._is_semantic = labels_are_classes(network.description.class_roles)
        crowds = settings.crowded_share > 0
        self.prepared, self._bank = (
            tuple(prepare_pair(p, network.description, crowds=crowds) for p in some)
            for some in (pairs, bank if settings.bank_share else ())
        )
        self._before: tuple[Before | None, ...] = (None,) * len(self.prepared)
        self._known: Sequence[Before | None] = (None,) * len(self._bank)
        self.shape = patch_shape(
            settings,
            network.description.architecture,
            [pair.shape for pair in self.prepared],
            diameter_px=None if self._is_semantic else self._median_diameter_px,
            room_bytes=room_bytes,
        )
        self._class_weights = self._balance() if settings.class_balance else None

    @property
    def type_weights(self) -> tuple[float, ...]:
        """For each type of cells how much it counts in the loss; () if there are no types.

        A type with fewer pixels counts more, by the square root of that: in
        proportion, rare types would be seen everywhere.
        """
        names = self._description.cell_types
        areas = dict.fromkeys(names, 0)
        for pair in self.prepared:
            labels = pair.labels.numpy()
            sizes = np.bincount(labels[labels > 0], minlength=max(pair.types, default=0) + 1)
            for number, name in pair.types.items():
                areas[name] += int(sizes[number])
        mean = sum(areas.values()) / max(1, len(names))
        return tuple(
            _TYPE_WEIGHT * min(_MOST_BALANCE, math.sqrt(mean / max(1, areas[name])))
            for name in names
        )

    @property
    def cell_count(self) -> int:
        """Cells to learn from; 0 where labels are classes."""
        if self._is_semantic:
            return 0
        return sum(len(kind) for pair in self.prepared for kind in pair.foreground)

    @property
    def _median_diameter_px(self) -> float | None:
        return median_diameter_px(self.prepared, self._description.anisotropy or 1.0)

    @property
    def bank_count(self) -> int:
        """Patches of a batch that show what is known."""
        if not self._bank:
            return 0
        size = self._settings.batch_size
        return min(max(1, round(size * self._settings.bank_share)), max(1, size - 1))

    def hold(self, before: Sequence[Before | None], known: Sequence[Before | None]) -> None:
        """Hold each image, and each of the bank, to what the starting network says of it."""
        self._before, self._known = tuple(before), known

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of a patch as it goes in."""
        config = self._description.architecture
        return tuple(config.along(axis).valid_input_size(n) for axis, n in enumerate(self.shape))

    @property
    def note(self) -> str | None:
        """How large patches of volumes are, and what that takes, in a sentence."""
        config, batch_size = self._description.architecture, self._settings.batch_size
        if config.ndim == 2:
            return None
        sizes = " x ".join(map(str, self.shape))
        needed = memory_in_words(step_bytes(config, self.input_shape, batch_size))
        is_large = batch_size * math.prod(self.input_shape) > MOST_VOXELS
        slow = ", which is slow: over two million voxels in a batch" if is_large else ""
        return (
            f"Patches have {sizes} voxels, {batch_size} in a batch; a step takes about {needed} of "
            f"memory at most{slow}."
        )

    def batch(self, step: int) -> Batch:
        """Draw and deform the patches of a step, counted from 0."""
        seed = self._settings.seed
        known = self.bank_count
        new = max(1, self._settings.batch_size - known)
        generators = [np.random.default_rng((seed, step, i)) for i in range(new + known)]
        drawn = [self._patch(rng, self.prepared, self._before) for rng in generators[:new]]
        drawn += [self._patch(rng, self._bank, self._known) for rng in generators[new:]]
        weights = torch.stack([patch.weights for patch in drawn])
        # A patch of a new image of which all counts is held nowhere.
        classes = len(cell_groups(self._description.class_roles))
        none = torch.zeros(classes, *weights.shape[1:])
        before = [none if patch.before is None else patch.before for patch in drawn]
        held = [patch.held if patch.before is not None else none[0] for patch in drawn]
        held_count = len(drawn) * any(patch.before is not None for patch in drawn)
        return Batch(
            torch.stack([patch.image for patch in drawn]),
            torch.stack([patch.target for patch in drawn]),
            weights,
            torch.stack(before)[:held_count],
            torch.stack(held)[:held_count],
            new,
        )

    def _patch(
        self,
        rng: np.random.Generator,
        prepared: Sequence[PreparedPair],
        before: Sequence[Before | None],
    ) -> _Patch:
        odds = np.array([pair.odds for pair in prepared])
        number = int(rng.choice(len(prepared), p=odds / odds.sum()))
        pair = prepared[number]
        for _ in range(_TRIES):
            centre = self._draw_centre(rng, pair)
            positions = self._positions(rng, centre)
            shown = self._output_part(positions)
            labels, inside = sample_labels(pair.labels, shown)
            ids = np.where(inside.numpy(), labels.numpy(), np.int32(IGNORED))
            target, weights = self.supervise(ids, pair.types)
            if weights.any():
                break
        varied = self._varied(pair.image, positions, rng, pair.stained)
        counted = torch.from_numpy(weights)
        said = before[number]
        if said is None:
            return _Patch(varied, target, counted)
        start = torch.tensor(said.start, dtype=shown.dtype)
        place = shown - start.reshape(-1, *[1] * (shown.ndim - 1))
        _, known = sample_labels(said.scores[0], place)
        held = said.strength * known * (said.holds_labels | (counted == 0))
        return _Patch(varied, target, counted, sample_image(said.scores.float(), place), held)

    def _positions(self, rng: np.random.Generator, centre: NDArray[np.float64]) -> Tensor:
        deformation = draw_deformation(
            rng,
            self._settings.augmentation,
            self._description.architecture.ndim,
            anisotropy=self._description.anisotropy or 1.0,
        )
        return source_positions(deformation, centre, self.input_shape)

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
        channels = self._description.architecture.in_channels
        return patch.expand(channels, *patch.shape[1:]) if len(patch) < channels else patch

    def _output_part(self, positions: Tensor) -> Tensor:
        """Cut out the part of (D, *P) `positions` behind the output of an unpadded network."""
        for axis, wanted in enumerate(self.shape, start=1):
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
            half = np.array(self.shape) / 2
            centre = centre + rng.uniform(-0.5, 0.5, len(size)) * half
        elif pair.reviewed is not None:
            centre = pair.reviewed[rng.integers(len(pair.reviewed))]
        else:
            centre = rng.uniform(0, size - 1)
        return self._held_inside(centre, size)

    def _held_inside(
        self, centre: NDArray[np.float64], size: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        margin = np.minimum(0.4 * np.array(self.shape), size / 2)
        inside: NDArray[np.float64] = np.clip(centre, margin - 0.5, size - margin - 0.5)
        return inside

    def supervise(
        self, ids: NDArray[np.int32], types: Types | None = None
    ) -> tuple[Tensor, NDArray[np.float32]]:
        """Class and weight of each pixel of labels with `IGNORED` pixels, and types of cells."""
        settings = self._settings
        target, known = self._target(ids, types)
        if self._is_semantic:
            weights = known.astype(np.float32)
        else:
            weights = boundary_weight_map(
                ids,
                w0=settings.w0,
                border_sigma_px=settings.border_sigma_px,
                spacing=self._description.spacing,
                class_balance=False,
                ignore_label=IGNORED,
            )
        if self._class_weights is not None:
            weights += (self._class_weights[target] - 1) * known
        return torch.from_numpy(target), weights

    def _target(
        self, ids: NDArray[np.int32], types: Types | None
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Class of each pixel, and where it counts."""
        roles = self._description.class_roles
        if self._is_semantic:
            return class_target(ids, roles)
        target = training_target(
            ids,
            roles,
            border_kind=self._description.border_kind,
            border_width_px=self._settings.border_width_px,
            types=types,
            spacing=self._description.spacing,
        )
        return target, ids != IGNORED

    def _balance(self) -> NDArray[np.float32]:
        """Weight of each class, so that all weigh the same over the training images.

        Cells without a type are a class of their own, if there are such.
        """
        count = len(self._description.class_roles)
        counts = np.zeros(count + 1)
        for pair in self.prepared:
            target, known = self._target(pair.labels.numpy(), pair.types)
            counts += np.bincount(target[known], minlength=count + 1)
        count += int(counts[count] > 0)
        weights: NDArray[np.float32] = counts.sum() / (count * np.maximum(counts, 1))
        return weights.astype(np.float32)


class BatchesAhead:
    """Makes the next batch in a thread while the network learns from this one."""

    def __init__(self, patches: Patches) -> None:
        self._patches = patches
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="patches")
        self._next: tuple[int, Future[Batch]] | None = None

    def batch(self, step: int) -> Batch:
        """Batch of a step, and begin the one after it."""
        if self._next is None or self._next[0] != step:
            self._next = (step, self._pool.submit(self._patches.batch, step))
        batch = self._next[1].result()
        self._next = (step + 1, self._pool.submit(self._patches.batch, step + 1))
        return batch
