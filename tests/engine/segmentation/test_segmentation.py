from dataclasses import replace

import numpy as np
import pytest
import torch
from known_networks import unet_of_brightness

from napari_unet.engine.base.errors import (
    DeviceError,
    ImageShapeError,
    ImageValueError,
    SettingsError,
    UNetError,
)
from napari_unet.engine.base.settings import InstanceSettings, SegmentationSettings
from napari_unet.engine.images.normalization import Percentiles
from napari_unet.engine.labels.classes import class_counts, class_labels, shares_in_words
from napari_unet.engine.models.one_call import segment
from napari_unet.engine.networks.network import Guess, Network, NetworkDescription
from napari_unet.engine.networks.unet import UNet, UNetConfig
from napari_unet.engine.segmentation import predictor
from napari_unet.engine.segmentation.bands import BandedUNet
from napari_unet.engine.segmentation.segmentation import (
    iterate_planes,
    iterate_segmentation,
)
from napari_unet.engine.segmentation.tiling import predict_tiles


def network_of_classes() -> Network:
    """Gives "dark" below one half, "bright" above it, and background nowhere."""
    roles = ("dark", "bright", "background")
    config = UNetConfig(base_width=1, depth=1, batch_norm=False, classes=len(roles))
    unet = unet_of_brightness(config, [-20.0, 20.0, 0.0], [10.0, -10.0, -50.0])
    description = NetworkDescription("classes", config, roles, normalization=Percentiles(0, 100))
    return Network(unet, description)


def test_a_network_of_classes_gives_each_pixel_its_number():
    image = np.zeros((40, 50), np.float32)
    image[:10] = 1
    result = segment(image, network_of_classes(), device="cpu")
    assert result.labels.dtype == np.int32
    assert (result.labels[:10] == 2).all()
    assert (result.labels[10:] == 1).all()
    assert (result.cell_count, result.doubt, result.notes) == (0, "", ())
    assert shares_in_words(class_counts(result.labels, result.class_roles), result.class_roles) == (
        "75 % dark, 25 % bright, 0 % background"
    )


def test_classes_have_the_same_numbers_in_every_slice_and_end_with_the_region():
    stack = np.zeros((2, 40, 50), np.float32)
    stack[:, :10] = 1
    network = network_of_classes()
    result = segment(stack, network, device="cpu", every_slice=True)
    assert (result.labels[:, :10] == 2).all()
    assert (result.labels[:, 10:] == 1).all()
    part = segment(stack[0], network, device="cpu", region=(5, 20, 8, 30))
    expected = np.zeros((40, 50), np.int32)
    expected[5:10, 8:30], expected[10:20, 8:30] = 2, 1
    assert np.array_equal(part.labels, expected)


def test_background_is_0_and_so_is_what_was_not_computed():
    scores = np.zeros((2, 1, 3), np.float32)
    scores[0, 0, 0], scores[1, 0, 1] = 0.9, 0.8
    assert class_labels(scores, ("gland", "background")).tolist() == [[1, 0, 0]]
    assert class_labels(scores, ("background", "gland")).tolist() == [[0, 2, 0]]


def test_a_network_whose_classes_are_only_guessed_is_refused_as_before():
    network = network_of_classes()
    guess = Guess("roles", "Channels", "dark", ("dark",), "Nobody knows.")
    described = replace(network.description, guesses=(guess,))
    with pytest.raises(SettingsError, match="to find cells it needs 'background' and 'cell'"):
        segment(np.zeros((40, 50)), Network(network.unet, described), device="cpu")


def network_of(*, roles=("background", "cell"), normalization=None, **config):
    """A tiny network with random weights."""
    torch.manual_seed(0)
    config = UNetConfig(**{"base_width": 2, "depth": 2, "classes": len(roles)} | config)
    description = NetworkDescription(
        "tiny",
        config,
        class_roles=roles,
        normalization=normalization or Percentiles(),
        object_diameter_px=20.0,
        pixel_size_um=0.5,
    )
    return Network(UNet(config).eval(), description)


def bright_is_cell(**config):
    """A network whose cell score is high exactly where the normalised image is above 0.5."""
    network = network_of(base_width=1, depth=1, batch_norm=False, **config)
    unet = network.unet
    centre = (slice(None),) + (1,) * unet.config.ndim
    with torch.no_grad():
        for parameter in unet.parameters():
            parameter.zero_()
        # One path only: the first feature of the upper level, unchanged, to the head.
        for block in (unet.contracting[0], unet.expanding[0]):
            block.conv1.weight[0, 0][centre[1:]] = 1
            block.conv2.weight[0, 0][centre[1:]] = 1
        unet.head.weight[1, 0] = 40
        unet.head.bias[1] = -20
    return network


