"""What can be guessed of a network: its titles, its options, and what is most usual."""

from __future__ import annotations

from typing import Any

from napari_unet.engine.foreign.graph_choices import OPTIONS, TITLES
from napari_unet.engine.images.normalization import OFFERED, Normalization
from napari_unet.engine.networks.annotation import BACKGROUND, BORDER, CELL
from napari_unet.engine.networks.channel_roles import likely_roles
from napari_unet.engine.networks.guess import Guess
from napari_unet.engine.networks.output_meaning import OutputMeaning

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
    meaning : OutputMeaning
        What is taken.
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
