"""Code in a model file runs only after a yes."""

from pathlib import Path
from typing import Any

import pytest
from napari.utils.notifications import notification_manager
from pytestqt.qtbot import QtBot
from qtpy.compat import isalive

from napari_unet.engine.base.errors import CodeInFileError
from napari_unet.engine.models import checkpoint
from napari_unet.engine.models.checkpoint import load_checkpoint
from napari_unet.engine.networks.network import Network
from napari_unet.session import Session
from napari_unet.widgets.model.widget import ModelWidget
from napari_unet.widgets.shared.model_loading import CodeQuestion


class CarriesCode:
    """Files that are opened only where their code may run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[bool] = []
        self._load = load_checkpoint
        monkeypatch.setattr(checkpoint, "load_checkpoint", self.load)

    def load(self, source: str, *, allow_code: bool = False) -> Network:
        self.asked.append(allow_code)
        if not allow_code:
            raise CodeInFileError(f"'{source}' carries a program; it runs only if you allow it.")
        return self._load(source)


@pytest.fixture
def carries_code(widget: ModelWidget, monkeypatch: pytest.MonkeyPatch) -> CarriesCode:
    return CarriesCode(monkeypatch)


def question(widget: ModelWidget) -> CodeQuestion:
    question = widget.model_choice.findChild(CodeQuestion)
    assert question is not None
    assert question.isVisible()
    return question


def test_code_in_a_file_runs_only_after_a_yes_each_time(
    recent: Any,
    wait_for_load: Any,
    widget: ModelWidget,
    session: Session,
    other_file: Path,
    model_file: Path,
    carries_code: CarriesCode,
    qtbot: QtBot,
) -> None:
    for _ in range(2):
        wait_for_load(qtbot, widget, lambda: widget.model_choice.open(str(other_file)))
        asked = question(widget)
        assert asked.text() == f"'{other_file}' carries a program; it runs only if you allow it."
        assert asked.defaultButton() is asked.no_button
        assert session.source == str(model_file)

        with qtbot.waitSignal(widget.model_choice.load_finished, timeout=20_000):
            asked.yes_button.click()

        assert session.source == str(other_file)
        session.adopt(session.network, str(model_file))  # type: ignore[arg-type]
        qtbot.waitUntil(lambda: not widget.findChildren(CodeQuestion), timeout=5000)
    assert carries_code.asked == [False, True, False, True]
    assert recent(widget.model_choice) == [str(other_file)]


@pytest.mark.parametrize("way", ["no", "escape"])
def test_without_a_yes_nothing_is_opened(
    failure: Any,
    recent: Any,
    wait_for_load: Any,
    widget: ModelWidget,
    session: Session,
    other_file: Path,
    carries_code: CarriesCode,
    qtbot: QtBot,
    way: str,
) -> None:
    network = session.network
    wait_for_load(qtbot, widget, lambda: widget.model_choice.open(str(other_file)))

    if way == "no":
        question(widget).no_button.click()
    else:
        question(widget).reject()

    assert failure(widget) == (
        f"'{other_file}' was not opened, and none of its code was run; the loaded model is as it "
        "was."
    )
    assert session.network is network
    assert carries_code.asked == [False]
    assert recent(widget.model_choice) == []


def test_another_model_answers_the_question(
    wait_for_load: Any,
    widget: ModelWidget,
    session: Session,
    other_file: Path,
    carries_code: CarriesCode,
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wait_for_load(qtbot, widget, lambda: widget.model_choice.open(str(other_file)))
    asked = question(widget)
    monkeypatch.setattr(checkpoint, "load_checkpoint", lambda source, **_: load_checkpoint(source))

    wait_for_load(qtbot, widget, lambda: widget.model_choice.open("nuclei"))

    assert not isalive(asked) or not asked.isVisible()
    assert session.source == "nuclei"
    assert not notification_manager.records
