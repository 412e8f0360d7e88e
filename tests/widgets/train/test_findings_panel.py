"""Findings are shown with their repairs, worst first."""

from collections.abc import Iterator

import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QPushButton, QVBoxLayout, QWidget

from napari_unet.engine.checks.preflight import Finding
from napari_unet.widgets.train.findings_panel import FindingsPanel


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
