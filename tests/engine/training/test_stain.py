"""Other stains: dyes add up in optical density, and the whole image is measured after a change."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.images.normalization import Normalization, Percentiles, Raw, ZeroMean
from napari_unet.engine.images.source import open_image
from napari_unet.engine.networks.network import NetworkDescription
from napari_unet.engine.networks.unet import UNetConfig
from napari_unet.engine.training.augmentation.stain import (
    StainChange,
    StainedImage,
    _turned_hue,
    draw_stain_change,
    stained_image,
)
from napari_unet.engine.training.pairs import TrainingPair
from napari_unet.engine.training.settings import (
    NO_AUGMENTATION,
    AugmentationSettings,
    TrainingSettings,
)
from napari_unet.engine.training.training import train

HAEMATOXYLIN, EOSIN = np.array([0.65, 0.70, 0.29]), np.array([0.07, 0.99, 0.11])
STRONG = dataclasses.replace(
    NO_AUGMENTATION, stain=0.35, hue_degrees=120, saturation=2, channel_mixing=0.15
)


def seed(number: int = 0) -> np.random.Generator:
    return np.random.default_rng(number)


def as_colours(*pixels) -> torch.Tensor:
    return torch.tensor(np.array(pixels, np.float32).T)


def tissue(shape=(32, 40)) -> np.ndarray:
    """(H, W, 3): dyes in random amounts on white."""
    rng = seed(9)
    amounts = rng.uniform(0, 1.2, (*shape, 2)) * (rng.random((*shape, 1)) < 0.4)
    density = amounts @ np.array([HAEMATOXYLIN, EOSIN])
    return np.round(240 * np.exp(-density)).astype(np.uint8)


def stained(image: np.ndarray, normalization: Normalization | None = None) -> StainedImage | None:
    normalization = normalization or Percentiles()
    source = open_image(image, ndim=2, in_channels=image.shape[-1], normalization=normalization)
    return stained_image(source.array, source.scaling, normalization)


def read(image: np.ndarray, normalization: Normalization) -> np.ndarray:
    source = open_image(
        image,
        ndim=2,
        in_channels=image.shape[-1],
        normalization=normalization,
        channel_axis=-1,
    )
    return source.read((slice(None), slice(None)))


def test_without_a_change_colours_stay():
    colours = as_colours([0.9, 0.2, 0.6], [1, 1, 1])
    change = draw_stain_change(seed(), NO_AUGMENTATION)
    assert torch.allclose(change.apply(colours), colours, atol=1e-6)


def test_more_of_a_dye_multiplies_its_optical_density_and_leaves_other_dyes():
    settings = dataclasses.replace(NO_AUGMENTATION, stain=0.35)
    haematoxylin, eosin, _ = 1 + seed(4).uniform(-1, 1, 3) * 0.35
    changed = draw_stain_change(seed(4), settings).apply(
        as_colours(np.exp(-HAEMATOXYLIN), np.exp(-EOSIN), np.exp(-HAEMATOXYLIN - EOSIN))
    )
    expected = as_colours(
        np.exp(-haematoxylin * HAEMATOXYLIN),
        np.exp(-eosin * EOSIN),
        np.exp(-haematoxylin * HAEMATOXYLIN - eosin * EOSIN),
    )
    assert 0.65 < haematoxylin < 1.35
    assert abs(haematoxylin - eosin) > 0.05
    assert torch.allclose(changed, expected, atol=1e-5)


def test_a_third_of_a_turn_gives_each_colour_to_its_neighbour():
    change = StainChange(_turned_hue(2 * math.pi / 3, 1.0))
    changed = change.apply(as_colours([0.2, 0.5, 0.9]))
    assert torch.allclose(changed, as_colours([0.9, 0.2, 0.5]), atol=1e-6)


def test_without_saturation_the_mean_density_is_left():
    changed = StainChange(_turned_hue(0.0, 0.0)).apply(as_colours([0.2, 0.4, 0.8]))
    assert torch.allclose(changed, torch.full((3, 1), 0.4), atol=1e-6)  # 0.2 * 0.4 * 0.8 = 0.4^3


def test_grey_and_white_have_no_hue_that_could_turn():
    settings = dataclasses.replace(STRONG, stain=0.0)
    colours = as_colours([1, 1, 1], [0.3, 0.3, 0.3])
    for number in range(20):
        changed = draw_stain_change(seed(number), settings).apply(colours)
        assert torch.allclose(changed, colours, atol=1e-5)


def test_black_stays_a_number():
    changed = draw_stain_change(seed(), STRONG).apply(as_colours([0, 0, 0]))
    assert torch.isfinite(changed).all()


def test_colours_are_lost_and_inverted_as_often_as_asked_for():
    settings = dataclasses.replace(NO_AUGMENTATION, grey_share=0.2, inverted_share=0.1)
    drawn = [draw_stain_change(seed(number), settings) for number in range(2000)]
    assert np.mean([c.inverted for c in drawn]) == pytest.approx(0.1, abs=0.02)
    assert np.mean([c.grey is not None and not c.inverted for c in drawn]) == pytest.approx(
        0.2, abs=0.03
    )
    assert all(c.grey.sum() == pytest.approx(1) for c in drawn if c.grey is not None)


def test_grey_is_the_weighted_colours_and_inverted_what_lacks_to_white():
    colours, weights = as_colours([0.2, 0.4, 0.9]), np.array([0.5, 0.5, 0.0])
    grey = StainChange(np.eye(3), weights).apply(colours)
    inverted = StainChange(np.eye(3), weights, inverted=True).apply(colours)
    assert grey.shape == inverted.shape == (1, 1)
    assert grey.item() == pytest.approx(0.3)
    assert inverted.item() == pytest.approx(0.7)


@pytest.mark.parametrize(
    "normalization",
    [
        Percentiles(),
        ZeroMean(),
        Percentiles(per_channel=True),
        Raw(),
    ],
)
@pytest.mark.parametrize("grey_share", [0.0, 1.0])
def test_a_changed_patch_is_read_as_the_changed_image_would_be(normalization, grey_share):
    image = tissue()
    settings = dataclasses.replace(STRONG, grey_share=grey_share)
    whole = torch.from_numpy(read(image, normalization))
    patch = stained(image, normalization).varied(whole[:, 4:20, 8:30], seed(3), settings)
    white = float(image.max())
    colours = torch.from_numpy(image.astype(np.float32) / white).movedim(-1, 0)
    changed = draw_stain_change(seed(3), settings).apply(colours).movedim(0, -1).numpy() * white
    expected = read(changed, normalization)[:, 4:20, 8:30]
    assert patch.shape == expected.shape
    assert np.allclose(patch.numpy(), expected, atol=1e-3 * np.abs(expected).max())


def test_only_what_lets_light_through_is_stained_tissue():
    composite = np.zeros((16, 16, 3), np.uint16)
    composite[4:8, 4:8] = 900, 200, 4000
    assert stained(tissue()) is not None
    assert stained(composite) is None
    assert stained(np.zeros((8, 8, 3), np.uint8)) is None
    assert stained(np.full((8, 8, 3), 7, np.uint8)) is None


def batch_of(image: np.ndarray, augmentation: AugmentationSettings) -> torch.Tensor:
    labels = np.zeros((32, 40), int)
    labels[8:20, 8:20] = 1
    config = UNetConfig(in_channels=3, classes=3, base_width=4, depth=2)
    settings = TrainingSettings(
        steps=1, batch_size=2, patch_size_px=16, augmentation=augmentation, precision="float32"
    )
    description = NetworkDescription("tiny", config, ("background", "cell", "border"))
    pair = TrainingPair(image, labels)
    return train([pair], settings=settings, description=description)._patches.batch(0).images


def test_stains_of_colour_images_change_and_grey_images_stay_as_they_are():
    grey = tissue()[..., 0]
    assert not torch.allclose(batch_of(tissue(), STRONG), batch_of(tissue(), NO_AUGMENTATION))
    assert torch.equal(batch_of(grey, STRONG), batch_of(grey, NO_AUGMENTATION))


def test_patches_that_lose_their_colour_have_it_in_no_channel():
    images = batch_of(tissue(), dataclasses.replace(NO_AUGMENTATION, grey_share=1.0))
    assert images.shape[1] == 3
    assert torch.equal(images[:, 0], images[:, 1])
    assert torch.equal(images[:, 0], images[:, 2])
    assert images.std() > 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stain": 1.5}, r"stain is 1.5; use 0 \(off\) to 0.9"),
        ({"channel_mixing": -0.1}, r"channel_mixing is -0.1; use 0 \(off\) to 0.3"),
        ({"hue_degrees": -1}, "hue_degrees is -1"),
        ({"saturation": 0.5}, "saturation is 0.5"),
        ({"grey_share": -0.5}, "grey_share and inverted_share are shares"),
        ({"grey_share": 0.7, "inverted_share": 0.4}, "are 0.7 and 0.4; together use 1 at most"),
    ],
)
def test_impossible_changes_are_refused(options, message):
    with pytest.raises(SettingsError, match=message):
        AugmentationSettings(**options)
