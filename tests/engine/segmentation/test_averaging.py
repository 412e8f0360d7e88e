import itertools
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.base.settings import InstanceSettings, SegmentationSettings
from napari_unet.engine.images.normalization import Percentiles
from napari_unet.engine.models.one_call import segment
from napari_unet.engine.networks.network import Network, NetworkDescription
from napari_unet.engine.networks.unet import UNet, UNetConfig
from napari_unet.engine.segmentation import predictor
from napari_unet.engine.segmentation.copies import copies
from napari_unet.engine.segmentation.segmentation import iterate_planes, iterate_segmentation
from napari_unet.engine.segmentation.tiling import predict_tiles


def random_network(
    seed,
    *,
    name="tiny",
    diameter_px=20.0,
    pixel_size_um=None,
    roles=("background", "cell"),
    **config,
):
    torch.manual_seed(seed)
    config = UNetConfig(**{"base_width": 2, "depth": 2, "classes": len(roles)} | config)
    description = NetworkDescription(
        name,
        config,
        class_roles=roles,
        normalization=Percentiles(),
        object_diameter_px=diameter_px,
        pixel_size_um=pixel_size_um,
    )
    return Network(UNet(config).eval(), description)


def described(network, **changes):
    return Network(network.unet, replace(network.description, **changes))


ONE = random_network(1, name="one")
TWO = random_network(2, name="two")
DEEP = random_network(3, name="deep", depth=3)
VOLUME = random_network(4, name="volume", ndim=3)
SMALL = random_network(5, name="small", diameter_px=8.0)


def scores_of(image, network, **options):
    return segment(image, network, precision="float32", **options).scores


def noise(*shape):
    return np.random.default_rng(0).random(shape, dtype=np.float32)


def turned_back_mean(image, network):
    """The mean over four turns of the image and of its mirror image, each run by itself."""
    total = 0
    for turns, is_mirrored in itertools.product(range(4), (False, True)):
        copy = np.flip(image, -1) if is_mirrored else image
        copy = np.ascontiguousarray(np.rot90(copy, turns, (-2, -1)))
        scores = np.rot90(scores_of(copy, network), -turns, (-2, -1))
        total = total + (np.flip(scores, -1) if is_mirrored else scores) / 8
    return total


@pytest.mark.parametrize("shape", [(41, 57), (6, 19, 27)])
@pytest.mark.parametrize("tile_px", [None, 16])
def test_flips_are_the_mean_over_mirrored_copies(shape, tile_px):
    network, image = ONE if len(shape) == 2 else VOLUME, noise(*shape)
    expected = np.zeros((2, *shape))
    for axes in [(), (-1,), (-2,), (-2, -1)]:
        scores = scores_of(np.ascontiguousarray(np.flip(image, axes)), network)
        expected += np.flip(scores, axes) / 4
    found = scores_of(image, network, averaging="flips", tile_px=tile_px)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", [(41, 57), (6, 19, 27)])
@pytest.mark.parametrize("tile_px", [None, 16])
def test_flips_and_rotations_are_the_mean_over_all_eight_turned_back(shape, tile_px):
    network, image = ONE if len(shape) == 2 else VOLUME, noise(*shape)
    found = scores_of(image, network, averaging="flips+rotations", tile_px=tile_px)
    np.testing.assert_allclose(found, turned_back_mean(image, network), rtol=0, atol=1e-5)
    assert np.abs(found - scores_of(image, network, averaging="flips")).max() > 1e-4


def test_unpadded_convolutions_are_turned_in_place_as_well():
    network, image = random_network(6, padding="valid"), noise(45, 70)
    found = scores_of(image, network, averaging="flips+rotations", tile_px=32)
    np.testing.assert_allclose(found, turned_back_mean(image, network), rtol=0, atol=1e-5)


@pytest.mark.parametrize("averaging", ["flips", "flips+rotations"])
@pytest.mark.parametrize("ndim", [2, 3])
def test_a_network_that_does_not_care_for_directions_says_the_same(averaging, ndim):
    network = random_network(7, ndim=ndim, depth=1)
    with torch.no_grad():
        for module in network.unet.modules():
            if isinstance(module, torch.nn.Conv2d | torch.nn.Conv3d) and module.kernel_size[0] == 3:
                centre = module.weight[(..., *(1,) * ndim)].clone()
                module.weight.zero_()
                module.weight[(..., *(1,) * ndim)] = centre
        for up in network.unet.up:
            for weight in (each for each in up.parameters() if each.ndim == ndim + 2):
                weight.copy_(weight.mean(dim=tuple(range(2, ndim + 2)), keepdim=True))
    # Pooling takes pixels in pairs: an even size has the same pairs in the mirror.
    image = noise(*(4, 30, 38)[-ndim:])
    np.testing.assert_allclose(
        scores_of(image, network, averaging=averaging), scores_of(image, network), atol=1e-6
    )


