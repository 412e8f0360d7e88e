"""Teach a model your own cells, from images and label images of the same names.

Start from a trained model (--from nuclei) to need few images and minutes; without --from a new
model is made, which needs many images and hours. Ctrl-C stops: the best model so far is written,
and the same command with --resume goes on where it stopped.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_unet.cli.console import StopRequest, count, listing, progress_bar, report, say
from napari_unet.cli.evaluate import report_unpaired
from napari_unet.cli.file_plan import check_writable, pair_files
from napari_unet.cli.program import INTERRUPTED
from napari_unet.cli.setting_options import add_setting_options, read_settings, real_number
from napari_unet.engine.annotation import BACKGROUND, BORDER, CELL
from napari_unet.engine.checkpoint import SUFFIX, bundled_models, load_checkpoint, save_checkpoint
from napari_unet.engine.errors import FileError, SettingsError, TrainingError, UNetError
from napari_unet.engine.evaluation import Evaluation, evaluate
from napari_unet.engine.image import LabelImage
from napari_unet.engine.instances import tune_instances
from napari_unet.engine.network import Network, NetworkDescription
from napari_unet.engine.segmentation import segment
from napari_unet.engine.training import TrainingReport, TrainingRun, train
from napari_unet.engine.training_pairs import TrainingPair
from napari_unet.engine.training_settings import TrainingSettings
from napari_unet.engine.unet import UNetConfig
from napari_unet.image_files import ImageFile, read_image, read_labels

_MADE_FROM_IMAGES = ("in_channels", "classes")
_NEW_SHAPE = UNetConfig(base_width=32)
_LINES_WITHOUT_VALIDATION = 10


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.usage = "%(prog)s IMAGES LABELS -o MODEL [--from MODEL] [options]"
    parser.add_argument("images", type=Path, metavar="IMAGES", help="folder of images, or one file")
    parser.add_argument(
        "labels",
        type=Path,
        metavar="LABELS",
        help="folder of label images with the same names (cells.png and cells.tif or "
        "cells_masks.tif), or one file",
    )
    parser.add_argument(
        "-o", "--out", type=Path, required=True, metavar="MODEL", help="the model file to write"
    )
    parser.add_argument(
        "--from",
        dest="start",
        metavar="MODEL",
        help=f"start from this model: a file, or bundled: {', '.join(bundled_models())}",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, mps ... (default: auto)")
    parser.add_argument("--resume", action="store_true", help="go on with a stopped training")
    parser.add_argument("--overwrite", action="store_true", help="replace MODEL if it exists")
    parser.add_argument(
        "--progress", action="store_true", help="show the progress bar even if not on a terminal"
    )
    _add_validation_options(parser)
    about = parser.add_argument_group("what the model file says about the model")
    for name in ("summary", "training-data", "licence"):
        about.add_argument(f"--{name}", metavar="TEXT", help="one sentence")
    add_setting_options(parser, TrainingSettings(), title="training")
    add_setting_options(
        parser, _NEW_SHAPE, title="shape of a new model", leave_out=_MADE_FROM_IMAGES
    )
    parser.add_argument(
        "--two-classes",
        action="store_true",
        help="a new model tells background and cell apart, as in the paper; without this, "
        "the rims of cells are a third class",
    )


def _add_validation_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("held-out images, on which the best state is chosen")
    group.add_argument("--validation-images", type=Path, metavar="IMAGES", help="folder or file")
    group.add_argument("--validation-labels", type=Path, metavar="LABELS", help="folder or file")
    group.add_argument(
        "--validation-fraction",
        type=real_number,
        default=0.1,
        metavar="X",
        help="share of IMAGES to hold out where no others are given (default: 0.1; "
        "below five images none)",
    )
    group.add_argument(
        "--no-tune",
        dest="tune",
        action="store_false",
        help="keep the thresholds for telling cells apart as they are",
    )


def run(arguments: argparse.Namespace) -> int:
    """Train, and write the model; return 130 if it was stopped before the end."""
    settings = read_settings(arguments, TrainingSettings())
    model_path = model_file(arguments.out)
    state_path = model_path.with_suffix(".resume")
    _check_outputs(arguments, model_path, state_path)
    start = load_checkpoint(arguments.start) if arguments.start else None
    _check_shape_options(arguments, start)
    ndim = _ndim(arguments, start)
    pairs, validation = _read_pairs(arguments, ndim, settings.seed)
    training_run = train(
        pairs,
        start,
        settings=settings,
        validation=validation,
        device=arguments.device,
        description=None if start else _new_description(arguments, pairs),
        resume_from=state_path if arguments.resume else None,
    )
    session = TrainingSession(training_run, arguments, validation, model_path, state_path)
    return session.run()


def model_file(path: Path) -> Path:
    """Name of the file that `save_checkpoint` writes for `path`."""
    return path if path.suffix == SUFFIX else path.with_name(path.name + SUFFIX)


def _check_outputs(arguments: argparse.Namespace, model: Path, state: Path) -> None:
    check_writable(model.parent)
    if arguments.resume:
        if not state.exists():
            raise FileError(
                f"There is no stopped training '{state}' to resume; run the same command "
                "without --resume to start."
            )
    elif not arguments.overwrite:
        if state.exists():
            raise FileError(
                f"'{state}' is left of a stopped training; go on with it by --resume, or start "
                "anew with --overwrite."
            )
        if model.exists():
            raise FileError(
                f"'{model}' exists already; choose another name, or allow replacing it with "
                "--overwrite."
            )


def _check_shape_options(arguments: argparse.Namespace, start: Network | None) -> None:
    given = read_settings(arguments, _NEW_SHAPE, leave_out=_MADE_FROM_IMAGES) != _NEW_SHAPE
    if start is not None and (given or arguments.two_classes):
        raise SettingsError(
            "A model that training starts from (--from) keeps its shape; leave out --from to "
            "make a new one, or leave out the options of its shape."
        )


def _ndim(arguments: argparse.Namespace, start: Network | None) -> int:
    if start is not None:
        return start.description.unet.ndim
    return read_settings(arguments, _NEW_SHAPE, leave_out=_MADE_FROM_IMAGES).ndim


# -- images ----------------------------------------------------------------------------------------


def _read_pairs(
    arguments: argparse.Namespace, ndim: int, seed: int
) -> tuple[list[TrainingPair], list[TrainingPair]]:
    """Images to learn from, and images to validate on."""
    given = (arguments.validation_images, arguments.validation_labels)
    if (given[0] is None) != (given[1] is None):
        raise SettingsError("Give both --validation-images and --validation-labels, or neither.")
    files = _paired(arguments.images, arguments.labels)
    if given[0] is not None:
        held_out = _paired(*given)
    else:
        fraction = arguments.validation_fraction
        if not 0 <= fraction < 1:
            raise SettingsError(
                f"--validation-fraction is {fraction:g}; use 0 up to, not including, 1."
            )
        number = int(len(files) * fraction + 0.5) if len(files) > 1 else 0
        order = np.random.default_rng(seed).permutation(len(files))
        held_out = [files[index] for index in sorted(order[:number])]
        files = [files[index] for index in sorted(order[number:])]
    pairs = [pair for paths in files for pair in read_pairs(*paths, ndim=ndim)]
    validation = [pair for paths in held_out for pair in read_pairs(*paths, ndim=ndim)]
    cells = sum(int(np.unique(pair.labels[pair.labels > 0]).size) for pair in pairs)
    report(f"{count(len(pairs), 'image')} with {count(cells, 'cell')} to learn from")
    if validation:
        names = [pair.name for pair in validation]
        report(f"{count(len(names), 'image')} held out: {listing(names)}")
    return pairs, validation


def _paired(images: Path, labels: Path) -> list[tuple[Path, Path]]:
    paired = pair_files(images, labels)
    report_unpaired(paired, "image", "label image")
    return paired.pairs


def read_pairs(image_path: Path, labels_path: Path, *, ndim: int) -> list[TrainingPair]:
    """Read an image and its labels; for a 2-D model each slice of a stack is a pair.

    Raises
    ------
    UNetError
        If a file cannot be read or the two do not belong together.
    """
    image, labels = read_image(image_path), read_labels(labels_path).array
    array = _channels_last(image, labels.ndim)
    if labels.ndim == ndim:
        return [
            TrainingPair(array, labels, image_path.name, channel_axis=_channel_axis(array, labels))
        ]
    if labels.ndim != ndim + 1 or array.shape[0] != labels.shape[0]:
        raise TrainingError(
            f"'{labels_path}' has shape {labels.shape} and '{image_path}' {image.array.shape}; "
            f"a {ndim}-D model learns from {ndim}-D images or stacks of them."
        )
    return [
        TrainingPair(
            plane,
            plane_labels,
            f"{image_path.name}, slice {index + 1}",
            channel_axis=_channel_axis(plane, plane_labels),
        )
        for index, (plane, plane_labels) in enumerate(zip(array, labels, strict=True))
    ]


def _channels_last(image: ImageFile, label_axes: int) -> Any:
    # Planes named channels are slices where the labels have as many axes.
    if image.channel_axis is None or image.array.ndim == label_axes:
        return image.array
    return np.moveaxis(image.array, image.channel_axis, -1)


def _channel_axis(array: Any, labels: LabelImage) -> int | None:
    return -1 if array.ndim > labels.ndim else None


def _new_description(
    arguments: argparse.Namespace, pairs: list[TrainingPair]
) -> NetworkDescription:
    roles = (BACKGROUND, CELL) if arguments.two_classes else (BACKGROUND, CELL, BORDER)
    channels = {pair.image.shape[-1] if pair.image.ndim > pair.labels.ndim else 1 for pair in pairs}
    # Alpha is no channel to learn from.
    in_channels = 3 if max(channels) == 4 else max(channels)
    shape = replace(_NEW_SHAPE, in_channels=in_channels, classes=len(roles))
    config = read_settings(arguments, shape, leave_out=_MADE_FROM_IMAGES)
    return NetworkDescription(arguments.out.stem, config, class_roles=roles)


# -- training --------------------------------------------------------------------------------------


class TrainingSession:
    """A training with its messages and files.

    Parameters
    ----------
    run : TrainingRun
    arguments : Namespace
    validation : list of TrainingPair
    model_path, state_path : Path
        Where the model, and what a resume needs, are written.
    """

    def __init__(
        self,
        run: TrainingRun,
        arguments: argparse.Namespace,
        validation: list[TrainingPair],
        model_path: Path,
        state_path: Path,
    ) -> None:
        self._run = run
        self._arguments = arguments
        self._validation = validation
        self._model_path = model_path
        self._state_path = state_path

    def run(self) -> int:
        """Train to the end or until stopped; return the exit status."""
        try:
            finished = self._iterate()
        except KeyboardInterrupt:
            finished = False  # in the middle of a step: the last saved state stays
        except UNetError:
            if np.isfinite(self._run.best_quality):
                self._write_model()
            raise
        if self._run.step == 0:
            say("stopped before the first step; nothing was written.")
            return INTERRUPTED
        # Before the thresholds are tuned: who interrupts that has the model.
        self._write_model()
        if not finished:
            self._explain_resume()
            return INTERRUPTED
        if self._validation and self._arguments.tune:
            self._write_tuned_model()
        self._state_path.unlink(missing_ok=True)
        return 0

    def _iterate(self) -> bool:
        """Return whether training came to its end."""
        steps = self._run.settings.steps
        with (
            StopRequest() as stop,
            progress_bar(steps, "training", forced=self._arguments.progress) as bar,
        ):
            bar.update(self._run.step)
            for step in self._run:
                bar.set_postfix_str(f"loss {step.loss:.3f}", refresh=False)
                bar.update()
                self._report(step)
                # A validation is a moment from which a crash costs little.
                if step.validation is not None or stop.requested:
                    self._run.save_state(self._state_path)
                if stop.requested:
                    return step.step == steps
        return True

    def _report(self, step: TrainingReport) -> None:
        line = f"step {step.step} of {step.steps}: loss {step.loss:.3f}"
        if step.validation is not None:
            best = ", best so far" if step.is_best else ""
            report(f"{line}, {describe_evaluation(step.validation)}{best}")
        elif (
            not self._validation
            and step.step % max(1, step.steps // _LINES_WITHOUT_VALIDATION) == 0
        ):
            report(line)

    def _write_model(self) -> None:
        # The file, if there is one, is this training's own, or may be replaced: it was checked.
        path = save_checkpoint(self._named(self._run.network), self._model_path, overwrite=True)
        report(f"model after {count(self._run.step, 'step')} -> {path}")

    def _write_tuned_model(self) -> None:
        report("choosing thresholds on the held-out images ...")
        save_checkpoint(
            self._tuned(self._named(self._run.network)), self._model_path, overwrite=True
        )

    def _named(self, network: Network) -> Network:
        """Describe what the network has become; what was measured before is no longer true."""
        arguments = self._arguments
        given = {
            name: getattr(arguments, name)
            for name in ("summary", "training_data", "licence")
            if getattr(arguments, name) is not None
        }
        description = replace(
            network.description,
            **{"summary": "", "metrics": {}, **given, "name": arguments.out.stem},
        )
        return Network(network.unet, description)

    def _tuned(self, network: Network) -> Network:
        """Choose the thresholds that segment the held-out images best."""
        device = self._arguments.device
        results = [segment(pair.image, network, device=device) for pair in self._validation]
        scored = [
            (result.scores, np.asarray(pair.labels))
            for result, pair in zip(results, self._validation, strict=True)
            if result.scores is not None
        ]
        description = network.description
        tuned = tune_instances(scored, description.class_roles, _quality, description.instances)
        network = Network(network.unet, replace(description, instances=tuned))
        truths = [truth for _, truth in scored]
        final = evaluate(
            truths,
            [segment(pair.image, network, device=device).labels for pair in self._validation],
        )
        report(f"with tuned thresholds: {describe_evaluation(final)}")
        metrics = {
            f"AP {t:g} (pooled)": final.pooled(t).average_precision for t in final.thresholds
        }
        return Network(
            network.unet,
            replace(network.description, metrics={"held-out images, thresholds tuned": metrics}),
        )

    def _explain_resume(self) -> None:
        if not self._state_path.exists():
            say("stopped; the model was written, but this training cannot be resumed.")
            return
        given = [word for word in self._arguments.command_line if word != "--resume"]
        words = ["napari-unet", *given, "--resume"]
        command = shlex.join(words) if os.name == "posix" else subprocess.list2cmdline(words)
        say(f"stopped after step {self._run.step}; to go on: {command}")


def _quality(truth: LabelImage, prediction: LabelImage) -> float:
    evaluation = evaluate(truth, prediction)
    return float(np.mean([evaluation.mean_ap(t) for t in evaluation.thresholds]))


def describe_evaluation(evaluation: Evaluation) -> str:
    """Write "AP 0.5 / 0.7 / 0.9: 0.88 / 0.74 / 0.25 pooled"."""
    thresholds = " / ".join(f"{t:g}" for t in evaluation.thresholds)
    values = " / ".join(
        f"{evaluation.pooled(t).average_precision:.3f}" for t in evaluation.thresholds
    )
    return f"AP {thresholds}: {values} pooled"
