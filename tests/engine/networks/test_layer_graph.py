"""Our own U-Net, spelled as a graph of layers, must be the same network in every respect."""

import contextlib
import json
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.images.normalization import IntensityScaling
from napari_unet.engine.images.source import ImageSource
from napari_unet.engine.networks.graph_network import GraphNetwork
from napari_unet.engine.networks.layer_graph import GraphConfig
from napari_unet.engine.networks.layers import (
    Activation,
    Convolution,
    Input,
    Join,
    Norm,
    Pad,
    Pool,
    TransposedConvolution,
    Upsample,
)
from napari_unet.engine.networks.output_meaning import OutputMeaning
from napari_unet.engine.networks.unet import UNet, UNetConfig
from napari_unet.engine.segmentation.tiling import predict_tiles
from napari_unet.engine.segmentation.whole_tile import tileable

CONFIGS = [
    UNetConfig(
        ndim=ndim,
        base_width=4,
        depth=depth,
        padding=padding,
        up=up,
        batch_norm=ndim == 2,
        max_width=8,
    )
    for ndim, depth in ((2, 1), (2, 3), (3, 2))
    for padding in ("same", "valid")
    for up in ("transposed", "interpolate")
]


def spelled(config: UNetConfig) -> GraphConfig:
    """The layers of `UNet`, one after the other."""
    ndim, widths = config.ndim, config.widths
    layers = [Input()]

    def axes(number):
        return (number,) * ndim

    def add(layer):
        layers.append(layer)
        return len(layers) - 1

    def convolution(x, name, given, out, kernel, *, bias=True):
        padding = kernel // 2 if config.padding == "same" else 0
        return add(
            Convolution(
                (x,), name, given, out, axes(kernel), axes(1), axes(padding), axes(1), bias=bias
            )
        )

    def block(x, name, given, out):
        for number, channels in (("1", given), ("2", out)):
            bias = not config.batch_norm
            x = convolution(x, f"{name}.conv{number}", channels, out, 3, bias=bias)
            if config.batch_norm:
                x = add(Norm((x,), f"{name}.norm{number}", out, "batch"))
            x = add(Activation((x,), "relu"))
        return x

    skips, x, given = [], 0, config.in_channels
    for level, width in enumerate(widths):
        x = block(x, f"contracting.{level}", given, width)
        given = width
        if level < config.depth:
            skips.append(x)
            x = add(Pool((x,), axes(2)))
    for level in reversed(range(config.depth)):
        above, below, name = widths[level], widths[level + 1], f"up.{level}.conv"
        if config.up == "transposed":
            x = add(
                TransposedConvolution((x,), name, below, above, axes(2), axes(2), axes(0), axes(0))
            )
        else:
            x = add(Upsample((convolution(x, name, below, above, 1),), axes(2)))
        x = block(add(Join((skips[level], x))), f"expanding.{level}", 2 * above, above)
    x = convolution(x, "head", widths[0], config.classes, 1)
    meaning = OutputMeaning("softmax", ("background", "cell"))
    return GraphConfig(ndim, config.in_channels, tuple(layers), (x,), meaning)


def both(config: UNetConfig):
    """The network as it is and as it is spelled, with the same weights."""
    torch.manual_seed(0)
    unet = UNet(config).eval()
    for name, tensor in unet.state_dict().items():
        if "norm" in name and tensor.is_floating_point():
            tensor.copy_(0.5 + torch.rand(tensor.shape))
    graph = GraphNetwork(spelled(config))
    graph.weights.load_state_dict(unet.state_dict())
    return unet, graph.eval()


def test_names_are_those_of_the_author():
    unet, graph = both(CONFIGS[0])
    assert list(graph.author_weights()) == list(unet.state_dict())


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_spelled_unet_has_the_same_sizes(config):
    graph = spelled(config)
    for name in (
        "size_multiple",
        "size_loss_px",
        "margin_px",
        "tile_overlap_px",
        "widths",
        "classes",
        "inexact_because",
    ):
        assert getattr(graph, name) == getattr(config, name), name
    for size in (1, 2, 17, 40):
        assert graph.valid_input_size(size) == config.valid_input_size(size)
    size = config.valid_input_size(20)
    assert graph.output_size(size) == config.output_size(size)


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_spelled_unet_gives_the_same(config):
    unet, graph = both(config)
    x = torch.rand((1, 1, *(config.valid_input_size(9),) * config.ndim))
    with torch.no_grad():
        torch.testing.assert_close(graph(x), unet(x), atol=1e-5, rtol=1e-5)
        fused = graph.fused(torch.device("cpu"))
        torch.testing.assert_close(fused(x), unet(x), atol=1e-4, rtol=1e-4)


