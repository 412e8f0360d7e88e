"""Findings are shown with their remedies, worst first, and go when there are none."""

from collections.abc import Iterator

import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QPushButton, QVBoxLayout, QWidget

from napari_unet.engine.checks.finding import Finding, Severity
from napari_unet.widgets.shared.findings_panel import FindingsPanel


@pytest.fixture
def panel(qtbot: QtBot) -> Iterator[FindingsPanel]:
    window = QWidget()
    panel = FindingsPanel()
    QVBoxLayout(window).addWidget(panel)
    qtbot.addWidget(window)
    window.show()
    yield panel
    window.close()


def finding(
    text: str, remedy: str = "", severity: Severity = "warning", **changes: object
) -> Finding:
    return Finding(severity, text, remedy, changes, code="specks")


def shown(panel: FindingsPanel, kind: type[QWidget]) -> list[str]:
    # Without the places where a long name may break.
    return [
        child.text().replace("\u200b", "")
        for child in panel.findChildren(kind)
        if child.isVisible()
    ]


def test_nothing_is_shown_without_findings(panel: FindingsPanel) -> None:
    assert not panel.isVisible()
    panel.show_findings([finding("It is dark.")])
    assert panel.isVisible()

    panel.show_findings([])

    assert not panel.isVisible()
    assert panel.texts == []


def test_findings_of_one_severity_are_shown_in_their_order(panel: FindingsPanel) -> None:
    panel.show_findings([finding("First."), finding("Second.")])

    assert shown(panel, QLabel) == panel.texts == ["First.", "Second."]


def test_errors_come_first_and_notes_last(panel: FindingsPanel) -> None:
    panel.show_findings(
        [
            finding("Note.", severity="note"),
            finding("Error.", severity="error"),
            finding("Warning."),
        ]
    )

    assert shown(panel, QLabel) == ["Error.", "Warning.", "Note."]
    assert panel.findings[0].severity == "error"


def test_what_is_over_is_counted(panel: FindingsPanel) -> None:
    panel.show_findings([finding(f"Number {n}.") for n in range(9)])

    assert shown(panel, QLabel) == [*(f"Number {n}." for n in range(6)), "and 3 more"]
    assert len(panel.findings) == 9


def test_other_findings_take_the_place_of_the_first(panel: FindingsPanel, qtbot: QtBot) -> None:
    panel.show_findings([finding("Old.", "Do the old thing", extent="view")])

    panel.show_findings([finding("New.")])

    qtbot.waitUntil(lambda: shown(panel, QLabel) == ["New."], timeout=5000)
    assert shown(panel, QPushButton) == []


def test_a_remedy_is_a_button_that_carries_its_changes(panel: FindingsPanel, qtbot: QtBot) -> None:
    panel.show_findings(
        [
            finding("It has colours.", "Use one channel", channel=1),
            finding("It is small.", "Set the cell size", diameter_px=None),
            finding("Nothing to do about it."),
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


def test_a_repair_is_a_button_that_carries_its_finding(panel: FindingsPanel, qtbot: QtBot) -> None:
    one = finding("Specks.", "Remove 3 specks", "note")
    panel.show_findings([one, finding("Nothing to click.", severity="error")])
    (button,) = panel.findChildren(QPushButton)
    assert button.text() == "Remove 3 specks"
    assert "Undo" in button.toolTip()

    with qtbot.waitSignal(panel.repair_chosen) as chosen:
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    assert chosen.args == [one]


def test_a_finding_may_have_several_ways_out(panel: FindingsPanel, qtbot: QtBot) -> None:
    ways = {"Train": {"widget": "Train"}}
    panel.show_findings(
        [Finding("warning", "It is new.", "Run A & B", {"run": True}, ways, code="doubtful")]
    )
    first, second = panel.findChildren(QPushButton)
    assert first.text() == "Run A && B"  # one alone would mark a key
    assert first.toolTip() == "Change the form as this says, and run."
    assert second.toolTip() == "Change the form as this says; nothing runs yet."

    for button, changes in ((first, {"run": True}), (second, {"widget": "Train"})):
        with qtbot.waitSignal(panel.remedy_chosen) as chosen:
            qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
        assert chosen.args == [changes]
