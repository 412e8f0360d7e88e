"""The levels of a network: what is drawn of it."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.engine.foreign.model_file.contents import ModelFileKind
from napari_unet.engine.foreign.ready_made.network import ReadyMadeConfig
from napari_unet.engine.networks.graph_network import GraphNetwork
from napari_unet.engine.networks.layer_graph import GraphConfig
from napari_unet.engine.networks.layer_sizes import Block, Level, LevelSizes
from napari_unet.engine.networks.layers import Activation, Convolution, Input, Join, Pool, Upsample
from napari_unet.engine.networks.output_meaning import OutputMeaning
from napari_unet.engine.networks.unet import UNet, UNetConfig

CELL = OutputMeaning("sigmoid", ("cell",))


def convolution(source: int, channels: tuple[int, int], kernel: int = 3) -> Convolution:
    size, one, pad = (kernel,) * 2, (1, 1), (kernel // 2,) * 2
    return Convolution((source,), f"c{source}", *channels, size, one, pad, one)


def foreign(kind: Any = "concatenate") -> GraphConfig:
    """Two levels; on the way up features are joined to those of the way down."""
    joined = 12 if kind == "concatenate" else 8
    up = 8 if kind == "concatenate" else 4
    layers = (
        Input(),
        convolution(0, (1, 4)),
        Activation((1,), "relu"),
        Pool((2,), (2, 2)),
        convolution(3, (4, up), 5),
        Upsample((4,), (2, 2)),
        Join((2, 5), kind),
        convolution(6, (joined if kind == "concatenate" else 4, 6)),
        convolution(7, (6, 1), 1),
        Activation((8,), "sigmoid"),
    )
    return GraphConfig(2, 1, layers, (9,), OutputMeaning("probability", ("cell",)))


def test_the_papers_network_doubles_its_features_at_each_level() -> None:
    (first, second, bottom) = UNetConfig(base_width=8, depth=2).levels

    assert first == Level((1, 1), Block(8, 2, (3, 3)), Block(8, 2, (3, 3)), "concatenate")
    assert second == Level((2, 2), Block(16, 2, (3, 3)), Block(16, 2, (3, 3)), "concatenate")
    assert bottom == Level((4, 4), Block(32, 2, (3, 3)))


def test_a_foreign_network_is_told_by_what_its_layers_do() -> None:
    assert foreign().levels == (
        Level((1, 1), Block(4, 1, (3, 3)), Block(6, 1, (3, 3)), "concatenate"),
        Level((2, 2), Block(8, 1, (5, 5))),
    )


@pytest.mark.parametrize("kind", ["concatenate", "add", "multiply"])
def test_how_a_skip_is_read_is_told(kind: str) -> None:
    assert foreign(kind).levels[0].skip == kind


def test_a_network_that_only_shrinks_once_read_has_nothing_of_full_resolution_going_down() -> None:
    one, two = (1, 1), (2, 2)
    layers = (
        Input(),
        Convolution((0,), "stem", 3, 8, (7, 7), two, (3, 3), one),
        convolution(1, (8, 8)),
        Upsample((2,), two),
        convolution(3, (8, 4)),
        convolution(4, (4, 1), 1),
    )

    first, second = GraphConfig(2, 3, layers, (5,), CELL).levels

    assert first == Level(one, None, Block(4, 1, (3, 3)))
    assert second == Level(two, Block(8, 2, (7, 7)))


def test_sizes_are_those_of_the_image_continued_to_what_the_network_reads() -> None:
    assert UNetConfig(base_width=4, depth=2).level_sizes((61, 80)) == (
        LevelSizes((64, 80), (64, 80)),
        LevelSizes((32, 40), (32, 40)),
        LevelSizes((16, 20)),
    )
    assert foreign().level_sizes((61, 80)) == (
        LevelSizes((62, 80), (62, 80)),
        LevelSizes((31, 40)),
    )


def test_unpadded_convolutions_lose_what_the_papers_figure_says() -> None:
    config = UNetConfig(base_width=4, depth=4, padding="valid")

    sizes = config.level_sizes((388, 388))

    assert [each.down[0] for each in sizes] == [568, 280, 136, 64, 28]
    assert [each.up[0] for each in sizes[:-1]] == [388, 196, 100, 52]


@given(
    st.integers(1, 70), st.integers(1, 70), st.integers(1, 3), st.sampled_from(["same", "valid"])
)
def test_the_last_size_is_that_of_the_output(height: int, width: int, depth: int, pad: Any) -> None:
    for config in (UNetConfig(base_width=2, depth=depth, padding=pad), foreign()):
        wanted = tuple(config.output_size(config.valid_input_size(n)) for n in (height, width))

        assert config.level_sizes((height, width))[0].up == wanted


def test_sizes_are_those_that_torch_finds() -> None:
    config = UNetConfig(base_width=2, depth=2, padding="valid")
    unet, seen = UNet(config), []
    unet.contracting[1].register_forward_hook(lambda *args: seen.append(tuple(args[2].shape[2:])))

    size = config.valid_input_size(30)
    unet(torch.zeros(1, 1, size, size))

    assert config.level_sizes((30, 30))[1].down == seen[0]
    assert GraphNetwork(foreign())(torch.zeros(1, 1, 62, 80)).shape[2:] == (62, 80)


def test_of_a_network_whose_layers_are_unknown_nothing_is_said() -> None:
    config = ReadyMadeConfig(ndim=2, in_channels=1, meaning=CELL, kind=ModelFileKind.ONNX)

    assert config.levels == ()
    assert config.level_sizes((10, 10)) == ()
