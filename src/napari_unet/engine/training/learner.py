"""A network that learns from one batch after another, in parts where memory is short."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_unet.engine.base.device_errors import result_if_it_fits
from napari_unet.engine.base.errors import TrainingError
from napari_unet.engine.labels.cell_types import TypeEvaluation
from napari_unet.engine.labels.evaluation import Evaluation
from napari_unet.engine.networks.architecture import NetworkModule
from napari_unet.engine.networks.class_roles import (
    CELL,
    cell_groups,
    is_cell,
    roles_as_cells,
    types_of,
)
from napari_unet.engine.networks.network import Network
from napari_unet.engine.training.patches import Batch
from napari_unet.engine.training.settings import TrainingSettings
from napari_unet.engine.training.volumes.arithmetic import learning_format, learning_precision
from napari_unet.engine.training.volumes.patch_size import step_bytes


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """What one training step did.

    Parameters
    ----------
    step, steps : int
        Steps done, and those after which it ends at the latest; fewer as soon
        as the loss has levelled off.
    loss : float
        Of this batch.
    validation : Evaluation or None
        Where this step ended with a validation that has cells to find. It has
        `mean_ap`, and `mean_matched_iou` for the outlines.
    is_best : bool
        Whether that validation was the best so far.
    step_s, preparation_s : float
        Seconds this step took, and of these to wait for the batch.
    validation_loss : float or None
        Of the held-out images, where this step ended with a validation.
    share : float
        How much of the training is done, 0 to 1: of the steps or of the
        seconds, whichever is more.
    notes : tuple of str
        Sentences about anything that went another way than asked for, since
        the training began.
    shortfall : str or None
        At the end of a training, a sentence if it was too short.
    types : TypeEvaluation or None
        Of the held-out cells that were found, where types are told apart.
    """

    step: int
    steps: int
    loss: float
    validation: Evaluation | None
    is_best: bool
    step_s: float
    preparation_s: float
    validation_loss: float | None = None
    share: float = 0.0
    notes: tuple[str, ...] = ()
    shortfall: str | None = None
    types: TypeEvaluation | None = None


def logits_as_cells(logits: Tensor, class_roles: Sequence[str]) -> Tensor:
    """Logits (N, C', *S) whose softmax is that of (N, C, *S) logits with the types summed."""
    if not types_of(class_roles):
        return logits
    parts = [logits[:, channels] for _, channels in cell_groups(class_roles)]
    return torch.cat([part.logsumexp(1, keepdim=True) for part in parts], dim=1)


def target_as_cells(target: Tensor, class_roles: Sequence[str]) -> Tensor:
    """Class index among `roles_as_cells` of each pixel, from that among `class_roles`."""
    if not types_of(class_roles):
        return target
    groups = enumerate(cell_groups(class_roles))
    indices = [index for index, (_, channels) in groups for _ in channels]
    indices.append(roles_as_cells(class_roles).index(CELL))
    return torch.tensor(indices, device=target.device)[target]


def weighted_cross_entropy(
    logits: Tensor,
    target: Tensor,
    weights: Tensor,
    class_roles: Sequence[str] = (),
    type_weights: Sequence[float] = (),
) -> Tensor:
    """Softmax cross-entropy of each image of a batch, its pixels counting by their weight.

    Parameters
    ----------
    logits : (N, C, *S) tensor
    target : (N, *S) int64 tensor
        Class index of each pixel.
    weights : (N, *S) float32 tensor
        Not negative; pixels of weight 0 are ignored.
    class_roles : sequence of str
        Of a network that tells types of cells apart: where the target is
        `some_cell`, the probability that counts is the sum over the types.
    type_weights : sequence of float
        For each type, how much it counts which type a cell is, beside whether
        it is one; 1 for each is the plain cross-entropy.

    Returns
    -------
    (N,) tensor
        Sums over the pixels; means if the weights sum to 1.

    References
    ----------
    Ronneberger et al. (2015), Eq. 1. https://arxiv.org/abs/1505.04597
    """
    logits = logits.float()
    losses = functional.cross_entropy(
        logits_as_cells(logits, class_roles), target_as_cells(target, class_roles), reduction="none"
    )
    if type_weights:
        losses = losses + _type_losses(logits, target, class_roles, type_weights)
    return (losses * weights).flatten(1).sum(1)


def _type_losses(
    logits: Tensor, target: Tensor, class_roles: Sequence[str], type_weights: Sequence[float]
) -> Tensor:
    """Cross-entropy of the types of cells among each other; 0 where there is no type to learn."""
    channels = [index for index, role in enumerate(class_roles) if is_cell(role)]
    own = target - channels[0]
    is_typed = (own >= 0) & (own < len(channels))
    own = torch.where(is_typed, own, 0)
    factors = torch.tensor(type_weights, device=logits.device)[own] * is_typed
    return functional.cross_entropy(logits[:, channels], own, reduction="none") * factors


def distillation_loss(logits: Tensor, scores: Tensor, held: Tensor) -> Tensor:
    """How far a network is from what it said before: the mean Kullback-Leibler divergence.

    Parameters
    ----------
    logits : (N, C, *S) tensor
    scores : (N, C, *S) float32 tensor
        Probabilities that the network gave before.
    held : (N, *S) float32 tensor
        Factor of each pixel; the mean is over all.

    Returns
    -------
    scalar tensor
        0 where nothing has changed.

    References
    ----------
    Li and Hoiem (2016), Learning without forgetting. https://arxiv.org/abs/1606.09282
    """
    now = functional.log_softmax(logits.float(), 1)
    return ((torch.xlogy(scores, scores) - scores * now).sum(1) * held).mean()


class Learner:
    """A network, the running average of its weights, and what changes them.

    Parameters
    ----------
    network : Network
        Where to start; it is not changed.
    shape : tuple of int
        Of a patch as it goes in.
    room_bytes : int, optional
        Memory that what is computed at once may take.
    type_weights : sequence of float
        For each type of cells, as `weighted_cross_entropy` takes them.
    """

    def __init__(
        self,
        network: Network,
        settings: TrainingSettings,
        device: torch.device,
        shape: tuple[int, ...],
        *,
        room_bytes: int | None = None,
        type_weights: Sequence[float] = (),
    ) -> None:
        self._settings = settings
        self._device = device
        self._roles, self._type_weights = network.description.class_roles, tuple(type_weights)
        self.memory_format = learning_format(network.unet, device)
        unet = copy.deepcopy(network.unet).requires_grad_(True).to(device)
        self.unet: NetworkModule = unet.to(memory_format=self.memory_format)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.unet).eval().requires_grad_(False)
        self.precision = learning_precision(settings.precision, device, self.average, shape)
        self.optimizer = self._make_optimizer()
        self._halvings, config = 0, network.description.architecture
        # Linux would kill a process that takes more than there is, without an error.
        while room_bytes is not None and self.part_size > 1:
            if step_bytes(config, shape, self.part_size) <= room_bytes:
                break
            self._halvings += 1

    @property
    def part_size(self) -> int:
        """Patches that are computed at once."""
        return max(1, self._settings.batch_size >> self._halvings)

    @property
    def notes(self) -> tuple[str, ...]:
        """One sentence for each thing that went another way than asked for."""
        notes = []
        if self.precision == torch.float32 and self._settings.precision not in ("auto", "float32"):
            notes.append(
                "These patches are learned from in float32: somewhere in the network they have two "
                "slices, and their gradients in other number formats cannot be trusted on the CPU."
            )
        if self._halvings:
            notes.append(
                f"There is too little memory for a batch at once, so it is computed in parts of "
                f"{self.part_size}; it counts as one batch all the same, and takes a little longer."
            )
        return tuple(notes)

    def state(self) -> dict[str, Any]:
        """All that `load_state` needs to go on exactly."""
        return {
            "unet": self.unet.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "halvings": self._halvings,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self.unet.load_state_dict(state["unet"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self._halvings = max(self._halvings, state["halvings"])

    def restore(self, weights: Mapping[str, Tensor]) -> None:
        """Go back to weights that were good."""
        self.unet.load_state_dict(weights)
        self.optimizer.zero_grad(set_to_none=True)

    def learn(self, batch: Batch, *, step: int, learning_rate: float) -> float:
        """Change the weights by one batch; return its loss.

        Raises
        ------
        TrainingError
            If the loss or its gradient is no number; the average is as before.
        """
        self.unet.train()
        if not self._settings.adapt_norms:
            _hold_norms(self.unet)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        loss = self._gradients(batch, step)
        norm = float(nn.utils.clip_grad_norm_(self.unet.parameters(), 5.0))
        for name, value in (("loss", loss), ("gradient", norm)):
            if not math.isfinite(value):
                raise TrainingError(
                    f"The {name} became {value} at step {step + 1}; the best state so far is "
                    "kept. Train again with a lower learning rate."
                )
        self.optimizer.step()
        self._update_average(step)
        return loss

    def _gradients(self, batch: Batch, step: int) -> float:
        """Loss of a batch; in parts, each half as large as before, where memory runs out."""
        while True:
            gpus = [self._device.index or 0] if self._device.type == "cuda" else []
            with torch.random.fork_rng(gpus):
                # Drop-out, too, is the same whenever and wherever the step is done.
                seed = np.random.SeedSequence((self._settings.seed, step)).generate_state(1)[0]
                torch.manual_seed(int(seed))
                loss = result_if_it_fits(lambda: self._accumulate(batch), self._device)
            if loss is not None:
                return loss
            self._halve(batch)

    def _halve(self, batch: Batch) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        if self.part_size == 1:
            sizes = batch.target.shape[1:]
            raise TrainingError(
                f"Not even one patch of {' x '.join(map(str, sizes))} pixels fits into the memory; "
                "close other programs, or train with smaller patches, for example of "
                f"{max(16, sizes[-1] // 2)}."
            )
        self._halvings += 1
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _accumulate(self, batch: Batch) -> float:
        self.optimizer.zero_grad(set_to_none=True)
        count, held = len(batch.images), len(batch.held)
        all_weights = batch.balanced_weights
        value = torch.zeros((), device=self._device)
        for start in range(0, count, self.part_size):
            stop = min(start + self.part_size, count)
            half = self.precision != torch.float32
            with torch.autocast(self._device.type, self.precision, enabled=half):
                logits = self.unet(batch.images[start:stop])
            target, weights = batch.target[start:stop], all_weights[start:stop]
            losses = weighted_cross_entropy(
                logits, target, weights, self._roles, self._type_weights
            )
            loss = losses.sum()
            value += losses[: max(0, batch.new - start)].sum().detach()
            if start < held:
                here = slice(start, min(stop, held))
                before, where = batch.before[here], batch.held[here]
                cells = logits_as_cells(logits[: len(where)].float(), self._roles)
                kept = distillation_loss(cells, before, where)
                loss = loss + self._settings.keep_knowledge * len(where) / held * kept
            loss.backward()  # type: ignore[no-untyped-call]
        # Of what is to be learned: what is known would hide whether it still falls.
        value *= count / batch.new
        return float(value)

    @torch.no_grad()
    def _update_average(self, step: int) -> None:
        # A short memory at the start, so that the first weights are soon forgotten.
        decay = min(self._settings.average, (step + 1) / (step + 10))
        if self._settings.average == 0:
            decay = 0.0
        means, values = [], []
        current = self.unet.state_dict()
        for key, mean in self.average.state_dict().items():
            if mean.is_floating_point():
                means.append(mean)
                values.append(current[key])
            else:
                mean.copy_(current[key])
        torch._foreach_lerp_(means, values, 1 - decay)

    def _make_optimizer(self) -> torch.optim.Optimizer:
        settings = self._settings
        if settings.optimizer == "sgd":
            return torch.optim.SGD(
                self.unet.parameters(),
                lr=settings.learning_rate,
                momentum=0.99,
                weight_decay=settings.weight_decay,
            )
        return torch.optim.AdamW(
            self.unet.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )


def _hold_norms(unet: NetworkModule) -> None:
    """Let batch norm use what it measured before, as it does in segmentation."""
    for module in unet.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            module.eval()
