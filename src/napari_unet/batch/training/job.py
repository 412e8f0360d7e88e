"""A training of a queue that is worked on: to its end and its verdict, or to where it stands."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from napari_unet.batch.attempts import Processors, Stopped
from napari_unet.batch.file_plan import check_writable
from napari_unet.batch.training.entry import TRAININGS, TrainingEntry, TrainingOutcome
from napari_unet.batch.training.tuned import Tuned, tuned
from napari_unet.engine.base.cancel import CancelsTorch
from napari_unet.engine.base.errors import CheckpointError
from napari_unet.engine.models.checkpoint import save_checkpoint
from napari_unet.engine.networks.bundled import bank_file
from napari_unet.engine.networks.network import Network
from napari_unet.engine.training.knowledge.bank import bank_of, known_bank, write_bank
from napari_unet.engine.training.knowledge.verdict import AT, Verdict
from napari_unet.engine.training.learner import TrainingReport
from napari_unet.engine.training.run import TrainingRun
from napari_unet.engine.training.training import train
from napari_unet.files.image_file import existing
from napari_unet.session import measured_file

_SAVE_S = 30.0
"""A crash costs no more than that."""

_ANEW = "The images, or what was kept of the training, were changed since, so it began anew."


class _StepCancelledError(BaseException):
    """Unwinds a step; no `except Exception` on the way may hold it up."""


@dataclass(frozen=True, slots=True)
class Learned:
    """A training that is done.

    Parameters
    ----------
    line : str
        For people.
    outcome : TrainingOutcome
    """

    line: str
    outcome: TrainingOutcome


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """Trains networks of a queue, each by a call.

    Parameters
    ----------
    folder : Path
        Of the queue.
    device : str
    allow_code : bool
        Open a model file that carries a program, and let it run.
    processors : Processors
    cancel, pause : threading.Event
        Either ends a training where it stands; its state is kept.
    """

    folder: Path
    device: str = "auto"
    allow_code: bool = False
    processors: Processors = field(default_factory=lambda: Processors(1))
    cancel: threading.Event = field(default_factory=threading.Event)
    pause: threading.Event = field(default_factory=threading.Event)

    def __call__(self, entry: TrainingEntry, reach: Callable[[float], None]) -> Learned | None:
        """Train, and write the model if it is better than the one that it began with.

        Parameters
        ----------
        entry : TrainingEntry
        reach : callable
            Given the share that is done, 0 to 1.

        Returns
        -------
        Learned or None
            None if it was paused.

        Raises
        ------
        UNetError
            If there is nothing to learn from, something does not fit, or the model cannot be
            written.
        Stopped
            After `cancel` was set.
        """
        self._check_files(entry)
        with self.processors.taken(alone=True):
            run, notes = self._begun(entry)
            notes += self._iterate(entry, run, reach)
            found = self._judged(entry, run)
        if found is None:
            if self.cancel.is_set():
                raise Stopped
            return None
        return self._kept(entry, run, *found, notes)

    def _must_end(self) -> bool:
        return self.cancel.is_set() or self.pause.is_set()

    def _check_files(self, entry: TrainingEntry) -> None:
        check_writable(entry.output.parent)
        check_writable(self.folder / TRAININGS)
        is_own = entry.replaces or entry.state_file(self.folder).exists()
        if entry.output.exists() and not is_own:
            raise existing(entry.output)

    def _begun(self, entry: TrainingEntry) -> tuple[TrainingRun, list[str]]:
        """Begin a training, or go on with it where it stands; with what there is to say of that."""
        plan = entry.plan
        start = plan.load_start(allow_code=self.allow_code)
        pairs, validation = plan.files.read(self.folder / TRAININGS)
        description = None
        if start is None:
            description = plan.new.described([*pairs, *validation], entry.name)
        if not validation:
            asked = start.description if start else description
            assert asked is not None  # noqa: S101 - one of both is there
            parts = plan.files.divided(pairs, asked, seed=plan.settings.seed)
            pairs, validation = list(parts.training), list(parts.validation)
        begin = partial(
            train,
            pairs,
            start,
            settings=plan.settings,
            validation=validation,
            device=self.device,
            description=description,
            bank=known_bank(start.description, plan.start_file) if start else None,
            should_stop=self._must_end,
        )
        state = entry.state_file(self.folder)
        if not state.exists():
            return begin(), []
        try:
            run = begin(resume_from=state)
        except CheckpointError:
            return begin(), [_ANEW]
        return (begin(), [_ANEW]) if run.has_other_images else (run, [])

    def _iterate(
        self, entry: TrainingEntry, run: TrainingRun, reach: Callable[[float], None]
    ) -> list[str]:
        """Learn until the end, a stop or a pause; return why its state could not be kept."""
        state, saved_s, problem = entry.state_file(self.folder), -_SAVE_S, ""
        reach(run.share)
        has_learned = False
        while not self._must_end():
            try:
                with self._cancels_the_step(entry):
                    step = next(run, None)
            except _StepCancelledError:
                break
            if step is None:
                return [problem] if problem else []
            has_learned = True
            reach(step.share)
            if time.monotonic() - saved_s >= _SAVE_S and _goes_on(run, step):
                problem, saved_s = _saved(run, state), time.monotonic()
        # What has ended is not kept as it is: going on with it would be a further training.
        if has_learned and (run.share < 1 or run.validation_is_due):
            problem = _saved(run, state)
        return [problem] if problem else []

    def _cancels_the_step(self, entry: TrainingEntry) -> AbstractContextManager[Any]:
        """Let a stop end a step before its next convolution: it is done again when it goes on.

        Only there nothing has been changed yet; with `adapt_norms` batch norm has.
        """
        if entry.plan.settings.adapt_norms:
            return nullcontext()
        return CancelsTorch(self.cancel, _StepCancelledError, before="conv")

    def _judged(
        self, entry: TrainingEntry, run: TrainingRun
    ) -> tuple[Tuned, Verdict | None] | None:
        """Tune and judge what has ended; None if it was stopped or paused."""
        if self._must_end():
            return None
        found = tuned(run) if entry.plan.tunes else Tuned(run.network, is_tuned=False)
        verdict = run.verdict(found.network)
        return None if self._must_end() else (found, verdict)

    def _kept(
        self,
        entry: TrainingEntry,
        run: TrainingRun,
        found: Tuned,
        verdict: Verdict | None,
        notes: list[str],
    ) -> Learned:
        """Write what is better than the start, and say what came of it."""
        outcome = TrainingOutcome(
            run.step,
            round(run.schedule.elapsed_s, 2),
            warnings=tuple(filter(None, (*notes, *run.notes, run.shortfall))),
            **(_figures(found) if verdict is None else _compared(verdict)),
        )
        if verdict is not None and not verdict.is_better:
            warnings = (*outcome.warnings, verdict.advice)
            outcome = replace(outcome, is_refused=True, warnings=warnings)
        else:
            self._write(entry, run, found.network if verdict is None else verdict.proposed)
            outcome = replace(outcome, file_hash=measured_file(str(entry.output))[0])
        told = outcome.verdict or outcome.quality
        line = f"{entry.title}: {outcome.steps} steps in {outcome.seconds:.0f} s"
        line += "" if outcome.is_refused else f" -> {entry.output}"
        return Learned(f"{line}. {told}" if told else line, outcome)

    def _write(self, entry: TrainingEntry, run: TrainingRun, network: Network) -> None:
        texts: dict[str, Any] = dict(entry.plan.about)
        described = replace(network.description, name=entry.name, **texts)
        save_checkpoint(Network(network.unet, described), entry.output, overwrite=True)
        if entry.plan.keeps_images:
            write_bank(bank_of(run.pairs, entry.plan.start_file), bank_file(entry.output))


def _goes_on(run: TrainingRun, step: TrainingReport) -> bool:
    return step.share < 1 or run.validation_is_due


def _saved(run: TrainingRun, state: Path) -> str:
    """Keep what is needed to go on; return a sentence if that cannot be."""
    try:
        run.save_state(state)
    except CheckpointError as error:
        # No reason to lose what is being learned.
        return f"{error} The training went on without being saved."
    return ""


def _figures(found: Tuned) -> dict[str, Any]:
    evaluation = found.evaluation
    if evaluation is None or not evaluation.has_figures:
        return {}
    return {"ap_after": round(evaluation.pooled(AT).average_precision, 4)}


def _compared(verdict: Verdict) -> dict[str, Any]:
    before = verdict.judged["before"]
    now = verdict.judged[verdict.chosen if verdict.is_better else "after"]
    figures: dict[str, Any] = {
        "labelled": now.corrected[1],
        "right_before": before.corrected[0],
        "right_after": now.corrected[0],
        "verdict": verdict.sentence,
    }
    if before.held_out is not None and now.held_out is not None and now.held_out.has_figures:
        for name, each in (("ap_before", before.held_out), ("ap_after", now.held_out)):
            figures[name] = round(each.pooled(AT).average_precision, 4)
    return figures