def test_the_eight_copies_are_eight_and_the_image_itself_is_the_first():
    pixels = np.arange(6).reshape(2, 3)
    views = [each.view(pixels) for each in copies("flips+rotations")]
    assert len({(view.shape, view.tobytes()) for view in views}) == 8
    np.testing.assert_array_equal(views[0], pixels)
    assert all(np.shares_memory(view, pixels) for view in views)


@pytest.mark.parametrize("copy", copies("flips+rotations"))
def test_a_box_lies_in_a_copy_where_its_pixels_do(copy):
    pixels = np.arange(4 * 5 * 7).reshape(4, 5, 7)
    box = (slice(1, 3), slice(2, 5), slice(0, 3))
    there = copy.box_in(box, pixels.shape)
    np.testing.assert_array_equal(copy.view(pixels)[there], copy.view(pixels[box]))
    assert copy.box_of(there, pixels.shape) == box
    assert copy.view(pixels).shape == copy.shape_of(pixels.shape)


@pytest.mark.parametrize("averaging", ["none", "flips"])
def test_two_networks_are_the_mean_of_their_scores(averaging):
    image = noise(41, 57)
    each = [scores_of(image, network, averaging=averaging) for network in (ONE, DEEP)]
    both = scores_of(image, [ONE, DEEP], averaging=averaging, tile_px=16)
    np.testing.assert_allclose(both, np.mean(each, axis=0), rtol=0, atol=1e-5)


def test_of_three_networks_each_counts_a_third():
    image = noise(41, 57)
    each = [scores_of(image, network, diameter_px=20) for network in (ONE, SMALL, TWO)]
    together = scores_of(image, [ONE, SMALL, TWO], diameter_px=20)
    np.testing.assert_allclose(together, np.mean(each, axis=0), rtol=0, atol=1e-5)


def test_each_slice_of_a_stack_is_a_mean():
    stack = noise(3, 30, 20)
    each = [scores_of(stack, network, every_slice=True) for network in (ONE, TWO)]
    both = scores_of(stack, [ONE, TWO], every_slice=True)
    np.testing.assert_allclose(both, np.mean(each, axis=0), rtol=0, atol=1e-5)


def test_scores_of_another_grid_are_the_same_in_bands(monkeypatch):
    image = noise(41, 57)
    expected = scores_of(image, [ONE, SMALL])
    monkeypatch.setattr(predictor, "_BAND_PIXELS", 3 * 57)
    np.testing.assert_array_equal(scores_of(image, [ONE, SMALL]), expected)


@pytest.mark.parametrize("diameter_px", [None, 20.0])
def test_a_network_for_smaller_cells_is_given_them_smaller(diameter_px):
    image = noise(41, 57)
    large, small = scores_of(image, ONE), scores_of(image, SMALL, diameter_px=20)
    both = scores_of(image, [ONE, SMALL], diameter_px=diameter_px)
    np.testing.assert_allclose(both, (large + small) / 2, rtol=0, atol=1e-5)


def test_cells_of_nearly_the_same_size_are_not_resized():
    near = described(TWO, object_diameter_px=21.0)
    image = noise(41, 57)
    expected = (scores_of(image, ONE) + scores_of(image, TWO)) / 2
    np.testing.assert_allclose(scores_of(image, [ONE, near]), expected, rtol=0, atol=1e-5)


def test_pixel_sizes_decide_for_each_network():
    fine, coarse = (random_network(seed, pixel_size_um=size) for seed, size in ((1, 0.5), (2, 1.0)))
    image = noise(41, 57)
    each = [scores_of(image, network, pixel_size_um=0.5) for network in (fine, coarse)]
    both = scores_of(image, [fine, coarse], pixel_size_um=0.5)
    np.testing.assert_allclose(both, np.mean(each, axis=0), rtol=0, atol=1e-5)


@pytest.mark.parametrize("networks", [[ONE, DEEP], [ONE, SMALL], [SMALL, ONE]])
def test_a_region_has_the_scores_of_the_whole_image(networks):
    image = noise(150, 170)

    def plane(**options):
        settings = SegmentationSettings(
            averaging="flips+rotations", diameter_px=20, tile_px=32, precision="float32", **options
        )
        instances = networks[0].description.instances
        return list(iterate_planes(image, networks, settings=settings, instances=instances))[
            -1
        ].plane

    part, whole = plane(region=(60, 90, 100, 150)), plane()
    assert part.scores.shape[1:] == tuple(ends.stop - ends.start for ends in part.box)
    np.testing.assert_allclose(
        part.scores, whole.scores[(slice(None), *part.box)], rtol=0, atol=1e-5
    )


def test_the_thresholds_are_those_of_the_first():
    strict = InstanceSettings(foreground_threshold=0.9)
    first = described(ONE, instances=strict)
    assert segment(noise(20, 20), [first, TWO]).instances == strict
    assert segment(noise(20, 20), [TWO, first]).instances == TWO.description.instances


