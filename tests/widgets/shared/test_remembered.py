"""What is set in a form is there again in the next napari, and a button brings the usual back."""

import json
from pathlib import Path

import pytest
from napari.utils.notifications import notification_manager
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QObject, QSettings
from qtpy.QtWidgets import QCheckBox, QComboBox, QSpinBox, QWidget
from superqt import QLabeledDoubleSlider

from napari_unet.widgets.shared.remembered import Remembered, user_settings


class Form(QWidget):
    """One control of each kind."""

    def __init__(self, usual_number: int = 5) -> None:
        super().__init__()
        self.tick, self.number, self.slider = QCheckBox(), QSpinBox(), QLabeledDoubleSlider()
        self.choice = QComboBox()
        self.choice.addItems(["paper", "fiji"])
        self.number.setRange(0, 10)
        self.number.setValue(usual_number)
        self.slider.setRange(0, 3)
        self.slider.setDecimals(2)
        self.slider.setValue(1)
        controls = {
            "tick": self.tick,
            "number": self.number,
            "strength": self.slider,
            "formula": self.choice,
        }
        self.remembered = Remembered("Form", controls, self)

    @property
    def values(self) -> tuple[bool, int, float, str]:
        return (
            self.tick.isChecked(),
            self.number.value(),
            round(self.slider.value(), 2),
            self.choice.currentText(),
        )

    def set(self) -> None:
        self.tick.setChecked(True)
        self.number.setValue(7)
        self.slider.setValue(0.25)
        self.choice.setCurrentText("fiji")


USUAL, SET = (False, 5, 1.0, "paper"), (True, 7, 0.25, "fiji")


@pytest.fixture(autouse=True)
def _nothing_is_told_yet(qtbot: QtBot) -> None:
    notification_manager.records.clear()


def warnings() -> list[str]:
    return [each.message for each in notification_manager.records]


def kept(text: str | None) -> None:
    user_settings().setValue("forms/Form", text)


def test_what_was_set_is_there_again(qtbot: QtBot) -> None:
    form = Form()
    assert form.values == USUAL
    form.set()
    qtbot.waitUntil(lambda: user_settings().contains("forms/Form"), timeout=5000)

    assert Form().values == SET
    assert warnings() == []


def test_the_button_brings_the_usual_settings_back_for_good(qtbot: QtBot) -> None:
    form = Form()
    form.set()
    form.remembered.keep()

    form.remembered.reset_button().click()

    assert form.values == USUAL
    assert Form().values == USUAL
    assert not user_settings().contains("forms/Form")


def test_only_what_differs_is_kept_so_that_better_defaults_arrive() -> None:
    form = Form()
    form.tick.setChecked(True)
    form.remembered.keep()

    assert json.loads(user_settings().value("forms/Form")) == {"tick": True}
    assert Form(usual_number=6).values == (True, 6, 1.0, "paper")


@pytest.mark.parametrize(
    "value",
    [99, -1, "seven", True, None, float("nan"), [7]],
    ids=["too large", "too small", "text", "bool", "none", "nan", "list"],
)
def test_a_value_that_makes_no_sense_is_told_once_and_the_rest_is_taken(value: object) -> None:
    kept(json.dumps({"number": value, "tick": True}))

    assert Form().values == (True, 5, 1.0, "paper")
    (warning,) = warnings()
    assert "'Form'" in warning
    assert "'number'" in warning
    assert Form().values == (True, 5, 1.0, "paper")
    assert len(warnings()) == 1


def test_an_entry_that_is_not_offered_any_more_is_told_once() -> None:
    kept(json.dumps({"formula": "of 1998"}))

    assert Form().values == USUAL
    assert len(warnings()) == 1


def test_settings_of_another_version_that_are_not_known_are_no_matter() -> None:
    kept(json.dumps({"gone": 3, "number": 7}))

    assert Form().values == (False, 7, 1.0, "paper")
    assert warnings() == []


@pytest.mark.parametrize("text", ["{", "[1, 2]", "7", ""])
def test_a_torn_entry_costs_nothing_and_is_told_once(text: str) -> None:
    kept(text)

    assert Form().values == USUAL
    assert Form().values == USUAL
    assert len(warnings()) == 1


def test_a_damaged_file_costs_nothing_and_is_told_once(qapp: QObject) -> None:
    file = Path(user_settings().fileName())
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"\x00\x01 no settings at all\n[models\nx=@Invalid(")

    assert Form().values == USUAL
    (warning,) = warnings()
    assert str(file) in warning
    form = Form()
    assert len(warnings()) == 1
    form.set()
    form.remembered.keep()
    assert Form().values == SET
    assert user_settings().status() == QSettings.Status.NoError
