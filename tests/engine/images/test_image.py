"""Channels, intensities and sizes."""

import itertools
from collections import Counter

import dask.array
import numpy as np
import pytest
from dask.array.core import normalize_chunks
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from skimage.transform import resize

from napari_unet.engine.base.errors import ImageShapeError, ImageValueError, SettingsError
from napari_unet.engine.images import pixels as pixels_module
from napari_unet.engine.images.image import channels_first
from napari_unet.engine.images.normalization import (
    KINDS,
    IntensityScaling,
    Percentiles,
    TypeRange,
    ZeroMean,
    normalization_from_json,
)
from napari_unet.engine.images.resampling import ZoomedSource, restore_scores
from napari_unet.engine.images.source import ImageSource, open_image

PERCENTILE = Percentiles()
RAW = TypeRange()
GREY = {"ndim": 2, "in_channels": 1, "normalization": RAW}


def whole(source):
    return source.read((slice(None),) * len(source.shape))


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "float32", "bool"])
def test_percentiles_are_numpys_for_every_dtype(dtype):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 2 if dtype == "bool" else 120, (53, 61)).astype(dtype)
    low, high = np.percentile(image.astype(float), (1, 99.8))
    scaling = PERCENTILE.measure(image)
    assert scaling.offset == pytest.approx(low, abs=1e-6)
    assert 1 / scaling.scale == pytest.approx(high - low, rel=1e-6)


@pytest.mark.parametrize(
    "dtype", ["uint8", "uint16", "int16", "int32", ">u2", "float32", "float64"]
)
def test_percentiles_of_an_image_in_many_pieces_are_numpys(monkeypatch, dtype):
    monkeypatch.setattr(pixels_module, "_PART_PIXELS", 1000)
    monkeypatch.setattr(pixels_module, "_PIECE_PIXELS", 300)
    values = np.random.default_rng(1).lognormal(3, 1, size=(90, 110))
    image = (values - 20 * (np.dtype(dtype).kind != "u")).astype(dtype)
    low, high = np.percentile(image.astype(float), (1, 99.8))
    scaling = PERCENTILE.measure(image)
    assert scaling.offset == pytest.approx(low, rel=1e-12)
    assert 1 / scaling.scale == pytest.approx(high - low, rel=1e-12)


@settings(deadline=None, max_examples=100)
@given(
    npst.arrays(
        st.sampled_from([np.float32, np.float64, np.float16, np.int32, np.int64, np.uint64, bool]),
        st.integers(1, 60),
    ).filter(lambda values: np.isfinite(values).all()),
    st.integers(0, 1000),
    st.sampled_from([1, 7, 1000]),
)
def test_value_at_a_place_is_that_of_the_sorted_pixels(values, place, piece):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pixels_module, "_PIECE_PIXELS", piece)
        ranks = sorted({0, place % values.size, values.size - 1})
        found = pixels_module.values_at(values, ranks)
    assert [found[rank] for rank in ranks] == [float(np.sort(values)[rank]) for rank in ranks]


def test_percentiles_of_a_large_float_image_do_not_overflow():
    # 2200 x 2200 pixels: more than one part, and than are put in order at once.
    image = np.random.default_rng(0).random((2200, 2200), dtype=np.float32) * 200
    scaling = PERCENTILE.measure(image)
    assert scaling.offset == pytest.approx(2, rel=0.01)
    assert 1 / scaling.scale == pytest.approx(197.6, rel=0.001)


def test_zero_mean_is_exact_on_an_image_with_a_large_offset(monkeypatch):
    monkeypatch.setattr(pixels_module, "_PIECE_PIXELS", 64)
    image = 1e6 + np.random.default_rng(2).normal(size=(40, 40))
    scaling = ZeroMean().measure(image)
    assert scaling.offset == pytest.approx(image.mean(), rel=1e-12)
    assert 1 / scaling.scale == pytest.approx(image.std(), rel=1e-9)


def test_no_normalisation_maps_integers_to_their_range():
    assert RAW.measure(np.zeros((2, 2), np.uint16)) == IntensityScaling(0, 1 / 65535)
    assert RAW.measure(np.zeros((2, 2), np.float32)) == IntensityScaling(0, 1)


def test_constant_image_becomes_all_zeros():
    source = open_image(np.full((4, 4), 7, np.uint8), **{**GREY, "normalization": PERCENTILE})
    assert not whole(source).any()


