"""What was guessed of a network: its options, and the same weights read in another way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.foreign.graph_choices import OPTIONS, TITLES, chosen
from napari_unet.engine.images.normalization import OFFERED, Normalization, normalization_of_label
from napari_unet.engine.networks.architecture import Architecture
from napari_unet.engine.networks.class_roles import BACKGROUND, BORDER, CELL
from napari_unet.engine.networks.layer_graph import GraphConfig
from napari_unet.engine.networks.layers import Activation
from napari_unet.engine.networks.network import Guess, Network, NetworkDescription
from napari_unet.engine.networks.output_meaning import UNUSED, OutputMeaning, likely_roles

NORMALIZATION, FINAL, ROLES = "normalization", "final", "roles"

_TITLES = {
    **TITLES,
    NORMALIZATION: "Normalisation of the image",
    FINAL: "Scores are made by",
    ROLES: "Output channels",
}
_OPTIONS = {
    **OPTIONS,
    NORMALIZATION: tuple(each.label for each in OFFERED),
    FINAL: ("softmax", "sigmoid", "probability", "none"),
}


def guess_of(about: str, value: str, reason: str, *, channels: int = 1) -> Guess:
    """Make a guess with its title and its options.

    Parameters
    ----------
    channels : int
        That the network gives out.
    """
    options = _roles_options(channels) if about == ROLES else _OPTIONS[about]
    if about == FINAL and channels == 1:
        options = tuple(option for option in options if option != "softmax")
    return Guess(
        about, _TITLES[about], value, options if value in options else (value, *options), reason
    )


def _roles_options(channels: int) -> tuple[str, ...]:
    options = [likely_roles(channels)]
    if channels == 2:
        options += [(CELL, BACKGROUND), (CELL, BORDER)]
    if channels == 3:
        options += [(BACKGROUND, BORDER, CELL), (CELL, BORDER, BACKGROUND)]
    return tuple(", ".join(roles) for roles in options)


def normalization_guess(normalization: Normalization, reason: str) -> Guess:
    """Say how intensities are brought to the range that the network knows."""
    return guess_of(NORMALIZATION, normalization.label, reason)


def output_guesses(meaning: OutputMeaning, *, reason: str = "") -> tuple[Guess, Guess]:
    """Say how the output is read where no file tells it.

    Parameters
    ----------
    reason : str
        Why its numbers are read so; by their count if left out.
    """
    channels = len(meaning.channels)
    many = "one is most often a mask" if channels == 1 else "several are most often classes"
    why = reason or f"The file does not tell how output channels ({channels}) are read; {many}."
    usual = "The file does not name its output channels; this is the most usual order."
    roles = ", ".join(meaning.channels)
    return (
        guess_of(FINAL, meaning.final, why, channels=channels),
        guess_of(ROLES, roles, usual, channels=channels),
    )


def fixed_guess(about: str, title: str, value: Any, reason: str) -> Guess:
    """Say what is taken where there is no choice to offer."""
    return Guess(about, title, str(value), (str(value),), reason)


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
