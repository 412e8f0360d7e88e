"""Teach a model your own cells, from images and label images of the same names.

Start from a trained model (--from nuclei) to need few images and some minutes; without --from a
new model is made, which needs many images and hours. It ends once the loss has levelled off, unless
--steps or --seconds say when. Ctrl-C stops: the best model so far is written. The same command with
--resume goes on where it stopped, and after the end trains further, for as long again. With --queue
it waits in a queue with other trainings and images, which 'napari-unet segment' describes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from napari_unet.batch.file_plan import check_writable
from napari_unet.cli.checks import add_check_option, look_at_pairs
from napari_unet.cli.commands.training_session import TrainingSession, only_writer
from napari_unet.cli.console import report
from napari_unet.cli.labelled_files import (
    add_meaning_options,
    add_validation_options,
    labelled_files,
    read_files,
    without_slices,
)
from napari_unet.cli.model_options import (
    add_loading_options,
    load_model,
    model_help,
    model_source,
)
from napari_unet.cli.new_model import (
    add_new_model_options,
    check_shape_options,
    class_names,
    described_anew,
    new_shape,
)
from napari_unet.cli.queued_models import model_file
from napari_unet.cli.queued_training import queue_training
from napari_unet.cli.setting_options import (
    add_setting_options,
    add_voxel_size_option,
    is_given,
    read_channel_axis,
    read_settings,
)
from napari_unet.engine.base.errors import FileError, SettingsError, TrainingError
from napari_unet.engine.models.checkpoint import bundled_models
from napari_unet.engine.training.knowledge.bank import known_bank
from napari_unet.engine.training.pair_checks import check_pairs
from napari_unet.engine.training.settings import TrainingSettings
from napari_unet.engine.training.training import train


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.usage = "%(prog)s IMAGES LABELS -o MODEL [--from MODEL] [options]"
    parser.add_argument("images", type=Path, metavar="IMAGES", help="folder of images, or one file")
    parser.add_argument(
        "labels",
        type=Path,
        metavar="LABELS",
        help="folder of label images with the same names (cells.png and cells.tif or "
        "cells_masks.tif), or one file; may be the same folder if the names tell the labels",
    )
    parser.add_argument(
        "-o", "--out", type=Path, required=True, metavar="MODEL", help="the model file to write"
    )
    start = f"start from this model: {model_help()}"
    parser.add_argument("--from", dest="start", metavar="MODEL", help=start)
    parser.add_argument(
        "--channel-axis",
        type=read_channel_axis,
        metavar="N",
        help="axis of the images that counts channels, from 0 (0 for a TIFF of several channels "
        "that does not say so), or none for images whose file takes slices for channels",
    )
    add_voxel_size_option(parser, "of all volumes to learn from")
    _add_run_options(parser)
    add_check_option(
        parser, "masks, images for labels and labels for images, if half of the files are such, are"
    )
    add_meaning_options(parser)
    add_validation_options(parser)
    about = parser.add_argument_group("what the model file says about the model")
    for name in ("summary", "training-data", "licence"):
        about.add_argument(f"--{name}", metavar="TEXT", help="one sentence")
    add_setting_options(
        parser,
        TrainingSettings(),
        title="training (defaults are those of a new model; with --from it learns in fewer steps)",
    )
    add_new_model_options(parser)
    add_loading_options(parser)


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, mps ... (default: auto)")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with a stopped training, to the same model as if it had not been stopped; one "
        "that has ended is trained further, for as long again",
    )
    parser.add_argument(
        "--other-images",
        action="store_true",
        help="with --resume, go on with other images or labels than the training was begun with",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace MODEL if it exists")
    parser.add_argument(
        "--queue",
        type=Path,
        metavar="FOLDER",
        help="do not train now, but add the training to the queue in this folder, which "
        "'napari-unet segment --continue -o FOLDER' or the Batch widget does; MODEL is written "
        "only if it is better than the model of --from",
    )
    parser.add_argument(
        "--keep-images",
        action="store_true",
        help="write the labelled parts of the images beside MODEL (.bank.zip); trainings that go "
        "on from it learn them again, so that they are not forgotten",
    )
    parser.add_argument(
        "--progress", action="store_true", help="show the progress bar even if not on a terminal"
    )


def run(arguments: argparse.Namespace) -> int:
    """Train, and write the model; return 130 if it was stopped before the end."""
    model_path = model_file(arguments.out)
    check_writable(model_path.parent)
    with only_writer(model_path):
        return _run(arguments, model_path)


def _run(arguments: argparse.Namespace, model_path: Path) -> int:
    state_path = model_path.with_suffix(".resume")
    _check_outputs(arguments, model_path, state_path)
    start = load_model(arguments.start, arguments) if arguments.start else None
    check_shape_options(arguments, start)
    shape = start.description.architecture if start else new_shape(arguments)
    settings = _settings(arguments, ndim=shape.ndim)
    files = labelled_files(arguments, start, settings.seed)
    pairs, validation = read_files(files)
    description = start.description if start else described_anew(arguments, [*pairs, *validation])
    if arguments.checks:
        roles = description.class_roles
        # What the engine would refuse, it says in its own words.
        check_pairs(pairs, validation, ndim=description.architecture.ndim, class_roles=roles)
        names = None if start else class_names(arguments)
        look = look_at_pairs([*pairs, *validation], description, class_names=names)
        look.refuse()
        look.tell()
    files = without_slices(files, pairs)
    if arguments.queue is not None:
        return queue_training(arguments, files, settings, model_path)
    if files.share:
        parts = files.divided(pairs, description, seed=settings.seed)
        report(parts.sentence)
        pairs, validation = list(parts.training), list(parts.validation)
    training_run = train(
        pairs,
        start,
        settings=settings,
        validation=validation,
        device=arguments.device,
        description=None if start else description,
        bank=known_bank(start.description, start_file(arguments)) if start else None,
        resume_from=state_path if arguments.resume else None,
    )
    if training_run.has_other_images and not arguments.other_images:
        raise TrainingError(
            f"The images or labels are not those with which the training in '{state_path}' was "
            "begun; give the same ones, or go on with these by --other-images."
        )
    session = TrainingSession(training_run, arguments, model_path, state_path)
    return session.run(start_file(arguments))


def _settings(arguments: argparse.Namespace, *, ndim: int) -> TrainingSettings:
    given = read_settings(arguments, TrainingSettings())
    end = {
        name: getattr(given, name)
        for name in ("steps", "seconds")
        if is_given(arguments, TrainingSettings, name)
    }
    usual = TrainingSettings.fine_tuning if arguments.start else TrainingSettings.from_nothing
    return read_settings(arguments, usual(ndim=ndim, **end))


def start_file(arguments: argparse.Namespace) -> Path | None:
    """File of the model that a training begins with; None for a new one."""
    if arguments.start is None:
        return None
    source = model_source(arguments.start)
    return bundled_models().get(source, Path(source))


def _check_outputs(arguments: argparse.Namespace, model: Path, state: Path) -> None:
    if arguments.queue is not None:
        if arguments.resume:
            raise SettingsError(
                "--resume goes on with a training of its own, and one of a queue goes on by "
                "itself; leave out --resume, or --queue."
            )
        return  # looked at in the queue
    if arguments.resume:
        if not state.exists():
            raise FileError(
                f"There is no training '{state}' to resume; run the same command without "
                "--resume to start."
            )
    elif not arguments.overwrite:
        if state.exists():
            raise FileError(
                f"'{state}' is left of a training; go on with it by --resume, or start anew with "
                "--overwrite."
            )
        if model.exists():
            raise FileError(
                f"'{model}' exists already; choose another name, or allow replacing it with "
                "--overwrite."
            )
