"""Another guess for a network: the same weights, read in another way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.foreign.graph_choices import LayerList, chosen, without
from napari_unet.engine.foreign.guess_options import FINAL, NORMALIZATION, ROLES
from napari_unet.engine.foreign.ready_made import ReadyMadeConfig
from napari_unet.engine.images.normalization import normalization_of_label
from napari_unet.engine.networks.guess import Guess
from napari_unet.engine.networks.layer_graph import Activation, GraphConfig
from napari_unet.engine.networks.network import Network, NetworkDescription
from napari_unet.engine.networks.output_meaning import UNUSED, OutputMeaning
from napari_unet.engine.networks.unet import UNetConfig

Foreign: TypeAlias = GraphConfig | ReadyMadeConfig
"""Shape of a network that somebody else designed."""


def with_guess(network: Network, about: str, value: str) -> Network:
    """Return the network with another guess; the weights are shared, the one given stays.

    Parameters
    ----------
    network : Network
        As `recognise` made it, or loaded again from a file.
    about : str
        Which guess: `about` of one in `network.description.guesses`.
    value : str
        One of its options; for "roles" any names with commas between.

    Returns
    -------
    Network

    Raises
    ------
    SettingsError
        If the network has no such guess, or cannot be as it says.
    """
    guess = _guess(network.description, about)
    config = _foreign(network.description)
    if about == ROLES:
        return with_roles(network, [role.strip() for role in value.split(",")])
    value = next((each for each in guess.options if each.lower() == value.lower()), value)
    if value not in guess.options:
        raise SettingsError(
            f"{guess.title} cannot be '{value}'; use one of {', '.join(guess.options)}."
        )
    description = network.description
    if about == NORMALIZATION:
        measured = replace(
            normalization_of_label(value),
            per_channel=description.normalization.per_channel,
            epsilon=description.normalization.epsilon,
        )
        description = replace(description, normalization=measured)
    elif about == FINAL:
        description = _described(description, _with_final(config, value))
    elif not isinstance(config, GraphConfig):
        raise SettingsError(f"{guess.title} is fixed in a ready-made network.")
    else:
        description = _described(description, _with_choice(config, guess, value))
    return _sharing(network, _with_value(description, about, value))


def with_roles(network: Network, channels: Sequence[str]) -> Network:
    """Return the network with other names for its output channels; the weights are shared.

    Parameters
    ----------
    network : Network
        As `recognise` made it, or loaded again from a file.
    channels : sequence of str
        "background", "cell", "border", a free name, or "unused", for each.

    Raises
    ------
    SettingsError
        If it has another number of channels, or names are used twice.
    """
    _guess(network.description, ROLES)
    config = _foreign(network.description)
    if len(channels) != len(config.meaning.channels) or not all(channels):
        raise SettingsError(
            f"The network gives {len(config.meaning.channels)} channels but {len(channels)} names "
            f"were given ({', '.join(channels)}); name each once, or '{UNUSED}'."
        )
    meaning = OutputMeaning(config.meaning.final, tuple(channels))
    description = _described(network.description, replace(config, meaning=meaning))
    return _sharing(network, _with_value(description, ROLES, ", ".join(channels)))


def _foreign(description: NetworkDescription) -> Foreign:
    """Shape of a network of others, of which alone anything is guessed."""
    assert isinstance(description.unet, GraphConfig | ReadyMadeConfig)  # noqa: S101
    return description.unet


def _with_choice(config: GraphConfig, guess: Guess, value: str) -> GraphConfig:
    try:
        graph = chosen(LayerList(config.layers, config.outputs), guess.about, value)
        return replace(config, layers=graph.layers, outputs=graph.outputs)
    except SettingsError as error:
        raise SettingsError(f"{guess.title} cannot be '{value}' here. {error}") from error


def _guess(description: NetworkDescription, about: str) -> Guess:
    for guess in description.guesses:
        if guess.about == about and not isinstance(description.unet, UNetConfig):
            return guess
    known = ", ".join(guess.about for guess in description.guesses) or "nothing"
    raise SettingsError(
        f"Nothing was guessed about '{about}' of {description.name!r}; it has guesses about "
        f"{known}."
    )


def _with_final(config: Foreign, value: str) -> Foreign:
    """What makes scores; an activation at the end that did it before is left out."""
    final: Any = value
    if value == "softmax" and len(config.meaning.channels) == 1:
        raise SettingsError(
            "Softmax over one channel is always 1; choose 'sigmoid' or 'probability'."
        )
    meaning = OutputMeaning(final, config.meaning.channels)
    if not isinstance(config, GraphConfig):
        return replace(config, meaning=meaning)
    graph = LayerList(config.layers, config.outputs)
    if value in ("softmax", "sigmoid"):
        graph = without(graph, filter(_makes_scores(config).__contains__, graph.outputs))
    return replace(config, layers=graph.layers, outputs=graph.outputs, meaning=meaning)


def _makes_scores(config: GraphConfig) -> set[int]:
    return {
        number
        for number, layer in enumerate(config.layers)
        if isinstance(layer, Activation) and layer.kind in ("sigmoid", "softmax")
    }


def _described(description: NetworkDescription, config: Foreign) -> NetworkDescription:
    return replace(description, unet=config, class_roles=config.meaning.class_roles)


def _with_value(description: NetworkDescription, about: str, value: str) -> NetworkDescription:
    guesses = tuple(
        replace(
            guess,
            value=value,
            options=guess.options if value in guess.options else (*guess.options, value),
            reason="chosen by you",
        )
        if guess.about == about
        else guess
        for guess in description.guesses
    )
    return replace(description, guesses=guesses)


def _sharing(network: Network, description: NetworkDescription) -> Network:
    """Make a network of another shape around the weights of one."""
    return Network(network.unet.with_config(description.unet), description)
