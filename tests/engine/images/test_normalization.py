"""Each kind of normalisation: its arithmetic, its words, and how it gets into files and back."""

from dataclasses import replace

import numpy as np
import pytest

from napari_unet.engine.base.errors import CheckpointError, SettingsError
from napari_unet.engine.images.normalization import (
    KINDS,
    OFFERED,
    IntensityScaling,
    Percentiles,
    Raw,
    TypeRange,
    ZeroMean,
    normalization_from_json,
    normalization_of_bioimage_step,
    normalization_of_label,
)
from napari_unet.engine.networks.network import NetworkDescription
from napari_unet.engine.networks.unet import UNetConfig

EVERY_KIND = [
    Percentiles(2, 99, per_channel=True),
    ZeroMean(epsilon=1e-5),
    TypeRange(),
    Raw(),
]


def test_every_kind_is_tried_here() -> None:
    assert [type(each) for each in EVERY_KIND] == list(KINDS.values())


@pytest.mark.parametrize("normalization", EVERY_KIND)
def test_model_files_give_back_what_they_were_given(normalization) -> None:
    described = NetworkDescription("a", UNetConfig(), normalization=normalization)
    assert NetworkDescription.from_json(described.to_json()) == described


def test_model_files_are_those_of_version_0_1_0() -> None:
    assert ZeroMean(per_channel=True).to_json() == {
        "kind": "zero-mean",
        "low_percentile": 1.0,
        "high_percentile": 99.8,
        "per_channel": True,
        "epsilon": 0.0,
    }
    assert Percentiles(0, 100).to_json()["low_percentile"] == 0
    assert normalization_from_json({"kind": "none", "low_percentile": 1.0}) == TypeRange()
    assert normalization_from_json({}) == Percentiles()


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ('{"kind": "histogram"}', "Normalisation is 'histogram'; use 'percentile', 'zero-mean', "),
        ('{"kind": ["raw"]}', "unhashable"),
        ('{"kind": "raw", "gamma": 2.0}', "gamma: unexpected keyword argument"),
        ('{"low_percentile": "dark"}', "low_percentile: input should be a valid number"),
        ('"raw"', "has no attribute"),
    ],
)
def test_model_with_an_unknown_normalisation_is_refused_in_a_sentence(values, says) -> None:
    text = NetworkDescription("a", UNetConfig()).to_json()
    begins = text.index('"normalization": ') + len('"normalization": ')
    ends = text.index("}", begins) + 1
    with pytest.raises(CheckpointError, match=f"description cannot be read .*{says}"):
        NetworkDescription.from_json(text[:begins] + values + text[ends:])


@pytest.mark.parametrize("normalization", [*EVERY_KIND, *OFFERED])
def test_label_names_what_it_stands_for(normalization) -> None:
    plain = replace(normalization, per_channel=False, epsilon=0.0)
    assert normalization_of_label(normalization.label) == plain


def test_unknown_label_is_an_error() -> None:
    with pytest.raises(SettingsError, match="Normalisation is 'rank'; use 'percentile', "):
        normalization_of_label("rank")


def test_guesses_offer_what_is_most_usual() -> None:
    labels = [each.label for each in OFFERED]
    assert labels == ["percentile 1 to 99.8", "percentile 0 to 99.8", "zero-mean", "none", "raw"]


@pytest.mark.parametrize("normalization", EVERY_KIND)
def test_every_kind_has_its_words(normalization) -> None:
    assert normalization.sentence.startswith("Intensities ")
    assert normalization.sentence.endswith(".")
    assert normalization.expectation.endswith(".")
    assert normalization.choice


@pytest.mark.parametrize("normalization", EVERY_KIND)
def test_every_kind_says_whether_pixels_decide(normalization) -> None:
    dark, bright = np.array([[0, 4]], np.uint16), np.array([[0, 900]], np.uint16)
    differs = normalization.measure(dark) != normalization.measure(bright)
    assert differs == normalization.measures_image


def test_sentence_says_whether_channels_are_measured_apart() -> None:
    assert ZeroMean().sentence.endswith("of the whole image, all channels together.")
    assert ZeroMean(per_channel=True).sentence.endswith("whole image, each channel on its own.")


@pytest.mark.parametrize("normalization", [each for each in EVERY_KIND if each.bioimage_step])
def test_package_says_how_it_measures_and_is_read_so(normalization) -> None:
    (step,) = normalization.bioimage_steps(("y", "x"), gain=1.0)
    axes = step["kwargs"]["axes"]
    assert axes == (["y", "x"] if normalization.per_channel else ["channel", "y", "x"])
    found = normalization_of_bioimage_step(step["id"], step["kwargs"])
    assert found == replace(normalization, per_channel=False, epsilon=step["kwargs"]["eps"])


def test_package_scales_whole_numbers_by_the_range_of_their_type() -> None:
    gain = TypeRange().gain("uint16")
    (step,) = TypeRange().bioimage_steps(("y", "x"), gain=gain)
    assert step == {"id": "scale_linear", "kwargs": {"gain": 1 / 65535, "offset": 0.0}}
    assert TypeRange().bioimage_steps(("y", "x"), gain=TypeRange().gain("float32")) == []
    assert Raw().gain("uint16") == 1
    assert Raw().bioimage_steps(("y", "x"), gain=1.0) == []


def test_step_that_measures_nothing_is_no_normalisation() -> None:
    assert normalization_of_bioimage_step("clip", {"min": 0.0}) is None


def test_raw_numbers_stay_as_they_are() -> None:
    assert Raw().measure(np.zeros((2, 2), np.uint16)) == IntensityScaling(0, 1)
