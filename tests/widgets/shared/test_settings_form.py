"""Fields made from a settings class: one for each kind of value, explained by its docstring."""

from dataclasses import replace

import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QCheckBox, QLabel, QSpinBox
from superqt import QLabeledDoubleSlider

from napari_unet.engine.base.settings import InstanceSettings
from napari_unet.engine.training.settings import TrainingSettings
from napari_unet.widgets.shared.settings_form import SettingsForm, caption

NAMES = ("foreground_threshold", "min_size_px", "fill_holes", "min_score")


@pytest.fixture
def form(qtbot: QtBot) -> SettingsForm:
    form = SettingsForm(InstanceSettings(), NAMES)
    qtbot.addWidget(form)
    return form


def test_each_kind_of_value_has_its_field(form: SettingsForm) -> None:
    assert list(form.fields) == list(NAMES)
    assert isinstance(form.fields["foreground_threshold"], QLabeledDoubleSlider)
    assert isinstance(form.fields["min_size_px"], QSpinBox)
    assert form.fields["min_size_px"].suffix() == " px"
    assert isinstance(form.fields["fill_holes"], QCheckBox)
    captions = {label.text() for label in form.findChildren(QLabel)}
    assert {"Foreground threshold", "Min size", "Min score"} <= captions
    assert form.fields["fill_holes"].text() == "Fill holes"


def test_a_number_that_may_be_left_out_is_automatic_below_the_lowest(qtbot: QtBot) -> None:
    form = SettingsForm(TrainingSettings(), ("patch_size_px",), {"patch_size_px": (32, 1024)})
    qtbot.addWidget(form)
    field = form.fields["patch_size_px"]
    assert (field.text(), form.values()) == ("automatic", {"patch_size_px": None})
    field.stepUp()
    assert (field.text(), form.values()) == ("32 px", {"patch_size_px": 32})
    form.show_values(TrainingSettings())
    assert form.values() == {"patch_size_px": None}


def test_captions_are_words_without_units() -> None:
    assert caption("min_size_px") == "Min size"
    assert caption("pixel_size_um") == "Pixel size"


def test_every_field_and_its_caption_say_what_it_does(form: SettingsForm) -> None:
    for name, field in form.fields.items():
        assert len(field.toolTip()) > 30, name
    for label in form.findChildren(QLabel):
        if label.text() == "Min score":
            assert label.toolTip() == form.fields["min_score"].toolTip()


@pytest.mark.parametrize(
    "settings",
    [
        InstanceSettings(),
        InstanceSettings(foreground_threshold=0.37, min_size_px=0, fill_holes=False, min_score=0.8),
        InstanceSettings(foreground_threshold=0.01, min_size_px=1_000_000, min_score=0.0),
        InstanceSettings(foreground_threshold=0.99, min_score=0.99),
    ],
)
def test_values_go_in_and_out_unchanged(form: SettingsForm, settings: InstanceSettings) -> None:
    form.show_values(settings)

    assert form.changed_settings(settings) == settings


def test_values_that_are_not_in_the_form_stay_as_they_are(form: SettingsForm) -> None:
    start = InstanceSettings(seed_threshold=0.77)

    assert form.changed_settings(start).seed_threshold == 0.77


def test_a_field_changed_by_hand_is_told(form: SettingsForm) -> None:
    told: list[None] = []
    form.changed.connect(lambda: told.append(None))

    form.fields["foreground_threshold"].setValue(0.7)
    form.fields["min_size_px"].setValue(30)
    form.fields["fill_holes"].click()

    assert len(told) == 3
    assert form.values() == {
        "foreground_threshold": 0.7,
        "min_size_px": 30,
        "fill_holes": False,
        "min_score": 0.0,
    }


def test_many_values_shown_at_once_are_told_once_and_the_same_ones_not(
    form: SettingsForm,
) -> None:
    told: list[None] = []
    form.changed.connect(lambda: told.append(None))
    other = replace(InstanceSettings(), min_size_px=40, min_score=0.5, fill_holes=False)

    form.show_values(other)
    form.show_values(other)

    assert len(told) == 1


def test_a_threshold_that_makes_everything_or_nothing_a_cell_cannot_be_set(
    form: SettingsForm,
) -> None:
    for value in (0.0, 1.0):
        form.fields["foreground_threshold"].setValue(value)
        form.fields["min_score"].setValue(value)
        assert 0 < form.changed_settings(InstanceSettings()).foreground_threshold < 1


def test_captions_stand_above_their_fields_where_one_does_not_fit_beside_its_own(
    form: SettingsForm, qtbot: QtBot
) -> None:
    caption_of = {label.text(): label for label in form.findChildren(QLabel)}
    pairs = [
        (caption_of["Foreground threshold"], form.fields["foreground_threshold"]),
        (caption_of["Min size"], form.fields["min_size_px"]),
    ]
    form.show()
    form.resize(500, 300)
    qtbot.waitUntil(lambda: all(field.x() > label.x() for label, field in pairs))
    height = form.sizeHint().height()

    form.resize(180, 400)

    qtbot.waitUntil(lambda: all(field.y() > label.geometry().bottom() for label, field in pairs))
    # With room for every row, or a fold would squeeze them.
    assert form.sizeHint().height() > height
    assert all(field.height() >= field.minimumSizeHint().height() for _, field in pairs)
