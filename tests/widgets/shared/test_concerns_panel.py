"""Concerns are shown with their remedies, and go when there are none."""

from collections.abc import Iterator

import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QLabel, QPushButton, QVBoxLayout, QWidget

from napari_unet.engine.checks.guard import Concern
from napari_unet.widgets.shared.concerns_panel import ConcernsPanel


@pytest.fixture
def panel(qtbot: QtBot) -> Iterator[ConcernsPanel]:
    window = QWidget()
    panel = ConcernsPanel()
    QVBoxLayout(window).addWidget(panel)
    qtbot.addWidget(window)
    window.show()
    yield panel
    window.close()


def concern(text: str, remedy: str = "", severity: str = "warning", **changes: object) -> Concern:
    return Concern(severity=severity, text=text, remedy=remedy, changes=changes)


def shown(panel: ConcernsPanel, kind: type[QWidget]) -> list[str]:
    return [child.text() for child in panel.findChildren(kind) if child.isVisible()]


def test_nothing_is_shown_without_concerns(panel: ConcernsPanel) -> None:
    assert not panel.isVisible()
    panel.show_concerns([concern("It is dark.")])
    assert panel.isVisible()

    panel.show_concerns([])

    assert not panel.isVisible()
    assert panel.texts == []


def test_concerns_are_shown_in_their_order(panel: ConcernsPanel) -> None:
    panel.show_concerns([concern("First."), concern("Second.", severity="note")])

    assert shown(panel, QLabel) == panel.texts == ["First.", "Second."]


def test_other_concerns_take_the_place_of_the_first(panel: ConcernsPanel, qtbot: QtBot) -> None:
    panel.show_concerns([concern("Old.", "Do the old thing", extent="view")])

    panel.show_concerns([concern("New.")])

    qtbot.waitUntil(lambda: shown(panel, QLabel) == ["New."], timeout=5000)
    assert shown(panel, QPushButton) == []


def test_a_remedy_is_a_button_that_carries_its_changes(panel: ConcernsPanel, qtbot: QtBot) -> None:
    panel.show_concerns(
        [
            concern("It has colours.", "Use one channel", channel=1),
            concern("It is small.", "Set the cell size", diameter_px=None),
            concern("Nothing to do about it."),
        ]
    )
    buttons = {button.text(): button for button in panel.findChildren(QPushButton)}
    assert list(buttons) == ["Use one channel", "Set the cell size"]

    with qtbot.waitSignal(panel.remedy_chosen) as chosen:
        buttons["Use one channel"].click()
    assert chosen.args == [{"channel": 1}]
    with qtbot.waitSignal(panel.remedy_chosen) as chosen:
        buttons["Set the cell size"].click()
    assert chosen.args == [{"diameter_px": None}]
