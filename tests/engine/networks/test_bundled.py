"""The table of bundled models: each row is whole, and is found again after a training."""

import hashlib
from dataclasses import replace

import pytest

from napari_unet import load_checkpoint
from napari_unet.engine.networks.bundled import (
    BUNDLED_MODELS,
    DEFAULT_MODEL,
    EARLIER_MODELS,
    FOLDER,
    BundledModel,
    bundled_ancestor,
    descended_from,
    model_name,
)
from napari_unet.files.samples import sample_names

NAMES = [row.name for row in BUNDLED_MODELS]


@pytest.mark.parametrize("row", BUNDLED_MODELS, ids=NAMES)
def test_a_row_has_a_model_of_its_name_a_card_and_samples(row: BundledModel) -> None:
    assert load_checkpoint(row.name).description.name == row.name
    assert row.card.read_text("utf-8").startswith(f"# Model card: {row.name}\n")
    assert row.samples
    assert all(file.exists() for file in row.sample_images)


def test_every_model_file_and_card_in_the_folder_has_a_row() -> None:
    files = (path for path in FOLDER.iterdir() if path.is_file())
    found = {path.name.removesuffix(".bank.zip") for path in files}
    found = {name.removesuffix(".safetensors").removesuffix(".md") for name in found}

    earlier = {row.name for row in EARLIER_MODELS}
    assert found - {"__init__.py"} == set(NAMES) | earlier


def test_what_a_model_was_before_is_loaded_by_its_name_and_version() -> None:
    # By these digits results say which model made them.
    digits = {"nuclei-0.1.0": "051eea88e020d0458a3593f493fc8e13c24070965aa4fbc1bf94dcf2a7af9e2f"}
    assert {
        row.name: hashlib.sha256(row.file.read_bytes()).hexdigest() for row in EARLIER_MODELS
    } == digits
    for row in EARLIER_MODELS:
        assert load_checkpoint(row.name).description.name == row.name.rpartition("-")[0]
        assert row.card.is_file()


def test_a_version_in_a_name_is_no_ending() -> None:
    assert model_name("nuclei-0.1.0") == "nuclei-0.1.0"
    assert model_name("models/mine 1.2.safetensors") == "mine 1.2"


def test_every_sample_belongs_to_one_model() -> None:
    listed = [name for row in BUNDLED_MODELS for name in row.samples]

    assert sorted([*listed, "embryo"]) == sorted(sample_names())


def test_a_bundled_model_stays_the_ancestor_of_what_is_trained_from_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nuclei = BundledModel("nuclei", "nuclei", ("fluorescence",))
    cells = BundledModel("cells", "whole cells", ("dic",))
    monkeypatch.setattr("napari_unet.engine.networks.bundled.BUNDLED_MODELS", (nuclei, cells))
    description = load_checkpoint(DEFAULT_MODEL).description
    made = {"steps": 9, "started_from": None}

    def ancestor(name: str, *origins: str) -> BundledModel:
        history = (made, *({"steps": 9, "started_from": origin} for origin in origins))
        return bundled_ancestor(replace(description, name=name, history=history))

    assert ancestor("cells") is cells
    assert ancestor("cells 3", "cells", "cells 2") is cells
    # What a user calls 'cells' is not the bundled one.
    assert ancestor("cells", "nuclei") is nuclei
    assert ancestor("somebody's") is nuclei
    assert descended_from(replace(description, name="somebody's", history=(made,))) is None
    earlier = replace(description, name="mine", history=({"started_from": "nuclei-0.1.0"},))
    assert descended_from(earlier) is nuclei
