"""What the Model widget says of a model."""

import re
from dataclasses import replace
from typing import Any

from napari.components import ViewerModel
from pytestqt.qtbot import QtBot

from napari_unet.engine.base.score_calibration import ScoreCalibration
from napari_unet.engine.base.settings import InstanceSettings
from napari_unet.engine.models.scores import trained_further
from napari_unet.engine.networks.network import Network, TrainingIntensity
from napari_unet.session import LoadedModel, Session
from napari_unet.widgets.model.text import model_html
from napari_unet.widgets.model.widget import ModelWidget


def test_the_bundled_model_is_loaded_and_described_in_plain_words(
    open_widget: Any, viewer: ViewerModel, qtbot: QtBot
) -> None:
    session = Session()
    widget = open_widget(qtbot, viewer, session)

    text = widget.text.toPlainText()

    assert session.source == "nuclei"
    assert widget.model_choice.box.currentText() == "nuclei"
    for words in (
        "Nuclei in fluorescence, histology and brightfield images, grey or RGB.",
        "Images: grey or colour (RGB) images.",
        "Cell size: about 25 px across; in training also 2 times smaller and larger.",
        "In training they were uint8, the dark parts at about 11 and the bright ones at about 165.",
        "At each pixel, how likely it is background, cell or border.",
        "2018 Data Science Bowl, stage 1 (BBBC038, CC0)",
        "BSD-3-Clause; trained on CC0 and Apache-2.0 images.",
        "2026-11-30: 18500 steps from nothing on 496 images with 27532 cells",
        "Comes with the plugin.",
        "2.66 million parameters.",
        "5.4 MB.",
        f"SHA-256 starts with {session.file_hash}.",
    ):
        assert words in text
    scores = session.network.description.metrics["test, fluorescence"]
    for how in ("mean over images", "pooled"):
        shown = (f"{scores[f'AP {t}, {how}']:.2f}" for t in ("0.5", "0.7", "0.9"))
        assert re.search(r"test, fluorescence\s+" + r"\s+".join(map(re.escape, shown)), text)
    widget.close()


def test_a_model_that_tells_nothing_says_so_instead_of_a_gap(widget: ModelWidget) -> None:
    text = widget.text.toPlainText()

    assert text.count("Not recorded.") == 3
    assert "Never measured on test images." in text
    assert "Images: grey images; colour is turned to grey." in text
    assert "Cell size: about 10 px across. If yours differ" in text


def described(network: Network, **changes: Any) -> str:
    description = replace(network.description, **changes)
    return model_html(LoadedModel(Network(network.unet, description), "/models/mine.safetensors"))


def test_physical_sizes_are_told_in_micrometres(threshold_network: Network) -> None:
    both = described(threshold_network, object_diameter_px=20.0, pixel_size_um=0.5)
    pixel = described(threshold_network, object_diameter_px=None, pixel_size_um=0.325)
    neither = described(threshold_network, object_diameter_px=None)

    assert "about 20 px across at 0.5 µm per pixel, which is 10 µm." in both
    assert "images at 0.325 µm per pixel; those of another pixel size are resized" in pixel
    assert "it does not say which it was trained on" in neither


def test_least_score_is_told_in_the_unit_that_it_has(threshold_network: Network) -> None:
    instances = InstanceSettings(min_score=0.25)
    known = ScoreCalibration(slope=3.4, offset=-3.3)

    assert "and a mean score of 0.25." in described(threshold_network, instances=instances)
    assert "that are right with a probability of 25 % or more." in described(
        threshold_network, instances=replace(instances, score_calibration=known)
    )


def test_texts_of_a_file_are_shown_and_not_interpreted(threshold_network: Network) -> None:
    html = described(
        threshold_network,
        name="<img src='file:///etc'>",
        summary="a < b",
        metrics={"<b>x</b>": {"<i>AP</i>": "<u>1</u>"}},
        history=({"note": "<script>"},),
    )

    assert not re.search(r"<(img|b|i|u|script)>", html)
    assert "a &lt; b" in html


def test_odd_values_in_a_file_are_shown_as_they_are(threshold_network: Network) -> None:
    html = described(
        threshold_network,
        metrics={"mine": 0.5, "yours": {"cells": 12}},
        history=("by hand", {"steps": 3, "started_from": "nuclei"}, {"settings": "lost"}),
        intensity=TrainingIntensity("uint16", 100.0, 200.0, 60000.0),
    )

    assert "mine: 0.5." in html
    assert "<td>yours</td><td>12</td>" in html
    assert "<p>by hand</p>" in html
    assert "3 steps from the model &#x27;nuclei&#x27;." in html
    assert "uint16, the dark parts at about 100 and the bright ones at about 60000." in html


def test_scores_of_the_model_that_it_was_trained_from_are_told_as_its_scores(
    threshold_network: Network,
) -> None:
    parent = replace(
        threshold_network.description,
        name="nuclei",
        training_data="A public set.",
        metrics={"50 test images": {"AP 0.5, pooled": 0.86}},
    )
    entry = {"started_from": "nuclei", "steps": 59, "images": 1, "cells": 12, "names": ["cho17"]}
    child = Network(threshold_network.unet, trained_further(parent, entry))
    html = model_html(LoadedModel(child, "", ""))

    own, _, of_parent = html.partition(
        "<h4>How well &#x27;nuclei&#x27; did, which is another model"
    )
    assert "0.86" in of_parent
    assert "0.86" not in own
    assert "Never measured on test images since it was trained further from" in own
    assert "trained further on 1 image with 12 cells: &#x27;cho17&#x27;." in own
    assert "Before that, &#x27;nuclei&#x27; was trained on: A public set." in own
    # A model that was not trained further has no such part.
    assert "another model" not in model_html(LoadedModel(Network(child.unet, parent), "", ""))


def test_a_network_of_classes_says_their_numbers(threshold_network: Network) -> None:
    text = described(threshold_network, class_roles=("gland", "background"))

    assert "At each pixel, which class it is: 1 gland, 0 background." in text
