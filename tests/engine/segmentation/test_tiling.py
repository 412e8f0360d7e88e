import gc
import weakref

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from known_networks import randomised

from napari_unet.engine.base.errors import CheckpointError, DeviceError, SettingsError
from napari_unet.engine.images.normalization import IntensityScaling
from napari_unet.engine.images.source import ImageSource
from napari_unet.engine.networks.unet import UNet, UNetConfig
from napari_unet.engine.segmentation.bands import BandedUNet
from napari_unet.engine.segmentation.tiling import (
    AxisTile,
    automatic_tile_px,
    axis_tile,
    predict_tiles,
    read_mirrored,
    split_axis,
)

CPU = torch.device("cpu")


def source_of(image):
    return ImageSource(image[np.newaxis], 1, IntensityScaling(0.0, 1.0))


def random_image(*shape):
    return np.random.default_rng(0).random(shape, dtype=np.float32)


def whole_image_scores(unet, image):
    """The definition: one plain forward of the mirrored image."""
    config = unet.config
    padding = []
    for axis, n in enumerate(image.shape):
        along = config.along(axis)
        margin = along.size_loss_px // 2
        padding.append((margin, along.valid_input_size(n) - margin - n))
    x = torch.from_numpy(np.pad(image, padding, mode="reflect"))[None, None]
    with torch.no_grad():
        scores = torch.softmax(unet(x), dim=1)[0].numpy()
    return scores[(slice(None), *(slice(0, n) for n in image.shape))]


def tiled_scores(unet, image, **options):
    """Assemble all tiles; every pixel must come exactly once."""
    scores = np.full((unet.config.classes, *image.shape), np.nan, np.float32)
    for tile in predict_tiles(source_of(image), BandedUNet(unet.fused(CPU)), **options):
        assert np.isnan(scores[(slice(None), *tile.region)]).all()
        scores[(slice(None), *tile.region)] = tile.scores
    return scores


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_tiled_scores_are_those_of_the_whole_image(data):
    ndim = data.draw(st.sampled_from([2, 2, 3]))
    depth = data.draw(st.integers(1, 5 - ndim))
    config = UNetConfig(
        ndim=ndim,
        classes=3,
        base_width=2,
        depth=depth,
        flat_levels=data.draw(st.integers(0, depth if ndim == 3 else 0)),
        padding=data.draw(st.sampled_from(["same", "valid"])),
        up=data.draw(st.sampled_from(["transposed", "interpolate"])),
        batch_norm=data.draw(st.booleans()),
    )
    unet = randomised(config)
    longest = 150 if ndim == 2 else 30
    image = random_image(*(data.draw(st.integers(1, longest)) for _ in range(ndim)))
    tile_px = data.draw(st.integers(16 if ndim == 2 else 8, longest))
    tiled = tiled_scores(unet, image, tile_px=tile_px)
    np.testing.assert_allclose(tiled, whole_image_scores(unet, image), rtol=0, atol=1e-5)


def in_whole_numbers(config):
    """A network whose sums are exact in any order, in float64: its weights are -1, 0 and 1."""
    torch.manual_seed(0)
    unet = UNet(config).double().eval()
    for name, weight in unet.state_dict().items():
        weight.copy_(torch.randint(0 if name.endswith("bias") else -1, 2, weight.shape))
    return unet


@pytest.mark.parametrize("up", ["transposed", "interpolate"])
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("flat_levels", [0, 1, 2])
def test_tiles_of_a_volume_are_the_whole_to_the_bit(flat_levels, padding, up):
    config = UNetConfig(
        ndim=3, base_width=2, depth=2, flat_levels=flat_levels, padding=padding, up=up,
        batch_norm=False,
    )  # fmt: skip
    unet = in_whole_numbers(config)
    image = np.random.default_rng(0).integers(0, 4, (11, 29, 22)).astype(np.float32)
    padding_px = []
    for axis, n in enumerate(image.shape):
        along = config.along(axis)
        margin = along.size_loss_px // 2
        padding_px.append((margin, along.valid_input_size(n) - margin - n))
    with torch.no_grad():
        x = torch.from_numpy(np.pad(image, padding_px, mode="reflect"))[None, None].double()
        logits = unet(x)[0].float()[(..., *(slice(0, n) for n in image.shape))]
        expected = torch.softmax(logits, dim=0).numpy()
    assert np.unique(expected).size > 2

    network = BandedUNet(unet.fused(CPU, torch.float64), band_values=500)
    tiles = list(predict_tiles(source_of(image), network, tile_px=8))

    assert len(tiles) > 8
    for tile in tiles:
        np.testing.assert_array_equal(tile.scores, expected[(slice(None), *tile.region)])


