"""The curves of a training while it runs: the loss, and how good the validation is."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QPoint, QSize, Qt
from qtpy.QtGui import QAction, QColor, QFont
from qtpy.QtWidgets import QFileDialog, QLabel, QMenu, QSizePolicy

from napari_unet.viewer.worker import Job
from napari_unet.widgets.shared.parts import in_column, single_shot
from napari_unet.widgets.shared.plots.late import LatePlots
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


class TrainingCurves(LatePlots):
    """Loss above, AP and IoU of the validation below; they grow while a training runs.

    Points may come at any rate and before there is anything to draw them with:
    what draws is imported beside the Qt thread when the widget is first shown.
    """

    def __init__(self) -> None:
        super().__init__(works_without="training works")
        self._points = CurvePoints()
        self._plots: Any = None
        self._writing = Job(self)
        self._soon = single_shot(self, self._on_due, after_ms=_REDRAWN_MS)
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
        self.log_action.toggled.connect(self._on_due)
        self.save_action = QAction("Save as CSV…", self)
        self.save_action.setToolTip("Write the numbers into a table that Excel and others open.")
        self.save_action.triggered.connect(self._on_save_clicked)
        self.menu.addActions([self.log_action, self.save_action])
        self.loss_legend, self.quality_legend = QLabel(), QLabel()
        self._layout = in_column(
            self.loss_legend, self.quality_legend, self.sentence, within=self, spacing=0
        )
        self.quality_legend.hide()

    @property
    def is_drawn(self) -> bool:
        """Whether every point so far is in the picture."""
        return self.has_plots and not self._soon.isActive()

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
        if self.has_plots and self.isVisible() and not self._soon.isActive():
            self._soon.start()

    def redraw(self) -> None:
        """Draw all points, soon."""
        self._soon.start()

    def _on_due(self, _value: Any = None) -> None:
        if not self.has_plots:
            return
        plots, has_quality = self._plots, self._points.has_validation
        plots.is_log = self.log_action.isChecked()
        plots.draw(self._points)
        self.quality_legend.setVisible(has_quality)
        plots.quality.setVisible(has_quality)
        plots.show_steps(below_loss=not has_quality)

    def make_plots(self) -> None:
        """Put the two plots below their legends."""
        from napari_unet.widgets.train.curves.plots import CurvePlots

        self._plots = CurvePlots(_TOOLTIP)
        self._layout.insertWidget(1, self._plots.loss, 1)
        self._layout.insertWidget(3, self._plots.quality, 1)

    def recolour(self, foreground: QColor, font: QFont) -> None:
        """Draw plots and legends in the colours of a theme."""
        self._plots.recolour(foreground, font)
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