def test_sparse_bright_pixels_still_set_the_range():
    image = np.zeros((100, 100), np.uint8)
    image[0, 0] = 200
    scaling = PERCENTILE.measure(image)
    assert scaling == IntensityScaling(0, 1 / 200)


def test_crop_agrees_with_the_whole_image_when_asked_to():
    image = np.random.default_rng(3).integers(0, 4000, (80, 80)).astype(np.uint16)
    options = {**GREY, "normalization": PERCENTILE}
    crop = open_image(image[20:40, 30:60], intensity_reference=image, **options)
    assert np.array_equal(whole(crop)[0], whole(open_image(image, **options))[0, 20:40, 30:60])


def test_thirty_two_bit_images_keep_their_low_bits():
    image = np.array([[2**30, 2**30 + 1, 2**30 + 3]], np.uint32)
    source = open_image(image, **{**GREY, "normalization": Percentiles(0, 100)})
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


def test_zoomed_pixels_lie_between_their_neighbours():
    source = ImageSource(np.array([[[0, 40]]], np.uint8), 1, IntensityScaling(0, 0.1))
    zoomed = ZoomedSource(source, (2, 2))
    assert zoomed.shape == (2, 4)
    assert np.allclose(whole(zoomed), [[[1, 1, 3, 3]] * 2])


@pytest.mark.parametrize("zoom", [0.07, 0.3, 0.5, 0.83, 1.0, 1.4, 2.0, 5.0])
@pytest.mark.parametrize("shape", [(64, 51), (1, 9), (2, 3), (9, 14, 11)])
def test_zoomed_image_is_that_of_scikit_image(zoom, shape):
    image = np.random.default_rng(0).integers(0, 4000, (2, *shape)).astype(np.uint16)
    source = ImageSource(image, 2, IntensityScaling(100, 1 / 1000))
    zoomed = ZoomedSource(source, (zoom,) * len(shape))
    expected = [
        resize(
            plane.astype(np.float64),
            zoomed.shape,
            order=1,
            mode="reflect",
            anti_aliasing=zoom < 1,
            preserve_range=True,
        )
        for plane in image
    ]
    assert whole(zoomed).dtype == np.float32
    assert np.allclose(whole(zoomed), (np.array(expected) - 100) / 1000, atol=1e-5)


@settings(deadline=None, max_examples=60)
@given(
    shape=st.one_of(st.tuples(*[st.integers(1, 40)] * 2), st.tuples(*[st.integers(1, 12)] * 3)),
    zooms=st.tuples(*[st.floats(0.05, 6)] * 3),
    data=st.data(),
)
def test_part_of_a_zoomed_image_is_that_part_of_the_whole(shape, zooms, data):
    zooms = zooms[: len(shape)]
    image = np.random.default_rng(0).random((1, *shape), dtype=np.float32)
    zoomed = ZoomedSource(ImageSource(image, 1, IntensityScaling(0, 1)), zooms)
    region = []
    for n in zoomed.shape:
        start = data.draw(st.integers(0, n - 1))
        region.append(slice(start, data.draw(st.integers(start + 1, n))))
    expected = whole(zoomed)[(slice(None), *region)]
    assert np.array_equal(zoomed.read(tuple(region)), expected)


def test_resized_scores_stay_between_their_neighbours():
    scores = np.stack([np.zeros((4, 4)), np.ones((4, 4))]).astype(np.float32)
    restored = restore_scores(scores, (7, 9))
    assert restored.shape == (2, 7, 9)
    assert np.allclose(restored[0], 0)
    assert np.allclose(restored[1], 1)


@pytest.mark.parametrize("shape", [(30, 41), (1, 7), (70, 90), (8, 20, 9)])
def test_restored_scores_are_those_of_scikit_image(shape):
    scores = np.random.default_rng(0).random((2, 40, 33), dtype=np.float32)
    if len(shape) == 3:
        scores = scores.reshape(2, 10, 12, 11)
    expected = [resize(plane, shape, order=1, mode="edge", anti_aliasing=False) for plane in scores]
    restored = restore_scores(scores, shape)
    assert restored.dtype == np.float32
    assert np.allclose(restored, expected, atol=1e-6)


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
    source = open_image(image, ndim=2, in_channels=1, normalization=KINDS[kind]())
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
        (np.zeros((2, 3, 8, 8)), ImageShapeError, r"Segment every slice \(every_slice=True\)"),
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
        Percentiles(90, 10)
    with pytest.raises(SettingsError, match="use 'percentile', 'zero-mean', 'none' or 'raw'"):
        normalization_from_json({"kind": "histogram"})


