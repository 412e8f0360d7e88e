"""What the Large images form does, as a command line, to copy and run again."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from napari_unet.engine.base.settings import InstanceSettings, SegmentationSettings
from napari_unet.engine.networks.bundled import DEFAULT_MODEL
from napari_unet.script.words import (
    as_path,
    check_model,
    command,
    differences,
    guess_words,
    option_words,
)

_FROM_THE_FILE = frozenset({"pixel_size_um", "channel_axis"})


@dataclass(frozen=True, slots=True)
class BlocksRecipe:
    """Everything that decides which labels a run gives, and who does it.

    Parameters
    ----------
    image, output : str
        Files; the output ends in .ome.zarr.
    models : sequence of str
        Bundled names or files; the scores of several are averaged.
    settings : SegmentationSettings
    instances, model_instances : InstanceSettings
        As the form has them, and the model's own.
    guesses : mapping of str to str
        What a person said about things that the model's file does not tell.
    device : str
    channel : int, optional
        The only channel that is read, counted from 1.
    workers : int, optional
        Processes of this computer.
    scheduler : str
        Address of a scheduler of dask; empty for none.
    overwrite : bool
    """

    image: str
    output: str
    models: Sequence[str]
    settings: SegmentationSettings
    instances: InstanceSettings
    model_instances: InstanceSettings
    guesses: Mapping[str, str]
    device: str = "auto"
    channel: int | None = None
    workers: int | None = None
    scheduler: str = ""
    overwrite: bool = False


def blocks_command(recipe: BlocksRecipe, *, for_windows: bool = os.name == "nt") -> str:
    """Return a command line that gives the same labels as the form.

    Parameters
    ----------
    recipe : BlocksRecipe
    for_windows : bool
        Quote words for Windows' shells; for those of other systems otherwise.

    Raises
    ------
    CheckpointError
        If a model is in no file that could be loaded.
    """
    words = ["napari-unet", "segment", as_path(recipe.image), "-o", as_path(recipe.output)]
    for model in recipe.models:
        check_model(model)
        if list(recipe.models) != [DEFAULT_MODEL]:
            words += ["--model", model]
    words += guess_words(recipe.guesses)
    if recipe.device != "auto":
        words += ["--device", recipe.device]
    if recipe.channel is not None:
        words += ["--channel", str(recipe.channel)]
    changes = differences(recipe.settings, SegmentationSettings())
    changes = {name: value for name, value in changes.items() if name not in _FROM_THE_FILE}
    words += option_words(changes | differences(recipe.instances, recipe.model_instances))
    if recipe.workers is not None:
        words += ["--workers", str(recipe.workers)]
    if recipe.scheduler:
        words += ["--scheduler", recipe.scheduler]
    if recipe.overwrite:
        words.append("--overwrite")
    return command(words, for_windows=for_windows)
