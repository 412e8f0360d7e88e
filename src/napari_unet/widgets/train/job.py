"""What the Train form has done in a worker's thread: steps of learning, previews, a comparison."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.errors import CheckpointError, TrainingError
from napari_unet.engine.images.image import LabelImage, PlaneIndex, plane_key
from napari_unet.versions import Autosave, InterruptedTraining
from napari_unet.viewer.layers import LayerImage
from napari_unet.viewer.results import new_preview_layer
from napari_unet.widgets.train.plan import PairSource, Plan, annotation

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_unet.engine.labels.comparison import Comparison
    from napari_unet.engine.labels.evaluation import Evaluation
    from napari_unet.engine.labels.uncertainty import DoubtfulRegion
    from napari_unet.engine.networks.network import Network
    from napari_unet.engine.training.pairs import TrainingPair
    from napari_unet.engine.training.training import TrainingReport, TrainingRun

_REPORT_S = 0.2
_FIRST_PREVIEW_S = 2.0
_PREVIEW_S = 4.0
_PREVIEW_SHARE = 0.1
"""Of the time that previews may take."""

_AUTOSAVE_S = 45.0
_MOST_PREVIEW_PX = 512


@dataclass(slots=True)
class Wish:
    """What the window tells the thread meanwhile.

    Parameters
    ----------
    stops : threading.Event
        End after the step that runs.
    view : LayerImage, optional
        The field of view that is to be segmented again and again.
    """

    stops: threading.Event = field(default_factory=threading.Event)
    view: LayerImage | None = None


@dataclass(frozen=True, slots=True)
class Begun:
    """Training has begun: what is learned from, and what is held out."""

    images: int
    sentence: str
    is_validated: bool


@dataclass(frozen=True, slots=True)
class Learned:
    """Some steps are done.

    Parameters
    ----------
    steps : tuple of int
    losses : tuple of float
    share : float
        Of the whole training, 0 to 1.
    steps_per_s : float
    notes : tuple of str
    """

    steps: tuple[int, ...]
    losses: tuple[float, ...]
    share: float
    steps_per_s: float
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Validated:
    """The held-out part was segmented; None where it has no cells."""

    step: int
    loss: float | None
    evaluation: Evaluation | None
    is_best: bool


@dataclass(frozen=True, slots=True, eq=False)
class Previewed:
    """The field of view, as the network sees it now.

    Parameters
    ----------
    image : LayerImage
        Of which `labels` are a part.
    labels : integer array
    corner : tuple of int
        First pixel of `labels` in the axes of the image's labels.
    step : int
    layer : napari Labels layer, optional
        Around `labels`, the first time; made here because it takes a while.
    """

    image: LayerImage
    labels: LabelImage
    corner: tuple[int, ...]
    step: int
    layer: Labels | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ViewChanges:
    """What a trained network finds otherwise in the field of view.

    Parameters
    ----------
    image : LayerImage
    corner : tuple of int
        Where the part that was compared begins, in the axes of the image's labels.
    comparison : Comparison
        Along the axes of the plane.
    """

    image: LayerImage
    corner: tuple[int, ...]
    comparison: Comparison


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """The end of the learning, or a stop.

    Parameters
    ----------
    network : Network
        The best one.
    steps : int
    seconds : float
    is_finished : bool
        False if it was stopped and can go on.
    notes : tuple of str
    interrupted : InterruptedTraining, optional
        What a resume goes on with, if it was stopped.
    """

    network: Network
    steps: int
    seconds: float
    is_finished: bool
    notes: tuple[str, ...]
    interrupted: InterruptedTraining | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """What the network finds otherwise than the one that the training started from.

    Parameters
    ----------
    before, after : Evaluation, optional
        Of the held-out part; None without one that has cells.
    held_out : tuple of Comparison
        There, image by image.
    view : ViewChanges, optional
        In the field of view.
    """

    before: Evaluation | None
    after: Evaluation | None
    held_out: tuple[Comparison, ...]
    view: ViewChanges | None


Report: TypeAlias = Begun | Learned | Validated | Previewed | Trained | Compared


def teach(plan: Plan, wish: Wish) -> Iterator[Report]:
    """Train, for a worker's thread.

    Parameters
    ----------
    plan : Plan
    wish : Wish
        Looked at between steps.

    Yields
    ------
    Report
        At the end `Trained`, also after a stop by `wish`, and then `Compared`.

    Raises
    ------
    UNetError
        If there is nothing to learn from, or something does not fit.
    """
    from napari_unet.engine.training.training import train

    began = time.perf_counter()
    training, validation, sentence = _parts(plan)
    run = train(
        training,
        plan.network,
        settings=plan.settings,
        validation=validation,
        device=plan.device,
        resume_from=plan.resumes.state if plan.resumes else None,
        should_stop=wish.stops.is_set,
    )
    yield Begun(len(training), sentence, bool(validation))
    start = plan.network or run.latest
    lesson = _Lesson(plan, wish, run, start, began)
    yield from lesson.go()
    trained = lesson.end()
    yield trained
    if trained.steps:
        yield lesson.compare(validation, trained.network)


def _parts(plan: Plan) -> tuple[Sequence[TrainingPair], Sequence[TrainingPair], str]:
    from napari_unet.engine.training.hold_out import hold_out

    pairs = annotation(plan)
    if not plan.holds_out or not pairs:
        return pairs, (), "Nothing is held out."
    gap_px = 96 if plan.network is None else plan.network.description.unet.margin_px
    parts = hold_out(pairs, seed=plan.settings.seed, gap_px=gap_px)
    return parts.training, parts.validation, parts.sentence


class _StepStoppedError(BaseException):
    """Unwinds a step; no `except Exception` on the way may hold it up."""


class _Lesson:
    """The steps of one training, with everything that is done between them."""

    def __init__(
        self, plan: Plan, wish: Wish, run: TrainingRun, start: Network, began: float
    ) -> None:
        self._plan = plan
        self._wish = wish
        self._run = run
        self._start = start
        self._began = began
        self._reported = began
        self._autosave = None
        if plan.autosave_folder is not None:
            self._autosave = Autosave(
                plan.autosave_folder, plan.about, every_s=_AUTOSAVE_S, replaces=plan.resumes
            )
        self._preview_due = began + _FIRST_PREVIEW_S
        self._steps: list[int] = []
        self._losses: list[float] = []
        self._failure: tuple[str, ...] = ()
        self._unsaved: tuple[str, ...] = ()
        self._is_finished = False
        self._has_previewed = False

    def go(self) -> Iterator[Report]:
        """Learn until the end, a stop, or an error that leaves the network as it was best."""
        while not self._wish.stops.is_set():
            try:
                with self._stops_in_the_step():
                    step = next(self._run, None)
            except TrainingError as error:
                self._failure = (str(error),)
                break
            except _StepStoppedError:
                break
            if step is None or step.share >= 1:
                self._is_finished = True
            if step is not None:
                yield from self._after(step)
            if self._is_finished:
                break
        if self._steps:
            yield self._learned(time.perf_counter())

    def _stops_in_the_step(self) -> AbstractContextManager[Any]:
        """Let a stop end a step before its next convolution: it is done again when it goes on.

        Only there nothing has been changed yet; with `adapt_norms` batch norm has.
        """
        from torch.overrides import TorchFunctionMode

        stops, is_safe = self._wish.stops, not self._plan.settings.adapt_norms

        class StopsHere(TorchFunctionMode):
            def __torch_function__(
                self,
                func: Callable[..., Any],
                types: Any,
                args: tuple[Any, ...] = (),
                kwargs: dict[str, Any] | None = None,
            ) -> Any:
                if is_safe and stops.is_set() and "conv" in getattr(func, "__name__", ""):
                    raise _StepStoppedError
                return func(*args, **(kwargs or {}))

        return StopsHere()

    def _after(self, step: TrainingReport) -> Iterator[Report]:
        self._steps.append(step.step)
        self._losses.append(step.loss)
        now = time.perf_counter()
        if step.validation_loss is not None:
            yield Validated(step.step, step.validation_loss, step.validation, step.is_best)
        if now - self._reported >= _REPORT_S:
            yield self._learned(now)
        if now >= self._preview_due and self._wish.view is not None and not self._is_finished:
            preview = self._preview(step.step)
            if preview is not None:
                yield preview
        if self._autosave is not None:
            self._save(self._autosave)

    def _save(self, autosave: Autosave, *, now: bool = False) -> None:
        try:
            autosave.save(self._run, now=now)
        except CheckpointError as error:
            # No reason to lose what was learned.
            self._unsaved = (str(error),)
        else:
            self._unsaved = ()

    def _learned(self, now: float) -> Learned:
        rate = len(self._steps) / max(now - self._reported, 1e-6)
        report = Learned(
            tuple(self._steps),
            tuple(self._losses),
            self._run.share,
            rate,
            (*self._run.notes, *self._unsaved),
        )
        self._steps, self._losses = [], []
        self._reported = now
        return report

    def _preview(self, step: int) -> Previewed | None:
        view = self._wish.view
        if view is None:
            return None
        began = time.perf_counter()
        found = see(view, self._run.latest, device=self._plan.device, stops=self._wish.stops)
        now = time.perf_counter()
        self._preview_due = now + max(_PREVIEW_S, (now - began) / _PREVIEW_SHARE)
        if found is None:
            return None
        layer = None if self._has_previewed else new_preview_layer(found[0], view, found[1])
        self._has_previewed = True
        return Previewed(view, found[0], found[1], step, layer)

    def end(self) -> Trained:
        """Save what a resume needs, or tune what is finished."""
        interrupted = self._kept_for_later()
        return Trained(
            self._run.tuned() if self._is_finished else self._run.network,
            self._run.step,
            time.perf_counter() - self._began,
            self._is_finished,
            (*self._run.notes, *self._failure, *self._unsaved),
            interrupted,
        )

    def compare(self, validation: Sequence[TrainingPair], network: Network) -> Compared:
        """Look at the field of view and at the held-out part with both networks."""
        view = self._view_changes(network)
        parts = self._found_in(validation, network)
        return Compared(*_evaluations(parts), tuple(_comparison(part) for part in parts), view)

    def _kept_for_later(self) -> InterruptedTraining | None:
        """Save a training that was stopped; one that is finished or failed needs no more."""
        if self._autosave is None:
            return None
        if self._is_finished or self._failure or not self._run.step:
            self._autosave.discard()
            if self._plan.resumes is not None and self._run.step:
                self._plan.resumes.discard()
            return None
        self._save(self._autosave, now=True)
        return None if self._unsaved else self._autosave.saved

    def _found_in(self, pairs: Sequence[TrainingPair], network: Network) -> list[_Part]:
        """Let both networks segment the held-out images."""
        from napari_unet.engine.segmentation.segmentation import segment

        parts = []
        for pair in pairs:
            before, after = (
                segment(
                    np.asarray(pair.image),
                    each,
                    channel_axis=pair.channel_axis,
                    device=self._plan.device,
                    intensity_reference=pair.intensity_reference,
                    keep_scores=False,
                ).labels
                for each in (self._start, network)
            )
            parts.append(_Part(np.asarray(pair.labels), before, after, pair.reviewed))
        return parts

    def _view_changes(self, network: Network) -> ViewChanges | None:
        from napari_unet.engine.labels.comparison import compare_cells

        view = self._wish.view
        if view is None:
            return None
        stops = threading.Event()
        before = see(view, self._start, device=self._plan.device, stops=stops)
        after = see(view, network, device=self._plan.device, stops=stops)
        if before is None or after is None:
            return None
        shape = tuple(
            n for n, at in zip(before[0].shape, view.plane, strict=True) if isinstance(at, slice)
        )
        comparison = compare_cells(before[0].reshape(shape), after[0].reshape(shape))
        return ViewChanges(view, after[1], comparison)


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Held-out labels, what both networks find there, and where the labels are the truth."""

    truth: LabelImage
    before: LabelImage
    after: LabelImage
    reviewed: NDArray[np.bool_] | None

    @property
    def compared(self) -> tuple[LabelImage, LabelImage, LabelImage]:
        """Truth, before and after, without what nobody has looked at."""
        from napari_unet.engine.training.validation import reviewed_part

        truth, before = reviewed_part(self.truth, self.before, self.reviewed)
        _, after = reviewed_part(self.truth, self.after, self.reviewed)
        return truth, before, after


