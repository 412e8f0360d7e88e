"""Training by the paper's method: weighted loss, elastic deformation, best state kept."""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from napari_unet.engine.annotation import training_target
from napari_unet.engine.augmentation import (
    AugmentationSettings,
    draw_deformation,
    sample_image,
    sample_labels,
    source_positions,
    vary_intensities,
)
from napari_unet.engine.checkpoint import write_atomically
from napari_unet.engine.device import resolve_device, resolve_precision
from napari_unet.engine.errors import CheckpointError, SettingsError, TrainingError
from napari_unet.engine.evaluation import Evaluation, evaluate
from napari_unet.engine.image import (
    AnyImage,
    LabelImage,
    channels_first,
    open_image,
)
from napari_unet.engine.loss import weighted_cross_entropy
from napari_unet.engine.network import Network, NetworkDescription, TrainingIntensity
from napari_unet.engine.segmentation import segment
from napari_unet.engine.settings import Precision
from napari_unet.engine.unet import UNet, UNetConfig
from napari_unet.engine.weight_map import boundary_weight_map, check_labels


@dataclass(frozen=True, slots=True)
class TrainingPair:
    """An image and its true cells.

    Parameters
    ----------
    image : array
        (H, W) or (Z, H, W), or with one channel axis; any real dtype.
    labels : integer array of the image's spatial shape
        0 is background; each positive value is one cell.
    name : str
        For messages.
    channel_axis : int, optional
        Axis of the channels; without it a last axis of 3 or 4 is colours.
    """

    image: AnyImage
    labels: LabelImage
    name: str = "image"
    channel_axis: int | None = None


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """How a network is trained.

    Parameters
    ----------
    steps : int
        Batches to learn from.
    batch_size : int
        Patches in a batch.
    patch_size_px : int
        Length of each axis of a patch; rounded up to what the network reads.
    learning_rate : float
        Held after the warm-up, then lowered to zero over the last `decay` of
        the steps.
    warmup_steps : int
        Steps over which the learning rate rises from zero.
    decay : float
        Share of the steps, 0 to 1.
    optimizer : {"adam", "sgd"}
        AdamW, or the paper's gradient descent with momentum 0.99.
    weight_decay : float
        Pull of the weights towards zero, as a share of the learning rate.
    average : float
        Decay of the running average of the weights, which is the network that
        is kept; 0 keeps the last weights.
    w0, border_sigma_px : float
        Of the boundary weight map, see `boundary_weight_map`.
    border_width_px : float
        Width of the border class in pixels, where the network has one.
    class_balance : bool
        Weigh each class by the inverse of its share of the training pixels.
    background_share : float
        Share of patches placed anywhere; the others are centred near a cell.
    validation_interval : int
        Steps between validations; 0 validates only at the end.
    seed : int
        Two runs with the same seed on the same machine are the same.
    precision : {"auto", "float32", "bfloat16"}
        Number format of the network's arithmetic; "auto" takes bfloat16 where
        it is faster.
    augmentation : AugmentationSettings
    """

    steps: int = 1000
    batch_size: int = 8
    patch_size_px: int = 256
    learning_rate: float = 1e-3
    warmup_steps: int = 50
    decay: float = 0.4
    optimizer: Literal["adam", "sgd"] = "adam"
    weight_decay: float = 1e-4
    average: float = 0.995
    w0: float = 10.0
    border_sigma_px: float = 5.0
    border_width_px: float = 2.0
    class_balance: bool = False
    background_share: float = 0.1
    validation_interval: int = 100
    seed: int = 0
    precision: Precision = "auto"
    augmentation: AugmentationSettings = field(default_factory=AugmentationSettings)

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "patch_size_px"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}; use 1 or more.")
        for name in ("warmup_steps", "validation_interval", "weight_decay"):
            if getattr(self, name) < 0:
                raise SettingsError(f"{name} is {getattr(self, name)}; use 0 or more.")
        for name in ("learning_rate", "w0", "border_sigma_px", "border_width_px"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"{name} is {getattr(self, name):g}; use a positive number.")
        for name in ("decay", "average", "background_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingsError(f"{name} is {getattr(self, name):g}; use 0 to 1.")
        if self.optimizer not in ("adam", "sgd"):
            raise SettingsError(f"optimizer is {self.optimizer!r}; use 'adam' or 'sgd'.")


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """What one training step did.

    Parameters
    ----------
    step, steps : int
        Steps done, and wanted.
    loss : float
        Of this batch.
    validation : Evaluation or None
        Where this step ended with a validation.
    is_best : bool
        Whether that validation was the best so far.
    step_s, preparation_s : float
        Seconds this step took, and of these to make the batch.
    """

    step: int
    steps: int
    loss: float
    validation: Evaluation | None
    is_best: bool
    step_s: float
    preparation_s: float


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A training pair, normalised: image (C, *S) float32, labels (*S) int32."""

    image: Tensor
    labels: Tensor
    cell_centres: NDArray[np.float64]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.labels.shape)


def train(
    pairs: Sequence[TrainingPair],
    network: Network | None = None,
    *,
    settings: TrainingSettings | None = None,
    validation: Sequence[TrainingPair] = (),
    device: str = "auto",
    description: NetworkDescription | None = None,
    resume_from: str | Path | None = None,
) -> TrainingRun:
    """Train a network on images and their true cells.

    Parameters
    ----------
    pairs : sequence of TrainingPair
    network : Network, optional
        Where to start; it is not changed. Without it a new network is made.
    settings : TrainingSettings, optional
    validation : sequence of TrainingPair
        Held-out images; the state that segments them best is kept. Without
        them the last state is.
    device : str
        "auto", "cpu", "cuda:0" or "mps".
    description : NetworkDescription, optional
        Of a new network: its shape, class roles and normalisation.
    resume_from : path, optional
        State written by `TrainingRun.save_state`; the run goes on exactly as
        if it had not been interrupted.

    Returns
    -------
    TrainingRun
        An iterator of TrainingReport; stop by no longer iterating. Its
        `network` is the best so far at any moment.

    Raises
    ------
    TrainingError, LabelsError, ImageError, SettingsError
        If there is nothing to learn from, or the data do not fit the network.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_unet import TrainingPair, TrainingSettings, load_checkpoint, train
    >>> labels = np.zeros((64, 64), int)
    >>> labels[8:24, 8:24] = 1
    >>> pair = TrainingPair(image=100.0 * (labels > 0), labels=labels)
    >>> settings = TrainingSettings(steps=2, batch_size=1, patch_size_px=64)
    >>> run = train([pair], load_checkpoint("nuclei"), settings=settings)
    >>> [report.step for report in run]
    [1, 2]
    >>> run.network.description.history[-1]["cells"]
    1
    """
    settings = settings or TrainingSettings()
    run = TrainingRun(
        pairs,
        network or _new_network(description, settings.seed),
        settings=settings,
        validation=validation,
        device=device,
        started_from=network.description.name if network else None,
    )
    if resume_from is not None:
        run.load_state(resume_from)
    return run


def _new_network(description: NetworkDescription | None, seed: int) -> Network:
    if description is None:
        roles = ("background", "cell", "border")
        config = UNetConfig(base_width=32, classes=len(roles))
        description = NetworkDescription("new", config, class_roles=roles)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Network(UNet(description.unet), description)


class TrainingRun(Iterator[TrainingReport]):
    """A training that goes one step at a time; see `train`."""

    def __init__(
        self,
        pairs: Sequence[TrainingPair],
        network: Network,
        *,
        settings: TrainingSettings,
        validation: Sequence[TrainingPair],
        device: str,
        started_from: str | None,
    ) -> None:
        self.settings = settings
        self._started_from = started_from
        self.step = 0
        self.best_quality = -math.inf
        self._device = resolve_device(device)
        self._precision = resolve_precision(settings.precision, self._device)
        if self._precision == torch.float16:
            self._precision = torch.bfloat16  # float16 gradients would need loss scaling
        self._start = network
        self._validation = tuple(validation)
        self._check_pairs(pairs)
        self._prepared = [_prepare(pair, network) for pair in pairs]
        self._facts = _training_facts(pairs, self._prepared)
        cells = np.array([len(pair.cell_centres) for pair in self._prepared], float)
        # Crowded images teach more, yet not in proportion: neighbours look alike.
        self._odds = np.sqrt(cells + 1) / np.sqrt(cells + 1).sum()
        self._class_weights = self._balance() if settings.class_balance else None
        torch_layout = network.unet.memory_format
        self._unet = copy.deepcopy(network.unet).to(self._device)
        self._unet = self._unet.to(memory_format=torch_layout)  # type: ignore[call-overload]
        self._average = copy.deepcopy(self._unet).eval().requires_grad_(False)
        self._best: dict[str, Tensor] | None = None
        self._optimizer = self._make_optimizer()
        self._rng = np.random.default_rng(settings.seed)

    # -- results -----------------------------------------------------------------

    @property
    def network(self) -> Network:
        """The best network so far, on the CPU, with its description brought up to date."""
        return self._network_of(self._best or self._average.state_dict())

    @property
    def latest(self) -> Network:
        """The network after the last step, whether it is the best or not."""
        return self._network_of(self._average.state_dict())

    def _network_of(self, weights: dict[str, Tensor]) -> Network:
        unet = UNet(self._start.description.unet)
        unet.load_state_dict({key: value.detach().cpu() for key, value in weights.items()})
        return Network(unet.eval(), self._describe())

    def _describe(self) -> NetworkDescription:
        before = self._start.description
        entry = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "started_from": self._started_from,
            "steps": self.step,
            "images": len(self._prepared),
            "cells": int(sum(len(pair.cell_centres) for pair in self._prepared)),
            "settings": dataclasses.asdict(self.settings),
        }
        diameter, intensity = self._facts
        return dataclasses.replace(
            before,
            # What it learned last is what it expects now.
            object_diameter_px=diameter,
            pixel_size_um=None,
            intensity=intensity,
            history=(*before.history, entry),
        )

    # -- steps -------------------------------------------------------------------

    def __iter__(self) -> TrainingRun:
        return self

    def __next__(self) -> TrainingReport:
        if self.step >= self.settings.steps:
            raise StopIteration
        started = time.perf_counter()
        images, target, weights = self.next_batch()
        prepared = time.perf_counter()
        loss = self._learn(images, target, weights)
        self.step += 1
        evaluation, is_best = None, False
        interval = self.settings.validation_interval
        is_last = self.step == self.settings.steps
        if self._validation and (is_last or (interval and self.step % interval == 0)):
            evaluation = self.validate()
            is_best = self._keep_if_best(evaluation)
        return TrainingReport(
            self.step,
            self.settings.steps,
            loss,
            evaluation,
            is_best,
            time.perf_counter() - started,
            prepared - started,
        )

    def next_batch(self) -> tuple[Tensor, Tensor, Tensor]:
        """Draw and deform the next patches.

        Returns
        -------
        images : (N, C, *P) float32, target : (N, *P) int64, weights : (N, *P) float32
        """
        patches = [self._patch() for _ in range(self.settings.batch_size)]
        images, targets, weights = zip(*patches, strict=True)
        batch = torch.stack(images).to(self._device, memory_format=self._unet.memory_format)
        return batch, torch.stack(targets).to(self._device), torch.stack(weights).to(self._device)

    def _learn(self, images: Tensor, target: Tensor, weights: Tensor) -> float:
        self._unet.train()
        for group in self._optimizer.param_groups:
            group["lr"] = self._learning_rate()
        half = self._precision != torch.float32
        with torch.autocast(self._device.type, self._precision, enabled=half):
            logits = self._unet(images)
        loss = weighted_cross_entropy(logits, target, weights)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingError(
                f"The loss became {value} at step {self.step + 1}; the best state so far is kept. "
                "Train again with a lower learning rate."
            )
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._unet.parameters(), 5.0)
        self._optimizer.step()
        self._update_average()
        return value

    def _learning_rate(self) -> float:
        settings = self.settings
        rate = settings.learning_rate
        if self.step < settings.warmup_steps:
            rate *= (self.step + 1) / settings.warmup_steps
        decay_steps = settings.decay * settings.steps
        remaining = settings.steps - self.step
        if remaining < decay_steps:
            rate *= 0.5 * (1 - math.cos(math.pi * remaining / decay_steps))
        return rate

    @torch.no_grad()
    def _update_average(self) -> None:
        # A short memory at the start, so that the first weights are soon forgotten.
        decay = min(self.settings.average, (self.step + 1) / (self.step + 10))
        if self.settings.average == 0:
            decay = 0.0
        current = self._unet.state_dict()
        for key, mean in self._average.state_dict().items():
            if mean.is_floating_point():
                mean.lerp_(current[key], 1 - decay)
            else:
                mean.copy_(current[key])

    def _make_optimizer(self) -> torch.optim.Optimizer:
        settings = self.settings
        if settings.optimizer == "sgd":
            return torch.optim.SGD(
                self._unet.parameters(),
                lr=settings.learning_rate,
                momentum=0.99,
                weight_decay=settings.weight_decay,
            )
        return torch.optim.AdamW(
            self._unet.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )

    # -- patches -----------------------------------------------------------------

    def _patch(self) -> tuple[Tensor, Tensor, Tensor]:
        settings = self.settings
        rng = self._rng
        config = self._start.description.unet
        pair = self._prepared[int(rng.choice(len(self._prepared), p=self._odds))]
        output_shape = tuple(
            config.output_size(config.valid_input_size(n)) for n in self._patch_bounds(pair)
        )
        input_shape = tuple(config.valid_input_size(n) for n in output_shape)
        centre = _draw_centre(rng, pair, output_shape, settings.background_share)
        deformation = draw_deformation(rng, settings.augmentation, config.ndim)
        positions = source_positions(deformation, centre, input_shape)
        image = vary_intensities(sample_image(pair.image, positions), rng, settings.augmentation)
        if image.shape[0] < config.in_channels:
            image = image.expand(config.in_channels, *image.shape[1:])
        labels, inside = sample_labels(pair.labels, _centre_part(positions, output_shape))
        target, weights = self._supervise(labels.numpy())
        return image, target, weights * inside

    def _patch_bounds(self, pair: _Prepared) -> tuple[int, ...]:
        """Patches of one batch share a shape: only thin stacks get flatter patches."""
        size = self.settings.patch_size_px
        if len(pair.shape) == 2:
            return (size, size)
        thinnest = min(other.shape[0] for other in self._prepared)
        return (min(size, thinnest), size, size)

    def _supervise(self, labels: NDArray[Any]) -> tuple[Tensor, Tensor]:
        settings = self.settings
        roles = self._start.description.class_roles
        target = training_target(labels, roles, border_width_px=settings.border_width_px)
        weights = boundary_weight_map(
            labels,
            w0=settings.w0,
            border_sigma_px=settings.border_sigma_px,
            class_balance=False,
        )
        if self._class_weights is not None:
            weights += self._class_weights[target] - 1
        return torch.from_numpy(target), torch.from_numpy(weights)

    def _balance(self) -> NDArray[np.float32]:
        """Weight of each class, so that all weigh the same over the training images."""
        roles = self._start.description.class_roles
        counts = np.zeros(len(roles))
        for pair in self._prepared:
            target = training_target(
                pair.labels.numpy(), roles, border_width_px=self.settings.border_width_px
            )
            counts += np.bincount(target.reshape(-1), minlength=len(roles))
        weights: NDArray[np.float32] = counts.sum() / (len(roles) * np.maximum(counts, 1))
        return weights.astype(np.float32)

    def _check_pairs(self, pairs: Sequence[TrainingPair]) -> None:
        if not pairs:
            raise TrainingError("There are no training images; give at least one with its labels.")
        ndim = self._start.description.unet.ndim
        for pair in (*pairs, *self._validation):
            labels = check_labels(pair.labels)
            shape = channels_first(
                np.asarray(pair.image), ndim=ndim, channel_axis=pair.channel_axis
            ).shape[1:]
            if shape != labels.shape:
                raise TrainingError(
                    f"'{pair.name}' has {' x '.join(map(str, shape))} pixels but its labels have "
                    f"{' x '.join(map(str, labels.shape))}; choose the labels of this image."
                )
        if not any(np.any(pair.labels) for pair in pairs):
            raise TrainingError(
                "No training image has a labelled cell; paint at least a few cells first."
            )

    # -- validation --------------------------------------------------------------

    def validate(self) -> Evaluation:
        """Segment the held-out images with the averaged weights and compare."""
        network = self.latest
        predictions = [
            segment(pair.image, network, device=str(self._device)).labels
            for pair in self._validation
        ]
        return evaluate([np.asarray(pair.labels) for pair in self._validation], predictions)

    def _keep_if_best(self, evaluation: Evaluation) -> bool:
        quality = float(np.mean([evaluation.mean_ap(t) for t in evaluation.thresholds]))
        if quality <= self.best_quality:
            return False
        self.best_quality = quality
        self._best = {k: v.detach().clone() for k, v in self._average.state_dict().items()}
        return True

    # -- resume ------------------------------------------------------------------

    def save_state(self, path: str | Path) -> None:
        """Write all that an exact resume needs; complete or not at all.

        Raises
        ------
        CheckpointError
            If the file cannot be written.
        """
        state = {
            "format": "napari-unet training state 1",
            "step": self.step,
            "best_quality": self.best_quality,
            "unet": self._unet.state_dict(),
            "average": self._average.state_dict(),
            "best": self._best,
            "optimizer": self._optimizer.state_dict(),
            "numpy_random": self._rng.bit_generator.state,
            "torch_random": torch.get_rng_state(),
        }
        write_atomically(Path(path), lambda temporary: torch.save(state, temporary))

    def load_state(self, path: str | Path) -> None:
        """Go on from a state written by `save_state`.

        Raises
        ------
        CheckpointError
            If the file is no such state or belongs to another network.
        """
        try:
            state = torch.load(path, weights_only=True, map_location=self._device)
            if state["format"] != "napari-unet training state 1":
                raise KeyError("format")
            self._unet.load_state_dict(state["unet"])
            self._average.load_state_dict(state["average"])
            self._optimizer.load_state_dict(state["optimizer"])
            self._rng.bit_generator.state = state["numpy_random"]
            torch.set_rng_state(state["torch_random"].cpu())
            self.step, self.best_quality = state["step"], state["best_quality"]
            self._best = state["best"]
        except FileNotFoundError as error:
            raise CheckpointError(
                f"There is no training state '{path}'; start the training anew."
            ) from error
        except Exception as error:  # torch.load raises many kinds on a torn or foreign file
            raise CheckpointError(
                f"'{path}' is no training state of this network ({type(error).__name__}); "
                "start the training anew, or give the file written when it was stopped."
            ) from error


def _prepare(pair: TrainingPair, network: Network) -> _Prepared:
    config = network.description.unet
    source = open_image(
        np.asarray(pair.image),
        ndim=config.ndim,
        in_channels=config.in_channels,
        normalization=network.description.normalization,
        channel_axis=pair.channel_axis,
    )
    # Grey images are stored once and repeated in the patch.
    channels = 1 if source.array.shape[0] == 1 else config.in_channels
    image = dataclasses.replace(source, in_channels=channels).read(
        (slice(None),) * len(source.shape)
    )
    labels = check_labels(pair.labels)
    boxes = [box for box in ndimage.find_objects(labels) if box]
    centres = [[(part.start + part.stop - 1) / 2 for part in box] for box in boxes]
    return _Prepared(
        torch.from_numpy(np.ascontiguousarray(image)),
        torch.from_numpy(labels),
        np.array(centres, float).reshape(-1, config.ndim),
    )


def _training_facts(
    pairs: Sequence[TrainingPair], prepared: Sequence[_Prepared]
) -> tuple[float | None, TrainingIntensity]:
    """Median cell diameter in pixels, and the raw intensities of the images."""
    diameters: list[NDArray[np.float64]] = []
    for pair in prepared:
        areas = np.bincount(pair.labels.numpy().reshape(-1))[1:]
        areas = areas[areas > 0].astype(float)
        if len(pair.shape) == 2:
            diameters.append(2 * np.sqrt(areas / math.pi))
        else:
            diameters.append(2 * np.cbrt(3 * areas / (4 * math.pi)))
    every = np.concatenate(diameters)
    percentiles = np.array([np.percentile(pair.image, (1, 50, 99.8)) for pair in pairs])
    low, median, high = np.median(percentiles, axis=0)
    dtypes = [str(np.asarray(pair.image).dtype) for pair in pairs]
    return (
        float(np.median(every)) if every.size else None,
        TrainingIntensity(
            max(set(dtypes), key=dtypes.count), float(low), float(median), float(high)
        ),
    )


def _draw_centre(
    rng: np.random.Generator, pair: _Prepared, shape: tuple[int, ...], background_share: float
) -> NDArray[np.float64]:
    """Image position of a patch's centre, near a cell, with little beyond the border."""
    size = np.array(pair.shape, float)
    half = np.array(shape) / 2
    if len(pair.cell_centres) and rng.random() >= background_share:
        centre = pair.cell_centres[rng.integers(len(pair.cell_centres))]
        centre = centre + rng.uniform(-0.5, 0.5, len(shape)) * half
    else:
        centre = rng.uniform(0, size - 1)
    margin = np.minimum(0.8 * half, size / 2)
    inside: NDArray[np.float64] = np.clip(centre, margin - 0.5, size - margin - 0.5)
    return inside


def _centre_part(positions: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Cut out the part of (D, *P) `positions` behind the output of an unpadded network."""
    for axis, wanted in enumerate(shape, start=1):
        start = (positions.shape[axis] - wanted) // 2
        positions = positions.narrow(axis, start, wanted)
    return positions
