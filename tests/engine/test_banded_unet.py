import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from napari_unet.engine.banded_unet import BandedUNet, level_extents
from napari_unet.engine.unet import UNet, UNetConfig

CPU = torch.device("cpu")


def randomised(config):
    """A network whose batch norm does something."""
    torch.manual_seed(0)
    unet = UNet(config).eval()
    for module in unet.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return unet


def relative_difference(found, expected):
    return float((found - expected).abs().max() / (1 + expected.abs().max()))


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_bands_and_crops_give_the_scores_of_the_whole(data):
    ndim = data.draw(st.sampled_from([2, 2, 3]))
    config = UNetConfig(
        ndim=ndim,
        in_channels=2,
        base_width=2,
        depth=data.draw(st.integers(1, 5 - ndim)),
        padding=data.draw(st.sampled_from(["same", "valid"])),
        up=data.draw(st.sampled_from(["transposed", "interpolate"])),
    )
    unet = randomised(config)
    smallest = config.valid_input_size(1)
    sizes = [
        smallest + config.size_multiple * data.draw(st.integers(0, 6 if ndim == 2 else 1))
        for _ in range(ndim)
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


def test_expanding_path_computes_only_what_the_kept_pixels_need():
    config = UNetConfig(base_width=2, depth=2)
    top, middle, bottom = level_extents(config, 128, 40, 48)
    # 40..80 are kept; two convolutions read 38..82, made from 19..41 below, and so on.
    assert (top.skip_start, top.skip_stop, top.start, top.kept) == (38, 82, 2, 40)
    assert (middle.skip_start, middle.skip_stop, middle.start, middle.kept) == (17, 43, 2, 22)
    assert (bottom.skip_start, bottom.skip_stop, bottom.start, bottom.kept) == (8, 22, 0, 14)


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
