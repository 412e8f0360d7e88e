"""Looks at the labels before a training, and says what may spoil it, with the click that helps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QObject, Signal

from napari_unet.engine.base.errors import TrainingError, UNetError
from napari_unet.engine.checks.finding import Finding
from napari_unet.engine.images.image import LabelImage, PlaneIndex
from napari_unet.session import Session
from napari_unet.viewer.worker import Job
from napari_unet.widgets.shared.parts import single_shot, while_alive
from napari_unet.widgets.train.form import TrainForm
from napari_unet.widgets.train.plan import PairSource
from napari_unet.widgets.train.repair_job import RepairJob

if TYPE_CHECKING:
    from napari_unet.engine.networks.network import NetworkDescription

_PAUSE_MS = 400
"""Nobody needs to hear of every stroke."""

_UNTOUCHED, _LEAD = "untouched", "Show me where to correct"
_QUESTION = (
    "Nobody has changed what a model found here: see below, or press Train again to do it anyway."
)
_EVENTS = ("paint", "set_data", "data")


@dataclass(frozen=True, slots=True, eq=False)
class _Looked:
    """Findings, and which slice of which pair each name means."""

    findings: tuple[Finding, ...]
    places: dict[str, tuple[int, PlaneIndex]]


def _refused(sentence: str) -> _Looked:
    return _Looked((Finding("error", sentence, code="refused"),), {})


class TrainAdvice(QObject):
    """Keeps the findings of the form up to date, also while labels are painted.

    Parameters
    ----------
    read_sources : callable
        Returns the pairs; raises a `UNetError` if they are not complete.
    """

    failed = Signal(object)
    """Carries the exception of a repair."""
    correction_wanted = Signal()
    """Somebody asks where the model is least sure."""

    def __init__(
        self,
        form: TrainForm,
        session: Session,
        read_sources: Callable[[], tuple[PairSource, ...]],
    ) -> None:
        super().__init__(form)
        self._form = form
        self._session = session
        self._read_sources = read_sources
        self._job = Job(self)
        self._repair = RepairJob()
        self._repair.failed.connect(self.failed)
        self._is_due = False
        self._looked: _Looked | None = None
        self._questioned: _Looked | None = None
        self._layers: list[Labels] = []
        self._soon = single_shot(self, self._look, after_ms=_PAUSE_MS)
        form.input_changed.connect(self._on_input_changed)
        form.findings.repair_chosen.connect(self._on_repair_chosen)
        session.network_loaded.connect(self._on_input_changed)
        self._on_input_changed()

    @property
    def is_busy(self) -> bool:
        """Whether a look is still to come."""
        return self._job.is_running or self._soon.isActive()

    def ask(self) -> None:
        """Raise, once for the labels as they are, if a training on them makes little sense."""
        looked, asked = self._looked, self._questioned
        self._questioned = looked
        found = () if looked is None or looked is asked else looked.findings
        if any(each.code == _UNTOUCHED and each.severity == "warning" for each in found):
            raise TrainingError(_QUESTION)

    def stop(self) -> None:
        """Look no more."""
        self._soon.stop()
        self._follow([])
        self._repair.stop()
        self._job.stop()

    @while_alive
    def _on_input_changed(self, _value: Any = None) -> None:
        self._follow([labels for _, labels in self._form.pairs.pairs])
        self._soon.start()

    def _follow(self, layers: list[Labels]) -> None:
        for layer in self._layers:
            for name in _EVENTS:
                getattr(layer.events, name).disconnect(self._on_painted)
        self._layers = layers
        for layer in layers:
            for name in _EVENTS:
                getattr(layer.events, name).connect(self._on_painted)

    @while_alive
    def _on_painted(self, _event: Any) -> None:
        self._soon.start()

    def _look(self) -> None:
        if self._job.is_running:
            self._is_due = True
            return
        network = None if self._form.begins_anew else self._session.network
        refusal = "" if network is None else network.description.not_trainable_because
        if refusal:
            # Before anybody labels for it.
            self._show(_refused(refusal))
            return
        try:
            sources = self._read_sources()
        except UNetError as error:
            self._show(_refused(str(error)) if self._layers else _Looked((), {}))
            return
        self._is_due = False
        choice = self._form.unlabelled
        description = None if network is None else network.description
        look = partial(_look_at, sources, choice.meaning, choice.background_label, description)
        self._job.start(look, on_result=self._show, on_end=self._on_ended)

    def _show(self, looked: _Looked) -> None:
        self._looked = looked
        self._form.findings.show_findings(looked.findings)

    def _on_ended(self) -> None:
        if self._is_due:
            self._soon.start()

    def _on_repair_chosen(self, finding: Finding) -> None:
        if finding.code == _UNTOUCHED:
            self.correction_wanted.emit()
            return
        parts = finding.parts or (finding,)
        if self._looked is None or any(part.name not in self._looked.places for part in parts):
            return
        found = [self._looked.places[part.name] for part in parts]
        number, planes = found[0][0], tuple(plane for _, plane in found)
        if number < len(self._layers):
            try:
                self._repair.start(self._layers[number], finding, *planes)
            except UNetError as error:
                self.failed.emit(error)


def _beside(labels: LabelImage, index: PlaneIndex) -> tuple[LabelImage, ...]:
    """Return the slices before and after one of a stack, along its axis of slices."""
    axis = max((n for n, part in enumerate(index) if not isinstance(part, slice)), default=-1)
    at = index[axis]
    if axis < 0 or isinstance(at, slice):
        return ()
    near = [place for place in (at - 1, at + 1) if 0 <= place < labels.shape[axis]]
    return tuple(np.array(labels[(*index[:axis], n, *index[axis + 1 :])]) for n in near)


def _look_at(
    sources: Sequence[PairSource],
    meaning: str,
    background_label: int | None,
    description: NetworkDescription | None,
) -> _Looked:
    from napari_unet.engine.checks.label_facts import AnnotatedImage
    from napari_unet.engine.checks.preflight import preflight_all

    annotated: list[AnnotatedImage] = []
    places: dict[str, tuple[int, PlaneIndex]] = {}
    for number, source in enumerate(sources):
        planes = source.image.planes()
        for index in planes:
            labels: LabelImage = np.array(source.labels[index])
            if len(planes) > 1 and not labels.any():
                continue
            name = source.plane_name(index)
            places[name] = (number, index)
            image, channel_axis = source.plane_pixels(index)
            annotated.append(
                AnnotatedImage(
                    labels,
                    np.asarray(image),
                    name,
                    channel_axis,
                    "ignore" if meaning == "painted" else "reviewed",
                    source.region(index) if meaning == "regions" else None,
                    background_label,
                    corrected=source.corrected(index, labels),
                    stack=source.name if len(planes) > 1 else "",
                    beside=_beside(source.labels, index) if len(planes) > 1 else (),
                )
            )
    lead, found = {_UNTOUCHED: _LEAD}, preflight_all(annotated, network=description)
    shown = (replace(each, remedy=lead.get(each.code, each.remedy)) for each in found)
    return _Looked(tuple(shown), places)
