"""Cells of a region are those of the whole image, however far they go on."""

from dataclasses import replace

import numpy as np
import pytest
from known_networks import unet_of_brightness
from scipy import ndimage

from napari_unet.engine.base.settings import InstanceSettings
from napari_unet.engine.models.one_call import segment
from napari_unet.engine.networks.network import Network, NetworkDescription
from napari_unet.engine.networks.unet import UNetConfig
from napari_unet.engine.segmentation import segmentation
from napari_unet.engine.segmentation.rim import cut_sides
from napari_unet.engine.segmentation.segmentation import iterate_planes

DIAMETER_PX = 5.0


def brightness(ndim=2, steepness=6.0):
    """A network whose cell score rises with the brightness of the pixel."""
    config = UNetConfig(ndim, 1, 2, base_width=1, depth=1, batch_norm=False)
    unet = unet_of_brightness(config, [0.0, steepness], [0.0, -steepness / 2])
    instances = InstanceSettings(min_size_px=1, min_seed_px=1)
    description = NetworkDescription(
        "bright", config, object_diameter_px=DIAMETER_PX, instances=instances
    )
    return Network(unet, description)


BRIGHT = brightness()
SHARP = brightness(steepness=60.0)


def wanted_cells(image, network, region, *, instances=None, **options):
    """Labels of the whole image, but only of cells that reach into the region."""
    whole = segment(image, network, instances=instances, **options).labels
    box = tuple(slice(*ends) for ends in zip(region[::2], region[1::2], strict=True))
    numbers = np.unique(whole[box])
    return np.where(np.isin(whole, numbers[numbers > 0]), whole, 0)


def assert_same_cells(found, expected):
    pairs = np.unique(np.stack([found.ravel(), expected.ravel()]), axis=1)
    assert pairs.shape[1] == np.unique(pairs[0]).size == np.unique(pairs[1]).size


def worm(shape=(300, 320)):
    """A cell of 5,000 pixels and more that goes forth and back through the image."""
    image = np.zeros(shape, np.uint8)
    for row in range(20, 260, 40):
        image[row : row + 4, 20:300] = 200
        column = 296 if row % 80 == 20 else 20
        image[row : row + 44, column : column + 4] = 200
    image[264:300] = 0
    image[280:290, 100:110] = 200
    return image


def test_a_worm_is_whole_and_its_neighbours_are_left_out():
    image, region = worm(), (140, 150, 150, 160)

    result = segment(image, SHARP, region=region)

    assert result.cell_count == 1
    assert (result.labels > 0).sum() > 5000
    assert_same_cells(result.labels, wanted_cells(image, SHARP, region))


@pytest.mark.parametrize(
    "options", [{"averaging": "flips+rotations"}, {"diameter_px": 7.3}, {"tile_px": 32}]
)
def test_a_worm_is_whole_in_every_way_to_compute_it(options):
    image, region = worm(), (140, 150, 150, 160)

    result = segment(image, SHARP, region=region, **options)

    assert_same_cells(result.labels, wanted_cells(image, SHARP, region, **options))
    assert (result.labels > 0).sum() > 4000


@pytest.mark.parametrize(
    "changed",
    [{"min_size_px": 3000}, {"drop_border_cells": True}, {"min_score": 0.8}],
)
def test_filters_see_the_whole_cell(changed):
    image, instances = worm(), replace(SHARP.description.instances, **changed)

    result = segment(image, SHARP, region=(140, 150, 150, 160), instances=instances)

    assert (result.labels > 0).sum() > 5000


def test_a_cell_through_a_volume_is_whole():
    volume = np.zeros((70, 30, 90), np.uint8)
    volume[5:65, 10:14, 10:14] = 200
    volume[61:65, 10:14, 10:80] = 200
    network, region = brightness(ndim=3, steepness=60.0), (5, 8, 10, 14, 10, 14)

    result = segment(volume, network, region=region)

    assert result.cell_count == 1
    np.testing.assert_array_equal(result.labels > 0, volume > 0)


