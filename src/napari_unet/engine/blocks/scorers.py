"""Who computes the scores of blocks: this process, or the workers of a cluster."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import torch

from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.base.settings import SegmentationSettings
from napari_unet.engine.blocks.grid import Key
from napari_unet.engine.blocks.plan import Plan
from napari_unet.engine.blocks.scoring import (
    Machine,
    Order,
    Reading,
    Scoring,
    check_same,
    file_digest,
    introduce,
    score_block,
    score_slices,
)
from napari_unet.engine.blocks.scratch import Scratch
from napari_unet.engine.blocks.slabs import Slab
from napari_unet.engine.cluster.crew import Crew
from napari_unet.engine.models.checkpoint import save_checkpoint
from napari_unet.engine.networks.network import Network
from napari_unet.engine.segmentation.detours import Detours


class Alone:
    """Computes scores in this process, with a pause after each tile."""

    def __init__(self, scoring: Scoring) -> None:
        self._scoring = scoring

    def machine(self, scratch: Scratch) -> Machine:  # noqa: ARG002 - as `Shared` has it
        """With what scores are computed."""
        return self._scoring.machine

    def scored(self, plan: Plan, keys: Sequence[Key], machine: Machine) -> Iterator[Key | None]:
        """The block that is done, after each tile; None after one that is not its last."""
        self._scoring.predictor.fix_tile_px(machine.tile_px)
        for key in keys:
            for _ in self._scoring.tiles(plan, key):
                yield None
            yield key

    def sliced(self, plan: Plan, slabs: Sequence[Slab], machine: Machine) -> Iterator[Slab | None]:
        """The slab of slices that is done, as `scored` has it."""
        self._scoring.predictor.fix_tile_px(machine.tile_px)
        for slab in slabs:
            for _ in self._scoring.slices(plan, slab):
                yield None
            yield slab

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about what went another way than asked for."""
        return self._scoring.predictor.notes


class Shared:
    """Has scores computed by the workers of a cluster."""

    def __init__(
        self,
        reading: Reading,
        networks: Sequence[Network],
        settings: SegmentationSettings,
        device: str,
        crew: Crew,
    ) -> None:
        self._reading, self._networks, self._settings = reading, networks, settings
        self._device, self._crew = device, crew
        self._detours = [Detours() for _ in networks]
        self._dtype = torch.float32

    def machine(self, scratch: Scratch) -> Machine:
        """Send the networks, and ask all workers with what they compute."""
        files = []
        for number, network in enumerate(self._networks):
            description = network.description
            if not description.architecture.is_trainable:
                raise SettingsError(
                    f"Model '{description.name}' is ready-made and cannot be sent to workers; "
                    "choose one whose weights are known, or leave the client out."
                )
            path = scratch.network_file(number)
            if not path.exists():
                save_checkpoint(network, path)
            files.append((path, file_digest(path)))
        self._order = Order(
            secrets.token_hex(8), self._reading, tuple(files), self._settings, self._device
        )
        answers = list(self._crew.ask(partial(introduce, self._order)).values())
        check_same(answers[0], answers)
        self._dtype = getattr(torch, answers[0].precision.removeprefix("torch."))
        return replace(answers[0], tile_px=min(each.tile_px for each in answers))

    def scored(self, plan: Plan, keys: Sequence[Key], machine: Machine) -> Iterator[Key | None]:
        """The block that is done, after each."""
        task = partial(score_block, self._order, machine, plan)
        for key, detours in self._crew.done("scores", task, keys):
            self._note(detours)
            yield key

    def sliced(self, plan: Plan, slabs: Sequence[Slab], machine: Machine) -> Iterator[Slab | None]:
        """The slab of slices that is done, after each."""
        task = partial(score_slices, self._order, machine, plan)
        for slab, detours in self._crew.done("slices", task, slabs):
            self._note(detours)
            yield slab

    def _note(self, detours: Sequence[Detours]) -> None:
        for number, its in enumerate(detours):
            self._detours[number] = self._detours[number].joined(its)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about what went another way than asked for."""
        each = zip(self._detours, self._networks, strict=True)
        found = [note for its, net in each for note in its.notes(net.description, self._dtype)]
        return tuple(dict.fromkeys(found))