def squares(*corners, shape=(60, 80), size=12):
    image = np.zeros(shape, np.uint8)
    for corner in corners:
        image[tuple(slice(c, c + size) for c in corner)] = 200
    return image


TINY = network_of()
RGB = network_of(in_channels=3)
VOLUME = network_of(ndim=3)
CELLS = bright_is_cell()


def test_each_bright_square_is_one_cell():
    image = squares((5, 5), (30, 40))
    result = segment(image, CELLS)
    assert result.cell_count == 2
    assert result.labels.dtype == np.int32
    np.testing.assert_array_equal(result.labels[5:17, 5:17], 1)
    np.testing.assert_array_equal(result.labels[30:42, 40:52], 2)
    np.testing.assert_array_equal(result.labels > 0, image > 0)
    assert result.scores.shape == (2, 60, 80)
    assert result.class_roles == ("background", "cell")
    assert result.notes == ()


def test_tiles_do_not_show_in_the_result():
    image = np.random.default_rng(0).random((150, 131))
    whole = segment(image, TINY, precision="float32", tile_px=1000)
    tiled = segment(image, TINY, precision="float32", tile_px=24)
    np.testing.assert_allclose(tiled.scores, whole.scores, rtol=0, atol=1e-5)


def test_reports_count_the_tiles_and_the_last_one_carries_the_result():
    reports = list(iterate_segmentation(squares((5, 5)), CELLS, settings=_tiles_of(20)))
    assert [report.tile for report in reports] == [*range(1, 13), 12, 12]
    assert {report.tiles for report in reports} == {12}
    assert [report.result is not None for report in reports] == [False] * 13 + [True]
    assert [report.labels is not None for report in reports] == [False] * 12 + [True, False]


def test_stopping_leaves_nothing_behind_and_the_next_run_is_whole(monkeypatch):
    read = []

    def counting(*arguments, **options):
        for tile in predict_tiles(*arguments, **options):
            read.append(tile.done)
            yield tile

    monkeypatch.setattr(predictor, "predict_tiles", counting)
    run = iterate_segmentation(squares((5, 5)), CELLS, settings=_tiles_of(20))
    next(run)
    next(run)
    run.close()
    assert read == [1, 2]
    assert segment(squares((5, 5)), CELLS).cell_count == 1


def _tiles_of(tile_px):
    return SegmentationSettings(tile_px=tile_px)


def test_crop_agrees_with_the_whole_when_it_is_measured_on_it():
    rng = np.random.default_rng(0)
    whole_image = rng.random((160, 160)) * np.linspace(0.2, 2, 160)
    crop = (slice(40, 120), slice(48, 128))
    whole = segment(whole_image, TINY, precision="float32")
    part = segment(whole_image[crop], TINY, intensity_reference=whole_image, precision="float32")
    alone = segment(whole_image[crop], TINY, precision="float32")
    margin = TINY.unet.config.halo_px
    inside = (slice(None), slice(margin, -margin), slice(margin, -margin))
    expected = whole.scores[(slice(None), *crop)][inside]
    np.testing.assert_allclose(part.scores[inside], expected, rtol=0, atol=1e-5)
    assert np.abs(alone.scores[inside] - expected).max() > 1e-3


def test_large_cells_are_shrunk_for_the_network_and_come_back_in_place():
    image = squares((20, 40), (100, 90), shape=(160, 200), size=40)
    result = segment(image, CELLS, diameter_px=40)
    assert result.zoom == 0.5
    assert result.labels.shape == image.shape
    assert result.scores.shape == (2, *image.shape)
    assert result.cell_count == 2
    overlap = np.count_nonzero((result.labels > 0) & (image > 0))
    assert overlap / np.count_nonzero((result.labels > 0) | (image > 0)) > 0.9


def test_pixel_size_resizes_unless_there_is_a_diameter():
    image = squares((5, 5))
    assert segment(image, CELLS, pixel_size_um=1.0).zoom == 2.0
    assert segment(image, CELLS, pixel_size_um=1.0, diameter_px=20).zoom == 1.0


def test_pixel_size_does_nothing_for_a_model_that_has_none():
    network = bright_is_cell()
    network.description = replace(network.description, pixel_size_um=None)
    assert segment(squares((5, 5)), network, pixel_size_um=1.0).zoom == 1.0