def test_slices_that_are_never_pooled_need_little_context():
    flat, cubic = (UNetConfig(ndim=3, depth=3, flat_levels=n) for n in (3, 0))
    # Along Z only the two convolutions of the lowest level read beyond a slice.
    assert axis_tile(flat.along(0), 20, 5, 6) == AxisTile((3, 8), (2, 2))
    assert axis_tile(cubic.along(0), 320, 160, 168) == AxisTile((112, 216), (48, 48))
    assert axis_tile(flat.along(1), 320, 160, 168) == AxisTile((112, 216), (48, 48))


@pytest.mark.parametrize("shape", [(1, 1), (1, 200), (100, 100), (321, 257)])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_deep_network_is_exact_at_odd_sizes(shape, padding):
    unet = randomised(UNetConfig(base_width=2, depth=4, padding=padding))
    image = random_image(*shape)
    tiled = tiled_scores(unet, image, tile_px=96)
    np.testing.assert_allclose(tiled, whole_image_scores(unet, image), rtol=0, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_gpu_gives_the_scores_of_the_cpu(dtype):
    unet = randomised(UNetConfig(base_width=4, depth=4))
    image = random_image(300, 200)
    network = BandedUNet(unet.fused(torch.device("cuda"), dtype))
    scores = np.empty((2, *image.shape), np.float32)
    for tile in predict_tiles(source_of(image), network, tile_px=96):
        scores[(slice(None), *tile.region)] = tile.scores
    tolerance = 1e-3 if dtype == torch.float32 else 2e-2
    np.testing.assert_allclose(scores, whole_image_scores(unet, image), rtol=0, atol=tolerance)


def test_classic_tile_reads_572_pixels_for_388():
    config = UNetConfig(padding="valid")
    tile = axis_tile(config, 388, 0, 388)
    assert tile.read == (-92, 480)
    assert tile.crop == (0, 0)


def test_padded_tile_ends_at_the_image_border_and_overlaps_inside():
    config = UNetConfig(depth=4)
    assert axis_tile(config, 1000, 0, 512).read == (0, 608)  # a halo of 96 on the inside
    last = axis_tile(config, 1000, 512, 1000)
    assert last.read == (416, 1008)  # 1000 pixels mirrored up to the next multiple of 16
    assert last.crop == (96, 8)


@given(size=st.integers(1, 3000), tile_px=st.integers(1, 64), multiple=st.sampled_from([2, 16]))
def test_pieces_cover_an_axis_once_and_start_at_multiples(size, tile_px, multiple):
    tile_px *= multiple
    pieces = split_axis(size, tile_px, multiple)
    assert [start for start, _ in pieces] == [0, *(stop for _, stop in pieces[:-1])]
    assert pieces[-1][1] == size
    assert all(start % multiple == 0 and 0 < stop - start <= tile_px for start, stop in pieces)


def test_mirrored_pixels_do_not_repeat_the_border():
    image = np.array([[0, 1, 2]], np.float32)
    row = read_mirrored(source_of(image), [(0, 1), (-2, 6)])[0, 0]
    assert row.tolist() == [2, 1, 0, 1, 2, 1, 0, 1]
    # Further out than the image is long, and across an axis of one pixel.
    far = read_mirrored(source_of(image), [(-3, 2), (-5, -1)])[0]
    assert far.tolist() == [[1, 0, 1, 2]] * 5


class RecordingImage(np.ndarray):
    """Remembers how many pixels each reading took."""

    readings = []  # noqa: RUF012 - one list for the views, too

    def __getitem__(self, key):
        part = super().__getitem__(key)
        if isinstance(part, np.ndarray):
            self.readings.append(part.shape)
        return part


def test_no_more_is_read_than_a_tile_and_its_halo():
    unet = randomised(UNetConfig(base_width=2, depth=2))
    image = random_image(400, 300).view(RecordingImage)[np.newaxis]
    image.readings.clear()
    source = ImageSource(image, 1, IntensityScaling(0.0, 1.0))
    for _ in predict_tiles(source, BandedUNet(unet.fused(CPU)), tile_px=64):
        pass
    longest = 64 + 2 * unet.config.halo_px
    assert len(image.readings) == 7 * 5
    assert all(max(shape) <= longest for shape in image.readings)


class StubNetwork:
    """Even scores; fails or overflows where a test wants it to."""

    device, dtype = CPU, torch.float32

    def __init__(self, *, most_px=10**6, error=None, value=0.0, dtype=torch.float32):
        self.config = UNetConfig(base_width=1, depth=2, batch_norm=False)
        self.most_px, self.error, self.value, self.dtype = most_px, error, value, dtype
        self.released = 0

    def __call__(self, x, *, crops):
        sizes = [n - low - high for n, (low, high) in zip(x.shape[2:], crops, strict=True)]
        if max(sizes) > self.most_px:
            raise self.error
        return torch.full((1, 2, *sizes), self.value)

    def memory_bytes(self, sizes):
        return 100 * int(np.prod(sizes))

    def release_memory(self):
        self.released += 1


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
        RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"),
        MemoryError(),
    ],
)
def test_out_of_memory_halves_the_tile_and_goes_on(error):
    network = StubNetwork(most_px=40, error=error)
    covered = np.zeros((200, 130), int)
    tiles = list(predict_tiles(source_of(random_image(200, 130)), network, tile_px=128))
    for tile in tiles:
        covered[tile.region] += 1
    assert (covered == 1).all()
    assert {(tile.tile_px, tile.halvings) for tile in tiles} == {(32, 2)}
    assert network.released == 2
    assert [tile.done for tile in tiles] == list(range(1, len(tiles) + 1))
    assert tiles[-1].total == len(tiles)


