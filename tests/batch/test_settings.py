"""Settings of a batch come back from plain values as they were, and know what changes a result."""

import json
from dataclasses import replace

import pytest

from napari_unet.batch.images.part import WantedPart
from napari_unet.batch.settings import BatchSettings, ModelFile
from napari_unet.engine.base.border_test import BorderTest
from napari_unet.engine.base.errors import CheckpointError, FileError
from napari_unet.engine.base.settings import InstanceSettings, SegmentationSettings

SETTINGS = BatchSettings(
    (ModelFile("nuclei", "abc"), ModelFile("mine.safetensors")),
    SegmentationSettings(diameter_px=12.5, averaging="flips", region=(0, 5, 2, 9)),
    InstanceSettings(min_size_px=7),
    WantedPart(channel=2, channel_axis="none", plane=(None, 3)),
    {"activation": "ELU"},
    "slice",
    diameter_um=8.0,
    every_stack=True,
    checks="tell",
)


def test_what_is_written_comes_back() -> None:
    assert BatchSettings.from_json(json.loads(json.dumps(SETTINGS.to_json()))) == SETTINGS


@pytest.mark.parametrize(
    "changes",
    [
        {"models": (ModelFile("nuclei", "abd"),)},
        {"instances": InstanceSettings(min_size_px=8)},
        {"part": WantedPart()},
        {"guesses": {}},
        {"diameter_um": None},
    ],
)
def test_what_gives_another_result_has_another_id(changes: dict[str, object]) -> None:
    assert replace(SETTINGS, **changes).id != SETTINGS.id  # type: ignore[arg-type]
    assert replace(SETTINGS, checks="none").id == SETTINGS.id


def test_what_a_model_has_learned_is_taken_from_the_model(border_test: BorderTest) -> None:
    learned = InstanceSettings(border_test=border_test)
    settings = replace(SETTINGS, instances=replace(learned, min_size_px=9))

    assert settings.instances == InstanceSettings(min_size_px=9)
    assert settings.instances_of(learned) == replace(learned, min_size_px=9)


@pytest.fixture
def border_test() -> BorderTest:
    from napari_unet.engine.models.checkpoint import load_checkpoint

    found = load_checkpoint("nuclei").description.instances.border_test
    assert found is not None
    return found


@pytest.mark.parametrize("key", ["settings", "instances"])
def test_settings_of_a_newer_version_are_refused(key: str) -> None:
    values = SETTINGS.to_json()
    values[key]["of_tomorrow"] = 1
    with pytest.raises(FileError, match="it was written by another version"):
        BatchSettings.from_json(values)


def test_another_file_under_the_name_of_the_model_is_refused() -> None:
    SETTINGS.check_model(0, "abc")
    SETTINGS.check_model(0, "")
    SETTINGS.check_model(1, "anything")
    with pytest.raises(CheckpointError, match="'nuclei' is not the file with which this queue"):
        SETTINGS.check_model(0, "abd")


def test_a_model_that_is_yet_to_be_made_says_what_was_not_set_otherwise() -> None:
    before = InstanceSettings(min_size_px=30)
    asked = InstanceSettings(min_size_px=30, seed_threshold=0.9)
    batch = BatchSettings((ModelFile("nuclei"),), SegmentationSettings(), asked)

    made = batch.with_made("/a/mine.safetensors", before)

    own = InstanceSettings(min_size_px=7, seed_threshold=0.2, min_score=0.4)
    assert made.models == (ModelFile("/a/mine.safetensors"),)
    assert made.instances_of(own) == replace(own, seed_threshold=0.9)
    assert BatchSettings.from_json(made.to_json()) == made
    assert made.id != batch.id