def test_cells_that_vanish_between_coarser_pixels_leave_no_gap_in_the_numbers():
    image = squares((5, 5), (30, 40))
    image[20, 20] = 200
    instances = InstanceSettings(min_size_px=0, min_seed_px=0)
    result = segment(image, CELLS, diameter_px=5, instances=instances)
    assert sorted(np.unique(result.labels)) == list(range(result.cell_count + 1))


def test_every_slice_of_a_stack_has_cells_of_its_own():
    stack = np.stack([squares((5, 5), (30, 40)), squares(), squares((5, 5))])
    result = segment(stack, CELLS, every_slice=True)
    assert result.cell_count == 3
    assert [sorted(np.unique(plane)) for plane in result.labels] == [[0, 1, 2], [0], [0, 3]]
    assert result.scores.shape == (2, 3, 60, 80)


def test_slices_share_one_measure_of_intensity():
    # Alone, the dim plane would be stretched to full contrast.
    stack = np.stack([squares((5, 5)), squares((5, 5)) // 20])
    labels = segment(stack, CELLS, every_slice=True).labels
    assert labels[0].max() == 1
    assert not labels[1].any()


def test_stack_of_colour_pictures_and_of_channels_is_cut_into_slices():
    colour = np.random.default_rng(0).random((4, 20, 30, 3))
    assert segment(colour, RGB, every_slice=True).labels.shape == (4, 20, 30)
    moved = segment(np.moveaxis(colour, -1, 1), RGB, every_slice=True, channel_axis=1)
    assert moved.labels.shape == (4, 20, 30)


def test_every_slice_of_a_single_picture_is_that_picture():
    assert segment(squares((5, 5)), CELLS, every_slice=True).labels.shape == (60, 80)
    assert segment(np.zeros((20, 30, 3)), RGB, every_slice=True).labels.shape == (20, 30)


def test_slices_are_reported_one_after_the_other():
    stack = np.random.default_rng(0).random((3, 20, 20))
    settings = SegmentationSettings(every_slice=True)
    reports = list(iterate_segmentation(stack, TINY, settings=settings))
    assert [report.slice_index for report in reports] == [0, 0, 1, 1, 2, 2, 2]
    assert {report.slices for report in reports} == {3}


def test_volume_is_segmented_as_a_volume():
    image = np.zeros((20, 40, 40), np.uint8)
    image[4:14, 5:15, 5:15] = 100
    result = segment(image, bright_is_cell(ndim=3))
    assert result.cell_count == 1
    np.testing.assert_array_equal(result.labels > 0, image > 0)


def test_scores_are_left_out_when_nobody_wants_them():
    result = segment(squares((5, 5)), CELLS, keep_scores=False)
    assert result.scores is None
    assert result.cell_count == 1


def test_thresholds_given_replace_the_models_own():
    image = squares((5, 5), (30, 40))
    large_only = InstanceSettings(min_size_px=1000)
    result = segment(image, CELLS, instances=large_only)
    assert result.cell_count == 0
    assert result.instances == large_only
    assert segment(image, CELLS).instances == CELLS.description.instances


def test_settings_may_be_given_one_by_one_or_together():
    together = SegmentationSettings(tile_px=20)
    assert segment(squares(), CELLS, settings=together).settings == together
    both = segment(squares(), CELLS, settings=together, averaging="flips").settings
    assert both == SegmentationSettings(tile_px=20, averaging="flips")
    with pytest.raises(TypeError, match="tiles"):
        segment(squares(), CELLS, tiles=20)


def test_bfloat16_finds_the_same_cells():
    image = squares((5, 5), (30, 40))
    np.testing.assert_array_equal(
        segment(image, CELLS, precision="bfloat16").labels,
        segment(image, CELLS, precision="float32").labels,
    )


def test_overflow_of_half_precision_is_mended_and_noted():
    network = bright_is_cell()
    with torch.no_grad():
        # Features of a million, beyond float16; the head takes them back again.
        network.unet.expanding[0].conv2.weight *= 1e6
        network.unet.head.weight /= 1e6
    image = squares((5, 5), (30, 40))
    result = segment(image, network, precision="float16")
    assert result.cell_count == 2
    assert "1 tiles held numbers beyond float16" in result.notes[0]


def test_running_out_of_memory_is_noted_and_changes_nothing(monkeypatch):
    image = np.random.default_rng(0).random((96, 96))
    expected = segment(image, TINY, precision="float32").scores
    compute = BandedUNet.__call__

    def small_memory(self, x, *, crops=None):
        if x.shape[-1] > 80:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return compute(self, x, crops=crops)

    monkeypatch.setattr(BandedUNet, "__call__", small_memory)
    result = segment(image, TINY, precision="float32")
    np.testing.assert_allclose(result.scores, expected, rtol=0, atol=1e-5)
    assert result.notes == (
        "Memory ran out, so the tiles were made smaller (48 pixels); the result is the same.",
    )


# What users really open.


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (100, 100), (3, 5)])
def test_small_and_odd_images_keep_their_shape(shape):
    image = np.random.default_rng(0).random(shape)
    result = segment(image, TINY)
    assert result.labels.shape == shape
    assert np.isfinite(result.scores).all()


