"""The thread's side of a training: steps, and what is seen, saved and told between them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from napari_unet.engine.base.errors import CheckpointError, TrainingError
from napari_unet.engine.training.length.pace import Pace
from napari_unet.versions.autosave import Autosave, InterruptedTraining
from napari_unet.viewer.layers import LayerImage
from napari_unet.viewer.results import new_preview_layer
from napari_unet.widgets.train.plan import IS_FINISHED, Plan, annotation_in_parts
from napari_unet.widgets.train.preview import Previewed, see
from napari_unet.widgets.train.reports import Begun, Control, Learned, Report, Trained
from napari_unet.widgets.train.review.comparison import compare

if TYPE_CHECKING:
    from napari_unet.engine.training.learner import TrainingReport
    from napari_unet.engine.training.run import TrainingRun

_REPORT_S = 0.2
_FIRST_PREVIEW_S = 2.0
_PREVIEW_S = 4.0
_PREVIEW_SHARE = 0.1
"""Of the time that previews may take."""
_AUTOSAVE_S = 45.0


def run_training(plan: Plan, control: Control) -> Iterator[Report]:
    """Train, for a worker's thread.

    Parameters
    ----------
    control : Control
        Looked at between steps.

    Yields
    ------
    Report
        At the end `Trained`, also after it was cancelled, and then `Compared`.

    Raises
    ------
    UNetError
        If there is nothing to learn from, or something does not fit.
    """
    from napari_unet.engine.training.training import train

    began = time.perf_counter()
    parts = annotation_in_parts(plan)
    pairs = (*parts.training, *parts.validation)
    run = train(
        parts.training,
        plan.network,
        settings=plan.recipe.settings,
        validation=parts.validation,
        device=plan.recipe.device,
        bank=plan.read_bank(),
        description=None if plan.network else plan.new_description(pairs),
        resume_from=plan.resumes.state if plan.resumes else None,
        should_stop=control.cancel.is_set,
    )
    yield Begun()
    start = plan.network or run.latest
    training = _Training(plan, control, run, began)
    yield from training.steps()
    trained = training.end(parts.sentence)
    yield trained
    if trained.steps:
        # What was stopped is judged, too; to close the form ends that.
        run.should_stop = threading.Event().is_set
        verdict = run.verdict(trained.network)
        proposed = trained.network if verdict is None else verdict.proposed
        yield compare(plan, start, proposed, parts.validation, control.view, verdict)


class _StepCancelledError(BaseException):
    """Unwinds a step; no `except Exception` on the way may hold it up."""


class _Training:
    """The steps of one training, with everything that is done between them."""

    def __init__(self, plan: Plan, control: Control, run: TrainingRun, began: float) -> None:
        self._plan = plan
        self._control = control
        self._run = run
        self._began = self._reported = began
        self._autosave = None
        if plan.autosave_folder is not None:
            self._autosave = Autosave(
                plan.autosave_folder, plan.about, every_s=_AUTOSAVE_S, replaces=plan.resumes
            )
        self._preview_due = began + _FIRST_PREVIEW_S
        self._has_previewed = False
        self._untold: list[TrainingReport] = []
        self._pace = Pace()
        self._failure: tuple[str, ...] = ()
        self._unsaved: tuple[str, ...] = ()
        self._is_finished = False

    def steps(self) -> Iterator[Learned | Previewed]:
        """Learn until the end, a stop, or an error that leaves the network as it was best."""
        while not self._is_finished and not self._control.cancel.is_set():
            try:
                with self._cancels_the_step():
                    step = next(self._run, None)
            except TrainingError as error:
                self._failure = (str(error),)
                break
            except _StepCancelledError:
                break
            self._is_finished = step is None or step.share >= 1
            if step is not None:
                yield from self._after(step)
        if self._untold:
            yield self._learned()

    def _cancels_the_step(self) -> AbstractContextManager[Any]:
        """Let a cancel end a step before its next convolution: it is done again when it goes on.

        Only there nothing has been changed yet; with `adapt_norms` batch norm has.
        """
        # Here, in the worker's thread: it imports torch.
        from napari_unet.engine.base.cancel import CancelsTorch

        if self._plan.recipe.settings.adapt_norms:
            return nullcontext()
        return CancelsTorch(self._control.cancel, _StepCancelledError, before="conv")

    def _after(self, step: TrainingReport) -> Iterator[Learned | Previewed]:
        self._untold.append(step)
        self._pace.count_step()
        now = time.perf_counter()
        if step.validation_loss is not None or now - self._reported >= _REPORT_S:
            yield self._learned()
        # Where classes are learned there are no cells to be seen.
        view = self._control.view if self._plan.label_kind == "cells" else None
        if view is not None and now >= self._preview_due and not self._is_finished:
            yield from self._preview(view, step.step)
        self._save()

    def _learned(self) -> Learned:
        schedule, step_s = self._run.schedule, self._pace.step_s
        left_s = schedule.seconds_left(step_s)
        report = Learned(tuple(self._untold), step_s, left_s, schedule.may_end_earlier)
        self._untold, self._reported = [], time.perf_counter()
        return report

    def _preview(self, view: LayerImage, step: int) -> Iterator[Previewed]:
        began = time.perf_counter()
        found = see(
            view, self._run.latest, device=self._plan.recipe.device, cancel=self._control.cancel
        )
        now = time.perf_counter()
        self._preview_due = now + max(_PREVIEW_S, (now - began) / _PREVIEW_SHARE)
        if found is not None:
            layer = None if self._has_previewed else new_preview_layer(found[0], view, found[1])
            self._has_previewed = True
            yield Previewed(view, *found, step, layer)

    def _save(self, *, now: bool = False) -> None:
        if self._autosave is None:
            return
        try:
            self._autosave.save(self._run, now=now)
            self._unsaved = ()
        except CheckpointError as error:
            # No reason to lose what was learned.
            self._unsaved = (str(error),)

    def end(self, held_out: str) -> Trained:
        """Save what a resume needs, or tune what is finished."""
        interrupted = self._kept_for_later()
        return Trained(
            self._run.tuned() if self._is_finished else self._run.network,
            self._run.step,
            time.perf_counter() - self._began,
            self._run.schedule.ending,
            self._run.shortfall,
            held_out,
            (*self._run.notes, *self._failure, *self._unsaved),
            interrupted,
            self._run.pairs,
        )

    def _kept_for_later(self) -> InterruptedTraining | None:
        """Save what training further goes on with; after an error there is nothing good."""
        if self._autosave is None:
            return None
        if self._failure or not self._run.step:
            self._autosave.discard()
            if self._plan.resumes is not None and self._run.step:
                self._plan.resumes.discard()
            return None
        self._autosave.about[IS_FINISHED] = self._is_finished
        self._save(now=True)
        return None if self._unsaved else self._autosave.saved