def test_of_a_chain_of_cells_only_that_in_the_region_is_there_and_little_is_computed():
    image = np.zeros((60, 1600), np.uint8)
    for column in range(10, 1590, 10):
        image[20:29, column : column + 10] = 120  # they touch
        image[22:27, column + 2 : column + 8] = 200
    region = (20, 25, 803, 805)
    instances = replace(BRIGHT.description.instances, seed_threshold=0.75)

    *_, last = iterate_planes(
        image,
        BRIGHT,
        settings=segmentation.SegmentationSettings(region=region),
        instances=instances,
    )

    found = last.plane.placed(last.labels)
    assert_same_cells(found, wanted_cells(image, BRIGHT, region, instances=instances))
    assert found.max() == 1
    assert last.plane.scores.shape[-1] < 100


def ring(radius, shape=(200, 200), width=4):
    distance = np.hypot(*(np.indices(shape) - np.reshape(shape, (2, 1, 1)) // 2))
    return np.where(np.abs(distance - radius) < width, 200, 0).astype(np.uint8)


@pytest.mark.parametrize("broken", [False, True])
def test_a_region_in_the_hole_of_a_cell_is_filled_as_in_the_whole(broken):
    image, region = ring(40), (98, 103, 125, 130)
    if broken:
        image[90:110, :70] = 0

    result = segment(image, SHARP, region=region)

    assert_same_cells(result.labels, wanted_cells(image, SHARP, region))
    assert result.cell_count == (0 if broken else 1)


def test_an_empty_region_is_not_searched_far_and_wide():
    image = np.zeros((400, 400), np.uint8)
    image[10:15, 10:15] = 200

    *_, last = iterate_planes(
        image,
        SHARP,
        settings=segmentation.SegmentationSettings(region=(200, 210, 200, 210)),
        instances=SHARP.description.instances,
    )

    assert last.plane.scores.shape[-1] < 50


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("changed", [{}, {"separate_touching": False}, {"min_seed_px": 6}])
def test_cells_of_any_shape_that_touch_are_those_of_the_whole_image(seed, changed):
    rng = np.random.default_rng(seed)
    image = ndimage.gaussian_filter(rng.random((150, 160)), rng.uniform(1.5, 4)).astype(np.float32)
    instances = replace(BRIGHT.description.instances, seed_threshold=0.75, **changed)
    whole = segment(image, BRIGHT, instances=instances).labels
    assert whole.max() > 5
    for _ in range(6):
        top, left = (int(rng.integers(0, n - 5)) for n in image.shape)
        region = (top, top + int(rng.integers(1, 30)), left, left + int(rng.integers(1, 30)))

        part = segment(image, BRIGHT, instances=instances, region=region).labels

        assert_same_cells(part, wanted_cells(image, BRIGHT, region, instances=instances))


def test_of_equal_scores_a_seed_beyond_the_side_takes_what_it_takes_in_the_whole():
    rng, checked = np.random.default_rng(0), 0
    for _ in range(40):
        image = ndimage.gaussian_filter(rng.random((150, 160)), rng.uniform(1.5, 4))
        # Few scores, many of them equal.
        image = np.round(8 * (image - image.min()) / np.ptp(image)).astype(np.uint8)
        instances = replace(BRIGHT.description.instances, seed_threshold=0.75)
        top, left = (int(rng.integers(0, n - 5)) for n in image.shape)
        region = (top, top + 9, left, left + 9)

        part = segment(image, BRIGHT, instances=instances, region=region).labels

        assert_same_cells(part, wanted_cells(image, BRIGHT, region, instances=instances))
        checked += part.max() > 0
    assert checked > 10


def test_a_part_that_is_all_of_the_image_needs_no_more():
    scores = np.stack([np.zeros((4, 5)), np.ones((4, 5))]).astype(np.float32)
    wanted = [np.arange(4), np.arange(5)]

    assert (
        cut_sides(scores, ("background", "cell"), InstanceSettings(), sides=[], wanted=wanted) == ()
    )