def test_large_odd_image_keeps_its_shape():
    network = network_of(base_width=1, depth=1)
    image = np.random.default_rng(0).integers(0, 255, (1537, 2049), dtype=np.uint8)
    assert segment(image, network, keep_scores=False).labels.shape == (1537, 2049)


@pytest.mark.parametrize("value", [0, 1, 255])
@pytest.mark.parametrize("network", [CELLS, TINY])
def test_constant_image_has_no_cells(value, network):
    result = segment(np.full((30, 40), value, np.uint8), network)
    assert result.cell_count == 0
    assert not result.labels.any()
    np.testing.assert_array_equal(result.scores[0], 1)


def test_constant_stack_still_ends_with_its_result():
    settings = SegmentationSettings(every_slice=True)
    *_, report = iterate_segmentation(np.ones((3, 20, 20)), CELLS, settings=settings)
    assert (report.tile, report.tiles, report.slice_index, report.slices) == (1, 1, 2, 3)
    assert report.result.labels.shape == (3, 20, 20)


def test_mask_of_booleans_is_an_image():
    assert segment(squares((5, 5)) > 0, CELLS).cell_count == 1


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float16", "float64"])
def test_numeric_types_give_the_same_cells(dtype):
    image = squares((5, 5), (30, 40))
    np.testing.assert_array_equal(
        segment(image.astype(dtype), CELLS).labels, segment(image, CELLS).labels
    )


def test_colour_picture_is_made_grey_for_a_grey_model_and_grey_is_repeated_for_a_colour_model():
    image = squares((5, 5))
    assert segment(np.stack([image] * 3, axis=-1), CELLS).cell_count == 1
    assert segment(np.stack([image] * 4, axis=-1), RGB).labels.shape == image.shape
    grey = segment(image, RGB, precision="float32").scores
    repeated = segment(np.stack([image] * 3, axis=-1), RGB, precision="float32").scores
    np.testing.assert_allclose(grey, repeated, atol=1e-6)


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (
            np.full((4, 5), np.nan),
            ImageValueError,
            "20 of 20 pixels are NaN or infinite; replace them first",
        ),
        (
            np.array([[1.0, np.inf], [0.0, 1.0]]),
            ImageValueError,
            "1 of 4 pixels are NaN or infinite; replace them first",
        ),
        (np.zeros((0, 5)), ImageShapeError, "(0, 5) and no pixels; choose one"),
        (
            np.zeros((4, 5), complex),
            ImageValueError,
            "dtype complex128; the network reads whole or real numbers. Take its magnitude",
        ),
        (
            np.full((4, 5), None),
            ImageValueError,
            "dtype object; the network reads whole or real numbers. Convert it first",
        ),
        (
            np.zeros((7, 20, 20)),
            ImageShapeError,
            "shape (7, 20, 20); this model reads 2-D images. Segment every slice",
        ),
        (
            np.zeros((20, 20, 5)),
            ImageShapeError,
            (
                "link the slices for whole cells (volume='linked'), choose one slice, or name the "
                "channel axis (channel_axis=2)"
            ),
        ),
        (
            np.zeros((2, 20, 20)),
            ImageShapeError,
            "choose one slice, or name the channel axis (channel_axis=0)",
        ),
        (
            np.zeros((2, 7, 20, 20)),
            ImageShapeError,
            (
                "Segment every slice (every_slice=True), with the channel axis named if there is "
                "one (channel_axis=0), or choose the planes to segment first."
            ),
        ),
        (np.zeros(20), ImageShapeError, "Give an image with at least 2 axes"),
    ],
)
def test_image_that_cannot_be_used_says_why_in_one_sentence(image, error, message):
    with pytest.raises(error) as raised:
        segment(image, TINY)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_flat_image_for_a_volume_model_says_what_it_reads():
    with pytest.raises(ImageShapeError, match=r"shape \(20, 20\); this model reads 3-D images"):
        segment(np.zeros((20, 20)), VOLUME)


