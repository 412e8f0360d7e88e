"""A training that goes step by step: its best state, its validations, its state in a file."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from napari_unet.engine.base.device import resolve_device
from napari_unet.engine.base.errors import TrainingError
from napari_unet.engine.base.host_memory import free_host_bytes
from napari_unet.engine.models.scores import trained_further
from napari_unet.engine.networks.annotation import labels_are_classes
from napari_unet.engine.networks.network import Network, NetworkDescription
from napari_unet.engine.training.knowledge.bank import Bank, known_bank
from napari_unet.engine.training.knowledge.before import (
    KNOWN,
    SaidOfKnown,
    familiarity_of,
    said_before,
)
from napari_unet.engine.training.knowledge.judging import judge
from napari_unet.engine.training.knowledge.resemblance import resembling
from napari_unet.engine.training.knowledge.verdict import Verdict
from napari_unet.engine.training.learner import Learner, TrainingReport
from napari_unet.engine.training.length.schedule import Schedule
from napari_unet.engine.training.pair_checks import check_pairs
from napari_unet.engine.training.pairs import TrainingPair, note_of_border
from napari_unet.engine.training.patches import Batch, BatchesAhead, Patches
from napari_unet.engine.training.prepared import description_after
from napari_unet.engine.training.scoring import never
from napari_unet.engine.training.settings import TrainingSettings
from napari_unet.engine.training.state import (
    fingerprint,
    network_with,
    note_of_changes,
    read_state,
    write_state,
)
from napari_unet.engine.training.typed_start import (
    network_for,
    note_of_types,
    with_fitted_types,
)
from napari_unet.engine.training.validation import Validation, ValidationResult
from napari_unet.engine.training.volumes.patch_size import room_for_patches
from napari_unet.engine.training.volumes.voxels import on_grid_of, with_anisotropy

_MOST_NAMES = 100
"""Of images, in a model's history."""