def test_an_image_without_contrast_has_no_cells_whatever_the_networks():
    assert segment(np.ones((20, 20)), [ONE, TWO], averaging="flips").cell_count == 0


def progress(image, networks, **options):
    settings = SegmentationSettings(**options)
    reports = iterate_segmentation(image, networks, settings=settings)
    return [(each.tile, each.tiles) for each in reports if each.result is None]


@pytest.mark.parametrize(
    ("networks", "averaging", "passes"),
    [(ONE, "flips", 4), (ONE, "flips+rotations", 8), ([ONE, TWO], "flips", 8)],
)
def test_all_copies_of_all_networks_count_as_tiles(networks, averaging, passes):
    steps = progress(noise(20, 20), networks, averaging=averaging)
    assert steps[:-1] == [(n, passes) for n in range(1, passes + 1)]


def test_progress_does_not_go_back_where_networks_have_different_tiles():
    steps = progress(noise(100, 130), [ONE, SMALL], averaging="flips", tile_px=16)
    shares = [tile / tiles for tile, tiles in steps]
    assert all(later > share - 0.05 for share, later in itertools.pairwise(shares))
    assert shares[-1] == 1
    assert max(shares[: len(shares) // 2]) < 0.8


def test_only_the_first_pass_says_that_scores_are_new():
    settings = SegmentationSettings(averaging="flips", tile_px=16)
    reports = list(
        iterate_planes(noise(30, 30), [ONE, TWO], settings=settings, instances=InstanceSettings())
    )
    areas = [report.area is not None for report in reports]
    assert areas == [True] * 4 + [False] * (len(areas) - 4)


def test_stopping_between_copies_computes_no_further_tile(monkeypatch):
    computed = []

    def counting(*arguments, **options):
        for tile in predict_tiles(*arguments, **options):
            computed.append(tile.done)
            yield tile

    monkeypatch.setattr(predictor, "predict_tiles", counting)
    settings = SegmentationSettings(averaging="flips+rotations")
    reports = iterate_segmentation(noise(20, 20), [ONE, SMALL], settings=settings)
    for _ in range(10):
        next(reports)
    reports.close()
    assert len(computed) == 10


def peak_bytes(image, networks, **options):
    tracemalloc.start()
    for _ in iterate_planes(
        image, networks, settings=SegmentationSettings(**options), instances=InstanceSettings()
    ):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def test_memory_does_not_grow_with_copies_and_networks():
    image = noise(300, 260)
    scores = 2 * 4 * image.size
    once = peak_bytes(image, ONE, tile_px=64)
    same_grid = peak_bytes(image, [ONE, TWO], averaging="flips+rotations", tile_px=64)
    assert same_grid < once + 0.1 * scores
    enlarging = random_network(8, diameter_px=28.0)  # twice the pixels
    apart = peak_bytes(image, [ONE, enlarging, enlarging], tile_px=64)
    assert apart < once + 3.2 * scores


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (VOLUME, "Model 'volume' reads 3-D images and 'one' 2-D ones, so they cannot be averaged"),
        (
            random_network(1, name="three", roles=("background", "cell", "border")),
            "Model 'three' tells apart background, cell, border and 'one' background, cell, so",
        ),
    ],
)
def test_networks_that_do_not_fit_are_refused(other, message):
    with pytest.raises(SettingsError, match=message):
        segment(noise(20, 20), [ONE, other])


def test_a_diameter_needs_networks_that_know_their_own():
    unknown = described(TWO, object_diameter_px=None)
    with pytest.raises(SettingsError, match="'two' does not say how large the cells were"):
        segment(noise(20, 20), [ONE, unknown], diameter_px=20)


def test_an_empty_list_is_refused():
    with pytest.raises(SettingsError, match="no model in the list"):
        segment(noise(20, 20), [])


def test_the_name_of_version_0_1_0_is_understood():
    assert SegmentationSettings(flips=True) == SegmentationSettings(averaging="flips")
    assert SegmentationSettings(flips=False) == SegmentationSettings()
    kept_with_labels = {"diameter_px": 12.0, "every_slice": False, "flips": True}
    assert SegmentationSettings(**kept_with_labels).averaging == "flips"
    averaged = SegmentationSettings(averaging="flips", tile_px=20)
    assert replace(averaged, flips=False) == SegmentationSettings(tile_px=20)
    assert replace(averaged, averaging="none") == SegmentationSettings(tile_px=20)
    assert segment(noise(20, 20), ONE, flips=True).settings.averaging == "flips"


@pytest.mark.parametrize("wrong", [{"averaging": "twice"}, {"flips": "yes"}])
def test_what_is_no_averaging_is_refused(wrong):
    with pytest.raises(SettingsError, match=r"averaging is .*; use one of none, flips, flips"):
        SegmentationSettings(**wrong)