def test_two_channels_for_a_grey_model_are_counted():
    with pytest.raises(ImageShapeError, match=r"has 2 channels; this model reads 1\. Choose"):
        segment(np.zeros((2, 20, 20)), TINY, channel_axis=0)


def test_every_slice_takes_the_stack_that_was_refused():
    stack = np.random.default_rng(0).random((7, 20, 20))
    assert segment(stack, TINY, every_slice=True).labels.shape == stack.shape


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"diameter_px": 0}, "diameter_px is 0; use a positive number"),
        ({"diameter_px": float("nan")}, "diameter_px is nan; use a positive number"),
        ({"pixel_size_um": -1}, "pixel_size_um is -1; use a positive number"),
        ({"tile_px": 0}, "tile_px is 0; use 1 or more pixels"),
        ({"diameter_px": 0.1}, "diameter of 0.1 pixels would resize the image 200 times; check"),
        ({"pixel_size_um": 1e3}, "size of 1000 um would resize the image 2e+03 times; check"),
        ({"precision": "float8"}, "Precision is 'float8'; use one of auto, float32"),
    ],
)
def test_settings_out_of_reason_are_refused(options, message):
    with pytest.raises(SettingsError) as raised:
        segment(squares((5, 5)), CELLS, **options)
    assert message in str(raised.value)


def volume_network(anisotropy):
    network = bright_is_cell(ndim=3)
    network.description = replace(network.description, anisotropy=anisotropy)
    return network


def two_boxes():
    """Two cells above each other, with an empty slice between them."""
    image = np.zeros((5, 24, 28), np.uint8)
    image[:2, 6:18, 6:18] = image[3:, 6:18, 6:18] = 200
    return image


@pytest.mark.parametrize(("learned", "slices"), [(1.0, 20), (2.0, 10), (8.0, 2)])
def test_slices_are_interpolated_to_the_voxels_that_the_model_learned(learned, slices):
    image = two_boxes()
    result = segment(image, volume_network(learned), anisotropy=4.0)
    reports = plane_reports(image, volume_network(learned), anisotropy=4.0)
    assert reports[-1].plane.scaled_shape == (slices, 24, 28)
    assert result.labels.shape == result.scores.shape[1:] == image.shape
    assert result.cell_count == (1 if slices == 2 else 2)
    sentence = f"4 pixels apart and the model learned on {learned:g}"
    assert any(sentence in note for note in result.notes)


@pytest.mark.parametrize("given", [None, 4.0, 4.2])
def test_voxels_as_the_model_learned_them_are_read_to_the_bit(given):
    image, plain = two_boxes(), volume_network(None)
    whole = segment(image, plain)
    found = segment(image, volume_network(4.0), anisotropy=given)
    assert np.array_equal(found.scores, whole.scores)
    assert np.array_equal(found.labels, whole.labels)
    assert whole.notes == found.notes == ()


def test_the_distance_of_slices_does_not_count_for_a_model_that_does_not_know_its_own():
    assert segment(two_boxes(), volume_network(None), anisotropy=4.0).zoom == 1.0
    assert segment(squares((5, 5)), CELLS, anisotropy=4.0).notes == ()


def test_a_distance_of_slices_beyond_reason_is_refused():
    with pytest.raises(SettingsError, match="A distance of 90 pixels between slices would resize"):
        segment(two_boxes(), volume_network(1.0), anisotropy=90.0)


def test_diameter_for_a_model_that_knows_none_is_refused():
    network = network_of()
    network.description = replace(network.description, object_diameter_px=None)
    with pytest.raises(SettingsError, match=r"'tiny' does not say how large.*leave it out"):
        segment(squares((5, 5)), network, diameter_px=10)


def test_network_without_cells_is_refused_before_it_is_run():
    network = network_of(roles=("cell", "membrane"))
    with pytest.raises(SettingsError, match="classes are cell, membrane; to find cells"):
        next(iterate_segmentation(squares((5, 5)), network))


def test_device_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(DeviceError, match=r"'cuda:99' is not there; this machine has .*cpu"):
        segment(squares((5, 5)), CELLS, device="cuda:99")


