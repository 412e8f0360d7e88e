"""How a command is told which model to use, also one of another program."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from napari_unet.engine.base.errors import CheckpointError, SettingsError
from napari_unet.engine.models.checkpoint import bundled_models, load_checkpoint
from napari_unet.engine.networks.network import Network
from napari_unet.engine.segmentation.ensemble import ensemble
from napari_unet.versions import kept_versions


def model_help() -> str:
    """What can be given as a model."""
    bundled = ", ".join(bundled_models())
    return (
        "a model file, a version that you kept after a training in napari, by its name, or a "
        f"bundled model: {bundled}; 'napari-unet inspect' without one lists them"
    )


def model_source(name: str) -> str:
    """Return what `load_checkpoint` takes for a name that was given.

    A file comes before a kept version of the same name.

    Raises
    ------
    CheckpointError
        If there is no such model.
    """
    if name in bundled_models() or Path(name).expanduser().exists():
        return name
    kept = {each.name: each.source for each in kept_versions().versions()}
    if name not in kept:
        names = ", ".join(f"'{each}'" for each in (*bundled_models(), *kept))
        raise CheckpointError(
            f"There is no model '{name}'; give a file, or one of these names: {names}."
        )
    return kept[name]


def add_loading_options(parser: argparse.ArgumentParser) -> None:
    """Add what a model file of another program may need."""
    group = parser.add_argument_group("models of other programs")
    group.add_argument(
        "--guess",
        action="append",
        default=[],
        metavar="ABOUT=VALUE",
        help="correct one thing that the file does not tell and 'napari-unet inspect' lists as a "
        "guess, for example activation=ELU; may be given several times; of several models it is "
        "the first",
    )
    group.add_argument(
        "--allow-code",
        action="store_true",
        help="open a file that carries a program (TorchScript) and let it run: only for files "
        "whose makers you trust",
    )


def read_guesses(arguments: argparse.Namespace) -> dict[str, str]:
    """Read what was said about things that a model's file does not tell.

    Raises
    ------
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
    return guesses


def load_model(name: str, arguments: argparse.Namespace) -> Network:
    """Load what was asked for.

    Raises
    ------
    CheckpointError
        If it cannot be loaded.
    SettingsError
        If a guess makes no sense.
    """
    guesses = read_guesses(arguments)
    return load_checkpoint(model_source(name), allow_code=arguments.allow_code, guesses=guesses)


def load_models(names: Sequence[str], arguments: argparse.Namespace) -> tuple[Network, ...]:
    """Load models whose scores are averaged; guesses are about the first.

    Raises
    ------
    CheckpointError
        If one cannot be loaded.
    SettingsError
        If a guess makes no sense, or if the models do not fit.
    """
    for name in names:
        if list(names).count(name) > 1:
            raise SettingsError(
                f"--model {name} is given more than once; the mean of a model with itself is the "
                "same model, so name each once."
            )
    first, *others = names
    loaded = [load_model(first, arguments)]
    for name in others:
        loaded.append(load_checkpoint(model_source(name), allow_code=arguments.allow_code))
    return ensemble(loaded)
