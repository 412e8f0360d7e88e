"""What is done to each pixel before a network's own first layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

from napari_unet.engine.networks.graph_network import GraphNetwork
from napari_unet.engine.networks.layer_graph import Clip, Standardize
from napari_unet.engine.networks.output_meaning import OutputMeaning

Step: TypeAlias = Standardize | Clip
"""Its input is whatever comes before it."""


def begun_with(network: GraphNetwork, steps: Sequence[Step]) -> GraphNetwork:
    """Let a network begin with further steps; its weights are shared.

    Parameters
    ----------
    network : GraphNetwork
    steps : sequence of Step
        In their order.
    """
    config, more = network.config, len(steps)
    first = [replace(step, inputs=(number,)) for number, step in enumerate(steps)]
    others = [
        # What read the image now reads the last step.
        replace(layer, inputs=tuple(number + more for number in layer.inputs))
        for layer in config.layers[1:]
    ]
    outputs = tuple(number + more for number in config.outputs)
    layers = (config.layers[0], *first, *others)
    return network.with_config(replace(config, layers=layers, outputs=outputs))


def read_as(network: GraphNetwork, meaning: OutputMeaning) -> GraphNetwork:
    """Let the output of a network mean something else; its weights are shared."""
    return network.with_config(replace(network.config, meaning=meaning))
