"""Model files that are opened: from a dialog, from the menu of recent ones, dropped."""

from pathlib import Path
from typing import Any

import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot

from napari_unet import bundled_models
from napari_unet.session import Session
from napari_unet.widgets.model.widget import ModelWidget
from napari_unet.widgets.shared.model_files import RecentModels


def test_the_dialog_opens_a_file_and_remembers_its_folder(
    open_file: Any,
    widget: ModelWidget,
    session: Session,
    other_file: Path,
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert open_file(qtbot, widget, other_file, monkeypatch) == ""

    assert session.source == str(other_file)
    assert widget.model_choice.box.currentText() == "other"
    assert str(other_file) in widget.text.toPlainText()
    assert not widget.sentence.isVisible()
    assert open_file(qtbot, widget, other_file, monkeypatch) == str(other_file.parent)


def test_recent_files_are_there_again_after_a_restart(
    entries: Any,
    open_file: Any,
    open_widget: Any,
    recent: Any,
    widget: ModelWidget,
    viewer: ViewerModel,
    model_file: Path,
    other_file: Path,
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    open_file(qtbot, widget, model_file, monkeypatch)
    open_file(qtbot, widget, other_file, monkeypatch)

    again = open_widget(qtbot, viewer, Session())

    assert recent(again.model_choice) == [str(other_file), str(model_file)]
    assert {"nuclei", "other", "threshold"} <= set(entries(again.model_choice))
    again.close()


def test_a_recent_file_is_loaded_from_the_menu(
    open_file: Any,
    recent: Any,
    wait_for_load: Any,
    widget: ModelWidget,
    session: Session,
    other_file: Path,
    model_file: Path,
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    open_file(qtbot, widget, other_file, monkeypatch)
    open_file(qtbot, widget, model_file, monkeypatch)
    recent(widget.model_choice)
    action = widget.model_choice.recent_menu.actions()[1]
    assert str(other_file) in action.toolTip()

    wait_for_load(qtbot, widget, action.trigger)

    assert session.source == str(other_file)
    assert recent(widget.model_choice) == [str(other_file), str(model_file)]


def test_clear_recent_forgets_the_files_but_not_what_is_loaded(
    entries: Any,
    open_file: Any,
    recent: Any,
    widget: ModelWidget,
    session: Session,
    other_file: Path,
    model_file: Path,
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    open_file(qtbot, widget, other_file, monkeypatch)
    open_file(qtbot, widget, model_file, monkeypatch)
    recent(widget.model_choice)

    widget.model_choice.recent_menu.actions()[-1].trigger()

    assert recent(widget.model_choice) == []
    assert not widget.model_choice.recent_menu.actions()[-1].isEnabled()
    assert entries(widget.model_choice) == [*bundled_models(), "threshold"]
    assert session.source == str(model_file)
    assert other_file.exists()


def test_eight_recent_files_are_kept_the_last_one_first(qtbot: QtBot) -> None:
    files = RecentModels()
    for number in range(10):
        files.add(f"/models/{number}.safetensors")
    files.add("/models/5.safetensors")

    assert [Path(file).stem for file in RecentModels().files] == list("59876432")
    assert RecentModels().folder == str(Path("/models"))
    files.clear()
    files.add("/a.safetensors")
    assert RecentModels().files == ["/a.safetensors"]


def test_two_files_of_one_name_are_told_apart_by_their_folders(
    entries: Any, wait_for_load: Any, widget: ModelWidget, model_file: Path, qtbot: QtBot
) -> None:
    folder = model_file.parent / "better"
    folder.mkdir()
    second = folder / model_file.name
    second.write_bytes(model_file.read_bytes())

    wait_for_load(qtbot, widget, lambda: widget.model_choice.open(str(second)))

    assert entries(widget.model_choice) == [
        *bundled_models(),
        "threshold (better)",
        f"threshold ({model_file.parent.name})",
    ]


def test_a_model_file_that_is_dropped_here_is_loaded(
    drop: Any,
    recent: Any,
    wait_for_load: Any,
    widget: ModelWidget,
    session: Session,
    other_file: Path,
    qtbot: QtBot,
) -> None:
    wait_for_load(qtbot, widget, lambda: drop(widget, other_file))

    assert session.source == str(other_file)
    assert recent(widget.model_choice) == [str(other_file)]


def test_two_files_at_once_are_answered_with_what_to_do(
    drop: Any, failure: Any, widget: ModelWidget, model_file: Path, other_file: Path
) -> None:
    drop(widget, model_file, other_file)

    assert failure(widget) == "2 files were dropped here; drop one model file."
    assert not widget.model_choice.is_loading


def test_what_is_no_file_is_not_taken(drop: Any, widget: ModelWidget) -> None:
    assert widget.acceptDrops()
    assert not drop(widget)
