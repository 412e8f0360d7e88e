"""What becomes of a training: compared, kept as a version or discarded, or gone on with."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_unet.engine.images.image import Region
from napari_unet.session import LoadedModel, Session, read_model
from napari_unet.versions import (
    InterruptedTraining,
    ModelHistory,
    Version,
    data_folder,
    find_interrupted,
)
from napari_unet.viewer.viewpoint import look_at
from napari_unet.viewer.worker import Worker
from napari_unet.widgets.shared.texts import Sentence
from napari_unet.widgets.train.job import Compared, Trained, ViewChanges
from napari_unet.widgets.train.plan import Plan
from napari_unet.widgets.train.review.change_layer import remove_changes, show_changes
from napari_unet.widgets.train.review.comparison_panel import ComparisonPanel
from napari_unet.widgets.train.version_text import AP_AFTER, AP_BEFORE

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels

    from napari_unet.engine.labels.comparison import Change
    from napari_unet.engine.networks.network import Network

_AP_AT = 0.5
_VERSIONS, _AUTOSAVES = "versions", "trainings"


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """A version that was written, as a loaded model."""

    version: Version
    model: LoadedModel


class TrainOutcome(QWidget):
    """Buttons below the curves: Keep, Discard, Go on; and what an earlier napari left.

    Parameters
    ----------
    viewer : napari viewer
    session : Session
    folder : Path, optional
        Where versions and running trainings are kept; the user's data folder without it.

    Attributes
    ----------
    settled : Signal
        Carries a sentence: kept, or discarded.
    resumed : Signal
        Carries the `InterruptedTraining` that is to go on.
    segmented : Signal
        The image is to be segmented with the model that was kept.
    failed : Signal
        Carries the exception.
    """

    settled = Signal(str)
    resumed = Signal(object)
    segmented = Signal()
    failed = Signal(object)

    def __init__(self, viewer: ViewerModel, session: Session, folder: Path | None = None) -> None:
        super().__init__()
        self._viewer = viewer
        self._session = session
        root = folder or data_folder()
        self.autosave_folder = root / _AUTOSAVES
        self.history = ModelHistory(root / _VERSIONS)
        self._trained: Trained | None = None
        self._compared: Compared | None = None
        self._plan: Plan | None = None
        self._interrupted: InterruptedTraining | None = None
        self._worker: Worker | None = None
        self._build()
        self.look_for_interrupted()

    def _build(self) -> None:
        self.sentence = Sentence()
        self.comparison = ComparisonPanel()
        self.comparison.change_chosen.connect(self._on_change_chosen)
        self.keep_button = QPushButton("Keep")
        self.keep_button.setToolTip(
            "<qt>Write the new network as a version of its own and use it from now on; the model "
            "that you started from stays as it is.</qt>"
        )
        self.discard_button = QPushButton("Discard")
        self.discard_button.setToolTip("<qt>Drop what was learned and stay with the model.</qt>")
        self.resume_button = QPushButton("Go on")
        self.resume_button.setToolTip(
            "<qt>Go on with the training where it stopped, as if it had not been stopped.</qt>"
        )
        self.segment_button = QPushButton("Segment again")
        self.segment_button.setToolTip("<qt>Run Segment cells with the model that was kept.</qt>")
        self.keep_button.clicked.connect(self.keep)
        self.discard_button.clicked.connect(self.discard)
        self.resume_button.clicked.connect(self._on_resume_clicked)
        self.segment_button.clicked.connect(self._on_segment_clicked)
        buttons = QHBoxLayout()
        buttons.setSpacing(4)
        for button in self._buttons:
            buttons.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.sentence)
        layout.addWidget(self.comparison)
        layout.addLayout(buttons)
        self.clear()

    @property
    def _buttons(self) -> tuple[QPushButton, ...]:
        return (self.keep_button, self.discard_button, self.resume_button, self.segment_button)

    def _offer(self, *buttons: QPushButton) -> None:
        for button in self._buttons:
            button.setVisible(button in buttons)
            button.setEnabled(True)

    @property
    def is_busy(self) -> bool:
        """Whether something is being written or read."""
        return self._worker is not None

    def clear(self) -> None:
        """Show nothing, as when a training begins."""
        layer = self._compared_layer()
        if layer is not None:
            remove_changes(self._viewer, layer)
        self._trained = self._plan = self._interrupted = self._compared = None
        self.comparison.clear()
        self.sentence.show_text("")
        self._offer()

    def show_trained(self, trained: Trained, plan: Plan) -> None:
        """Offer what can be done with a training that has ended."""
        self.clear()
        self._trained, self._plan = trained, plan
        self._interrupted = trained.interrupted
        self.sentence.show_text("Comparing with the model before …")
        resume = (self.resume_button,) if trained.interrupted else ()
        self._offer(self.keep_button, self.discard_button, *resume)

    def show_compared(self, compared: Compared) -> None:
        """Say what has changed."""
        if self._trained is None:
            return  # already decided
        self._compared = compared
        self.sentence.show_text(_told(compared))
        if compared.view is not None:
            self.comparison.show_comparison(compared.view.comparison)
            self._show_changes(compared.view)

    def _compared_layer(self) -> Labels | None:
        """The labels on whose grid the field of view was compared, while they are there."""
        if self._plan is None or not self._plan.sources:
            return None
        wanted = self._plan.sources[0].labels_id
        found = [each for each in self._viewer.layers if str(each.unique_id) == wanted]
        return cast("Labels", found[0]) if found else None

    def _show_changes(self, view: ViewChanges) -> None:
        layer = self._compared_layer()
        if layer is None or layer.data.shape != view.image.labels_shape:
            return
        plane = view.image.plane
        sizes = [n for n, at in zip(layer.data.shape, plane, strict=True) if isinstance(at, slice)]
        changes = np.zeros(sizes, np.uint8)
        whole = _placed(view, tuple(slice(0, n) for n in view.comparison.shape))
        part = tuple(at for at, of in zip(whole, plane, strict=True) if isinstance(of, slice))
        from napari_unet.engine.labels.comparison import change_image

        changes[part] = change_image(view.comparison)
        show_changes(self._viewer, layer, changes, name=view.image.name, plane=plane)

    def _on_change_chosen(self, change: Change) -> None:
        layer = self._compared_layer()
        view = None if self._compared is None else self._compared.view
        if view is not None and layer is not None:
            look_at(self._viewer, layer, _placed(view, change.box))

    def look_for_interrupted(self) -> None:
        """Offer a training that ended with an earlier napari."""
        found = find_interrupted(self.autosave_folder)
        if not found or self._trained is not None:
            return
        self._interrupted = found[0]
        about = found[0].about
        images = ", ".join(f"'{name}'" for name in about.get("images", ())) or "images"
        self.sentence.show_text(
            f"A training of '{about.get('model') or 'a new network'}' on {images} was interrupted "
            f"after step {found[0].step}. Keep what it had learned, or open the images and labels "
            "again and go on."
        )
        self._offer(self.keep_button, self.discard_button, self.resume_button)

    def keep(self) -> None:
        """Write the network as a new version, and make it the session's."""
        for button in self._buttons:
            button.setEnabled(False)
        if self._trained is not None:
            job = partial(_keep, self.history, self._trained, self._compared, self._parent())
        elif self._interrupted is not None:
            job = partial(_keep_interrupted, self.history, self._interrupted)
        else:
            return
        self._worker = Worker(job)
        self._worker.finished.connect(self._on_kept)
        self._worker.failed.connect(self._on_failed)
        self._worker.ended.connect(self._on_ended)
        self._worker.start()

    def discard(self) -> None:
        """Drop what was learned."""
        if self._interrupted is not None:
            self._interrupted.discard()
        self.clear()
        self.settled.emit("Discarded; the model is as it was.")
        self.look_for_interrupted()

    def _parent(self) -> str | None:
        """Id of the version that the training started from."""
        if self._plan is None or self._plan.network is None:
            return None
        return self.version_of(str(self._plan.about.get("source", "")))

    def version_of(self, source: str) -> str | None:
        """Id of the version that a model's file is; None for other models."""
        path = Path(source)
        return path.stem if path.parent == self.history.folder else None

    def _on_kept(self, kept: Kept) -> None:
        if self._interrupted is not None:
            self._interrupted.discard()
        self.clear()
        self._session.adopt_model(kept.model, request=self._session.request())
        self._offer(self.segment_button)
        self.settled.emit(f"Kept as '{kept.version.name}', which is the model now.")

    def _on_failed(self, error: Exception) -> None:
        self._offer(*(button for button in self._buttons if not button.isHidden()))
        self.failed.emit(error)

    def _on_ended(self) -> None:
        self._worker = None

    def _on_resume_clicked(self) -> None:
        if self._interrupted is not None:
            self.resumed.emit(self._interrupted)

    def _on_segment_clicked(self) -> None:
        self.segmented.emit()


