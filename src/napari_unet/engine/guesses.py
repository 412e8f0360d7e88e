"""Other guesses about a network whose file did not tell: the same weights, read another way."""

from __future__ import annotations

import dataclasses

from napari_unet.engine.errors import SettingsError
from napari_unet.engine.network import Network


def with_guess(network: Network, about: str, value: str) -> Network:
    """Return the network with one thing guessed otherwise.

    Raises
    ------
    SettingsError
        If nothing was guessed about that, or it cannot be so.
    """
    guesses = network.description.guesses
    found = [guess for guess in guesses if guess.about == about]
    if not found or value not in found[0].options:
        raise SettingsError(f"'{about}' cannot be '{value}'.")
    changed = tuple(
        dataclasses.replace(guess, value=value) if guess.about == about else guess
        for guess in guesses
    )
    return Network(network.unet, dataclasses.replace(network.description, guesses=changed))
