"""Channels, intensities and sizes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from napari_unet.engine import image as image_module
from napari_unet.engine.errors import ImageShapeError, ImageValueError, SettingsError
from napari_unet.engine.image import (
    IntensityScaling,
    Normalization,
    channels_first,
    measure_intensity,
    open_image,
    resize_channels,
    restore_labels,
    restore_scores,
)

PERCENTILE = Normalization()
RAW = Normalization("none")
GREY = {"ndim": 2, "in_channels": 1, "normalization": RAW}


def whole(source):
    return source.read((slice(None),) * len(source.shape))


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "float32", "bool"])
def test_percentiles_are_numpys_for_every_dtype(dtype):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 2 if dtype == "bool" else 120, (53, 61)).astype(dtype)
    low, high = np.percentile(image.astype(float), (1, 99.8))
    scaling = measure_intensity(image, PERCENTILE)
    assert scaling.offset == pytest.approx(low, abs=1e-6)
    assert 1 / scaling.scale == pytest.approx(high - low, rel=1e-6)


def test_percentiles_of_a_large_float_image_need_no_sorting(monkeypatch):
    monkeypatch.setattr(image_module, "_CHUNK_PIXELS", 1000)
    image = np.random.default_rng(1).lognormal(size=(90, 110)).astype(np.float32)
    low, high = np.percentile(image.astype(float), (1, 99.8))
    scaling = measure_intensity(image, PERCENTILE)
    spread = float(np.ptp(image))
    neighbour_gap = np.diff(np.sort(image.ravel())).max()
    assert abs(scaling.offset - low) < 1e-3 * spread
    assert abs(1 / scaling.scale - (high - low)) <= neighbour_gap


def test_zero_mean_is_exact_on_an_image_with_a_large_offset(monkeypatch):
    monkeypatch.setattr(image_module, "_CHUNK_PIXELS", 64)
    image = 1e6 + np.random.default_rng(2).normal(size=(40, 40))
    scaling = measure_intensity(image, Normalization("zero-mean"))
    assert scaling.offset == pytest.approx(image.mean(), rel=1e-12)
    assert 1 / scaling.scale == pytest.approx(image.std(), rel=1e-9)


def test_no_normalisation_maps_integers_to_their_range():
    assert measure_intensity(np.zeros((2, 2), np.uint16), RAW) == IntensityScaling(0, 1 / 65535)
    assert measure_intensity(np.zeros((2, 2), np.float32), RAW) == IntensityScaling(0, 1)


def test_constant_image_becomes_all_zeros():
    source = open_image(np.full((4, 4), 7, np.uint8), **{**GREY, "normalization": PERCENTILE})
    assert not whole(source).any()


def test_sparse_bright_pixels_still_set_the_range():
    image = np.zeros((100, 100), np.uint8)
    image[0, 0] = 200
    scaling = measure_intensity(image, PERCENTILE)
    assert scaling == IntensityScaling(0, 1 / 200)


def test_crop_agrees_with_the_whole_image_when_asked_to():
    image = np.random.default_rng(3).integers(0, 4000, (80, 80)).astype(np.uint16)
    options = {**GREY, "normalization": PERCENTILE}
    crop = open_image(image[20:40, 30:60], intensity_reference=image, **options)
    assert np.array_equal(whole(crop)[0], whole(open_image(image, **options))[0, 20:40, 30:60])


def test_thirty_two_bit_images_keep_their_low_bits():
    image = np.array([[2**30, 2**30 + 1, 2**30 + 3]], np.uint32)
    source = open_image(image, **{**GREY, "normalization": Normalization("percentile", 0, 100)})
    assert np.allclose(whole(source)[0], [[0, 1 / 3, 1]])


def test_grey_is_repeated_and_colour_becomes_grey():
    grey = np.array([[0.0, 1.0]], np.float32)
    source = open_image(grey, ndim=2, in_channels=3, normalization=RAW)
    assert np.array_equal(whole(source), [grey] * 3)
    colour = np.zeros((1, 2, 3), np.float32)
    colour[0, 0], colour[0, 1] = (1, 0, 0), (0, 1, 0)
    assert np.allclose(whole(open_image(colour, **GREY))[0], [[0.299, 0.587]])


def test_alpha_changes_nothing():
    colour = np.random.default_rng(4).integers(0, 100, (5, 6, 3)).astype(np.uint8)
    alpha = np.dstack([colour, np.full((5, 6), 255, np.uint8)])
    for channels in (1, 3):
        options = {"ndim": 2, "in_channels": channels, "normalization": PERCENTILE}
        assert np.array_equal(
            whole(open_image(alpha, **options)), whole(open_image(colour, **options))
        )


def test_named_channel_axis_comes_first_without_a_copy():
    image = np.zeros((2, 8, 9), np.uint8)
    view = channels_first(image, ndim=2, channel_axis=0)
    assert view.shape == (2, 8, 9)
    assert np.shares_memory(view, image)
    assert channels_first(np.zeros((8, 9, 2)), ndim=2, channel_axis=-1).shape == (2, 8, 9)


def test_channels_are_resized_by_a_factor():
    resized = resize_channels(np.ones((2, 10, 21), np.uint8), 0.5)
    assert resized.shape == (2, 5, 10)
    assert np.allclose(resized, 1)


def test_resized_labels_come_back_to_their_pixels():
    labels = np.array([[1, 1, 2], [0, 3, 3]])
    large = np.kron(labels, np.ones((4, 4), int))
    assert np.array_equal(restore_labels(large, (2, 3)), labels)
    assert np.array_equal(restore_labels(labels, (8, 12)), large)


def test_resized_scores_stay_between_their_neighbours():
    scores = np.stack([np.zeros((4, 4)), np.ones((4, 4))]).astype(np.float32)
    restored = restore_scores(scores, (7, 9))
    assert restored.shape == (2, 7, 9)
    assert np.allclose(restored[0], 0)
    assert np.allclose(restored[1], 1)


@settings(deadline=None, max_examples=60)
@given(
    image=npst.arrays(
        st.sampled_from([np.uint8, np.int16, np.float64]),
        st.tuples(st.integers(1, 9), st.integers(1, 9)),
        elements=st.integers(0, 100),
    ),
    kind=st.sampled_from(["percentile", "zero-mean", "none"]),
)
def test_every_finite_image_normalises_to_finite_float32(image, kind):
    source = open_image(image, ndim=2, in_channels=1, normalization=Normalization(kind))
    values = whole(source)
    assert values.dtype == np.float32
    assert values.shape == (1, *image.shape)
    assert np.isfinite(values).all()


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (np.array([[0.0, np.nan]]), ImageValueError, "1 of 2 pixels are NaN or infinite; replace"),
        (np.array([[0.0, -np.inf]]), ImageValueError, "NaN or infinite"),
        (np.zeros((0, 5)), ImageShapeError, r"shape \(0, 5\) and no pixels"),
        (np.zeros((3, 3), complex), ImageValueError, r"complex128.*np.abs\(image\)"),
        (np.zeros((3, 3), object), ImageValueError, r"dtype object.*astype\('float32'\)"),
        (np.zeros(5), ImageShapeError, "at least 2 axes"),
        (np.zeros((30, 8, 8)), ImageShapeError, "Segment every slice"),
        (np.zeros((2, 3, 8, 8)), ImageShapeError, "Choose the planes"),
    ],
)
def test_images_that_cannot_be_read_are_answered_with_one_sentence(image, error, message):
    with pytest.raises(error, match=message):
        open_image(image, **GREY)


def test_wrong_number_of_channels_names_both():
    with pytest.raises(ImageShapeError, match="has 2 channels; this model reads 1"):
        open_image(np.zeros((2, 8, 8)), channel_axis=0, **GREY)
    with pytest.raises(ImageShapeError, match="with channels on axis 5 it needs 3 axes"):
        open_image(np.zeros((2, 8, 8)), channel_axis=5, **GREY)


def test_impossible_normalisation_is_refused():
    with pytest.raises(SettingsError, match="low one must be below"):
        Normalization("percentile", 90, 10)
    with pytest.raises(SettingsError, match="use 'percentile', 'zero-mean' or 'none'"):
        Normalization("histogram")
