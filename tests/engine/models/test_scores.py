"""Scores in a model file are those of its weights; those of its start are told as such."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_unet.engine.labels.evaluation import evaluate
from napari_unet.engine.models.checkpoint import load_checkpoint, read_description, save_checkpoint
from napari_unet.engine.models.facts import model_facts
from napari_unet.engine.models.scores import (
    ancestors,
    measured,
    measured_ancestor,
    told_apart,
    trained_further,
)
from napari_unet.engine.networks.network import Network, NetworkDescription, build_module
from napari_unet.engine.networks.unet import UNetConfig
from napari_unet.engine.training.pairs import TrainingPair
from napari_unet.engine.training.settings import TrainingSettings
from napari_unet.engine.training.training import train

CONFIG = UNetConfig(in_channels=1, classes=2, base_width=2, depth=1, batch_norm=False)
PUBLISHED = {"50 test images": {"AP 0.5, pooled": 0.83}}
FIRST = {"date": "2026-11-01", "started_from": None, "steps": 4900}
NUCLEI = NetworkDescription(
    "nuclei",
    CONFIG,
    summary="Nuclei, grey or RGB.",
    training_data="A public set.",
    metrics=PUBLISHED,
    history=(FIRST,),
)


def step(origin: str, **more: Any) -> dict[str, Any]:
    return {"started_from": origin, "steps": 9, "images": 1, "cells": 12, **more}


def test_what_was_said_of_the_start_is_no_longer_said_of_what_came_of_it() -> None:
    child = trained_further(NUCLEI, step("nuclei", names=["cho17"]))

    assert child.metrics == {}
    assert child.summary == "'nuclei', trained further on 1 image with 12 cells: 'cho17'."
    assert child.training_data == "1 image with 12 cells: 'cho17'."
    (parent,) = ancestors(child)
    assert (parent.name, parent.metrics) == ("nuclei", PUBLISHED)
    assert model_facts(child)["training data"] == (
        "1 image with 12 cells: 'cho17'. Before that, 'nuclei' was trained on: A public set."
    )

    names = ["a", "b", "c", "d"]
    grandchild = trained_further(child, step("nuclei 2", images=4, names=names))
    assert grandchild.training_data == "4 images with 12 cells: 'a', 'b', 'c' and others."
    assert [each.name for each in ancestors(grandchild)] == ["nuclei 2", "nuclei"]
    assert measured_ancestor(grandchild) == parent


def test_a_new_network_keeps_what_its_maker_says_of_it() -> None:
    new = trained_further(replace(NUCLEI, history=(), metrics={}), {"started_from": None})

    assert (new.summary, new.training_data) == ("Nuclei, grey or RGB.", "A public set.")
    assert ancestors(new) == ()


@pytest.mark.parametrize("writes_again", [False, True])
def test_a_file_keeps_them_apart(tmp_path: Path, writes_again: bool) -> None:
    child = trained_further(NUCLEI, step("nuclei"))
    scored = replace(child, metrics={"my images": {"AP 0.5": 0.9}})
    path = save_checkpoint(Network(build_module(CONFIG), scored), tmp_path / "mine")
    if writes_again:
        path = save_checkpoint(load_checkpoint(path), tmp_path / "again")

    description = load_checkpoint(path).description
    assert description == scored == read_description(path)


def test_a_training_makes_it_so(tmp_path: Path) -> None:
    torch.manual_seed(0)
    labels = np.zeros((32, 32), np.int32)
    labels[4:14, 4:14] = 1
    pair = TrainingPair(100.0 * (labels > 0), labels, "cho17")
    settings = TrainingSettings(steps=1, batch_size=1, patch_size_px=32, keep_knowledge=0)

    run = train([pair], Network(build_module(CONFIG), NUCLEI), settings=settings, device="cpu")
    next(run)

    for network in (run.network, run.latest):
        assert network.description.metrics == {}
        assert network.description.training_data == "1 image with 1 cell: 'cho17'."
        assert measured_ancestor(network.description).metrics == PUBLISHED


# -- files of version 0.1.0, where a training left all of it as it was ---------------------------


def old(*entries: dict[str, Any], **metrics: Any) -> NetworkDescription:
    told = metrics or PUBLISHED
    return replace(NUCLEI, name="child", metrics=told, history=(*NUCLEI.history, *entries))


def test_a_version_that_the_form_of_0_1_0_kept_gives_the_scores_back() -> None:
    kept = old(step("nuclei", version={"id": "1", "sentence": "Better."}))
    for child, owners in (
        (kept, ["nuclei"]),
        # A child's child: its parent was not measured either.
        (
            old(step("nuclei", version={"id": "1"}), step("nuclei 2", version={"id": "2"})),
            ["nuclei 2", "nuclei"],
        ),
    ):
        description = told_apart(child)
        assert description.metrics == {}
        assert [each.name for each in ancestors(description)] == owners
        owner = measured_ancestor(description)
        assert (owner.name, owner.metrics) == ("nuclei", PUBLISHED)
        assert (owner.summary, owner.training_data) == (NUCLEI.summary, NUCLEI.training_data)
        assert description.training_data == "1 image with 12 cells."
        assert told_apart(description) == description
        # What the form noted of the version is still there.
        assert description.history[-1]["version"] == child.history[-1]["version"]


def test_what_the_command_line_of_0_1_0_measured_is_its_own() -> None:
    own = {"held-out images, thresholds tuned": {"AP 0.5 (pooled)": 0.7}}
    by_command = old(step("nuclei"), **own)
    assert told_apart(by_command).metrics == own
    assert measured_ancestor(told_apart(by_command)) is None

    # And not that of what the form made of it.
    child = told_apart(old(step("nuclei"), step("mine", version={"id": "1"}), **own))
    assert child.metrics == {}
    assert (measured_ancestor(child).name, measured_ancestor(child).metrics) == ("mine", own)


def test_what_was_trained_in_python_gives_back_what_nobody_measured_since() -> None:
    child = told_apart(old(step("nuclei")))
    assert child.metrics == {}
    assert measured_ancestor(child).name == "nuclei"


def test_a_model_made_of_nothing_keeps_its_scores() -> None:
    for description in (NUCLEI, replace(NUCLEI, history=())):
        assert told_apart(description) is description


def test_a_file_of_0_1_0_is_told_apart_when_it_is_opened(tmp_path: Path) -> None:
    child = old(step("nuclei", version={"id": "1"}))
    path = save_checkpoint(Network(build_module(CONFIG), child), tmp_path / "child")

    for description in (load_checkpoint(path).description, read_description(path)):
        assert description.metrics == {}
        assert measured_ancestor(description).name == "nuclei"


# -- what is measured ---------------------------------------------------------------------------


def test_a_measure_has_its_cells_and_interval_and_of_few_only_the_counts() -> None:
    truth = np.zeros((50, 50), np.int32)
    truth[::2, ::2] = np.arange(1, 626).reshape(25, 25)
    told = measured(evaluate(truth, truth, thresholds=(0.5,)))
    assert told == {"cells": 625, "AP 0.5": 1.0, "AP 0.5, interval of 95 %": "0.99 to 1.00"}

    few = np.where(truth <= 3, truth, 0)
    assert measured(evaluate(few, np.where(few == 1, 0, few))) == (
        "2 of 3 found; too few for a figure"
    )
