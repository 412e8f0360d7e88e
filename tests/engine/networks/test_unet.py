"""The network's shape and its size arithmetic."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from napari_unet.engine.base.errors import ImageShapeError, SettingsError
from napari_unet.engine.networks.unet import UNet, UNetConfig

PAPER = UNetConfig(padding="valid", batch_norm=False)


def randomised(config: UNetConfig, seed: int = 0) -> UNet:
    """A network whose batch norm has statistics of its own, as after training."""
    torch.manual_seed(seed)
    unet = UNet(config).eval()
    for module in unet.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            module.running_mean.normal_(std=0.2)
            module.running_var.uniform_(0.5, 2.0)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return unet


def paper_parameter_count() -> int:
    """Weights and biases of Fig. 1, layer by layer."""
    count = 0
    widths = [64, 128, 256, 512, 1024]
    before = 1
    for width in widths:  # contracting path: two 3x3 convolutions a level
        count += before * width * 9 + width + width * width * 9 + width
        before = width
    for below, width in zip(widths[:0:-1], widths[-2::-1], strict=True):
        count += below * width * 4 + width  # 2x2 up-convolution
        count += 2 * width * width * 9 + width + width * width * 9 + width
    return count + 64 * 2 + 2  # 1x1 convolution to two classes


def test_copies_of_a_network_share_its_shape_which_another_thread_may_be_asking():
    network = UNet(PAPER)

    assert copy.deepcopy(network).config is network.config


def test_paper_network_maps_572_to_388_pixels():
    assert PAPER.output_size(572) == 388
    assert PAPER.valid_input_size(388) == 572
    assert PAPER.size_loss_px == 184


def test_paper_network_has_the_papers_parameter_count():
    with torch.device("meta"):
        unet = UNet(PAPER)
    assert sum(p.numel() for p in unet.parameters()) == paper_parameter_count() == 31_030_658


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("up", ["transposed", "interpolate"])
@pytest.mark.parametrize("batch_norm", [True, False])
def test_padded_network_keeps_the_size(ndim, up, batch_norm):
    config = UNetConfig(
        ndim=ndim, in_channels=2, classes=3, base_width=4, depth=2, up=up, batch_norm=batch_norm
    )
    shape = (8, 12, 16)[-ndim:]
    assert UNet(config)(torch.zeros(2, 2, *shape)).shape == (2, 3, *shape)


@settings(deadline=None, max_examples=30)
@given(depth=st.integers(1, 3), wanted=st.integers(1, 40), ndim=st.sampled_from([2, 2, 3]))
def test_unpadded_output_is_what_the_size_arithmetic_says(depth, wanted, ndim):
    config = UNetConfig(
        ndim=ndim, base_width=2, depth=min(depth, 5 - ndim), padding="valid", batch_norm=False
    )
    size = config.valid_input_size(wanted)
    assert wanted <= config.output_size(size) < wanted + config.size_multiple
    smallest = config.valid_input_size(1)
    shape = (size, *[smallest] * (ndim - 1))
    output = UNet(config)(torch.zeros(1, 1, *shape))
    assert output.shape[2] == config.output_size(size)
    assert output.shape[3] == config.output_size(smallest)


def test_flat_levels_pool_rows_and_columns_alone():
    unet = UNet(UNetConfig(ndim=3, base_width=2, depth=3, flat_levels=2)).eval()
    shapes = []
    for block in unet.contracting:
        block.register_forward_hook(lambda *call: shapes.append(tuple(call[2].shape[2:])))

    assert unet(torch.zeros(1, 1, 6, 16, 24)).shape[2:] == (6, 16, 24)

    assert shapes == [(6, 16, 24), (6, 8, 12), (6, 4, 6), (3, 2, 3)]
    kernels = [tuple(block.conv2.kernel_size) for block in unet.contracting]
    assert kernels == [(1, 3, 3), (1, 3, 3), (3, 3, 3), (3, 3, 3)]
    assert [tuple(up.conv.stride) for up in unet.up] == [(1, 2, 2), (1, 2, 2), (2, 2, 2)]
    assert [unet.config.along(axis).size_multiple for axis in range(3)] == [2, 8, 8]


def test_a_slice_of_a_network_that_is_flat_above_its_bottom_sees_its_neighbours_there_alone():
    config = UNetConfig(ndim=3, base_width=2, depth=2, flat_levels=2)
    assert [config.along(axis).margin_px for axis in range(3)] == [2, 23, 23]


@pytest.mark.parametrize(("ndim", "depth", "flat"), [(2, 3, 1), (3, 2, 3), (3, 2, -1)])
def test_flat_levels_that_cannot_be_are_refused(ndim, depth, flat):
    with pytest.raises(SettingsError, match=f"flat_levels is {flat}; a {ndim}-D network"):
        UNetConfig(ndim=ndim, depth=depth, flat_levels=flat)


def test_descriptions_of_networks_that_pool_all_axes_stay_as_they_were():
    assert "flat_levels" not in UNetConfig(ndim=3).to_json()
    assert UNetConfig(ndim=3, flat_levels=1).to_json()["flat_levels"] == 1


def test_sizes_that_do_not_fit_are_refused_with_the_ones_that_do():
    with pytest.raises(ImageShapeError, match=r"188 plus multiples of 16"):
        PAPER.output_size(571)
    with pytest.raises(ImageShapeError, match="multiples of 16"):
        UNetConfig().output_size(100)


@pytest.mark.parametrize("up", ["transposed", "interpolate"])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_margin_is_the_furthest_pixel_that_matters(up, depth):
    config = UNetConfig(base_width=1, classes=1, depth=depth, up=up, batch_norm=False)
    unet = UNet(config).double().eval()
    # With positive weights a brighter pixel raises every score it can reach.
    for parameter in unet.parameters():
        nn.init.uniform_(parameter, 0.1, 0.2)
    multiple = config.size_multiple
    length, start = 16 * multiple, 8 * multiple
    images = torch.zeros(length, 1, length, multiple, dtype=torch.double)
    images[range(length), 0, range(length), 0] = 1000.0
    with torch.no_grad():
        without = unet(torch.zeros_like(images[:1]))
        changed = (unet(images) - without)[:, 0].abs().sum(-1) > 0  # (changed input, output)
    reach = [
        (position, int(touching[0]), int(touching[-1]))
        for position in range(start, start + multiple)
        for touching in [torch.nonzero(changed[:, position]).flatten()]
    ]
    assert max(max(at - first, last - at) for at, first, last in reach) == config.margin_px
    context = max(
        start - min(first for _, first, _ in reach),
        max(last for _, _, last in reach) - (start + multiple - 1),
    )
    assert context <= config.halo_px < context + multiple


def test_margin_of_the_depth_4_network_is_the_published_one():
    assert UNetConfig(depth=4).halo_px == 96


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("up", ["transposed", "interpolate"])
def test_fused_network_gives_the_same_scores(ndim, up):
    config = UNetConfig(ndim=ndim, base_width=4, depth=2, up=up)
    unet = randomised(config)
    x = torch.randn(1, 1, *(8, 16, 16)[-ndim:])
    with torch.no_grad():
        expected = unet(x)
        fused = unet.fused(torch.device("cpu"))
        assert torch.allclose(fused(x), expected, atol=1e-5)
    assert not any(
        isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d) for module in fused.modules()
    )
    assert unet.contracting[0].norm1.running_mean is not None  # the original is untouched


def test_width_stops_doubling_at_its_limit():
    assert UNetConfig(base_width=32, depth=4, max_width=160).widths == (32, 64, 128, 160, 160)


def test_weights_start_with_the_papers_deviation():
    torch.manual_seed(0)
    unet = UNet(UNetConfig(base_width=32, depth=1))
    deviation = float(unet.contracting[1].conv2.weight.detach().std())
    assert np.isclose(deviation, np.sqrt(2 / (9 * 64)), rtol=0.02)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"ndim": 4}, "4 axes; use 2 or 3"),
        ({"classes": 0}, "classes is 0"),
        ({"depth": 0}, "depth is 0"),
        ({"padding": "full"}, "padding is 'full'"),
        ({"up": "nearest"}, "up is 'nearest'"),
        ({"dropout": 1.0}, "dropout is 1"),
        ({"max_width": 8}, "max_width is 8, below base_width 64"),
    ],
)
def test_impossible_networks_are_refused_with_a_sentence(values, message):
    with pytest.raises(SettingsError, match=message):
        UNetConfig(**values)