def test_tiles_that_are_done_when_memory_runs_out_are_kept():
    network = StubNetwork(error=MemoryError())
    tiles = predict_tiles(source_of(random_image(64, 128)), network, tile_px=64)
    first = next(tiles)
    network.most_px = 32
    others = list(tiles)
    assert first.region == (slice(0, 64), slice(0, 64))
    assert len(others) == 4
    assert all(tile.region[1].start >= 64 for tile in others)


def test_smallest_tile_that_does_not_fit_is_said_plainly():
    network = StubNetwork(most_px=0, error=MemoryError())
    with pytest.raises(DeviceError, match=r"not enough memory on cpu.*4 pixels; close"):
        list(predict_tiles(source_of(random_image(64, 64)), network, tile_px=64))


def test_other_errors_are_not_taken_for_lack_of_memory():
    network = StubNetwork(most_px=0, error=RuntimeError("expected 3 channels"))
    with pytest.raises(RuntimeError, match="expected 3 channels"):
        list(predict_tiles(source_of(random_image(64, 64)), network))


def test_half_precision_overflow_is_redone_in_float32_and_reported():
    half = StubNetwork(value=float("nan"), dtype=torch.float16)
    tiles = list(
        predict_tiles(
            source_of(random_image(64, 128)), half, tile_px=64, in_float32=lambda: StubNetwork()
        )
    )
    assert [tile.overflowed for tile in tiles] == [True, True]
    assert all((tile.scores == 0.5).all() for tile in tiles)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_scores_that_are_no_numbers_are_never_returned(dtype):
    broken = StubNetwork(value=float("nan"), dtype=dtype)
    with pytest.raises(CheckpointError, match=r"not numbers, even in float32.*Try another model"):
        next(predict_tiles(source_of(random_image(8, 8)), broken, in_float32=lambda: broken))


def test_stopping_in_the_middle_computes_no_further_tile_and_leaves_nothing():
    calls = []

    class Counting(StubNetwork):
        def __call__(self, x, *, crops):
            calls.append(x.shape)
            return super().__call__(x, crops=crops)

    network = Counting()
    gone = weakref.ref(network)
    tiles = predict_tiles(source_of(random_image(256, 256)), network, tile_px=64)
    next(tiles)
    next(tiles)
    tiles.close()
    del tiles, network
    gc.collect()
    assert len(calls) == 2
    assert gone() is None


def test_tile_length_of_zero_is_refused():
    with pytest.raises(SettingsError, match="tile is 0 pixels long; use 1 or more"):
        next(predict_tiles(source_of(random_image(8, 8)), StubNetwork(), tile_px=0))


