"""Looks at the labels before a training, and says what may spoil it, with the click that helps."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from napari.layers import Labels
from qtpy.QtCore import QObject, Signal

from napari_unet.engine.base.errors import TrainingError, UNetError
from napari_unet.engine.checks.finding import Finding
from napari_unet.session import Session
from napari_unet.viewer.worker import Job
from napari_unet.widgets.shared.parts import single_shot, while_alive
from napari_unet.widgets.train.form import TrainForm
from napari_unet.widgets.train.input.folder_look import FolderLooks
from napari_unet.widgets.train.label_look import UNTOUCHED, Looked, LookTask, look_at, refused
from napari_unet.widgets.train.plan import PairSource
from napari_unet.widgets.train.repair_job import RepairJob

_PAUSE_MS = 400
"""Nobody needs to hear of every stroke."""

_QUESTION = (
    "Nobody has changed what a model found here: see below, or press Train again to do it anyway."
)
_EVENTS = ("paint", "set_data", "data", "features")


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
        self._files = FolderLooks()
        self._repair = RepairJob()
        self._repair.failed.connect(self.failed)
        self._is_due = False
        self._looked: Looked | None = None
        self._questioned: Looked | None = None
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
        if any(each.code == UNTOUCHED and each.severity == "warning" for each in found):
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
        self._job.stop()  # it looks at what is no longer asked
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
        self._form.show_marks()
        network = None if self._form.begins_anew else self._session.network
        refusal = "" if network is None else network.description.not_trainable_because
        if refusal:
            # Before anybody labels for it.
            self._show(refused(refusal))
            return
        try:
            sources = self._read_sources()
        except UNetError as error:
            is_begun = self._layers or self._form.pairs.folders
            self._show(refused(str(error)) if is_begun else Looked((), {}))
            return
        self._is_due = False
        choice = self._form.unlabelled
        task = LookTask(
            sources,
            tuple(self._form.pairs.folders),
            choice.meaning,
            choice.background_label,
            None if network is None else network.description,
            self._form.network_ndim,
            self._form.class_names,
        )
        look = partial(look_at, task, self._files)
        self._job.start(look, on_result=self._show, on_end=self._on_ended)

    def _show(self, looked: Looked | None) -> None:
        if looked is None:
            return
        self._looked = looked
        self._form.findings.show_findings(looked.findings)

    def _on_ended(self) -> None:
        if self._is_due:
            self._soon.start()

    def _on_repair_chosen(self, finding: Finding) -> None:
        if finding.code == UNTOUCHED:
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
