"""What a user finds again in the next napari: models, and settings."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot

from napari_unet.engine.networks.network import Network
from napari_unet.session import Session
from napari_unet.versions.history import ModelHistory, Version, kept_versions
from napari_unet.viewer import worker
from napari_unet.widgets.model.widget import ModelWidget
from napari_unet.widgets.segment.widget import SegmentWidget
from napari_unet.widgets.shared.docked_form import DockedForm
from napari_unet.widgets.shared.model_choice import ModelChoice
from napari_unet.widgets.shared.remembered import user_settings
from napari_unet.widgets.train.widget import TrainWidget
from napari_unet.widgets.weight_map.widget import WeightMapWidget


@pytest.fixture
def history() -> ModelHistory:
    return kept_versions()


@pytest.fixture
def start(qtbot: QtBot) -> Iterator[Callable[..., Any]]:
    """Open a form in a napari that has just started."""
    forms: list[DockedForm] = []

    def start(kind: type[DockedForm] = SegmentWidget, session: Session | None = None) -> Any:
        form = kind(ViewerModel(), session or Session())
        qtbot.addWidget(form)
        form.show()
        forms.append(form)
        choice = model_choice(form)
        qtbot.waitUntil(lambda: not choice.is_loading, timeout=30_000)
        return form

    yield start
    for form in forms:
        form.close()
    assert worker.stop_all()


def model_choice(form: Any) -> ModelChoice:
    return getattr(form, "model_choice", None) or form.form.model_choice


def entries(form: Any) -> list[str]:
    box = model_choice(form).box
    return [box.itemText(index) for index in range(box.count())]


def choose(qtbot: QtBot, form: Any, text: str) -> None:
    choice = model_choice(form)
    index = next(n for n, entry in enumerate(entries(form)) if entry.startswith(text))
    choice.box.setCurrentIndex(index)
    choice.box.activated.emit(index)
    qtbot.waitUntil(lambda: not choice.is_loading, timeout=30_000)


def test_every_version_is_in_every_list_newest_first_with_its_date(
    start: Any, history: ModelHistory, threshold_network: Network
) -> None:
    first = history.keep(threshold_network, name="nuclei 2")
    second = history.keep(threshold_network, name="nuclei 3")

    for kind in (SegmentWidget, TrainWidget, ModelWidget):
        listed = entries(start(kind))
        dated = [f"{each.name}, {each.local_date}" for each in (second, first)]
        assert listed[:2] == dated
        assert "nuclei" in listed


def test_the_model_used_last_is_chosen_again(
    start: Any, history: ModelHistory, threshold_network: Network, qtbot: QtBot
) -> None:
    version = history.keep(threshold_network, name="mine")
    form = start()
    assert form._session.source == "nuclei"
    choose(qtbot, form, "mine")
    assert form._session.source == str(version.path)

    again = start()

    assert again._session.source == str(version.path)
    assert model_choice(again).box.currentText().startswith("mine, ")


def gone(version: Version) -> None:
    version.path.unlink()


def broken(version: Version) -> None:
    version.path.write_bytes(version.path.read_bytes()[:200])


@pytest.mark.parametrize("spoil", [gone, broken])
def test_a_last_model_that_is_gone_or_broken_is_told_once_and_costs_nothing(
    start: Any,
    history: ModelHistory,
    threshold_network: Network,
    qtbot: QtBot,
    spoil: Callable[[Version], None],
) -> None:
    other = history.keep(threshold_network, name="other")
    version = history.keep(threshold_network, name="mine")
    choose(qtbot, start(), "mine")
    spoil(version)

    form = start()

    assert form._session.source == "nuclei"
    assert str(version.path) in form.panel.message
    assert "you used last; now it is 'nuclei'" in form.panel.message
    assert any(entry.startswith(other.name) for entry in entries(form))
    assert start().panel.message == ""


def test_of_several_forms_that_open_at_once_one_tells_it(
    start: Any, history: ModelHistory, threshold_network: Network, qtbot: QtBot
) -> None:
    version = history.keep(threshold_network, name="mine")
    choose(qtbot, start(), "mine")
    version.path.unlink()
    session = Session()
    first = SegmentWidget(ViewerModel(), session)
    second = SegmentWidget(ViewerModel(), session)
    for form in (first, second):
        qtbot.addWidget(form)
        form.show()
    for form in (first, second):
        qtbot.waitUntil(lambda form=form: not form.model_choice.is_loading, timeout=30_000)

    assert sorted(bool(form.panel.message) for form in (first, second)) == [False, True]
    for form in (first, second):
        form.close()


def test_a_version_that_was_renamed_or_deleted_is_so_in_every_list(
    start: Any, history: ModelHistory, threshold_network: Network, qtbot: QtBot
) -> None:
    version = history.keep(threshold_network, name="mine")
    session = Session()
    segment, train = start(session=session), start(TrainWidget, session=session)

    train.versions.panel.list.renamed.emit(version, "yours")
    qtbot.waitUntil(lambda: entries(segment)[0].startswith("yours, "), timeout=10_000)

    history.delete(version)
    train.versions.panel.refresh()
    qtbot.waitUntil(lambda: "yours" not in " ".join(entries(segment)), timeout=10_000)


def test_the_bundled_model_stands_among_the_versions_as_the_way_back(
    start: Any, history: ModelHistory, threshold_network: Network, qtbot: QtBot
) -> None:
    history.keep(threshold_network, name="mine")
    form = start(TrainWidget)
    choose(qtbot, form, "mine")
    panel = form.versions.panel
    panel.refresh()
    qtbot.waitUntil(lambda: len(panel.versions) >= 2, timeout=10_000)
    names = [each.name for each in panel.versions]
    assert names[0] == "mine"
    assert "nuclei" in names

    panel.list.setCurrentItem(panel.list.topLevelItem(names.index("nuclei")))
    assert not panel.buttons["delete"].isEnabled()
    assert not panel.buttons["rename"].isEnabled()
    panel.buttons["back"].click()

    qtbot.waitUntil(lambda: form._session.source == "nuclei", timeout=20_000)
    assert not panel.buttons["back"].isEnabled()


def test_no_version_can_take_the_name_of_a_bundled_model(
    history: ModelHistory, threshold_network: Network
) -> None:
    version = history.keep(threshold_network, name="mine")

    with pytest.raises(Exception, match="There is a version 'nuclei' already"):
        history.rename(version, "nuclei")


def test_settings_of_segment_are_there_again_and_thresholds_are_the_models(start: Any) -> None:
    form = start().form
    form.scores_box.setChecked(True)
    form.better.choose_averaging("flips+rotations")
    form.size_choice.mode_box.setCurrentText("µm")
    form.size_choice.box.setValue(8.5)
    threshold = form.common.fields["foreground_threshold"].value()
    form.common.fields["foreground_threshold"].setValue(0.9)
    form.extent_choice.choose("view")
    form.remembered.keep()

    again = start().form

    assert again.scores_box.isChecked()
    assert again.better.averaging == "flips+rotations"
    assert again.size_choice.entered == ("µm", 8.5)
    assert again.common.fields["foreground_threshold"].value() == threshold
    assert again.extent_choice.extent == "slice"


@pytest.mark.parametrize(("flips", "averaging"), [(True, "flips"), (False, "none")])
def test_flips_that_version_0_1_0_remembered_are_known(
    start: Any, flips: bool, averaging: str
) -> None:
    kept = json.dumps({"flips": flips, "show_scores": True})
    user_settings().setValue("forms/Segment cells", kept)

    form = start().form

    assert form.better.averaging == averaging
    assert form.scores_box.isChecked()
    form.remembered.keep()
    again = json.loads(user_settings().value("forms/Segment cells"))
    assert again == {"show_scores": True} | ({"averaging": "flips"} if flips else {})


def test_a_size_in_pixels_is_of_one_image_and_not_remembered(start: Any) -> None:
    form = start().form
    form.size_choice.set_diameter_px(40)
    form.remembered.keep()

    assert start().form.size_choice.entered[0] == "as it is"


def test_settings_of_train_are_there_again_but_not_the_meaning_of_labels(start: Any) -> None:
    form = start(TrainWidget).form
    form.strength_slider.setValue(0.5)
    form.hold_out_box.setChecked(False)
    form.more.rare.fields["batch_size"].setValue(7)
    form.more.varied.fields["flip"].setChecked(False)
    form.anew_box.setChecked(True)
    form.unlabelled.choose("painted")
    form.remembered.keep()

    again = start(TrainWidget).form

    assert again.strength_slider.value() == pytest.approx(0.5)
    assert not again.hold_out_box.isChecked()
    assert again.more.rare.fields["batch_size"].value() == 7
    assert not again.more.varied.fields["flip"].isChecked()
    assert not again.begins_anew
    assert again.unlabelled.meaning == "reviewed"


def test_settings_of_the_weight_map_are_there_again_in_any_unit(
    qtbot: QtBot, square_labels: Any
) -> None:
    viewer = ViewerModel()
    viewer.add_labels(square_labels, scale=(0.5, 0.5), units=("um", "um"))
    form = WeightMapWidget(viewer).form
    form.variant_box.setCurrentText("of the Fiji plugin")
    form.unit_box.setCurrentIndex(1)
    form.fields.fields["border_sigma_px"].setValue(4.0)
    form.fields.fields["w0"].setValue(20.0)
    form.remembered.keep()

    again = WeightMapWidget(ViewerModel()).form

    # Half a micrometre is a pixel.
    expected = replace(form.settings, border_sigma_px=8.0, background_sigma_px=10.0)
    assert again.settings == expected
    again.remembered.reset()
    assert again.settings == WeightMapWidget(ViewerModel()).form.settings
    assert again.settings.border_sigma_px == 5.0


def test_a_device_that_this_machine_lacks_is_not_chosen_again(start: Any, tmp_path: Path) -> None:
    form = start().form
    form.device_choice.add_devices(["cuda:7"])
    for name, expected in (("cpu", "cpu"), ("cuda:7", "auto")):
        form.device_choice.activated.emit(form.device_choice.findData(name))
        assert start()._session.device == expected
