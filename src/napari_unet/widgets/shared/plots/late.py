"""A widget whose plots are made when it is first shown: what draws is imported until then."""

from __future__ import annotations

import sys
from typing import Any

from qtpy.QtCore import QEvent
from qtpy.QtGui import QColor, QFont
from qtpy.QtWidgets import QWidget

from napari_unet.viewer.warm_up import import_pyqtgraph
from napari_unet.viewer.worker import Job
from napari_unet.widgets.shared.texts import Sentence


class LatePlots(QWidget):
    """Imports what draws beside the Qt thread, then makes the plots and colours them.

    Parameters
    ----------
    works_without : str
        What works all the same where it cannot be imported, with its verb: "training works".
    """

    def __init__(self, *, works_without: str) -> None:
        super().__init__()
        self._works_without = works_without
        self._has_plots = False
        self._importing = Job(self)
        self.sentence = Sentence()

    @property
    def has_plots(self) -> bool:
        """Whether there is something to draw on."""
        return self._has_plots

    def make_plots(self) -> None:
        """Make them, and put them into the widget; pyqtgraph can be imported now."""
        raise NotImplementedError

    def recolour(self, foreground: QColor, font: QFont) -> None:
        """Draw in the colours of a theme, whose text has this colour and font."""
        raise NotImplementedError

    def redraw(self) -> None:
        """Draw what there is."""
        raise NotImplementedError

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
        if self._has_plots:
            self.redraw()
        elif "pyqtgraph" in sys.modules:
            self._on_imported()
        elif not self._importing.is_running:
            self._importing.start(
                import_pyqtgraph, on_result=self._on_imported, on_error=self._on_import_failed
            )

    def _on_imported(self, _result: Any = None) -> None:
        self.make_plots()
        self._has_plots = True
        self._show_theme()
        self.redraw()

    def _on_import_failed(self, error: Exception) -> None:
        self.sentence.show_error(
            f"Curves cannot be drawn: pyqtgraph does not load ({error}). Install it again; "
            f"{self._works_without} without it."
        )

    def _show_theme(self) -> None:
        if self._has_plots:
            self.recolour(self.palette().color(self.foregroundRole()), self.font())