def test_errors_of_the_engine_are_all_unet_errors():
    with pytest.raises(UNetError):
        segment(np.full((4, 5), np.nan), TINY)


def test_every_plane_of_a_time_series_of_stacks_is_segmented():
    plane = squares((5, 5), (30, 40))
    series = np.stack([np.stack([plane, plane * 0, plane]), np.stack([plane * 0] * 3)])

    result = segment(series, CELLS, every_slice=True)

    assert result.labels.shape == series.shape
    assert result.scores.shape == (2, *series.shape)
    assert result.cell_count == 4
    np.testing.assert_array_equal(result.labels > 0, series > 0)
    assert set(np.unique(result.labels[0, 2])) == {0, 3, 4}


def plane_reports(image, network, *, near=None, **options):
    return list(
        iterate_planes(
            image,
            network,
            settings=SegmentationSettings(**options),
            instances=network.description.instances,
            near=near,
        )
    )


@pytest.mark.parametrize("options", [{}, {"averaging": "flips+rotations"}, {"diameter_px": 31.0}])
def test_a_region_has_the_scores_of_the_whole_image(options):
    image = np.random.default_rng(0).random((150, 170), dtype=np.float32)
    whole = plane_reports(image, TINY, tile_px=32, **options)[-1].plane
    part = plane_reports(image, TINY, tile_px=32, region=(60, 90, 100, 150), **options)[-1].plane

    assert part.scores.size < whole.scores.size
    np.testing.assert_allclose(
        part.scores, whole.scores[(slice(None), *part.box)], rtol=0, atol=1e-5
    )


def test_a_region_finds_the_cells_that_reach_into_it_whole():
    image = squares((5, 5), (5, 50), (40, 60), shape=(100, 200))

    result = segment(image, CELLS, region=(0, 10, 0, 55))

    assert result.cell_count == 2
    expected = squares((5, 5), (5, 50), shape=(100, 200)) > 0
    np.testing.assert_array_equal(result.labels > 0, expected)
    assert result.scores.shape == (2, 100, 200)


@pytest.mark.parametrize(
    ("region", "message"),
    [((0, 5), "The region has 2 numbers"), ((50, 90, 90, 95), "holds no pixel of an image")],
)
def test_a_region_that_does_not_fit_is_refused(region, message):
    with pytest.raises(SettingsError, match=message):
        segment(squares((5, 5)), CELLS, region=region)


def test_from_a_pixel_outwards_the_cells_are_the_same():
    image = np.random.default_rng(0).random((150, 170), dtype=np.float32)
    *tiles, last = plane_reports(image, TINY, tile_px=32, near=(140, 20))

    np.testing.assert_array_equal(last.labels, segment(image, TINY).labels)
    assert tiles[0].area[0].stop > 140
    assert tiles[0].area[1].start < 20


def test_the_scores_of_a_tile_are_there_when_it_is_reported_and_the_rest_is_background():
    image = squares((5, 5), (30, 40))
    settings, instances = SegmentationSettings(tile_px=16), CELLS.description.instances
    report = next(iterate_planes(image, CELLS, settings=settings, instances=instances))

    assert report.plane.part(report.area).area == report.area
    cells = report.plane.labels(instances)
    assert (cells[report.area] > 0).sum() == 11 * 11
    assert (cells > 0).sum() == 11 * 11


def test_cells_are_made_again_from_kept_scores_with_other_settings():
    image = squares((5, 5), (30, 40), size=12)
    image[30:34, 10:14] = 200
    plane = plane_reports(image, CELLS)[-1].plane
    few = replace(CELLS.description.instances, min_size_px=100)

    assert plane.labels(replace(few, min_size_px=1)).max() == 3
    again = plane.labels(few)
    np.testing.assert_array_equal(again, segment(image, CELLS, instances=few).labels)


@pytest.mark.parametrize("diameter_px", [None, 13.0, 31.0])
def test_part_of_the_scores_makes_the_cells_of_that_part(diameter_px):
    image = squares((5, 5), (30, 40), (60, 90), shape=(100, 140))
    plane = plane_reports(image, CELLS, diameter_px=diameter_px)[-1].plane
    whole = plane.labels(CELLS.description.instances)

    part = plane.part((slice(25, 60), slice(25, 70)), margin_px=2)
    cells = part.labels(CELLS.description.instances)

    assert cells.shape == tuple(ends.stop - ends.start for ends in part.area)
    np.testing.assert_array_equal(cells > 0, whole[part.area] > 0)
    assert cells.max() == 1
