"""Images with their labels, as the options of a training name them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np

from napari_unet.batch.training.labelled_files import FilePair, LabelledFiles, LabelMeaning
from napari_unet.cli.commands.evaluate import report_unpaired
from napari_unet.cli.console import report, say
from napari_unet.cli.new_model import class_names, new_shape
from napari_unet.cli.setting_options import real_number, whole_number
from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.base.words import count, listing
from napari_unet.engine.networks.annotation import LabelKind, label_kind
from napari_unet.engine.networks.network import Network
from napari_unet.engine.training.pairs import RING_PX, TrainingPair, Unlabelled
from napari_unet.engine.training.volumes.slices import ChosenSlices
from napari_unet.files.cell_types import tables_of
from napari_unet.files.pairs import pair_files


def add_meaning_options(parser: argparse.ArgumentParser) -> None:
    """Let the user say what labels mean."""
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
        "--slices",
        type=_slices,
        metavar="N,N|painted",
        help="of volumes (--ndim 3), learn from these slices alone, counted from 1, or from all "
        "that show a label; what is above and below teaches nothing",
    )
    group.add_argument(
        "--only-seen",
        action="store_true",
        help="learn only cells that were looked over in napari and marked right or corrected, and "
        "the background around them; the marks are in labels saved as .ome.tif",
    )


def _slices(text: str) -> ChosenSlices:
    if text == "painted":
        return "painted"
    return [whole_number(part) - 1 for part in text.split(",")]


def add_validation_options(parser: argparse.ArgumentParser) -> None:
    """Let the user say by which images the network is judged."""
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


def labelled_files(
    arguments: argparse.Namespace, start: Network | None, seed: int
) -> LabelledFiles:
    """Name the files to learn from, and those to be judged by.

    Raises
    ------
    UNetError
        If files do not go together, or options make no sense.
    """
    given = (arguments.validation_images, arguments.validation_labels)
    if (given[0] is None) != (given[1] is None):
        raise SettingsError("Give both --validation-images and --validation-labels, or neither.")
    files = _paired(arguments.images, arguments.labels)
    fraction = arguments.validation_fraction
    if given[0] is None:
        files, held_out = _divided(files, fraction, seed)
    else:
        held_out = _paired(*given)
    given_names = class_names(arguments)
    kind: LabelKind = "cells" if given_names is None else "classes"
    if start is not None:
        kind = label_kind(start.description.class_roles)
    usual: Unlabelled = "reviewed" if given_names is None else "ignore"
    shape = start.description.architecture if start else new_shape(arguments)
    meaning = LabelMeaning(
        kind,
        arguments.unlabelled or usual,
        arguments.background_label,
        arguments.ring,
        arguments.only_seen,
        shape.ndim,
        arguments.channel_axis,
        arguments.voxel_size,
        arguments.slices,
    )
    return LabelledFiles(
        tuple(files),
        tuple(held_out),
        meaning,
        _tables(arguments, [*files, *held_out], kind),
        0.0 if held_out else fraction,
        # Images that are given to be judged by are labelled as a whole.
        held_out_is_whole=given[0] is not None,
    )


def read_files(files: LabelledFiles) -> tuple[list[TrainingPair], list[TrainingPair]]:
    """Read images to learn from, and images to validate on, and say what they are."""
    pairs, validation = files.read()
    numbers = [np.unique(pair.labels[pair.labels > 0]) for pair in pairs]
    if files.meaning.label_kind == "cells":
        shown = count(sum(each.size for each in numbers), "cell")
    else:
        classes = np.unique(np.concatenate(numbers)).size if numbers else 0
        shown = "1 class" if classes == 1 else f"{classes} classes"
    report(f"{count(len(pairs), 'image')} with {shown} to learn from")
    if validation:
        names = [pair.name for pair in validation]
        report(f"{count(len(names), 'image')} held out: {listing(names)}")
    return pairs, validation


def without_slices(files: LabelledFiles, pairs: Sequence[TrainingPair]) -> LabelledFiles:
    """Hold nothing out where images are slices of a stack, or that is not wanted.

    They are too much alike to judge a model by one of them.
    """
    are_slices = len({pair.name.partition(", slice ")[0] for pair in pairs}) < len(pairs)
    if files.held_out or not (are_slices or files.share == 0):
        return files
    report("Nothing is held out: how good the model is must be judged on other images.")
    return replace(files, share=0.0)


def _tables(
    arguments: argparse.Namespace, files: list[FilePair], kind: LabelKind
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
    files: list[FilePair], fraction: float, seed: int
) -> tuple[list[FilePair], list[FilePair]]:
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


def _paired(images: Path, labels: Path) -> list[FilePair]:
    paired = pair_files(images, labels)
    report_unpaired(paired, "image", "label image")
    return paired.pairs