class LazyImage:
    """A dask array of random pixels that notes which of its blocks are computed."""

    def __init__(self, shape, chunks, dtype):
        random = np.random.default_rng(0)
        self.pixels = random.lognormal(4, 1, shape).astype(dtype)
        self.read = []
        self.array = dask.array.map_blocks(
            self._block, chunks=normalize_chunks(chunks, shape), dtype=dtype, meta=self.pixels[:0]
        )

    def _block(self, block_info):
        info = block_info[None]
        self.read.append(info["chunk-location"])
        return self.pixels[tuple(slice(*ends) for ends in info["array-location"])]

    def passes(self):
        """How often every block was read; they are read equally often."""
        counts = Counter(self.read)
        assert len(counts) == self.array.npartitions
        assert len(set(counts.values())) == 1
        return next(iter(counts.values()))


@pytest.mark.parametrize(
    ("dtype", "kind", "passes"),
    [
        ("uint8", "percentile", 1),
        ("uint16", "percentile", 1),
        ("float32", "percentile", 2),
        ("float32", "zero-mean", 1),
        ("float32", "none", 1),
    ],
)
@pytest.mark.parametrize("part", [100, 4000, 10**6])
def test_lazy_image_is_measured_block_by_block(monkeypatch, dtype, kind, passes, part):
    monkeypatch.setattr(pixels_module, "_PART_PIXELS", part)
    monkeypatch.setattr(pixels_module, "_PIECE_PIXELS", 500)
    lazy = LazyImage((100, 230), (30, 50), dtype)
    options = {"ndim": 2, "in_channels": 1, "normalization": KINDS[kind]()}
    source = open_image(lazy.array, **options)
    assert lazy.passes() == passes
    expected = open_image(lazy.pixels, **options)
    assert source.scaling.offset == pytest.approx(expected.scaling.offset)
    assert source.scaling.scale == pytest.approx(expected.scaling.scale)


def test_large_blocks_are_read_one_after_the_other(monkeypatch):
    monkeypatch.setattr(pixels_module, "_PART_PIXELS", 1000)
    monkeypatch.setattr(pixels_module, "_PIECE_PIXELS", 400)
    lazy = LazyImage((100, 230), (30, 50), "uint16")
    pieces = []

    def look(part):
        for piece in part:
            pieces.append(piece.size)
            blocks_begun = [sum(pieces[:-1]) >= 30 * 230 * row for row in range(4)]
            assert lazy.read[-1][0] == sum(blocks_begun) - 1

    for _ in pixels_module.surveyed(lazy.array, look):
        pass
    assert lazy.read == sorted(lazy.read)
    assert max(pieces) == 400
    assert sum(pieces) == 100 * 230


def test_only_the_blocks_of_a_region_are_read():
    lazy = LazyImage((100, 230), (30, 50), "uint16")
    source = ImageSource(channels_first(lazy.array, ndim=2), 1, IntensityScaling(0, 1))
    pixels = source.read((slice(20, 40), slice(110, 120)))
    assert np.array_equal(pixels[0], lazy.pixels[20:40, 110:120])
    assert sorted(lazy.read) == [(0, 2), (1, 2)]
    lazy.read.clear()
    ZoomedSource(source, (0.5, 0.5)).read((slice(20, 24), slice(80, 81)))
    assert sorted(lazy.read) == [(1, 3)]


def test_lazy_channels_and_slices_stay_lazy():
    lazy = LazyImage((40, 60, 3), (20, 20, 3), "uint8")
    colours = channels_first(lazy.array, ndim=2)
    stack = channels_first(lazy.array, ndim=2, channel_axis=0)
    assert lazy.read == []
    assert colours.shape == (3, 40, 60)
    assert stack.shape == (40, 60, 3)
    source = open_image(lazy.array, ndim=2, in_channels=1, normalization=PERCENTILE)
    assert lazy.passes() == 1
    expected = open_image(lazy.pixels, ndim=2, in_channels=1, normalization=PERCENTILE)
    assert np.allclose(whole(source), whole(expected))


