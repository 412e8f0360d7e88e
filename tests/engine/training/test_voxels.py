"""Volumes whose slices are further apart than their pixels."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.models.checkpoint import load_checkpoint, save_checkpoint
from napari_unet.engine.networks.annotation import training_target
from napari_unet.engine.networks.network import NetworkDescription
from napari_unet.engine.networks.unet import UNetConfig, flat_levels_for
from napari_unet.engine.training.augmentation.augmentation import draw_deformation
from napari_unet.engine.training.pairs import TrainingPair, annotated_pair, new_description
from napari_unet.engine.training.patches import Patches
from napari_unet.engine.training.settings import (
    NO_AUGMENTATION,
    AugmentationSettings,
    TrainingSettings,
)
from napari_unet.engine.training.training import train
from napari_unet.engine.training.volumes.voxels import on_grid_of
from napari_unet.engine.weight_map.weight_map import boundary_weight_map

SHAPE = UNetConfig(base_width=2, depth=3)


def volume(spacing=None, shape=(4, 40, 48), **options):
    """Two cells beside each other in all slices but the outermost."""
    labels = np.zeros(shape, np.int32)
    labels[1:-1, 8:30, 6:20], labels[1:-1, 8:30, 23:40] = 1, 2
    image = np.where(labels > 0, 900, 100).astype(np.uint16)
    return TrainingPair(image, labels, "stack", spacing=spacing, **options)


def described(anisotropy):
    config = UNetConfig(ndim=3, base_width=2, depth=1, classes=3)
    return NetworkDescription("v", config, ("background", "cell", "border"), anisotropy=anisotropy)


# -- what a pair tells ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("anisotropy", "flat"), [(0.5, 0), (1, 0), (1.9, 0), (2, 1), (3.9, 1), (5, 2), (8, 3), (40, 3)]
)
def test_slices_stay_apart_until_their_distance_is_less_than_two_pixels(anisotropy, flat):
    assert flat_levels_for(anisotropy, 3) == flat
    description = new_description([volume((anisotropy / 2, 0.5, 0.5))], shape=SHAPE)
    assert description.architecture.flat_levels == flat
    assert description.anisotropy == pytest.approx(anisotropy)
    assert description.spacing == pytest.approx((anisotropy, 1, 1))


def test_new_networks_read_volumes_as_most_of_them_are_and_images_know_of_no_slices():
    pairs = [volume((z, 1, 1)) for z in (1, 4, 5)] + [volume()]
    assert new_description(pairs, shape=SHAPE).anisotropy == 4
    assert new_description([volume()], shape=SHAPE).anisotropy is None
    flat = TrainingPair(np.zeros((8, 8)), np.ones((8, 8), int), spacing=(0.5, 0.5))
    assert new_description([flat]).anisotropy is None
    assert new_description([flat]).architecture.flat_levels == 0


@pytest.mark.parametrize(
    ("spacing", "words"),
    [((0, 1, 1), "spacing is"), ((2, 1), "spacing is"), ((900, 1, 1), "900 pixels apart")],
)
def test_a_voxel_size_that_cannot_be_is_refused_by_the_name_of_its_volume(spacing, words):
    with pytest.raises(SettingsError, match=f"'stack': .*{words}"):
        train([volume(spacing)], description=described(2.0))


def test_descriptions_of_networks_that_know_no_voxel_size_stay_as_they_were():
    assert "anisotropy" not in json.loads(described(None).to_json())
    assert NetworkDescription.from_json(described(2.5).to_json()).anisotropy == 2.5


# -- distances ------------------------------------------------------------------------------------


def test_the_ring_around_a_painted_cell_is_measured_in_pixels_of_a_slice():
    labels = np.zeros((4, 1, 7), int)
    labels[1:3, 0, 3] = 1
    pair = annotated_pair(labels, labels, unlabelled="ignore", ring_px=2, spacing=(1.5, 0.5, 0.5))
    assert pair.reviewed[1, 0].tolist() == [False, True, True, True, True, True, False]
    assert not pair.reviewed[[0, 3]].any()
    near = annotated_pair(labels, labels, unlabelled="ignore", ring_px=2, spacing=(0.75, 0.5, 0.5))
    # 1.5 pixels above: one to the side is as far as sqrt(1.5^2 + 1^2) = 1.8.
    assert near.reviewed[0, 0].tolist() == [False, False, True, True, True, False, False]


@pytest.mark.parametrize("anisotropy", [1.0, 2.5])
def test_the_rim_of_a_cell_is_as_wide_in_every_direction(anisotropy):
    labels = np.zeros((9, 15, 15), int)
    labels[1:8, 2:13, 2:13] = 1
    spacing = (anisotropy, 1.0, 1.0)
    target = training_target(
        labels, ("background", "cell", "border"), border_width_px=2, spacing=spacing
    )
    depth = ndimage.distance_transform_edt(labels, sampling=spacing)
    assert np.array_equal(target == 2, (labels > 0) & (depth <= 2))
    assert (target[1, 4:11, 4:11] == (2 if anisotropy == 1 else 1)).all()


def test_weights_are_those_of_the_map_with_voxels_as_high_as_they_are():
    pair = volume((3, 1, 1))
    network = train([pair], description=new_description([pair], shape=SHAPE)).network
    patches = Patches([pair], network, TrainingSettings(augmentation=NO_AUGMENTATION))
    labels = pair.checked_labels()
    _, weights = patches.supervise(labels)
    expected = boundary_weight_map(labels, spacing=(3, 1, 1), class_balance=False)
    assert np.array_equal(weights, expected)
    assert not np.array_equal(weights, boundary_weight_map(labels, class_balance=False))


# -- deformations ---------------------------------------------------------------------------------


def test_displacements_are_as_long_along_z_as_in_the_plane_or_not_there():
    def drawn(anisotropy):
        rng = np.random.default_rng(0)
        return draw_deformation(rng, AugmentationSettings(), 3, anisotropy=anisotropy)

    cubic, flatter, apart = drawn(1.0), drawn(2.0), drawn(3.0)
    assert np.array_equal(flatter.displacements[0], cubic.displacements[0] / 2)
    assert np.array_equal(flatter.displacements[1:], cubic.displacements[1:])
    assert np.array_equal(flatter.matrix, cubic.matrix)
    # Beyond that slices are mirrored, and nothing else.
    assert not apart.displacements[0].any()
    assert abs(apart.matrix[0]).tolist() == [1, 0, 0]
    assert np.array_equal(apart.matrix[1:], cubic.matrix[1:])


# -- volumes of several voxel sizes ---------------------------------------------------------------


def test_a_volume_is_brought_to_the_slices_that_the_network_reads():
    labels = np.array([[[1]], [[2]]])
    reviewed = np.array([[[True]], [[False]]])
    image = np.array([[[100]], [[500]]], np.uint16)
    pair = TrainingPair(image, labels, reviewed=reviewed, spacing=(4, 1, 1))

    found = on_grid_of(pair, described(2.0))

    # Their middles are at 0.5 and 1.5, and of the four at 0.25, 0.75, 1.25 and 1.75.
    assert found.labels[:, 0, 0].tolist() == [1, 1, 2, 2]
    assert found.reviewed[:, 0, 0].tolist() == [True, True, False, False]
    assert found.image.dtype == np.uint16
    # Beyond the outermost slice the image is mirrored there.
    assert found.image[0, :, 0, 0].tolist() == [200, 200, 400, 400]
    assert np.array_equal(found.intensity_reference[0], image)
    assert found.anisotropy == 2.0
    assert on_grid_of(found, described(2.0)) is found


@pytest.mark.parametrize("spacing", [None, (2.1, 1, 1), (1.9, 1, 1)])
def test_a_volume_of_the_same_voxels_or_of_unknown_ones_stays_as_it_is(spacing):
    pair = volume(spacing)
    assert on_grid_of(pair, described(2.0)) is pair
    assert on_grid_of(pair, described(None)) is pair


# -- training -------------------------------------------------------------------------------------


def test_a_network_trained_on_high_voxels_says_so_in_its_file(tmp_path):
    pair = volume((2.2, 1.1, 1.1), shape=(8, 40, 48))
    settings = TrainingSettings(steps=1, batch_size=1, patch_size_px=32, validation_interval=0)
    run = train([pair], settings=settings, description=new_description([pair], shape=SHAPE))
    list(run)

    path = save_checkpoint(run.network, tmp_path / "high")

    again = load_checkpoint(path).description
    assert again.anisotropy == pytest.approx(2)
    assert again.architecture.flat_levels == 1
    voxels = np.array([6 * 22 * 14, 6 * 22 * 17])
    diameters = 2 * np.cbrt(3 * 2 * voxels / (4 * math.pi))
    assert again.object_diameter_px == pytest.approx(float(np.median(diameters)))


def test_fine_tuning_brings_volumes_to_the_slices_of_the_model():
    network = train([volume()], description=described(2.0)).network
    pair = volume((4, 1, 1))
    settings = TrainingSettings(steps=1, batch_size=1, patch_size_px=16, validation_interval=1)
    run = train([pair], network, settings=settings, validation=[pair])
    (report,) = run
    assert [len(each.labels) for each in run.pairs] == [8]
    assert math.isfinite(report.validation_loss)
    assert run.network.description.anisotropy == 2.0


def test_a_model_that_knew_no_voxel_size_learns_it():
    network = train([volume()], description=described(None)).network
    settings = TrainingSettings(steps=1, batch_size=1, patch_size_px=16)
    run = train([volume((3, 1, 1))], network, settings=settings)
    assert run.network.description.anisotropy == 3.0
    assert replace(run.network.description.architecture) == network.description.architecture
