"""Another guess for a network: the same weights, read in another way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.foreign.graph_choices import chosen
from napari_unet.engine.foreign.guess_options import FINAL, NORMALIZATION, ROLES
from napari_unet.engine.images.normalization import normalization_of_label
from napari_unet.engine.networks.architecture import Architecture
from napari_unet.engine.networks.guess import Guess
from napari_unet.engine.networks.layer_graph import GraphConfig
from napari_unet.engine.networks.layers import Activation
from napari_unet.engine.networks.network import Network, NetworkDescription
from napari_unet.engine.networks.output_meaning import UNUSED, OutputMeaning

_MAKES_SCORES = ("sigmoid", "softmax")


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
    if about == ROLES:
        return with_roles(network, [role.strip() for role in value.split(",")])
    value = next((each for each in guess.options if each.lower() == value.lower()), value)
    if value not in guess.options:
        raise SettingsError(
            f"{guess.title} cannot be '{value}'; use one of {', '.join(guess.options)}."
        )
    description, config = network.description, network.description.architecture
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
    meaning = _meaning(network.description.architecture)
    if len(channels) != len(meaning.channels) or not all(channels):
        raise SettingsError(
            f"The network gives {len(meaning.channels)} channels but {len(channels)} names "
            f"were given ({', '.join(channels)}); name each once, or '{UNUSED}'."
        )
    meaning = OutputMeaning(meaning.final, tuple(channels))
    config = network.description.architecture.read_as(meaning)
    description = _described(network.description, config)
    return _sharing(network, _with_value(description, ROLES, ", ".join(channels)))


def _meaning(config: Architecture) -> OutputMeaning:
    """Meaning of the output of a network of others, of which alone anything is guessed."""
    assert config.meaning is not None  # noqa: S101
    return config.meaning


def _with_choice(config: GraphConfig, guess: Guess, value: str) -> GraphConfig:
    try:
        return config.with_graph(chosen(config.graph, guess.about, value))
    except SettingsError as error:
        raise SettingsError(f"{guess.title} cannot be '{value}' here. {error}") from error


def _guess(description: NetworkDescription, about: str) -> Guess:
    for guess in description.guesses:
        if guess.about == about and description.architecture.meaning is not None:
            return guess
    known = ", ".join(guess.about for guess in description.guesses) or "nothing"
    raise SettingsError(
        f"Nothing was guessed about '{about}' of {description.name!r}; it has guesses about "
        f"{known}."
    )


def _with_final(config: Architecture, value: str) -> Architecture:
    """What makes scores; an activation at the end that did it before is left out."""
    final: Any = value
    channels = _meaning(config).channels
    if value == "softmax" and len(channels) == 1:
        raise SettingsError(
            "Softmax over one channel is always 1; choose 'sigmoid' or 'probability'."
        )
    if isinstance(config, GraphConfig) and value in ("softmax", "sigmoid"):
        makes_scores = {n for n, a in config.graph.each(Activation) if a.kind in _MAKES_SCORES}
        config = config.with_graph(config.graph.without(makes_scores.intersection(config.outputs)))
    return config.read_as(OutputMeaning(final, channels))


def _described(description: NetworkDescription, config: Architecture) -> NetworkDescription:
    roles = _meaning(config).class_roles
    return replace(description, architecture=config, class_roles=roles)


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
    return Network(network.unet.with_config(description.architecture), description)
