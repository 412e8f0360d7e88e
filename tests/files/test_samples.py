"""Bundled samples: real, small, with a truth that fits, and all of them in napari's menu."""

import numpy as np
import pytest
from npe2 import PluginManifest
from npe2.manifest.utils import import_python_name

from napari_unet.engine.base.errors import FileError
from napari_unet.files.samples import (
    DEMO_SAMPLE,
    load_sample,
    sample_files,
    sample_layers,
    sample_names,
)


@pytest.mark.parametrize("name", sample_names())
def test_truth_covers_the_image_and_numbers_every_cell(name: str) -> None:
    sample = load_sample(name)

    assert sample.image.dtype == np.uint8
    assert sample.image.shape[: sample.labels.ndim] == sample.labels.shape
    assert np.array_equal(np.unique(sample.labels), np.arange(sample.labels.max() + 1))
    assert sample.labels.max() >= 8


def test_samples_are_fluorescence_histology_and_brightfield() -> None:
    colour = [name for name in sample_names() if load_sample(name).is_rgb]
    brightfield = load_sample("brightfield")

    assert colour == ["histology", "histology-large"]
    inside = brightfield.image[brightfield.labels > 0]
    assert np.median(inside) < np.median(brightfield.image)


def test_nuclei_of_a_fluorescence_truth_are_brighter_than_its_background() -> None:
    sample = load_sample(DEMO_SAMPLE)

    inside, outside = sample.image[sample.labels > 0], sample.image[sample.labels == 0]
    assert np.median(inside) > np.percentile(outside, 95)


def test_samples_together_stay_below_two_megabytes() -> None:
    files = [file for name in sample_names() for file in sample_files(name)]

    assert len(files) == 20
    assert sum(file.stat().st_size for file in files) < 1.9e6


def test_unknown_sample_names_those_there_are() -> None:
    with pytest.raises(FileError) as error:
        load_sample("cats")

    assert str(error.value) == (
        "There is no sample 'cats'; choose one of fluorescence, crowded, large, noisy, "
        "histology, histology-large, brightfield, phase-contrast, dic, embryo."
    )


def test_a_sample_opens_as_an_image_and_its_hidden_truth() -> None:
    (image, image_options, image_kind), (labels, labels_options, labels_kind) = sample_layers(
        "histology"
    )

    assert (image_kind, labels_kind) == ("image", "labels")
    assert image_options == {"name": "histology", "rgb": True}
    assert labels_options == {"name": "histology truth", "visible": False}
    assert image.shape == (*labels.shape, 3)


def test_every_sample_is_in_the_manifest_and_opens_itself() -> None:
    contributions = PluginManifest.from_distribution("napari-unet-cells").contributions
    functions = {command.id: command.python_name for command in contributions.commands}

    assert [entry.key for entry in contributions.sample_data] == sample_names()
    for entry in contributions.sample_data:
        layers = import_python_name(functions[entry.command])()
        assert layers[0][1]["name"] == entry.key


def test_dim_samples_open_with_limits_that_show_them() -> None:
    image, options, _ = sample_layers("noisy")[0]

    low, high = options["contrast_limits"]
    assert low == image.min()
    assert image.min() < high <= image.max()