def test_bad_pixels_of_a_lazy_image_are_counted_over_all_blocks():
    image = np.zeros((60, 60), np.float32)
    image[[3, 50], [50, 3]] = np.nan
    lazy = dask.array.from_array(image, chunks=(20, 30))
    for kind in ("percentile", "zero-mean", "none"):
        with pytest.raises(ImageValueError, match="2 of 3600 pixels are NaN"):
            open_image(lazy, **{**GREY, "normalization": KINDS[kind]()})


def test_pixels_that_do_not_set_the_intensities_are_checked_too():
    bad = np.full((4, 4), np.nan, np.float32)
    good = np.ones((8, 8), np.float32)
    for image, reference in ((bad, good), (good, bad)):
        with pytest.raises(ImageValueError, match="16 of 16"):
            open_image(
                image, intensity_reference=reference, **{**GREY, "normalization": PERCENTILE}
            )


class ChunkedFile:
    """What zarr and h5py show of an array in a file."""

    chunks = (32, 20)
    dtype = np.dtype("uint16")
    shape, ndim, size = (70, 90), 2, 6300

    def __init__(self):
        self.regions = []

    def __getitem__(self, region):
        self.regions.append(region)
        return np.ones([len(range(*p.indices(n))) for p, n in zip(region, self.shape, strict=True)])


def test_array_in_a_file_is_read_along_its_chunks(monkeypatch):
    monkeypatch.setattr(pixels_module, "_PART_PIXELS", 2000)
    image = ChunkedFile()
    for _ in pixels_module.surveyed(image, list):
        pass
    rows = [slice(0, 32), slice(32, 64), slice(64, 70)]
    columns = [slice(0, 60), slice(60, 90)]
    assert image.regions == list(itertools.product(rows, columns))


def test_channels_are_measured_apart_where_that_is_asked_for():
    image = np.array([[[0, 10]], [[100, 300]]], np.uint16)  # (C, 1, 2)
    normalization = Percentiles(0, 100, per_channel=True)
    source = open_image(image, ndim=2, in_channels=2, normalization=normalization, channel_axis=0)
    assert source.scaling == IntensityScaling((0, 100), (1 / 10, 1 / 200))
    assert source.read((slice(0, 1), slice(0, 2))).tolist() == [[[0, 1]], [[0, 1]]]
    crop = open_image(
        image[..., 1:], ndim=2, in_channels=2, normalization=normalization, channel_axis=0,
        intensity_reference=image,
    )  # fmt: skip
    assert crop.read((slice(0, 1), slice(0, 1))).tolist() == [[[1]], [[1]]]


def test_channels_that_become_one_are_measured_together():
    image = np.array([[[0, 0, 10], [0, 0, 20]]], np.uint8)  # RGB
    normalization = Percentiles(0, 100, per_channel=True)
    source = open_image(image, ndim=2, in_channels=1, normalization=normalization)
    assert source.scaling == IntensityScaling(0, 1 / 20)


def test_epsilon_widens_the_range_and_a_constant_image_stays_zero():
    image = np.array([[0.0, 3.0]])
    normalization = Percentiles(0, 100, epsilon=1.0)
    assert normalization.measure(image) == IntensityScaling(0, 1 / 4)
    assert normalization.measure(np.ones((2, 2))).is_constant
    with pytest.raises(SettingsError, match="epsilon is -1"):
        Percentiles(epsilon=-1)


@pytest.mark.parametrize("channels", [1, 2])
def test_slice_of_a_stack_is_measured_on_the_channels_in_front_of_it(channels):
    stack = np.stack([np.linspace(0, 10 * 10**n, 24).reshape(3, 2, 4) for n in range(channels)])
    options = {
        "ndim": 2,
        "in_channels": channels,
        "normalization": Percentiles(0, 100, per_channel=True),
    }
    source = open_image(stack[:, 0], channel_axis=0, intensity_reference=stack, **options)
    scales = tuple(1 / (10 * 10**n) for n in range(channels))
    assert source.scaling.scale == pytest.approx(scales if channels > 1 else scales[0])


def test_reference_without_the_channels_of_the_image_is_refused():
    stack = np.zeros((2, 3, 5, 6), np.uint8)  # slices in front
    stack[..., 0] = 1
    options = {"ndim": 2, "in_channels": 3, "normalization": Percentiles(0, 100, per_channel=True)}
    with pytest.raises(ImageShapeError, match="the image 3 channels, each with a range of its own"):
        open_image(stack[0], channel_axis=0, intensity_reference=stack, **options)
