"""Deformations and grey-value changes."""

import dataclasses

import numpy as np
import pytest
import torch

from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.training.augmentation.augmentation import (
    Deformation,
    draw_deformation,
    sample_image,
    sample_labels,
    source_positions,
    vary_intensities,
)
from napari_unet.engine.training.settings import NO_AUGMENTATION, AugmentationSettings

SHAPE = (9, 11)
CENTRE = np.array([4.0, 5.0])


def positions(settings, seed=0, shape=SHAPE, centre=CENTRE):
    deformation = draw_deformation(np.random.default_rng(seed), settings, len(shape))
    return source_positions(deformation, centre, shape)


@pytest.mark.parametrize("shape", [(9, 11), (5, 9, 11)])
def test_without_augmentation_a_patch_is_the_image(shape):
    centre = (np.array(shape) - 1) / 2
    where = positions(NO_AUGMENTATION, shape=shape, centre=centre)
    image = torch.rand(2, *shape)
    labels = torch.randint(0, 5, shape)
    assert torch.allclose(sample_image(image, where), image, atol=1e-5)
    sampled, inside = sample_labels(labels, where)
    assert torch.equal(sampled, labels)
    assert inside.all()


def test_image_and_labels_move_together():
    labels = torch.zeros(64, 64, dtype=torch.int32)
    labels[20:40, 25:50] = 1
    deformation = draw_deformation(np.random.default_rng(5), AugmentationSettings(), 2)
    where = source_positions(deformation, np.array([31.5, 31.5]), (64, 64))
    moved, inside = sample_labels(labels, where)
    image = sample_image(labels[None].float(), where)[0]
    differ = ((image > 0.5) != (moved > 0)) & inside
    assert (moved > 0).any()
    assert differ.float().mean() < 0.02  # only along the outline, by rounding


def test_grid_displacement_moves_its_pixels_by_as_much():
    still = Deformation(np.eye(2), np.zeros((2, 3, 3)))
    pushed = Deformation(np.eye(2), np.zeros((2, 3, 3)))
    pushed.displacements[0, 1, 1] = 3.0
    moved = source_positions(pushed, CENTRE, SHAPE) - source_positions(still, CENTRE, SHAPE)
    assert moved[0, 4, 5] == pytest.approx(3.0)
    assert moved[0, 0, 0] == pytest.approx(0.0)
    assert not moved[1].any()


def test_elastic_displacements_have_the_deviation_asked_for():
    settings = AugmentationSettings(elastic_sigma_px=10, elastic_grid=3)
    drawn = [
        draw_deformation(np.random.default_rng(seed), settings, 2).displacements
        for seed in range(300)
    ]
    assert np.std(drawn) == pytest.approx(10, rel=0.05)


def test_beyond_the_border_the_image_is_mirrored_and_labels_do_not_count():
    where = torch.tensor([[[-1.0]], [[0.0]]])  # one pixel above the first row
    image = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    labels = torch.tensor([[7, 7], [7, 7]])
    assert sample_image(image, where).item() == pytest.approx(3.0)
    sampled, inside = sample_labels(labels, where)
    assert sampled.item() == 0
    assert not inside.any()


def test_one_pixel_image_can_be_sampled():
    patch = sample_image(torch.ones(1, 1, 1), positions(AugmentationSettings()))
    assert torch.isfinite(patch).all()


def test_scale_and_rotation_keep_distances_up_to_the_zoom():
    settings = AugmentationSettings(scale=1.4, elastic_sigma_px=0)
    for seed in range(20):
        matrix = draw_deformation(np.random.default_rng(seed), settings, 3).matrix
        zoom = np.abs(np.linalg.det(matrix)) ** (1 / 3)
        assert 1 / 1.4 <= zoom <= 1.4
        assert np.allclose(matrix @ matrix.T, zoom**2 * np.eye(3))
        assert np.allclose(matrix[0, 1:], 0)  # a stack turns in its plane only


def test_intensities_vary_with_the_seed_and_only_with_it():
    patch = torch.rand(3, 16, 16)
    first = vary_intensities(patch, np.random.default_rng(1), AugmentationSettings())
    again = vary_intensities(patch, np.random.default_rng(1), AugmentationSettings())
    other = vary_intensities(patch, np.random.default_rng(2), AugmentationSettings())
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)
    assert torch.isfinite(first).all()
    unchanged = vary_intensities(patch, np.random.default_rng(1), NO_AUGMENTATION)
    assert torch.equal(unchanged, patch)


def test_dim_patches_show_few_grey_values_and_most_patches_all_of_theirs():
    settings = dataclasses.replace(NO_AUGMENTATION, fewest_levels=8)
    patch = torch.linspace(0, 1, 2000).reshape(1, 40, 50)
    counts = []
    for seed in range(300):
        varied = vary_intensities(patch, np.random.default_rng(seed), settings)
        assert (varied - patch).abs().max() <= 0.5 / 8 + 1e-6
        counts.append(varied.unique().numel())
    few = [count for count in counts if count < 2000]
    assert len(few) / 300 == pytest.approx(0.2, abs=0.07)
    assert 9 <= min(few) < 20  # 0, 1/8, ... 1 are nine values
    assert 150 < max(few) <= 257


def test_some_patches_become_their_negative_and_the_others_stay():
    settings = dataclasses.replace(NO_AUGMENTATION, negative_share=0.25)
    patch = torch.tensor([[[0.0, 0.25], [0.5, 1.0]]])
    negative = torch.tensor([[[1.0, 0.75], [0.5, 0.0]]])
    seen = [vary_intensities(patch, np.random.default_rng(n), settings) for n in range(300)]
    turned = [each for each in seen if torch.equal(each, negative)]
    assert len(turned) + sum(torch.equal(each, patch) for each in seen) == 300
    assert len(turned) / 300 == pytest.approx(0.25, abs=0.08)


def test_impossible_augmentation_is_refused():
    with pytest.raises(SettingsError, match=r"negative_share is 2; use 0 \(off\) to 1"):
        AugmentationSettings(negative_share=2)
    with pytest.raises(SettingsError, match=r"scale is 0.5; use 1 \(off\) or more"):
        AugmentationSettings(scale=0.5)
    with pytest.raises(SettingsError, match="noise is -1"):
        AugmentationSettings(noise=-1)
    with pytest.raises(SettingsError, match="elastic_grid is 1"):
        AugmentationSettings(elastic_grid=1)