def _comparison(part: _Part) -> Comparison:
    from napari_unet.engine.labels.comparison import compare_cells

    truth, before, after = part.compared
    return compare_cells(before, after, truth)


def _evaluations(parts: Sequence[_Part]) -> tuple[Evaluation | None, Evaluation | None]:
    from napari_unet.engine.labels.evaluation import evaluate

    if not any(np.any(part.truth > 0) for part in parts):
        return None, None
    truths, before, after = zip(*(part.compared for part in parts), strict=True)
    return evaluate(truths, before), evaluate(truths, after)


def see(
    view: LayerImage, network: Network, *, device: str, stops: threading.Event
) -> tuple[LabelImage, tuple[int, ...]] | None:
    """Segment what is in view, or the middle of it; None if it was stopped.

    Returns
    -------
    labels : integer array
        With as many axes as the image's labels.
    corner : tuple of int
        Its first pixel.
    """
    from napari_unet.engine.base.settings import SegmentationSettings
    from napari_unet.engine.segmentation.segmentation import iterate_planes

    pixels, channel_axis = view.pixels()
    region = _middle(view)
    settings = SegmentationSettings(channel_axis=channel_axis, region=region)
    last = None
    for report in iterate_planes(
        np.asarray(pixels),
        network,
        settings=settings,
        instances=network.description.instances,
        device=device,
        intensity_reference=view.intensity_reference(),
    ):
        if stops.is_set():
            return None
        last = report
    if last is None or last.labels is None or last.plane is None:
        return None
    inside = tuple(slice(start, stop) for start, stop in np.reshape(region, (-1, 2)).tolist())
    area = last.plane.area
    part = tuple(
        slice(want.start - have.start, want.stop - have.start)
        for want, have in zip(inside, area, strict=True)
    )
    labels = np.array(last.labels[part])
    corner, shape = [], []
    sizes = iter(zip(inside, labels.shape, strict=True))
    for place in view.plane:
        if isinstance(place, slice):
            wanted, size = next(sizes)
            corner.append(int(wanted.start))
            shape.append(size)
        else:
            corner.append(int(place))
            shape.append(1)
    return labels.reshape(shape), tuple(corner)


