"""A state dict made a network again: from the shapes and the order of its weights, without code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.foreign.guesses import FINAL, ROLES, guess_of, normalization_guess
from napari_unet.engine.foreign.recognition.conventions import Convention, convention_of
from napari_unet.engine.foreign.recognition.decisions import StoredFacts, decided
from napari_unet.engine.foreign.recognition.unet_assembly import assembled
from napari_unet.engine.foreign.recognition.weights import no_unet, read_weights
from napari_unet.engine.images.normalization import Normalization, Percentiles, Raw, TypeRange
from napari_unet.engine.networks.class_roles import CELL
from napari_unet.engine.networks.graph_network import GraphNetwork
from napari_unet.engine.networks.layer_graph import GraphConfig
from napari_unet.engine.networks.layer_list import LayerList
from napari_unet.engine.networks.layers import Convolution, Standardize
from napari_unet.engine.networks.network import Guess, Network, NetworkDescription
from napari_unet.engine.networks.output_meaning import UNUSED, OutputMeaning, likely_roles


def recognise(
    tensors: Mapping[str, Tensor], *, name: str, facts: Mapping[str, Any] | None = None
) -> Network:
    """Work out which U-Net a state dict belongs to.

    Layers are told by the shapes of their weights and put in the order in
    which they fit together; names and their order in the file decide between
    layers of equal shape. What weights do not tell is guessed, and each guess
    stands with its reason in the description.

    Parameters
    ----------
    tensors : mapping of str to Tensor
        The state dict. Its tensors become the weights; they are not copied.
    facts : mapping, optional
        What else stood in the file: hyper-parameters, mean and deviation.

    Raises
    ------
    CheckpointError
        If it is no U-Net that can be recognised.
    """
    weights = read_weights(tensors)
    convention = convention_of(layer.name for layer in weights.layers)
    stored = StoredFacts(facts or {})
    graph = assembled(weights, convention)
    try:
        graph, guesses = decided(graph, tensors, convention, stored)
        return _network(graph, tensors, name, convention, stored, guesses)
    except (SettingsError, RuntimeError) as error:
        raise no_unet("its layers do not fit together", weights.layers) from error


def _network(
    graph: LayerList,
    tensors: Mapping[str, Tensor],
    name: str,
    convention: Convention,
    stored: StoredFacts,
    guesses: list[Guess],
) -> Network:
    _, first = next(graph.each(Convolution))
    in_channels, ndim = first.in_channels, len(first.kernel)
    channels = sum(graph.channels(in_channels)[index] for index in graph.outputs)
    graph, normalization, reason = _normalized(graph, in_channels, convention, stored)
    meaning, roles_reason, final_reason = _meaning(channels, convention)
    config = GraphConfig(
        ndim,
        in_channels,
        graph.layers,
        graph.outputs,
        meaning,
        origin=convention.whose,
    )
    guesses += [
        normalization_guess(normalization, reason),
        guess_of(FINAL, meaning.final, final_reason, channels=channels),
        guess_of(ROLES, ", ".join(meaning.channels), roles_reason, channels=channels),
    ]
    description = NetworkDescription(
        name,
        config,
        class_roles=meaning.class_roles,
        normalization=normalization,
        summary=f"Recognised from the shapes of its weights: {config.sentence}.",
        guesses=tuple(guesses),
    )
    return Network(GraphNetwork.of_weights(config, tensors), description)


def _normalized(
    graph: LayerList, in_channels: int, convention: Convention, stored: StoredFacts
) -> tuple[LayerList, Normalization, str]:
    """The graph, how images are normalised before it, and why."""
    mean = stored.numbers("mean", "pixel_mean", "image_mean")
    deviation = stored.numbers("std", "pixel_std", "image_std")
    if mean and deviation and min(deviation) > 0:
        lengths = {len(mean), len(deviation)}
        if lengths <= {1, in_channels}:
            wide = [tuple(v) * (in_channels if len(v) == 1 else 1) for v in (mean, deviation)]
            graph = graph.begun_with([Standardize((), *wide)])
            said = "the file names the mean and the deviation, which the network subtracts itself"
            return graph, Raw() if max(mean) > 1 else TypeRange(), said
    if convention.normalization is not None:
        return graph, convention.normalization, convention.reason
    return graph, Percentiles(), "the file does not tell; percentiles suit most images"


def _meaning(channels: int, convention: Convention) -> tuple[OutputMeaning, str, str]:
    """What the output channels mean, and why they and what makes scores of them are so."""
    roles, final = likely_roles(channels), "sigmoid" if channels == 1 else "softmax"
    why = f"the file does not tell; {channels} channel{'s' * (channels > 1)} mean this most often"
    roles_why = final_why = why
    if convention.final is not None:
        final, final_why = convention.final, convention.reason
    if len(convention.roles) == channels:
        roles, roles_why = convention.roles, convention.reason
    elif convention.roles[:-1] == (UNUSED,):
        roles = (UNUSED,) * (channels - 1) + convention.roles[1:]
        roles_why = convention.reason
    if channels > 1 and final in ("sigmoid", "probability") and roles == likely_roles(channels):
        roles = (CELL, *(f"class {number}" for number in range(2, channels + 1)))
    kind: Any = final
    return OutputMeaning(kind, roles), roles_why, final_why
