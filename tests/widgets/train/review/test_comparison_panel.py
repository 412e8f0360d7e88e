"""What changed is counted and listed."""

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtGui import QTextDocument
from qtpy.QtWidgets import QLabel

from napari_unet.engine.labels.comparison import Comparison, compare_cells
from napari_unet.widgets.train.review.comparison_panel import ComparisonPanel


@pytest.fixture
def panel(qtbot: QtBot) -> Iterator[ComparisonPanel]:
    panel = ComparisonPanel()
    qtbot.addWidget(panel)
    yield panel
    panel.close()


def cells(*boxes: tuple[int, int, int, int]) -> NDArray[np.int32]:
    labels = np.zeros((60, 60), np.int32)
    for number, (top, bottom, left, right) in enumerate(boxes, start=1):
        labels[top:bottom, left:right] = number
    return labels


BEFORE = cells((0, 20, 0, 20), (30, 40, 0, 10), (50, 55, 50, 55))
AFTER = cells((0, 20, 0, 9), (0, 20, 11, 20), (50, 55, 50, 55), (30, 38, 30, 38))


@pytest.fixture
def comparison() -> Comparison:
    """One cell split, one lost, one gained and one as it was; the lost one is a true one."""
    return compare_cells(BEFORE, AFTER, BEFORE)


def words(label: QLabel) -> list[str]:
    document = QTextDocument()
    document.setHtml(label.text())
    return document.toPlainText().replace("\xa0", " ").split("\n")


def rows(panel: ComparisonPanel) -> list[str]:
    return [panel.list.item(row).text() for row in range(panel.list.count())]


def test_nothing_is_shown_before_a_comparison(
    panel: ComparisonPanel, comparison: Comparison
) -> None:
    panel.show_comparison(comparison)
    assert panel.isVisible()

    panel.clear()

    assert not panel.isVisible()
    assert rows(panel) == []


def test_changes_are_counted_and_listed_largest_first(
    panel: ComparisonPanel, comparison: Comparison
) -> None:
    panel.show_comparison(comparison)

    assert panel.heading.text() == "3 cells before, 4 after, 1 unchanged."
    counted = " ".join(words(panel.counts))
    for count in ("1 gained", "1 lost", "1 split", "0 merged", "0 regrouped", "0 reshaped"):
        assert count in counted
    assert rows(panel) == [
        "split into 2, 400 → 360 px: worse",
        "lost, 100 px: worse",
        "gained, 64 px: worse",
    ]


def test_what_was_compared_is_said(panel: ComparisonPanel, comparison: Comparison) -> None:
    panel.show_comparison(comparison, "The middle of it, 60 x 60 pixels")

    assert panel.heading.text() == (
        "The middle of it, 60 x 60 pixels: 3 cells before, 4 after, 1 unchanged."
    )


def test_every_kind_of_change_is_a_sentence(panel: ComparisonPanel) -> None:
    merged = compare_cells(AFTER, BEFORE)
    reshaped = compare_cells(cells((0, 20, 0, 20)), cells((0, 20, 0, 15)))
    regrouped = compare_cells(
        cells((0, 10, 0, 15), (0, 10, 15, 30)),
        cells((0, 10, 0, 6), (0, 10, 6, 24), (0, 10, 24, 30)),
    )
    found = []
    for comparison in (merged, reshaped, regrouped):
        panel.show_comparison(comparison)
        found.append(rows(panel)[0])

    assert found == [
        "2 merged, 360 → 400 px",
        "reshaped, 400 → 300 px",
        "2 became 3, 300 → 300 px",
    ]


def test_a_click_on_a_row_tells_its_change_each_time(
    panel: ComparisonPanel, comparison: Comparison, qtbot: QtBot
) -> None:
    panel.show_comparison(comparison)
    middle = panel.list.visualItemRect(panel.list.item(1)).center()
    for _ in range(2):
        with qtbot.waitSignal(panel.change_chosen) as chosen:
            qtbot.mouseClick(panel.list.viewport(), Qt.MouseButton.LeftButton, pos=middle)
        assert chosen.args == [comparison.changes[1]]


def test_the_arrow_keys_go_through_the_changes(
    panel: ComparisonPanel, comparison: Comparison, qtbot: QtBot
) -> None:
    panel.show_comparison(comparison)
    panel.list.setCurrentRow(0)
    told: list[object] = []
    panel.change_chosen.connect(told.append)

    for key in (Qt.Key.Key_Down, Qt.Key.Key_Down, Qt.Key.Key_Down, Qt.Key.Key_Up):
        qtbot.keyClick(panel.list, key)

    assert told == [comparison.changes[1], comparison.changes[2], comparison.changes[1]]


def test_what_is_not_listed_is_counted(panel: ComparisonPanel) -> None:
    labels = np.zeros((90, 90), np.int32)
    labels[::3, ::3] = np.arange(1, 901).reshape(30, 30)

    panel.show_comparison(compare_cells(np.zeros_like(labels), labels))

    assert panel.list.count() == 200
    assert panel.more.message == "and 700 smaller ones"


def test_two_equal_results_have_no_list(panel: ComparisonPanel) -> None:
    panel.show_comparison(compare_cells(BEFORE, BEFORE))

    assert panel.heading.text() == "3 cells before, 3 after, 3 unchanged."
    assert not panel.list.isVisible()
    assert not panel.more.isVisible()
