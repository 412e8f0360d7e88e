"""Another guess for a network: the same weights, read in another way."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from napari_unet.engine.annotation import BACKGROUND, BORDER, CELL
from napari_unet.engine.errors import SettingsError
from napari_unet.engine.graph_choices import OPTIONS, TITLES, LayerList, chosen, without
from napari_unet.engine.graph_network import GraphNetwork
from napari_unet.engine.guess import Guess
from napari_unet.engine.image import Normalization
from napari_unet.engine.layer_graph import Activation, GraphConfig
from napari_unet.engine.network import Network, NetworkDescription
from napari_unet.engine.output_meaning import UNUSED, OutputMeaning

NORMALIZATION, FINAL, ROLES = "normalization", "final", "roles"

_TITLES = {
    **TITLES,
    NORMALIZATION: "Normalisation of the image",
    FINAL: "Scores are made by",
    ROLES: "Output channels",
}
_OPTIONS = {
    **OPTIONS,
    NORMALIZATION: ("percentile 1 to 99.8", "percentile 0 to 99.8", "zero-mean", "none", "raw"),
    FINAL: ("softmax", "sigmoid", "probability", "none"),
}


def guess_of(about: str, value: str, reason: str, *, channels: int = 1) -> Guess:
    """Make a guess with its title and its options.

    Parameters
    ----------
    about, value, reason : str
        As of `Guess`.
    channels : int
        That the network gives out.
    """
    options = _roles_options(channels) if about == ROLES else _OPTIONS[about]
    if about == FINAL and channels == 1:
        options = tuple(option for option in options if option != "softmax")
    return Guess(
        about, _TITLES[about], value, options if value in options else (value, *options), reason
    )


def normalization_text(normalization: Normalization) -> str:
    """Normalisation of the image as it is named in a guess."""
    if normalization.kind != "percentile":
        return normalization.kind
    return f"percentile {normalization.low_percentile:g} to {normalization.high_percentile:g}"


def likely_roles(channels: int) -> tuple[str, ...]:
    """What so many output channels mean most often."""
    if channels == 1:
        return (CELL,)
    if channels <= 3:
        return (BACKGROUND, CELL, BORDER)[:channels]
    return (BACKGROUND, *(f"class {number}" for number in range(2, channels + 1)))


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
    config = network.description.unet
    assert isinstance(config, GraphConfig)  # noqa: S101
    if about == ROLES:
        return with_roles(network, [role.strip() for role in value.split(",")])
    if value not in guess.options:
        raise SettingsError(
            f"{guess.title} cannot be '{value}'; use one of {', '.join(guess.options)}."
        )
    description = network.description
    if about == NORMALIZATION:
        description = replace(description, normalization=_normalization(value))
    elif about == FINAL:
        description = _described(description, _with_final(config, value))
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
    config = network.description.unet
    assert isinstance(config, GraphConfig)  # noqa: S101
    if len(channels) != len(config.meaning.channels) or not all(channels):
        raise SettingsError(
            f"The network gives {len(config.meaning.channels)} channels but {len(channels)} names "
            f"were given ({', '.join(channels)}); name each once, or '{UNUSED}'."
        )
    meaning = OutputMeaning(config.meaning.final, tuple(channels))
    description = _described(network.description, replace(config, meaning=meaning))
    return _sharing(network, _with_value(description, ROLES, ", ".join(channels)))


def _with_choice(config: GraphConfig, guess: Guess, value: str) -> GraphConfig:
    try:
        graph = chosen(LayerList(config.layers, config.outputs), guess.about, value)
        return replace(config, layers=graph.layers, outputs=graph.outputs)
    except SettingsError as error:
        raise SettingsError(f"{guess.title} cannot be '{value}' here. {error}") from error


def _guess(description: NetworkDescription, about: str) -> Guess:
    for guess in description.guesses:
        if guess.about == about and isinstance(description.unet, GraphConfig):
            return guess
    known = ", ".join(guess.about for guess in description.guesses) or "nothing"
    raise SettingsError(
        f"Nothing was guessed about '{about}' of {description.name!r}; it has guesses about "
        f"{known}."
    )


def _roles_options(channels: int) -> tuple[str, ...]:
    options = [likely_roles(channels)]
    if channels == 2:
        options += [(CELL, BACKGROUND), (CELL, BORDER)]
    if channels == 3:
        options += [(BACKGROUND, BORDER, CELL), (CELL, BORDER, BACKGROUND)]
    return tuple(", ".join(roles) for roles in options)


def _normalization(value: str) -> Normalization:
    percentiles = re.fullmatch(r"percentile ([\d.]+) to ([\d.]+)", value)
    if percentiles is not None:
        return Normalization("percentile", float(percentiles[1]), float(percentiles[2]))
    kind: Any = value
    return Normalization(kind)


def _with_final(config: GraphConfig, value: str) -> GraphConfig:
    """What makes scores; an activation at the end that did it before is left out."""
    final: Any = value
    if value == "softmax" and len(config.meaning.channels) == 1:
        raise SettingsError(
            "Softmax over one channel is always 1; choose 'sigmoid' or 'probability'."
        )
    meaning = OutputMeaning(final, config.meaning.channels)
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


def _described(description: NetworkDescription, config: GraphConfig) -> NetworkDescription:
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
    config = description.unet
    assert isinstance(config, GraphConfig)  # noqa: S101
    if config == network.description.unet:
        return Network(network.unet, description)
    unet = GraphNetwork(config, device="meta")
    assert isinstance(network.unet, GraphNetwork)  # noqa: S101
    unet.weights.load_state_dict(network.unet.weights.state_dict(keep_vars=True), assign=True)
    unet.train(network.unet.training)
    return Network(unet, description)
