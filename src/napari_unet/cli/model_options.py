"""How a command is told which model to use, also one of another program."""

from __future__ import annotations

import argparse

from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.models.checkpoint import bundled_models, load_checkpoint
from napari_unet.engine.networks.network import Network


def model_help() -> str:
    """What can be given as a model."""
    return f"a model file, or a bundled model: {', '.join(bundled_models())}"


def add_loading_options(parser: argparse.ArgumentParser) -> None:
    """Add what a model file of another program may need."""
    group = parser.add_argument_group("models of other programs")
    group.add_argument(
        "--guess",
        action="append",
        default=[],
        metavar="ABOUT=VALUE",
        help="correct one thing that the file does not tell and 'napari-unet inspect' lists as a "
        "guess, for example activation=ELU; may be given several times",
    )
    group.add_argument(
        "--allow-code",
        action="store_true",
        help="open a file that carries a program (TorchScript) and let it run: only for files "
        "whose makers you trust",
    )


def load_model(name: str, arguments: argparse.Namespace) -> Network:
    """Load what was asked for.

    Raises
    ------
    CheckpointError
        If it cannot be loaded.
    SettingsError
        If a guess makes no sense.
    """
    guesses = {}
    for given in arguments.guess:
        about, equals, value = given.partition("=")
        if not equals or not about or not value:
            raise SettingsError(
                f"--guess {given} is not understood; write what it is about and its value, for "
                "example --guess activation=ELU."
            )
        guesses[about.strip()] = value.strip()
    return load_checkpoint(name, allow_code=arguments.allow_code, guesses=guesses)
