import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from known_networks import randomised

from napari_unet.engine.networks.unet import UNet, UNetConfig
from napari_unet.engine.segmentation.bands import BandedUNet, LevelExtent, level_extents

CPU = torch.device("cpu")


def relative_difference(found, expected):
    return float((found - expected).abs().max() / (1 + expected.abs().max()))


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_bands_and_crops_give_the_scores_of_the_whole(data):
    ndim = data.draw(st.sampled_from([2, 2, 3]))
    depth = data.draw(st.integers(1, 5 - ndim))
    config = UNetConfig(
        ndim=ndim,
        in_channels=2,
        base_width=2,
        depth=depth,
        flat_levels=data.draw(st.integers(0, depth if ndim == 3 else 0)),
        padding=data.draw(st.sampled_from(["same", "valid"])),
        up=data.draw(st.sampled_from(["transposed", "interpolate"])),
    )
    unet = randomised(config)
    axes = [config.along(axis) for axis in range(ndim)]
    sizes = [
        each.valid_input_size(1)
        + each.size_multiple * data.draw(st.integers(0, 6 if ndim == 2 else 1))
        for each in axes
    ]
    x = torch.rand(1, 2, *sizes)
    with torch.no_grad():
        whole = unet(x)
    crops = []
    for n in whole.shape[2:]:
        low = data.draw(st.integers(0, n - 1))
        crops.append((low, data.draw(st.integers(0, n - 1 - low))))
    kept = [slice(low, n - high) for (low, high), n in zip(crops, whole.shape[2:], strict=True)]
    banded = BandedUNet(unet.fused(CPU), band_values=data.draw(st.sampled_from([1, 3000, None])))

    cropped = banded(x, crops=tuple(crops))

    assert cropped.shape == whole[(..., *kept)].shape
    assert relative_difference(cropped, whole[(..., *kept)]) < 1e-5
    # What the first call left in the kept memory must not show in the next.
    assert relative_difference(banded(x), whole) < 1e-5


def test_two_images_at_once_give_the_scores_of_each():
    unet = randomised(UNetConfig(base_width=2, depth=2))
    banded = BandedUNet(unet.fused(CPU), band_values=1)
    x = torch.rand(2, 1, 32, 48)
    one_by_one = torch.cat([banded(x[:1]), banded(x[1:])])
    assert relative_difference(banded(x), one_by_one) < 1e-6


def test_result_survives_the_next_call():
    banded = BandedUNet(randomised(UNetConfig(base_width=2, depth=1)).fused(CPU))
    first = banded(torch.zeros(1, 1, 8, 8))
    before = first.clone()
    banded(torch.ones(1, 1, 8, 8))
    assert torch.equal(first, before)


def test_levels_compute_only_what_the_kept_pixels_need():
    top, middle, bottom = level_extents(UNetConfig(base_width=2, depth=2), 128, 40, 48)
    # 40..80 are kept: two convolutions read 38..82 of the skip, and 19..41 from below.
    # There, likewise, 17..43 and, from the lowest level, 8..22, made from 6..24.
    # So the middle level computes 12..48 from 10..50, and the uppermost 20..100 from 18..102.
    assert top == LevelExtent(read=(18, 102), out=(2, 82), skip=(20, 64), kept=(2, 42), up_start=0)
    assert middle == LevelExtent(read=(0, 40), out=(2, 38), skip=(7, 33), kept=(2, 24), up_start=1)
    assert bottom == LevelExtent(read=(0, 18), out=(2, 16), skip=(2, 16), kept=(0, 14))


def test_levels_end_at_the_image_border():
    top, middle, bottom = level_extents(UNetConfig(base_width=2, depth=2), 32, 0, 0)
    assert top == LevelExtent(read=(0, 32), out=(0, 32), skip=(0, 32), kept=(0, 32))
    assert middle == LevelExtent(read=(0, 16), out=(0, 16), skip=(0, 16), kept=(0, 16))
    assert bottom == LevelExtent(read=(0, 8), out=(0, 8), skip=(0, 8), kept=(0, 8))


@pytest.mark.parametrize("band_values", [1, None])
def test_memory_estimate_grows_with_the_tile(band_values):
    banded = BandedUNet(UNet(UNetConfig(base_width=4, depth=2)).fused(CPU), band_values=band_values)
    small, large = banded.memory_bytes((64, 64)), banded.memory_bytes((128, 128))
    assert 3 * small < large + 4 * 64 * 64 * 4 * 4
    assert small > 64 * 64 * 4 * 4  # one tensor of the first level


def test_memory_is_given_back():
    banded = BandedUNet(randomised(UNetConfig(base_width=2, depth=1)).fused(CPU))
    x = torch.rand(1, 1, 8, 8)
    before = banded(x)
    banded.release_memory()
    assert torch.equal(banded(x), before)