def _placed(view: ViewChanges, box: Region) -> Region:
    """Bring a box in the part that was compared to the axes of the labels."""
    parts = iter(box)
    placed = []
    for at, start in zip(view.image.plane, view.corner, strict=True):
        part = next(parts) if isinstance(at, slice) else slice(0, 1)
        placed.append(slice(part.start + start, part.stop + start))
    return tuple(placed)


def _told(compared: Compared | None) -> str:
    """How good it is on the held-out part, before and after."""
    if compared is None or compared.before is None or compared.after is None:
        return ""
    before, after = (
        each.pooled(_AP_AT).average_precision for each in (compared.before, compared.after)
    )
    counts = Counter(change.kind for part in compared.held_out for change in part.changes)
    changes = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    told = f"On the held-out cells AP {_AP_AT:g} was {before:.2f} before and is {after:.2f} now"
    return f"{told} ({changes})." if changes else f"{told}."


def _metrics(trained: Trained, compared: Compared | None) -> dict[str, Any]:
    metrics: dict[str, Any] = {"steps": trained.steps}
    if compared is None:
        return metrics
    for name, evaluation in ((AP_BEFORE, compared.before), (AP_AFTER, compared.after)):
        if evaluation is not None:
            score = evaluation.pooled(_AP_AT).average_precision
            metrics[name] = round(score, 4)
            metrics[f"{name} at all"] = {
                f"{threshold:g}": round(evaluation.pooled(threshold).average_precision, 4)
                for threshold in evaluation.thresholds
            }
    return metrics


def _keep(
    history: ModelHistory, trained: Trained, compared: Compared | None, parent: str | None
) -> Iterator[Kept]:
    metrics = _metrics(trained, compared)
    yield _kept(history, trained.network, metrics, parent, _told(compared))


def _keep_interrupted(history: ModelHistory, interrupted: InterruptedTraining) -> Iterator[Kept]:
    from napari_unet.engine.training.training import load_interrupted

    sentence = f"Interrupted after step {interrupted.step}."
    network = load_interrupted(interrupted.state)
    yield _kept(history, network, {"steps": interrupted.step}, None, sentence)


def _kept(
    history: ModelHistory,
    network: Network,
    metrics: dict[str, Any],
    parent: str | None,
    sentence: str,
) -> Kept:
    # Never the name of what it started from; "nuclei 2", then "nuclei 3".
    stem = re.sub(r" \d+$", "", network.description.name)
    version = history.keep(
        network, metrics=metrics, parent=parent, sentence=sentence, name=f"{stem} 2"
    )
    return Kept(version, read_model(str(version.path)))