class TrainingRun(Iterator[TrainingReport]):
    """A training that goes one step at a time; see `train`.

    Attributes
    ----------
    schedule : Schedule
        How far it is, and what ended it.
    validation_is_due : bool
        A validation was broken off; going on makes up for it.
    has_other_images : bool
        It goes on with other images or labels than it was begun with.
    """

    def __init__(
        self,
        pairs: Sequence[TrainingPair],
        network: Network,
        *,
        settings: TrainingSettings,
        validation: Sequence[TrainingPair],
        device: str,
        started_from: str | None,
        bank: Bank | None = None,
        should_stop: Callable[[], bool] = never,
    ) -> None:
        started = time.perf_counter()
        self.settings = settings
        self.should_stop = should_stop
        self.best_quality = -math.inf
        self._notes: tuple[str, ...] = ()
        self._started_from = started_from
        self._device = resolve_device(device)
        if network.description.not_trainable_because:
            raise TrainingError(network.description.not_trainable_because)
        given, network = network, network_for(network, (*pairs, *validation))
        gains_types = network is not given
        roles = network.description.class_roles
        ndim = network.description.architecture.ndim
        check_pairs(pairs, validation, ndim=ndim, class_roles=roles)
        network = with_anisotropy(network, pairs)
        description = network.description
        pairs, validation = (
            [on_grid_of(pair, description) for pair in some] for some in (pairs, validation)
        )
        self._start = network
        self._bank = Bank()
        if started_from is not None:
            self._bank = known_bank(description) if bank is None else bank
        known = self._bank.pairs("learn") if settings.bank_share else ()
        familiar = 0.0
        if started_from is not None and (known or settings.keep_knowledge):
            familiar = familiarity_of(pairs, network, device=device, should_stop=should_stop)
        shown = dataclasses.replace(settings, bank_share=settings.bank_share * (1 + familiar) / 2)
        known = resembling(known, pairs, description, familiar=familiar)
        is_cpu = self._device.type == "cpu"
        room = room_for_patches(free_host_bytes(), network) if is_cpu else None
        self._patches = Patches(pairs, network, shown, known, room_bytes=room)
        if settings.keep_knowledge and started_from is not None:
            said = said_before(
                pairs,
                network,
                around_px=max(self._patches.shape),
                device=device,
                should_stop=should_stop,
            )
            self._patches.hold(said, SaidOfKnown(known, network, device))
        prepared = self._patches.prepared
        self._expects = description_after(description, pairs, prepared, knows=familiar >= KNOWN)
        self._pairs = tuple(pairs)
        self._fingerprint = fingerprint((*pairs, *validation))
        self.has_other_images = False
        self._validation = Validation(validation, self._patches)
        self._note(self._patches.note)
        self._note(note_of_types(pairs, description))
        self._note(note_of_border(pairs, description))
        self._note(self._validation.note(network))
        self.validation_is_due = False
        self._loss = math.nan
        self.schedule = Schedule(settings)
        if gains_types and started_from is not None:
            network = with_fitted_types(
                network, self._patches, device=self._device, should_stop=should_stop
            )
        self._learner = Learner(
            network,
            settings,
            self._device,
            self._patches.input_shape,
            room_bytes=room,
            type_weights=self._patches.type_weights,
        )
        self._best: dict[str, Tensor] | None = None
        # On the CPU a second thread would only take the network's cores.
        self._ahead = BatchesAhead(self._patches) if self._device.type != "cpu" else None
        self.schedule.elapsed_s = time.perf_counter() - started

    # -- results -----------------------------------------------------------------

    @property
    def network(self) -> Network:
        """The best network so far, on the CPU, with its description brought up to date."""
        weights = self._best or self._learner.average.state_dict()
        return network_with(weights, self._describe())

    @property
    def latest(self) -> Network:
        """The network after the last step, whether it is the best or not."""
        return network_with(self._learner.average.state_dict(), self._describe())

    @property
    def notes(self) -> tuple[str, ...]:
        """One sentence for each thing that went another way than asked for."""
        return (*self._notes, *self._learner.notes)

    @property
    def precision(self) -> torch.dtype:
        """Number format of the network's arithmetic."""
        return self._learner.precision

    @property
    def pairs(self) -> tuple[TrainingPair, ...]:
        """What it learns from."""
        return self._pairs

    @property
    def step(self) -> int:
        """Steps that are done."""
        return self.schedule.step

    @property
    def share(self) -> float:
        """How much of the training is done, 0 to 1."""
        return self.schedule.share

    @property
    def shortfall(self) -> str | None:
        """A sentence where more steps would teach it more; None where nothing says so."""
        return self.schedule.shortfall

    @property
    def is_validated(self) -> bool:
        """Whether there are held-out images."""
        return bool(self._validation.pairs)

    def tuned(self) -> Network:
        """Best network, with thresholds that suit the held-out images if they show enough cells.

        If they do not, the images that it learned from count, too. Stopped by
        `should_stop`, it is the same as `network`.
        """
        network = self.network
        tuned = self._validation.tuned(
            network, self._pairs, device=str(self._device), should_stop=self.should_stop
        )
        return tuned or network

    def verdict(self, network: Network | None = None) -> Verdict | None:
        """Judge what was learned beside the network that it began with.

        Parameters
        ----------
        network : Network, optional
            What was learned, such as `tuned()`; `network` without it.

        Returns
        -------
        Verdict or None
            None for a new network, for one that finds classes and no cells, and
            if it was stopped by `should_stop`.
        """
        roles = self._start.description.class_roles
        if self._started_from is None or labels_are_classes(roles):
            return None
        return judge(
            self._start,
            network or self.network,
            self._pairs,
            self._bank.pairs("judge"),
            self._validation.pairs,
            device=str(self._device),
            should_stop=self.should_stop,
        )

    def _describe(self) -> NetworkDescription:
        entry = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "started_from": self._started_from,
            "steps": self.step,
            "ended": self.schedule.ending,
            "images": len(self._patches.prepared),
            "cells": self._patches.cell_count,
            "names": list(dict.fromkeys(pair.name for pair in self._pairs))[:_MOST_NAMES],
            "settings": dataclasses.asdict(self.settings),
        }
        return trained_further(self._expects, entry)

    # -- steps -------------------------------------------------------------------

    def __iter__(self) -> TrainingRun:
        return self

    def __next__(self) -> TrainingReport:
        started = time.perf_counter()
        result, is_best = None, False
        if self.validation_is_due:  # it was broken off
            result, is_best = self._validate_and_keep()
            if self.schedule.is_over and result is not None:
                return self._report(result, is_best, started, started)
        if self.schedule.is_over:
            raise StopIteration
        batch = self.next_batch()
        prepared = time.perf_counter()
        try:
            rate = self.schedule.learning_rate
            self._loss = self._learner.learn(batch, step=self.step, learning_rate=rate)
        except TrainingError:
            self._learner.restore(self._best or self._learner.average.state_dict())
            raise
        self.schedule.count_step(self._loss, time.perf_counter() - started)
        if self._validation.pairs and self.schedule.asks_for_validation:
            result, is_best = self._validate_and_keep()
        return self._report(result, is_best, started, prepared)

    def _report(
        self,
        result: ValidationResult | None,
        is_best: bool,  # noqa: FBT001
        started: float,
        prepared: float,
    ) -> TrainingReport:
        return TrainingReport(
            self.step,
            self.schedule.end,
            self._loss,
            result.evaluation if result else None,
            is_best,
            time.perf_counter() - started,
            prepared - started,
            result.loss if result else None,
            self.share,
            self.notes,
            self.shortfall if self.share >= 1 else None,
            result.types if result else None,
        )

    def next_batch(self) -> Batch:
        """Patches of the next step, on the device; the same until it is done."""
        ahead = self._ahead
        batch = self._patches.batch(self.step) if ahead is None else ahead.batch(self.step)
        return batch.to(self._device, self._learner.memory_format)

    def _note(self, sentence: str | None) -> None:
        if sentence and sentence not in self._notes:
            self._notes = (*self._notes, sentence)

    # -- validation --------------------------------------------------------------

    def validate(self, network: Network | None = None) -> ValidationResult | None:
        """Score the held-out images with the latest network, or another; None if stopped."""
        return self._validation.run(
            network or self.latest, device=str(self._device), should_stop=self.should_stop
        )

    def _validate_and_keep(self) -> tuple[ValidationResult | None, bool]:
        began = time.perf_counter()
        self.validation_is_due = True
        result = self.validate()
        if result is None:
            return None, False
        self.validation_is_due = False
        self.schedule.count_validation(result.loss, time.perf_counter() - began)
        if not result.quality > self.best_quality:  # so NaN is never the best
            return result, False
        self.best_quality = result.quality
        self._best = {k: v.detach().clone() for k, v in self._learner.average.state_dict().items()}
        return result, True

    # -- resume ------------------------------------------------------------------

    def go_on_at(self, step: int) -> None:
        """Take the weights that this training was begun with for those it had after `step` steps.

        What the optimiser knew is gone, so that the learning rate rises anew
        over the warm-up. Patches and rate are those of the steps to come.
        """
        self.schedule.go_on_at(step)

    def save_state(self, path: str | Path) -> None:
        """Write all that an exact resume needs; complete or not at all.

        Random numbers are made from the seed and the step, so that none need
        be kept.

        Raises
        ------
        CheckpointError
            If the file cannot be written; one that was there before is whole.
        """
        write_state(
            Path(path),
            {
                "images": self._fingerprint,
                "settings": json.dumps(dataclasses.asdict(self.settings)),
                "description": self._describe().to_json(),
                "best_quality": self.best_quality,
                "loss": self._loss,
                "validation_is_due": self.validation_is_due,
                "notes": list(self._notes),
                "best": self._best,
                **self.schedule.state(),
                **self._learner.state(),
            },
        )

    def load_state(self, path: str | Path) -> None:
        """Go on from a state written by `save_state`.

        Raises
        ------
        CheckpointError
            If the file is no such state or belongs to another network.
        """
        otherwise = "of this network {}; start anew, or give the file written when it was stopped."
        read_state(path, self._device, self._restore, otherwise=otherwise)

    def _restore(self, state: dict[str, Any]) -> None:
        self._learner.load_state(state)
        self.schedule.load_state(state)
        self.best_quality, self._best = state["best_quality"], state["best"]
        self.validation_is_due = state["validation_is_due"]
        if self.schedule.is_over and not self.validation_is_due:
            self.schedule.renew()
        self._loss, self._notes = state["loss"], tuple(state["notes"])
        self._note(note_of_changes(self.settings, state["settings"]))
        self.has_other_images = state.get("images", self._fingerprint) != self._fingerprint
        if self.has_other_images:
            self._note(
                "The training goes on with other images or labels than it was begun with, so it "
                "ends otherwise than it would have."
            )
