"""Teach a model your own cells, from images and label images of the same names.

Start from a trained model (--from nuclei) to need few images and some minutes; without --from a
new model is made, which needs many images and hours. It ends once the loss has levelled off, unless
--steps or --seconds say when. Ctrl-C stops: the best model so far is written. The same command with
--resume goes on where it stopped, and after the end trains further, for as long again.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np

from napari_unet.batch.file_plan import check_writable
from napari_unet.batch.words import count, listing
from napari_unet.cli.checks import add_check_option, look_at_pairs
from napari_unet.cli.commands.evaluate import report_unpaired
from napari_unet.cli.commands.training_session import TrainingSession, only_writer
from napari_unet.cli.console import report, say
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
from napari_unet.cli.setting_options import (
    add_setting_options,
    is_given,
    read_channel_axis,
    read_settings,
    real_number,
    whole_number,
)
from napari_unet.engine.base.errors import FileError, SettingsError, TrainingError
from napari_unet.engine.images.image import LabelImage
from napari_unet.engine.models.checkpoint import SUFFIX, bundled_models
from napari_unet.engine.networks.annotation import LabelKind, label_kind
from napari_unet.engine.networks.network import Network, NetworkDescription
from napari_unet.engine.training.hold_out import hold_out
from napari_unet.engine.training.knowledge.bank import known_bank
from napari_unet.engine.training.pairs import (
    RING_PX,
    TrainingPair,
    Unlabelled,
    annotated_pair,
    check_pairs,
)
from napari_unet.engine.training.settings import TrainingSettings
from napari_unet.engine.training.training import train
from napari_unet.files.cell_types import read_cell_types, tables_of
from napari_unet.files.pairs import pair_files, read_pairs


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
    _add_run_options(parser)
    add_check_option(
        parser, "masks, images for labels and labels for images, if half of the files are such, are"
    )
    _add_meaning_options(parser)
    _add_validation_options(parser)
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
        "--keep-images",
        action="store_true",
        help="write the labelled parts of the images beside MODEL (.bank.zip); trainings that go "
        "on from it learn them again, so that they are not forgotten",
    )
    parser.add_argument(
        "--progress", action="store_true", help="show the progress bar even if not on a terminal"
    )


def _add_meaning_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what the labels mean")
    group.add_argument(
        "--unlabelled",
        choices=get_args(Unlabelled),
        metavar="|".join(get_args(Unlabelled)),
        help="pixels with the label 0: somebody saw that they are background, or nobody has "
        "looked at them and nothing is learned there (default: reviewed; ignore for a new model "
        "of classes)",
    )
    group.add_argument(
        "--cell-types",
        type=Path,
        metavar="TABLES",
        help="folder of CSV tables with the columns label and type, named as the labels or the "
        "images, or one table: the model learns to tell these types of cells apart",
    )
    group.add_argument(
        "--background-label",
        type=whole_number,
        metavar="N",
        help="a number that was painted where background is, for --unlabelled ignore",
    )
    group.add_argument(
        "--ring",
        type=real_number,
        default=RING_PX,
        metavar="X",
        help="with --unlabelled ignore, pixels around a painted cell that are background, too "
        f"(default: {RING_PX}); more where cells lie far apart",
    )
    group.add_argument(
        "--only-seen",
        action="store_true",
        help="learn only cells that were looked over in napari and marked right or corrected, and "
        "the background around them; the marks are in labels saved as .ome.tif",
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
        help="share of IMAGES to hold out where no others are given (default: 0.1); of few "
        "images it is part of one, if that leaves enough cells to learn from",
    )
    group.add_argument(
        "--no-tune",
        dest="tune",
        action="store_false",
        help="keep the thresholds for telling cells apart as they are; they are tuned where "
        "enough cells are held out",
    )


def run(arguments: argparse.Namespace) -> int:
    """Train, and write the model; return 130 if it was stopped before the end."""
    model_path = model_file(arguments.out)
    check_writable(model_path.parent)
    with only_writer(model_path):
        return _run(arguments, model_path)


def _run(arguments: argparse.Namespace, model_path: Path) -> int:
    settings = _settings(arguments)
    state_path = model_path.with_suffix(".resume")
    _check_outputs(arguments, model_path, state_path)
    start = load_model(arguments.start, arguments) if arguments.start else None
    check_shape_options(arguments, start)
    pairs, validation = _read_pairs(arguments, start, settings.seed)
    description = start.description if start else described_anew(arguments, [*pairs, *validation])
    if arguments.checks:
        roles = description.class_roles
        # What the engine would refuse, it says in its own words.
        check_pairs(pairs, validation, ndim=description.architecture.ndim, class_roles=roles)
        names = None if start else class_names(arguments)
        look = look_at_pairs([*pairs, *validation], description, class_names=names)
        look.refuse()
        look.tell()
    if not validation:
        pairs, validation = _part_held_out(arguments, pairs, description, settings.seed)
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


def _settings(arguments: argparse.Namespace) -> TrainingSettings:
    given = read_settings(arguments, TrainingSettings())
    end = {
        name: getattr(given, name)
        for name in ("steps", "seconds")
        if is_given(arguments, TrainingSettings, name)
    }
    usual = TrainingSettings.fine_tuning if arguments.start else TrainingSettings.from_nothing
    return read_settings(arguments, usual(**end))


def start_file(arguments: argparse.Namespace) -> Path | None:
    """File of the model that a training begins with; None for a new one."""
    if arguments.start is None:
        return None
    source = model_source(arguments.start)
    return bundled_models().get(source, Path(source))


def model_file(path: Path) -> Path:
    """Name of the file that `save_checkpoint` writes for `path`."""
    return path if path.suffix == SUFFIX else path.with_name(path.name + SUFFIX)


def _check_outputs(arguments: argparse.Namespace, model: Path, state: Path) -> None:
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


# -- images ----------------------------------------------------------------------------------------


def _read_pairs(
    arguments: argparse.Namespace, start: Network | None, seed: int
) -> tuple[list[TrainingPair], list[TrainingPair]]:
    """Images to learn from, and images to validate on."""
    given = (arguments.validation_images, arguments.validation_labels)
    if (given[0] is None) != (given[1] is None):
        raise SettingsError("Give both --validation-images and --validation-labels, or neither.")
    files = _paired(arguments.images, arguments.labels)
    if given[0] is None:
        files, held_out = _divided(files, arguments.validation_fraction, seed)
    else:
        held_out = _paired(*given)
    shape = start.description.architecture if start else new_shape(arguments)
    given_names = class_names(arguments)
    kind: LabelKind = "cells" if given_names is None else "classes"
    if start is not None:
        kind = label_kind(start.description.class_roles)
    usual: Unlabelled = "reviewed" if given_names is None else "ignore"

    def pair(image: Any, labels: LabelImage, name: str) -> TrainingPair:
        return annotated_pair(
            image,
            labels,
            unlabelled=arguments.unlabelled or usual,
            background_label=arguments.background_label,
            label_kind=kind,
            ring_px=arguments.ring,
            name=name,
            channel_axis=-1 if image.ndim > labels.ndim else None,
        )

    tables = _tables(arguments, [*files, *held_out], kind)

    def read(some: list[tuple[Path, Path]], *, only_seen: bool) -> list[TrainingPair]:
        options = {"ndim": shape.ndim, "channel_axis": arguments.channel_axis}
        made: list[TrainingPair] = []
        for paths in some:
            table = tables.get(paths[1])
            types_of = None if table is None else partial(read_cell_types, table)
            options |= {"types_of": types_of, "only_seen": only_seen}
            made += read_pairs(*paths, make_pair=pair, **options)
        return made

    is_seen = arguments.only_seen
    pairs = read(files, only_seen=is_seen)
    # Images that are given to be judged by are labelled as a whole.
    validation = read(held_out, only_seen=is_seen and given[0] is None)
    numbers = [np.unique(pair.labels[pair.labels > 0]) for pair in pairs]
    if kind == "cells":
        shown = count(sum(each.size for each in numbers), "cell")
    else:
        classes = np.unique(np.concatenate(numbers)).size if numbers else 0
        shown = "1 class" if classes == 1 else f"{classes} classes"
    report(f"{count(len(pairs), 'image')} with {shown} to learn from")
    if validation:
        names = [pair.name for pair in validation]
        report(f"{count(len(names), 'image')} held out: {listing(names)}")
    return pairs, validation


def _tables(
    arguments: argparse.Namespace, files: list[tuple[Path, Path]], kind: LabelKind
) -> dict[Path, Path]:
    """Table of the types of cells of each label image that has one."""
    if arguments.cell_types is None:
        return {}
    if kind == "classes":
        raise SettingsError(
            "--cell-types are of labels whose numbers are cells, and here they are classes; leave "
            "one of them out."
        )
    tables = tables_of(arguments.cell_types, files)
    without = [labels.name for _, labels in files if labels not in tables]
    if without:
        say(
            f"{count(len(without), 'label image')} without a table of types, whose cells count as "
            f"cells of any type: {listing(without)}."
        )
    return tables


def _divided(
    files: list[tuple[Path, Path]], fraction: float, seed: int
) -> tuple[list[tuple[Path, Path]], list[tuple[Path, Path]]]:
    """Files to learn from, and a share of them to validate on."""
    if not 0 <= fraction < 1:
        raise SettingsError(
            f"--validation-fraction is {fraction:g}; use 0 up to, not including, 1."
        )
    number = int(len(files) * fraction + 0.5) if len(files) > 1 else 0
    order = np.random.default_rng(seed).permutation(len(files))
    parts = (order[number:], order[:number])
    learned, held_out = ([files[index] for index in sorted(part)] for part in parts)
    return learned, held_out


def _part_held_out(
    arguments: argparse.Namespace,
    pairs: list[TrainingPair],
    description: NetworkDescription,
    seed: int,
) -> tuple[list[TrainingPair], list[TrainingPair]]:
    """Hold out part of the images where there are too few to spare whole ones."""
    fraction = arguments.validation_fraction
    # Slices of a stack are too much alike to judge a model by one of them.
    are_slices = len({pair.name.partition(", slice ")[0] for pair in pairs}) < len(pairs)
    if fraction == 0 or are_slices:
        report("Nothing is held out: how good the model is must be judged on other images.")
        return pairs, []
    gap_px, kind = description.architecture.margin_px, label_kind(description.class_roles)
    held = hold_out(pairs, share=fraction, seed=seed, gap_px=gap_px, label_kind=kind)
    report(held.sentence)
    return list(held.training), list(held.validation)


def _paired(images: Path, labels: Path) -> list[tuple[Path, Path]]:
    paired = pair_files(images, labels)
    report_unpaired(paired, "image", "label image")
    return paired.pairs
