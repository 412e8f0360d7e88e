"""The job of the Segment form: one run at a time, from the image to the layers of its cells."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_unet.engine.base.words import count
from napari_unet.session import Session
from napari_unet.viewer.layers import LayerImage
from napari_unet.viewer.warm_up import preparation
from napari_unet.viewer.worker import Job
from napari_unet.widgets.segment.live import LiveLabels
from napari_unet.widgets.segment.recipe import Recipe
from napari_unet.widgets.segment.reports import (
    Drawn,
    Found,
    Opened,
    Step,
    Waiting,
    counts_of,
)
from napari_unet.widgets.segment.result_layers import ResultLayers
from napari_unet.widgets.segment.runs import find_cells
from napari_unet.widgets.segment.shown_scores import ShownScores
from napari_unet.widgets.shared.parts import while_alive

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

NOTHING_CHANGED = "The layers are as they were."


class SegmentJob(QObject):
    """Owns the worker of a run, the layers that it fills, and the scores that it leaves.

    Attributes
    ----------
    live : LiveLabels
        Cells follow the thresholds from the scores of the last run.
    scores : ShownScores
        Shows those scores.
    """

    progressed = Signal(int, int, str)
    """Carries how many steps are done, of how many, and what is being done."""
    finished = Signal(str, object)
    """Carries a sentence about the cells, and the `Found`."""
    failed = Signal(object, str)
    """Carries the exception, and a sentence about what is kept."""
    stopped = Signal(str)
    """Carries a sentence: why, and what is kept."""

    def __init__(self, viewer: ViewerModel, session: Session, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer, self._session = viewer, session
        self._job = Job(self)
        self._layers: ResultLayers | None = None
        self._started_s = 0.0
        self.live = LiveLabels(viewer)
        self.scores = ShownScores(viewer, self.live, self)
        viewer.layers.events.removed.connect(self._on_layer_removed)
        preparation.ask_for("cells")

    @property
    def is_running(self) -> bool:
        """Whether cells are still to come."""
        return self._job.is_running

    def start(self, layer: Image, image: LayerImage, recipe: Recipe) -> None:
        """Segment an image layer.

        Parameters
        ----------
        image : LayerImage
            What is read of it.
        """
        self.live.forget()
        self._layers = layers = ResultLayers(self._viewer, layer, image, recipe)
        self._started_s = time.perf_counter()
        self._job.start(
            partial(find_cells, image, recipe, layers.canvas, layers.scores),
            on_report=partial(self._on_reported, layers),
            on_result=partial(self._on_finished, layers, recipe),
            on_error=partial(self._on_failed, layers),
            on_end=self._on_ended,
        )

    def stop(self, reason: str = "") -> None:
        """Stop what runs; slices that are done and cells found so far stay in the layer."""
        if self._layers is not None and self.is_running:
            kept = self._layers.close() or ("" if reason else NOTHING_CHANGED)
            self._job.stop()
            self.stopped.emit(f"{reason or 'Stopped.'} {kept}".rstrip())

    def _on_reported(
        self, layers: ResultLayers, report: Waiting | Opened | Step | Drawn | Found
    ) -> None:
        replaced = layers.replaced()
        if replaced:
            self.stop(f"The data of layer '{replaced}' were replaced; the segmentation stopped.")
        elif isinstance(report, Opened):
            layers.open(report)
        elif isinstance(report, Drawn):
            layers.show(report)
        elif isinstance(report, Step):
            self.progressed.emit(report.done, report.slices * report.tiles, report.text)
        elif isinstance(report, Waiting):
            self.progressed.emit(0, 1, report.text)

    def _on_finished(self, layers: ResultLayers, recipe: Recipe, found: Found) -> None:
        labels = layers.finish(found)
        # Thresholds are the model's: those of another one are not for these scores.
        is_same = recipe.network is self._session.network
        if found.kept is not None and labels is not None and is_same:
            self.live.keep(found.kept, labels, recipe.settings)
            self.scores.keep(layers.image, recipe)
        name, seconds = found.provenance["image"], time.perf_counter() - self._started_s
        if found.classes:
            text = f"{found.classes} in '{name}' ({seconds:.1f} s)."
        elif found.cells == 0:
            text = (
                f"No cells were found in '{name}'; lower the foreground threshold, set the cell "
                "size, or choose another model."
            )
        else:
            # The note beside it says what to do.
            discs = ", each counted in every slice that it reaches"
            is_stack = len(layers.image.planes()) > 1 and recipe.settings.volume == "slices"
            found_in = f"{count(found.cells, 'cell')} in '{name}' ({seconds:.1f} s)"
            text = f"{found_in}{discs if is_stack else ''}{counts_of(found.types)}."
        self.finished.emit(" ".join((text, *layers.notes, *found.notes)), found)

    def _on_failed(self, layers: ResultLayers, error: Exception) -> None:
        self.failed.emit(error, layers.close())

    def _on_ended(self) -> None:
        self._layers = None

    @while_alive
    def _on_layer_removed(self, _event: Any) -> None:
        gone = self._layers.missing() if self._layers is not None and self.is_running else ""
        if gone:
            self.stop(f"Layer '{gone}' was removed; the segmentation stopped.")
        self.live.forget_missing(self._viewer.layers)
