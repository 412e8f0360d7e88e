"""Versions of a model are listed, renamed, gone back to, and deleted only after a question."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMessageBox

from napari_unet import bundled_models
from napari_unet.engine.networks.network import Network
from napari_unet.versions.history import ModelHistory, Version
from napari_unet.viewer import worker
from napari_unet.widgets.train.review import history_panel
from napari_unet.widgets.train.review.history_panel import HistoryPanel
from napari_unet.widgets.train.review.version_list import details, on_held_out

NAME, AP, DATE = 0, 1, 2


@pytest.fixture
def history(tmp_path: Path, threshold_network: Network) -> ModelHistory:
    """A version and one that was trained from it."""
    history = ModelHistory(tmp_path / "versions")
    first = history.keep(threshold_network, name="first")
    history.keep(
        threshold_network,
        name="second",
        parent=first,
        sentence="Trained 600 steps.",
        metrics={"ap_before": 0.5, "ap_after": 0.75, "held_out_cells": 45},
    )
    return history


@pytest.fixture
def panel(history: ModelHistory, qtbot: QtBot) -> Iterator[HistoryPanel]:
    panel = HistoryPanel(history)
    qtbot.addWidget(panel)
    panel.show()
    with qtbot.waitSignal(panel.refreshed, timeout=60_000):
        panel.refresh()
    yield panel
    panel.close()
    assert worker.stop_all()


def row_of(panel: HistoryPanel, name: str) -> Any:
    (item,) = panel.list.findItems(name, Qt.MatchFlag.MatchExactly, NAME)
    return item


def select(panel: HistoryPanel, name: str) -> None:
    panel.list.setCurrentItem(row_of(panel, name))


def click(qtbot: QtBot, panel: HistoryPanel, button: str) -> None:
    qtbot.mouseClick(panel.buttons[button], Qt.MouseButton.LeftButton)


def names(history: ModelHistory) -> set[str]:
    return {version.name for version in history.versions()}


def version(**fields: Any) -> Version:
    given = {"id": "2", "name": "second", "date": "2026-11-25T10:00:00+00:00", "path": Path("a")}
    return Version(**given | fields)


def test_each_version_has_its_scores_and_its_origin(panel: HistoryPanel) -> None:
    # The bundled model stands below them, as the way back.
    assert [each.name for each in panel.versions][2:] == [*bundled_models()]
    assert {each.name for each in panel.versions[:2]} == {"first", "second"}
    assert row_of(panel, "second").text(AP) == "0.50 → 0.75 of 45"
    assert row_of(panel, "first").text(AP) == ""
    assert row_of(panel, "first").text(DATE).startswith("20")

    select(panel, "second")

    assert panel.details.message == "'second' from 'first'. Trained 600 steps."


def test_of_few_cells_a_version_says_how_many_were_found() -> None:
    few = {"found_before": 1, "found_after": 3, "held_out_cells": 3}
    assert on_held_out(version(metrics=few)) == "1 → 3 of 3"
    # Version 0.1.0 noted no number of cells.
    assert on_held_out(version(metrics={"ap_before": 1.0, "ap_after": 1.0})) == "1.00 → 1.00 of ?"
    assert on_held_out(version(metrics={"steps": 6})) == ""


def test_texts_are_right_where_little_is_known() -> None:
    assert details(version(parent="gone"), []) == "'second' from a model that is not here."
    assert details(version(), []) == "'second'."
    assert version(date="yesterday").local_date == "yesterday"


def test_dates_are_those_of_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(time, "tzset"):
        pytest.skip("the time zone cannot be set here")
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC-2")
        time.tzset()
        assert version().local_date == "2026-11-25 12:00"
    time.tzset()


def test_going_back_is_told_and_the_version_in_use_is_not_offered(
    panel: HistoryPanel, qtbot: QtBot
) -> None:
    assert not panel.buttons["back"].isEnabled()
    select(panel, "first")

    with qtbot.waitSignal(panel.version_chosen) as chosen:
        click(qtbot, panel, "back")
    assert chosen.args[0].name == "first"

    panel.show_current(chosen.args[0].id)
    assert panel.selected is not None
    assert panel.selected.name == "first"
    assert row_of(panel, "first").font(NAME).bold()
    assert not row_of(panel, "second").font(NAME).bold()
    assert not panel.buttons["back"].isEnabled()


def test_a_new_name_is_written(panel: HistoryPanel, history: ModelHistory, qtbot: QtBot) -> None:
    select(panel, "first")
    click(qtbot, panel, "rename")
    editor = panel.list.viewport().focusWidget() or panel.list.focusWidget()

    with qtbot.waitSignal(panel.refreshed, timeout=20_000):
        qtbot.keyClicks(editor, "tissue")
        qtbot.keyClick(editor, Qt.Key.Key_Return)

    assert names(history) == {"tissue", "second"}
    assert panel.selected is not None
    assert panel.selected.name == "tissue"


def test_a_name_that_is_taken_is_told_and_not_shown(
    panel: HistoryPanel, history: ModelHistory, qtbot: QtBot
) -> None:
    row_of(panel, "first").setText(NAME, "second")
    qtbot.waitUntil(lambda: bool(panel.sentence.message), timeout=20_000)

    assert "There is a version 'second' already" in panel.sentence.message
    assert names(history) == {"first", "second"}
    assert row_of(panel, "first").text(NAME) == "first"


@pytest.mark.parametrize("answer", ["Yes", "No"])
def test_nothing_is_deleted_without_a_yes(
    panel: HistoryPanel,
    history: ModelHistory,
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
) -> None:
    asked: list[str] = []

    def question(parent: Any, title: str, text: str) -> Any:
        asked.append(text)
        return getattr(QMessageBox.StandardButton, answer)

    monkeypatch.setattr(QMessageBox, "question", question)
    select(panel, "first")
    if answer == "Yes":
        with qtbot.waitSignal(panel.refreshed, timeout=20_000):
            click(qtbot, panel, "delete")
        assert names(history) == {"second"}
        assert {each.name for each in panel.versions} == {"second", *bundled_models()}
    else:
        click(qtbot, panel, "delete")
        assert worker.stop_all()
        assert names(history) == {"first", "second"}
    assert asked == ["Delete 'first' for good? Versions that came from it stay."]


def test_the_folder_is_shown(
    panel: HistoryPanel, history: ModelHistory, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(
        history_panel.QDesktopServices, "openUrl", lambda url: opened.append(url.toLocalFile())
    )

    click(qtbot, panel, "folder")

    assert [Path(each) for each in opened] == [history.folder]


def test_a_new_version_appears_and_the_selection_stays(
    panel: HistoryPanel, history: ModelHistory, threshold_network: Network, qtbot: QtBot
) -> None:
    select(panel, "first")
    history.keep(threshold_network, name="third")

    with qtbot.waitSignal(panel.refreshed, timeout=20_000):
        panel.refresh()

    assert {each.name for each in panel.versions} == {"first", "second", "third", *bundled_models()}
    assert panel.selected is not None
    assert panel.selected.name == "first"


def test_an_empty_folder_says_how_to_fill_it(tmp_path: Path, qtbot: QtBot) -> None:
    panel = HistoryPanel(ModelHistory(tmp_path / "not there"))
    qtbot.addWidget(panel)

    with qtbot.waitSignal(panel.refreshed, timeout=60_000):
        panel.refresh()

    assert "press Keep" in panel.sentence.message
    assert not any(button.isEnabled() for button in panel.buttons.values())
    assert worker.stop_all()


def test_what_should_not_happen_is_told_too(
    panel: HistoryPanel, history: ModelHistory, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: ModelHistory) -> None:
        raise ValueError("odd")

    monkeypatch.setattr(ModelHistory, "versions", fail)

    panel.refresh()
    qtbot.waitUntil(lambda: bool(panel.sentence.message), timeout=20_000)

    assert "(ValueError: odd)" in panel.sentence.message


def test_everything_says_what_it_does(panel: HistoryPanel) -> None:
    for widget in (panel.list, *panel.buttons.values()):
        assert len(widget.toolTip()) > 40
