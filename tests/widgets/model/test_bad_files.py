"""Files that the Model widget cannot load are answered in one sentence."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot

from napari_unet import bundled_models
from napari_unet.engine.models import checkpoint
from napari_unet.session import Session
from napari_unet.widgets.model.widget import ModelWidget


def make_bad_file(kind: str, folder: Path, good: Path) -> Path:
    path = folder / f"{kind}.safetensors"
    if kind == "torn":
        path.write_bytes(good.read_bytes()[:200])
    elif kind == "pickle":
        torch.save({"weights": torch.zeros(1)}, path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "text":
        path.write_text("not a model at all")
    return path


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("missing", "There is no model '{path}'; give a file"),
        ("torn", "'{path}' is a torn or damaged safetensors file: it ends within its header"),
        ("text", "'{path}' is a text, not a model; expected a network as .safetensors, PyTorch"),
        ("pickle", "'{path}' holds no weights (it has 'weights'); expected those of a network"),
        ("folder", "'{path}' is a folder; give the model file in it."),
    ],
)
def test_a_file_that_is_no_model_is_answered_in_one_sentence(
    drop: Any,
    entries: Any,
    failure: Any,
    recent: Any,
    wait_for_load: Any,
    widget: ModelWidget,
    session: Session,
    model_file: Path,
    qtbot: QtBot,
    kind: str,
    sentence: str,
) -> None:
    path = make_bad_file(kind, model_file.parent, model_file)
    network = session.network

    wait_for_load(qtbot, widget, lambda: drop(widget, path))

    assert failure(widget).startswith(sentence.format(path=path))
    assert session.network is network
    assert widget.model_choice.box.currentText() == "threshold"
    assert entries(widget.model_choice) == [*bundled_models(), "threshold"]
    assert recent(widget.model_choice) == []


def test_a_file_that_may_not_be_read_says_so(
    failure: Any,
    wait_for_load: Any,
    widget: ModelWidget,
    other_file: Path,
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(self: Path, *arguments: Any) -> Any:
        if self == other_file:
            raise PermissionError(13, "Permission denied")
        return open(self, *arguments)  # noqa: PTH123

    monkeypatch.setattr(Path, "open", refuse)

    wait_for_load(qtbot, widget, lambda: widget.model_choice.open(str(other_file)))

    assert failure(widget) == (
        f"'{other_file}' cannot be read (Permission denied); check its permissions."
    )


def test_a_recent_file_that_is_gone_leaves_the_list_with_a_sentence(
    entries: Any,
    failure: Any,
    open_file: Any,
    pick: Any,
    recent: Any,
    wait_for_load: Any,
    widget: ModelWidget,
    other_file: Path,
    model_file: Path,
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    open_file(qtbot, widget, other_file, monkeypatch)
    open_file(qtbot, widget, model_file, monkeypatch)
    other_file.unlink()

    wait_for_load(qtbot, widget, lambda: pick(widget, str(other_file)))

    assert failure(widget).startswith(f"There is no model '{other_file}'")
    assert recent(widget.model_choice) == [str(model_file)]
    assert "other" not in entries(widget.model_choice)


def test_a_model_whose_file_is_deleted_goes_on_working(
    failure: Any,
    open_widget: Any,
    pick: Any,
    wait_for_load: Any,
    widget: ModelWidget,
    session: Session,
    model_file: Path,
    viewer: ViewerModel,
    qtbot: QtBot,
) -> None:
    network = session.network
    model_file.unlink()

    second = open_widget(qtbot, viewer, session)
    assert not second.sentence.isVisible()
    wait_for_load(qtbot, widget, lambda: pick(widget, str(model_file)))

    assert failure(widget) == (
        f"The file of the loaded model, '{model_file}', is gone; the loaded copy still works until "
        "napari closes: put the file back, or save it in the Model widget."
    )
    assert session.network is network
    assert widget.model_choice.box.currentText() == "threshold"
    second.close()


def test_picking_the_loaded_model_again_reads_a_file_that_changed(
    pick: Any,
    wait_for_load: Any,
    widget: ModelWidget,
    session: Session,
    model_file: Path,
    other_file: Path,
    qtbot: QtBot,
) -> None:
    wait_for_load(qtbot, widget, lambda: pick(widget, str(model_file)))
    network = session.network
    wait_for_load(qtbot, widget, lambda: pick(widget, str(model_file)))
    assert session.network is network

    model_file.write_bytes(other_file.read_bytes())
    wait_for_load(qtbot, widget, lambda: pick(widget, str(model_file)))

    assert session.network is not network
    assert session.network is not None
    assert session.network.description.name == "other"


def test_an_unforeseen_error_is_shown_and_logged_with_its_details(
    failure: Any,
    wait_for_load: Any,
    widget: ModelWidget,
    other_file: Path,
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("the disk sings")

    monkeypatch.setattr(checkpoint, "load_checkpoint", fail)

    with caplog.at_level(logging.ERROR):
        wait_for_load(qtbot, widget, lambda: widget.model_choice.open(str(other_file)))

    assert failure(widget) == (
        "Something went wrong that should not (RuntimeError: the disk sings); the log has the "
        "details. The loaded model is as it was."
    )
    assert "Traceback" in caplog.text
