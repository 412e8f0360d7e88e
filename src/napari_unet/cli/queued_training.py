"""A training that a command adds to a queue."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from napari_unet.batch.queue import Queue
from napari_unet.batch.settings import ModelFile
from napari_unet.batch.training.labelled_files import LabelledFiles
from napari_unet.batch.training.plan import TrainingPlan
from napari_unet.cli.console import PROGRAM, report
from napari_unet.cli.model_options import model_source, read_guesses
from napari_unet.cli.new_model import new_model
from napari_unet.engine.models.checkpoint import bundled_models
from napari_unet.engine.training.settings import TrainingSettings
from napari_unet.session import measured_file

_ABOUT = ("summary", "training_data", "licence")


def queue_training(
    arguments: argparse.Namespace, files: LabelledFiles, settings: TrainingSettings, model: Path
) -> int:
    """Add a training to the queue of a folder, and say how it is begun; return the exit status.

    Raises
    ------
    FileError
        If the queue is in use, or has another training of this name.
    """
    plan = TrainingPlan(
        files,
        settings,
        _start(arguments),
        read_guesses(arguments),
        new_model(arguments),
        arguments.tune,
        arguments.keep_images,
        texts_about(arguments),
    )
    folder = arguments.queue
    with Queue.held(folder, program=PROGRAM) as queue:
        entry = queue.add_training(model, plan, replaces=arguments.overwrite)
        queue.write()
    waits = "is done already" if entry.is_whole else "waits"
    go_on = f"napari-unet segment --continue -o {shlex.quote(str(folder))}"
    report(f"{entry.title} {waits} in the queue in '{folder}'; to go on with it: {go_on}")
    return 0


def texts_about(arguments: argparse.Namespace) -> dict[str, str]:
    """What was given to be said in the model file."""
    given = {name: getattr(arguments, name) for name in _ABOUT}
    return {name: text for name, text in given.items() if text is not None}


def _start(arguments: argparse.Namespace) -> ModelFile | None:
    if arguments.start is None:
        return None
    source = model_source(arguments.start)
    if source not in bundled_models():
        source = str(Path(source).expanduser().absolute())
    return ModelFile(source, measured_file(source)[0])