def test_automatic_tile_follows_the_free_memory():
    network = StubNetwork()
    halo = 2 * network.config.halo_px
    plenty = automatic_tile_px(network, (4096, 4096), free_bytes=1 << 40)
    little = automatic_tile_px(network, (4096, 4096), free_bytes=20_000_000)
    nothing = automatic_tile_px(network, (4096, 4096), free_bytes=0)
    assert plenty == 1024  # more would only make Stop slower
    assert 2 * network.memory_bytes((little + halo,) * 2) <= 20_000_000
    assert 2 * network.memory_bytes((little + 4 + halo,) * 2) > 20_000_000
    assert nothing == 4  # the least there is: then memory decides


def test_automatic_tile_is_no_larger_than_the_image():
    assert automatic_tile_px(StubNetwork(), (50, 30), free_bytes=1 << 40) == 52


def test_narrow_image_gets_long_tiles():
    assert automatic_tile_px(StubNetwork(), (64, 20_000), free_bytes=1 << 40) == 16_384


@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_tiles_from_a_pixel_outwards_are_exact_and_cover_each_pixel_once(data):
    unet = randomised(UNetConfig(base_width=2, depth=2, classes=2))
    shape = tuple(data.draw(st.integers(1, 200)) for _ in range(2))
    near = tuple(data.draw(st.integers(0, n - 1)) for n in shape)
    image = random_image(*shape)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("napari_unet.engine.segmentation.tiling._FIRST_PIXELS", 24 * 24)
        tiled = tiled_scores(unet, image, tile_px=48, near=near)
    np.testing.assert_allclose(tiled, whole_image_scores(unet, image), rtol=0, atol=1e-5)


def test_the_tile_around_the_wanted_pixel_is_small_and_comes_first(monkeypatch):
    monkeypatch.setattr("napari_unet.engine.segmentation.tiling._FIRST_PIXELS", 32 * 32)
    network = BandedUNet(randomised(UNetConfig(base_width=1, depth=1)).fused(CPU))
    source = source_of(random_image(256, 256))

    tiles = list(predict_tiles(source, network, tile_px=128, near=(200, 50)))

    assert tiles[0].region == (slice(184, 216), slice(34, 66))
    assert tiles[-1].region[0].stop <= 128
    assert tiles[-1].region[1].stop == 256


@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_a_region_has_the_scores_of_the_whole_image_and_little_more_is_computed(data):
    unet = randomised(UNetConfig(base_width=2, depth=2, classes=2))
    image = random_image(*(data.draw(st.integers(8, 200)) for _ in range(2)))
    region = []
    for n in image.shape:
        start = data.draw(st.integers(0, n - 1))
        region.append(slice(start, data.draw(st.integers(start + 1, n))))
    whole = whole_image_scores(unet, image)

    tiled = tiled_scores(unet, image, tile_px=48, region=tuple(region))

    inside = (slice(None), *region)
    np.testing.assert_allclose(tiled[inside], whole[inside], rtol=0, atol=1e-5)
    computed = np.isfinite(tiled[0]).sum()
    assert computed <= np.prod([part.stop - part.start + 6 for part in region])


def test_a_region_on_the_whole_grid_has_the_tiles_of_the_whole_bit_by_bit():
    unet = randomised(UNetConfig(base_width=4, depth=2, classes=2))
    source, network = source_of(random_image(90, 110)), BandedUNet(unet)
    every = {str(t.region): t.scores for t in predict_tiles(source, network, tile_px=32)}

    region = (slice(40, 41), slice(20, 70))
    found = list(predict_tiles(source, network, tile_px=32, region=region, whole_grid=True))

    assert len(found) == 3
    assert all(np.array_equal(each.scores, every[str(each.region)]) for each in found)


def test_a_gpu_that_vanishes_is_named_with_a_way_out(monkeypatch):
    class OnGpu:
        config = UNetConfig(base_width=1, depth=1)
        device = torch.device("cuda", 0)

    def vanish(*_):
        raise RuntimeError("CUDA error: unspecified launch failure\nCompile with DSA.")

    monkeypatch.setattr("napari_unet.engine.segmentation.tiling._tile_scores", vanish)

    with pytest.raises(DeviceError) as caught:
        next(predict_tiles(source_of(random_image(8, 8)), OnGpu(), tile_px=8))

    assert str(caught.value) == (
        "The GPU (cuda:0) stopped answering (CUDA error: unspecified launch failure); choose the "
        "CPU as device and run again, or restart napari to use the GPU."
    )
