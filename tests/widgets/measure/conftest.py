"""Someone at the Measure widget, and cells to measure."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels
from numpy.typing import NDArray
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt

from napari_unet.widgets.measure.widget import MeasureWidget


@pytest.fixture
def widget(viewer: ViewerModel, shown: Callable[..., Any]) -> MeasureWidget:
    return shown(MeasureWidget(viewer))


@pytest.fixture
def cells(
    viewer: ViewerModel, squares: NDArray[np.uint8], square_labels: NDArray[np.int32]
) -> Labels:
    viewer.add_image(squares, name="dapi")
    options: dict[str, Any] = {"scale": (0.5, 0.5), "units": ("um", "um")}
    return viewer.add_labels(square_labels, name="cells", **options)


class Table:
    """Presses Measure, waits, and reads the table."""

    def __init__(self, widget: MeasureWidget, qtbot: QtBot) -> None:
        self.widget, self.qtbot = widget, qtbot

    def press(self) -> None:
        self.qtbot.mouseClick(self.widget.button, Qt.MouseButton.LeftButton)

    def wait(self) -> str:
        def is_over() -> bool:
            return not self.widget.job.is_running and not self.widget.edits.are_settling

        self.qtbot.waitUntil(is_over, timeout=60_000)
        return str(self.widget.sentence.message)

    def measure(self) -> str:
        self.press()
        return self.wait()

    @property
    def header(self) -> list[str]:
        model = self.widget.table.cells
        names = range(model.columnCount())
        return [str(model.headerData(at, Qt.Orientation.Horizontal)) for at in names]

    def column(self, name: str) -> list[str]:
        model, at = self.widget.table.cells, self.header.index(name)
        return [str(model.data(model.index(row, at))) for row in range(model.rowCount())]


@pytest.fixture
def table(widget: MeasureWidget, qtbot: QtBot) -> Table:
    return Table(widget, qtbot)