def whole(network, image):
    """The definition: one plain forward of the mirrored image."""
    config = network.config
    margin = config.size_loss_px // 2
    padding = [(margin, config.valid_input_size(n) - margin - n) for n in image.shape]
    x = torch.from_numpy(np.pad(image, padding, mode="reflect"))[None, None]
    with torch.no_grad():
        scores = torch.softmax(network(x), dim=1)[0].numpy()
    return scores[(slice(None), *(slice(0, n) for n in image.shape))]


def tiled(network, image, **options):
    scores = np.full((network.config.classes, *image.shape), np.nan, np.float32)
    source = ImageSource(image[np.newaxis], 1, IntensityScaling(0.0, 1.0))
    fused = network.fused(torch.device("cpu"))
    for tile in predict_tiles(source, tileable(fused), **options):
        scores[(slice(None), *tile.region)] = tile.scores
    return scores


@pytest.mark.parametrize("config", [c for c in CONFIGS if c.ndim == 2], ids=str)
def test_tiles_are_the_image_as_a_whole(config):
    _, graph = both(config)
    image = np.random.default_rng(0).random((45, 70), dtype=np.float32)
    np.testing.assert_allclose(tiled(graph, image, tile_px=16), whole(graph, image), atol=2e-5)


def test_tiles_are_the_image_as_a_whole_in_3d():
    _, graph = both(UNetConfig(ndim=3, base_width=4, depth=1))
    image = np.random.default_rng(0).random((7, 18, 21), dtype=np.float32)
    np.testing.assert_allclose(tiled(graph, image, tile_px=8), whole(graph, image), atol=2e-5)


def test_padding_at_one_end_shifts_what_is_read():
    # A 2x2 convolution of ones behind zeros at the far end: each pixel plus those after it.
    layers = (
        Input(),
        Pad((0,), (0, 0), (1, 1)),
        Convolution((1,), "sum", 1, 1, (2, 2), (1, 1), (0, 0), (1, 1), bias=False),
    )
    config = GraphConfig(2, 1, layers, (2,), OutputMeaning("sigmoid", ("cell",)))
    network = GraphNetwork(config).eval()
    network.weights.load_state_dict({"sum.weight": torch.ones(1, 1, 2, 2)})
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])[None, None]
    with torch.no_grad():
        found = network.author_output(x)[0, 0]
    assert found.tolist() == [[10.0, 6.0], [7.0, 4.0]]
    assert (config.size_loss_px, config.margin_px) == (0, 1)
    image = np.random.default_rng(0).random((13, 9), dtype=np.float32)
    np.testing.assert_allclose(tiled(network, image, tile_px=4), whole(network, image), atol=1e-6)


# -- in files -------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_a_graph_survives_json(config):
    graph = spelled(config)
    assert GraphConfig.from_json(json.loads(json.dumps(graph.to_json()))) == graph


NUMBERS = st.one_of(
    st.integers(-3, 10**12), st.none(), st.booleans(), st.text(max_size=3), st.lists(st.integers())
)


@settings(max_examples=150, deadline=None)
@given(
    layer=st.integers(0, 12),
    field=st.sampled_from(
        ("inputs", "kernel", "stride", "padding", "in_channels", "out_channels", "op", "factor")
    ),
    value=NUMBERS,
)
def test_nonsense_in_a_graph_is_refused_quickly(layer, field, value):
    values = json.loads(json.dumps(spelled(CONFIGS[0]).to_json()))
    values["layers"][layer][field] = value
    begin = time.perf_counter()
    with contextlib.suppress(SettingsError, KeyError, TypeError, ValueError, LookupError):
        GraphConfig.from_json(values)
    assert time.perf_counter() - begin < 1.0


@pytest.mark.parametrize(
    "values",
    [{}, {"kind": "graph"}, {"kind": "graph", "layers": 3, "meaning": None}, {"layers": [1]}],
)
def test_what_is_no_graph_is_refused(values):
    with pytest.raises((SettingsError, KeyError, TypeError, ValueError, LookupError)):
        GraphConfig.from_json(values)
