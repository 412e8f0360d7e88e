"""The curves of a training: what was added is drawn, soon and in the colours of the theme."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QContextMenuEvent, QWheelEvent
from qtpy.QtWidgets import QApplication, QFileDialog, QVBoxLayout, QWidget

from napari_unet.viewer import worker
from napari_unet.widgets.shared.plots import late
from napari_unet.widgets.train.curves.curves import TrainingCurves


@pytest.fixture
def window(qtbot: QtBot) -> Iterator[QWidget]:
    window = QWidget()
    QVBoxLayout(window)
    qtbot.addWidget(window)
    window.resize(300, 260)
    yield window
    window.close()
    assert worker.stop_all()


@pytest.fixture
def curves(window: QWidget, qtbot: QtBot) -> TrainingCurves:
    curves = TrainingCurves()
    window.layout().addWidget(curves)
    window.show()
    settle(qtbot, curves)
    return curves


def settle(qtbot: QtBot, curves: TrainingCurves) -> None:
    qtbot.waitUntil(lambda: curves.is_drawn, timeout=60_000)


def drawn(curves: TrainingCurves, name: str) -> list[list[float]]:
    x, y = curves._plots._curves[name].getOriginalDataset()
    points: NDArray[Any] = np.column_stack([x, y]) if x is not None else np.empty((0, 2))
    return points.tolist()


def test_points_that_came_before_anything_can_be_drawn_are_drawn_then(
    window: QWidget, qtbot: QtBot
) -> None:
    curves = TrainingCurves()
    curves.add_steps([1, 2], [0.5, 0.25])
    curves.add_validation(2, 0.3, 0.8, 0.7)
    assert not curves.is_drawn

    window.layout().addWidget(curves)
    window.show()
    settle(qtbot, curves)

    assert drawn(curves, "validation_loss") == [[2, 0.3]]
    assert drawn(curves, "ap") == [[2, 0.8]]
    assert drawn(curves, "iou") == [[2, 0.7]]
    assert len(drawn(curves, "training")) == 2


def test_the_lower_plot_is_there_only_with_a_validation(
    curves: TrainingCurves, qtbot: QtBot
) -> None:
    curves.add_steps(range(1, 30), [0.5] * 29)
    settle(qtbot, curves)
    assert not curves._plots.quality.isVisible()
    assert not curves.quality_legend.isVisible()
    assert curves._plots.loss.getAxis("bottom").label.isVisible()

    curves.add_validation(29, 0.4, 0.9, 0.8)
    settle(qtbot, curves)

    assert curves._plots.quality.isVisible()
    assert curves.quality_legend.isVisible()
    assert not curves._plots.loss.getAxis("bottom").label.isVisible()
    assert curves._plots.quality.getAxis("bottom").label.isVisible()


def test_both_plots_show_the_same_steps(curves: TrainingCurves, qtbot: QtBot) -> None:
    curves.add_steps(range(1, 301), [0.5] * 300)
    curves.add_validation(300, None, 0.9, 0.8)
    settle(qtbot, curves)

    ranges = [plot.viewRange()[0] for plot in (curves._plots.loss, curves._plots.quality)]

    assert ranges[0] == pytest.approx(ranges[1], abs=5)
    assert ranges[0][0] <= 0 <= 300 <= ranges[0][1]


def test_many_reports_are_one_picture(
    curves: TrainingCurves, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = []
    draw = curves._plots.draw
    monkeypatch.setattr(curves._plots, "draw", lambda *given: pictures.append(draw(*given)))

    for step in range(500):
        curves.add_steps([step], [1.0])
    settle(qtbot, curves)

    assert len(pictures) == 1


def test_nothing_breaks_without_numbers_that_can_be_drawn(
    curves: TrainingCurves, qtbot: QtBot
) -> None:
    for losses in ([math.nan], [math.inf, -math.inf], [0.0], [0.5, math.nan]):
        for is_log in (True, False):
            curves.clear()
            curves.add_steps(range(len(losses)), losses)
            curves.add_validation(0, math.nan, math.nan, None)
            curves.log_action.setChecked(is_log)
            settle(qtbot, curves)
            curves.grab()

    assert drawn(curves, "training") == [[0, 0.5]]


def test_a_hundred_thousand_points_are_thinned_for_the_screen(
    curves: TrainingCurves, qtbot: QtBot
) -> None:
    curves.add_steps(range(100_000), [1.0] * 100_000)
    settle(qtbot, curves)
    curves.grab()

    assert len(drawn(curves, "training")) == 100_000
    assert len(curves._plots._curves["training"].getData()[0]) < 20_000


def test_another_training_starts_with_empty_curves(curves: TrainingCurves, qtbot: QtBot) -> None:
    curves.add_steps([1, 2], [0.5, 0.4])
    settle(qtbot, curves)

    curves.clear()
    settle(qtbot, curves)

    assert curves.rows() == []


def test_a_logarithmic_loss_is_a_click_away(curves: TrainingCurves, qtbot: QtBot) -> None:
    curves.add_steps([1, 2, 3], [1.0, 0.1, 0.0])

    curves.log_action.trigger()
    settle(qtbot, curves)

    # A zero has no logarithm.
    assert curves._plots.loss.getAxis("left").logMode
    _, powers = curves._plots._each.getData()
    assert powers.tolist() == [0, -1]


def test_the_colours_are_deep_on_light_and_bright_on_dark(
    window: QWidget, curves: TrainingCurves
) -> None:
    window.setStyleSheet("* { color: white; background: black }")
    bright = curves.loss_legend.text()
    window.setStyleSheet("* { color: black; background: white }")

    assert "#56b4e9" in bright
    assert "#0072b2" in curves.loss_legend.text()


def test_a_right_click_on_a_plot_opens_our_menu(curves: TrainingCurves, qtbot: QtBot) -> None:
    plot = curves._plots.loss.viewport()
    middle = plot.rect().center()
    event = QContextMenuEvent(QContextMenuEvent.Reason.Mouse, middle, plot.mapToGlobal(middle))

    QApplication.sendEvent(plot, event)

    assert curves.menu.isVisible()
    assert not curves.save_action.isEnabled()
    curves.menu.close()
    curves.add_steps([1], [0.5])
    QApplication.sendEvent(plot, event)
    assert curves.save_action.isEnabled()
    curves.menu.close()


def test_the_wheel_over_a_plot_is_left_to_the_form(curves: TrainingCurves, qtbot: QtBot) -> None:
    curves.add_steps(range(100), [0.5] * 100)
    settle(qtbot, curves)
    plot = curves._plots.loss
    before = plot.viewRange()
    middle = QPointF(plot.viewport().rect().center())
    event = QWheelEvent(
        middle,
        middle,
        QPoint(0, 0),
        QPoint(0, 120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )

    QApplication.sendEvent(plot.viewport(), event)

    assert not event.isAccepted()
    assert plot.viewRange() == before


def test_the_numbers_are_saved_as_a_table(
    curves: TrainingCurves, qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "curves.csv"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *given: (str(file), ""))
    curves.add_steps([1], [0.5])
    curves.save_action.trigger()
    qtbot.waitUntil(lambda: bool(curves.sentence.message), timeout=20_000)

    assert file.read_text().splitlines()[1] == "1,0.5,,,"
    assert curves.sentence.message == f"The numbers are in {file}."


def test_a_table_that_cannot_be_written_is_told(
    curves: TrainingCurves, qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *given: (str(tmp_path), ""))
    curves.add_steps([1], [0.5])

    curves.save_action.trigger()
    qtbot.waitUntil(lambda: bool(curves.sentence.message), timeout=20_000)

    assert curves.sentence.message.startswith("The numbers were not written")


def test_without_pyqtgraph_a_sentence_says_so(
    window: QWidget, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise ImportError("no such thing")

    monkeypatch.setattr(late, "import_pyqtgraph", fail)
    monkeypatch.delitem(late.sys.modules, "pyqtgraph", raising=False)
    curves = TrainingCurves()
    window.layout().addWidget(curves)

    window.show()
    qtbot.waitUntil(lambda: bool(curves.sentence.message), timeout=20_000)
    curves.add_steps([1], [0.5])

    assert "pyqtgraph does not load (no such thing)" in curves.sentence.message
    assert curves.sentence.isVisible()
    assert len(curves.rows()) == 1


def test_the_tooltip_explains_every_curve(curves: TrainingCurves) -> None:
    for word in ("Loss", "AP 0.5", "IoU", "dots", "thin line"):
        assert word in curves.toolTip()
    assert curves._plots.loss.getPlotItem().toolTip() == curves.toolTip()
