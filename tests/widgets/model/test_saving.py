"""Copies of the loaded model."""

from pathlib import Path
from typing import Any

from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_unet.engine.models.checkpoint import load_checkpoint
from napari_unet.session import Session
from napari_unet.widgets.model.widget import ModelWidget


def save(widget: ModelWidget, qtbot: QtBot, file: Path, monkeypatch: Any) -> str:
    """Save under a name; return the sentence that follows."""
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(file), ""))
    widget.sentence.show_text("")
    qtbot.mouseClick(widget.save_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: bool(widget.sentence.message), timeout=20_000)
    return widget.sentence.message


def test_a_copy_is_saved_and_offered_from_then_on(
    recent: Any,
    widget: ModelWidget,
    session: Session,
    tmp_path: Path,
    qtbot: QtBot,
    monkeypatch: Any,
) -> None:
    source = session.source
    copy = tmp_path / "copy.safetensors"

    assert save(widget, qtbot, copy, monkeypatch) == f"Saved as '{copy}'."

    assert load_checkpoint(copy).description.name == "threshold"
    assert recent(widget.model_choice) == [str(copy)]
    assert session.source == source


def test_a_model_whose_file_was_deleted_can_be_saved(
    widget: ModelWidget, model_file: Path, qtbot: QtBot, monkeypatch: Any
) -> None:
    model_file.unlink()

    save(widget, qtbot, model_file, monkeypatch)

    assert load_checkpoint(model_file).description.name == "threshold"


def test_a_name_without_its_suffix_overwrites_nothing(
    failure: Any, widget: ModelWidget, other_file: Path, qtbot: QtBot, monkeypatch: Any
) -> None:
    before = other_file.read_bytes()

    save(widget, qtbot, other_file.with_suffix(""), monkeypatch)

    assert failure(widget).startswith(f"'{other_file}' exists; choose another name")
    assert other_file.read_bytes() == before


def test_a_folder_that_is_not_there_is_named(
    failure: Any, widget: ModelWidget, tmp_path: Path, qtbot: QtBot, monkeypatch: Any
) -> None:
    save(widget, qtbot, tmp_path / "nowhere" / "copy.safetensors", monkeypatch)

    assert "Cannot write" in failure(widget)
    assert "choose a folder that exists" in failure(widget)


def test_leaving_the_dialog_without_a_name_saves_nothing(
    no_engine_thread: Any, widget: ModelWidget, model_file: Path, monkeypatch: Any, qtbot: QtBot
) -> None:
    before = set(model_file.parent.iterdir())
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: ("", ""))

    qtbot.mouseClick(widget.save_button, Qt.MouseButton.LeftButton)

    assert no_engine_thread()
    assert set(model_file.parent.iterdir()) == before
