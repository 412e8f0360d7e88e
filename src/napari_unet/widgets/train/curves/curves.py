"""The curves of a training while it runs: the loss, and how good the validation is."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QPoint, QSize, Qt
from qtpy.QtGui import QAction
from qtpy.QtWidgets import QFileDialog, QLabel, QMenu, QSizePolicy, QWidget

from napari_unet.viewer.warm_up import import_pyqtgraph
from napari_unet.viewer.worker import Job
from napari_unet.widgets.shared.parts import in_column, single_shot
from napari_unet.widgets.shared.texts import Sentence
from napari_unet.widgets.train.curves.points import CurvePoints, CurveRow, write_rows

if TYPE_CHECKING:
    from napari_unet.engine.training.learner import TrainingReport

_REDRAWN_MS = 100
_HEIGHT_PX = 230
_TOOLTIP = (
    "<qt>How the training goes. <b>Loss</b>: how wrong the network still is on what it learns "
    "from; the thin line is each step, the thick one its running mean, the dots are on images that "
    "it does not learn from. While both fall it learns; when the dots rise again, more training "
    "makes it worse.<br><b>AP 0.5</b>: share of cells that are found, and found only once, with "
    "at least half of their area right. <b>IoU</b>: how well their outlines fit. Both are best at "
    "1.<br>Right-click for more.</qt>"
)


class TrainingCurves(QWidget):
    """Loss above, AP and IoU of the validation below; they grow while a training runs.

    Points may come at any rate and before there is anything to draw them with:
    what draws is imported beside the Qt thread when the widget is first shown.
    """

    def __init__(self) -> None:
        super().__init__()
        self._points = CurvePoints()
        self._plots: Any = None
        self._importing, self._writing = Job(self), Job(self)
        self._redraw = single_shot(self, self._on_redraw, after_ms=_REDRAWN_MS)
        self.setToolTip(_TOOLTIP)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.customContextMenuRequested.connect(self._on_menu_requested)
        self._build()

    def _build(self) -> None:
        self.menu = QMenu(self)
        self.menu.setToolTipsVisible(True)
        self.log_action = QAction("Logarithmic loss", self)
        self.log_action.setToolTip("Draw the loss so that small changes late in training show.")
        self.log_action.setCheckable(True)
        self.log_action.toggled.connect(self._on_redraw)
        self.save_action = QAction("Save as CSV…", self)
        self.save_action.setToolTip("Write the numbers into a table that Excel and others open.")
        self.save_action.triggered.connect(self._on_save_clicked)
        self.menu.addActions([self.log_action, self.save_action])
        self.loss_legend, self.quality_legend = QLabel(), QLabel()
        self.sentence = Sentence()
        self._layout = in_column(
            self.loss_legend, self.quality_legend, self.sentence, within=self, spacing=0
        )
        self.quality_legend.hide()

    @property
    def is_drawn(self) -> bool:
        """Whether every point so far is in the picture."""
        return self._plots is not None and not self._redraw.isActive()

    def clear(self) -> None:
        """Forget every point: another training starts."""
        self._points = CurvePoints()
        self.sentence.show_text("")
        self._schedule()

    def add_steps(self, steps: Sequence[int], losses: Sequence[float]) -> None:
        """Add losses of the training, the newest last; many at once are as quick as one."""
        self._points.add_steps(steps, losses)
        self._schedule()

    def add_validation(
        self, step: int, loss: float | None, ap: float | None, iou: float | None
    ) -> None:
        """Add what a validation after a step found; None for what it did not measure."""
        self._points.add_validation(step, loss, ap, iou)
        self._schedule()

    def add_reports(self, reports: Sequence[TrainingReport]) -> None:
        """Add steps as the engine reports them, each with its validation if it has one."""
        self.add_steps([each.step for each in reports], [each.loss for each in reports])
        for each in reports:
            if each.validation_loss is not None:
                found = each.validation
                ap = None if found is None else found.pooled(0.5).average_precision
                iou = None if found is None else found.mean_matched_iou
                self.add_validation(each.step, each.validation_loss, ap, iou)

    def rows(self) -> list[CurveRow]:
        """Every number that is drawn, one row for each step."""
        return self._points.rows()

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """About as high as wide, in a narrow dock."""
        return QSize(_HEIGHT_PX, _HEIGHT_PX)

    def _schedule(self) -> None:
        if self._plots is not None and self.isVisible() and not self._redraw.isActive():
            self._redraw.start()

    def _on_redraw(self, _value: Any = None) -> None:
        if self._plots is None:
            return
        plots, has_quality = self._plots, self._points.has_validation
        plots.is_log = self.log_action.isChecked()
        plots.draw(self._points)
        self.quality_legend.setVisible(has_quality)
        plots.quality.setVisible(has_quality)
        plots.show_steps(below_loss=not has_quality)

    def event(self, event: QEvent | None) -> bool:
        """Load what draws when first shown, and take the theme's colours over."""
        if event is not None and event.type() == QEvent.Type.Show:
            self._prepare()
        if event is not None and event.type() in (
            QEvent.Type.StyleChange,
            QEvent.Type.PaletteChange,
            QEvent.Type.FontChange,
        ):
            self._show_theme()
        return bool(super().event(event))

    def _prepare(self) -> None:
        if self._plots is not None:
            self._redraw.start()
        elif "pyqtgraph" in sys.modules:
            self._on_imported()
        elif not self._importing.is_running:
            self._importing.start(
                import_pyqtgraph, on_result=self._on_imported, on_error=self._on_import_failed
            )

    def _on_imported(self, _result: Any = None) -> None:
        from napari_unet.widgets.train.curves.plots import CurvePlots

        self._plots = CurvePlots(_TOOLTIP)
        self._layout.insertWidget(1, self._plots.loss, 1)
        self._layout.insertWidget(3, self._plots.quality, 1)
        self._show_theme()
        self._on_redraw()

    def _on_import_failed(self, error: Exception) -> None:
        self.sentence.show_error(
            f"Curves cannot be drawn: pyqtgraph does not load ({error}). Install it again; "
            "training works without it."
        )

    def _show_theme(self) -> None:
        if self._plots is not None:
            palette = self.palette()
            self._plots.recolour(palette.color(self.foregroundRole()), self.font())
            self.loss_legend.setText(self._plots.loss_legend)
            self.quality_legend.setText(self._plots.quality_legend)

    def _on_menu_requested(self, place: QPoint) -> None:
        self.save_action.setEnabled(not self._points.is_empty)
        self.menu.popup(self.mapToGlobal(place))

    def _on_save_clicked(self, _checked: bool = False) -> None:  # noqa: FBT001, FBT002 - as Qt calls it
        file, _ = QFileDialog.getSaveFileName(
            self, "Save the curves", "training.csv", "Comma-separated values (*.csv)"
        )
        if not file:
            return
        self._writing.start(
            partial(write_rows, self._points.rows(), file),
            on_result=partial(self._on_saved, file),
            on_error=self._on_save_failed,
        )

    def _on_saved(self, file: str, _result: Any = None) -> None:
        self.sentence.show_text(f"The numbers are in {file}.")

    def _on_save_failed(self, error: Exception) -> None:
        self.sentence.show_error(f"The numbers were not written ({error}); try another place.")
