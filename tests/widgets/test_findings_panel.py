"""Findings are shown with their repairs, and a repair is one step that undo takes back."""

from collections.abc import Iterator

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QPushButton, QVBoxLayout, QWidget

from napari_unet import boundary_weight_map, preflight, worker
from napari_unet.engine.errors import ImageShapeError, UNetError
from napari_unet.engine.preflight import Finding
from napari_unet.engine.weight_map_settings import WeightMapSettings
from napari_unet.layers import edit_labels
from napari_unet.widgets.findings_panel import FindingsPanel, apply_repair
from napari_unet.widgets.live_weight_map import LiveWeightMap


@pytest.fixture
def panel(qtbot: QtBot) -> Iterator[FindingsPanel]:
    window = QWidget()
    panel = FindingsPanel()
    QVBoxLayout(window).addWidget(panel)
    qtbot.addWidget(window)
    window.show()
    yield panel
    window.close()


def finding(text: str, severity: str = "warning", repair: str | None = None) -> Finding:
    return Finding("specks", severity, text, repair)


def shown(panel: FindingsPanel, kind: type[QWidget]) -> list[str]:
    return [child.text() for child in panel.findChildren(kind) if child.isVisible()]


def test_errors_come_first_and_notes_last(panel: FindingsPanel) -> None:
    panel.show_findings(
        [finding("Note.", "note"), finding("Error.", "error"), finding("Warning.", "warning")]
    )

    assert shown(panel, QLabel) == ["Error.", "Warning.", "Note."]
    assert panel.has_errors

    panel.show_findings([])

    assert not panel.isVisible()
    assert not panel.has_errors


def test_what_is_over_is_counted(panel: FindingsPanel) -> None:
    panel.show_findings([finding(f"Number {n}.") for n in range(9)])

    assert shown(panel, QLabel) == [*(f"Number {n}." for n in range(6)), "and 3 more"]
    assert len(panel.findings) == 9


def test_the_button_carries_its_finding(panel: FindingsPanel, qtbot: QtBot) -> None:
    one = finding("Specks.", "note", "Remove 3 specks")
    panel.show_findings([one, finding("Nothing to click.", "error")])
    (button,) = panel.findChildren(QPushButton)
    assert button.text() == "Remove 3 specks"
    assert "Undo" in button.toolTip()

    with qtbot.waitSignal(panel.repair_chosen) as chosen:
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    assert chosen.args == [one]


def test_a_repaired_finding_takes_its_button_along(panel: FindingsPanel, qtbot: QtBot) -> None:
    panel.show_findings([finding("Specks.", "note", "Remove 3 specks")])

    panel.show_findings([finding("All is well.", "note")])

    qtbot.waitUntil(lambda: shown(panel, QLabel) == ["All is well."], timeout=5000)
    assert shown(panel, QPushButton) == []


# -- repairs -------------------------------------------------------------------------------------


def two_pieces(dtype: type = np.int32) -> Labels:
    """A cell, and two squares with the same number."""
    labels = np.zeros((60, 70), dtype)
    labels[5:25, 5:25], labels[5:25, 29:49], labels[35:55, 5:25] = 1, 2, 2
    return Labels(labels, name="cells")


def found(labels: Labels, code: str) -> Finding:
    (one,) = (each for each in preflight(labels.data) if each.code == code)
    return one


def test_undo_brings_the_labels_back_in_one_step() -> None:
    layer = two_pieces()
    before = layer.data.copy()
    layer.brush_size = 3
    layer.paint((57, 60), 4)
    painted = layer.data.copy()

    apply_repair(layer, found(layer, "disconnected"))
    repaired = layer.data.copy()
    assert sorted(np.unique(repaired)) == [0, 1, 2, 4, 5]

    layer.undo()
    assert np.array_equal(layer.data, painted)
    layer.redo()
    assert np.array_equal(layer.data, repaired)
    layer.undo()
    layer.undo()
    assert np.array_equal(layer.data, before)


def test_a_repair_is_told_like_a_stroke_and_what_is_right_is_told_to_nobody() -> None:
    layer = two_pieces()
    told: list[object] = []
    layer.events.paint.connect(told.append)
    wrong = found(layer, "disconnected")

    apply_repair(layer, wrong)
    assert len(told) == 1

    apply_repair(layer, wrong)
    assert len(told) == 1


def test_the_weight_map_follows_a_repair(qtbot: QtBot) -> None:
    viewer = ViewerModel()
    layer = two_pieces()
    viewer.add_layer(layer)
    live = LiveWeightMap(viewer)
    live.start(layer, WeightMapSettings())
    qtbot.waitUntil(lambda: not live.is_busy, timeout=60_000)

    apply_repair(layer, found(layer, "disconnected"))
    qtbot.waitUntil(
        lambda: (
            not live.is_busy and np.array_equal(live.overlay.data, boundary_weight_map(layer.data))
        ),
        timeout=20_000,
    )

    live.stop()
    assert worker.stop_all()


def test_numbers_that_do_not_fit_get_room() -> None:
    layer = two_pieces(np.uint8)
    wanted = layer.data.astype(np.uint16)
    wanted[35:55, 5:25] = 300

    edit_labels(layer, wanted)

    assert np.array_equal(layer.data, wanted)
    layer.undo()
    assert layer.data[40, 10] == 2


def test_a_slice_that_is_not_shown_is_repaired_too() -> None:
    viewer = ViewerModel()
    stack = np.zeros((3, 40, 40), np.int32)
    stack[0, 5:15, 5:15], stack[2, 5:15, 5:15], stack[2, 20:30, 20:30] = 1, 2, 2
    layer = viewer.add_labels(stack.copy(), name="cells")
    viewer.dims.set_current_step(0, 0)

    apply_repair(layer, found(layer, "disconnected"))

    assert len(np.unique(layer.data[2])) == 3
    layer.undo()
    assert np.array_equal(layer.data, stack)


def test_labels_that_are_not_in_memory_are_told() -> None:
    labels = np.zeros((8, 8), np.int32)
    labels.flags.writeable = False

    with pytest.raises(UNetError, match="'cells' cannot be written to"):
        edit_labels(Labels(labels, name="cells"), np.ones((8, 8), np.int32))


def test_labels_of_another_shape_are_told() -> None:
    with pytest.raises(ImageShapeError, match=r"shape \(60, 70\), the new labels \(8, 8\)"):
        edit_labels(two_pieces(), np.ones((8, 8), np.int32))