def doubtful_places(
    source: PairSource, plane: PlaneIndex, network: Network, device: str
) -> Iterator[tuple[DoubtfulRegion, ...]]:
    """Rank the places of a slice by the network's doubt, for a worker's thread.

    What a person has changed since the prediction has been looked at.
    """
    from napari_unet.engine.labels.uncertainty import rank_doubt
    from napari_unet.engine.segmentation.segmentation import segment

    pixels, channel_axis = source.plane_pixels(plane)
    plain, flipped = (
        segment(
            np.asarray(pixels),
            network,
            channel_axis=channel_axis,
            flips=flips,
            device=device,
            intensity_reference=source.image.intensity_reference(),
        )
        for flips in (False, True)
    )
    assert plain.scores is not None  # noqa: S101 - they were not told not to be kept
    labels = np.array(source.labels[plane])
    kept = source.predictions.get(plane_key(plane))
    reviewed = kept.changed(labels) if kept is not None and kept.shape == labels.shape else None
    yield rank_doubt(
        plain.scores,
        network.description.class_roles,
        plain.labels,
        reviewed=reviewed,
        flipped_scores=flipped.scores,
    )


def _middle(view: LayerImage) -> tuple[int, ...]:
    """Start and stop along each axis of the plane: what is in view, at most 512 pixels of it."""
    sizes = [
        n for n, at in zip(view.labels_shape, view.plane, strict=True) if isinstance(at, slice)
    ]
    box = view.region or tuple(np.stack([np.zeros_like(sizes), sizes], axis=1).reshape(-1).tolist())
    region: list[int] = []
    for start, stop in zip(box[::2], box[1::2], strict=True):
        extra = max(0, stop - start - _MOST_PREVIEW_PX)
        region += [start + extra // 2, stop - (extra - extra // 2)]
    return tuple(region)
