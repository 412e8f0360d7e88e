"""A model that begins with nothing: its options on the command line, and what they make."""

from __future__ import annotations

import argparse
from typing import get_args

from napari_unet.batch.training.plan import NewModel
from napari_unet.cli.console import report
from napari_unet.cli.setting_options import add_setting_options, read_settings
from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.base.words import count
from napari_unet.engine.networks.annotation import LabelKind
from napari_unet.engine.networks.class_roles import BACKGROUND, BORDER, CELL
from napari_unet.engine.networks.network import Network, NetworkDescription
from napari_unet.engine.networks.unet import NEW_SHAPE, UNetConfig
from napari_unet.engine.training.pairs import TrainingPair
from napari_unet.engine.training.volumes.new_shape import VOLUME_SHAPE, usual_shape

_MADE_FROM_IMAGES = ("in_channels", "classes", "flat_levels")


def add_new_model_options(parser: argparse.ArgumentParser) -> None:
    """Let the user say what a new model is."""
    add_setting_options(
        parser,
        NEW_SHAPE,
        title="shape of a new model (defaults are those for images; one for volumes has a base "
        f"width of {VOLUME_SHAPE.base_width} and a depth of {VOLUME_SHAPE.depth})",
        leave_out=_MADE_FROM_IMAGES,
    )
    parser.add_argument(
        "--two-classes",
        action="store_true",
        help="a new model tells background and cell apart, as in the paper; without this, "
        "the rims of cells are a third class",
    )
    parser.add_argument(
        "--label-kind",
        choices=get_args(LabelKind),
        metavar="|".join(get_args(LabelKind)),
        help="what the numbers in LABELS are to a new model: those of cells, or classes, of which "
        "it learns as many as there are (default: cells)",
    )
    parser.add_argument(
        "--class-names",
        type=_names,
        metavar="NAME,NAME",
        help="names of the classes 1, 2, ... of a new model, which makes the labels classes "
        "(default: class 1,class 2,...)",
    )


def check_shape_options(arguments: argparse.Namespace, start: Network | None) -> None:
    """Raise if the options of a new model make no sense, or none is made.

    Raises
    ------
    SettingsError
    """
    of_classes = arguments.label_kind is not None or arguments.class_names is not None
    is_shaped = new_shape(arguments) != NEW_SHAPE or arguments.two_classes or of_classes
    if start is not None and is_shaped:
        raise SettingsError(
            "A model that training starts from (--from) keeps its shape and its classes; leave out "
            "--from to make a new one, or leave out the options of its shape."
        )
    if arguments.two_classes and class_names(arguments) is not None:
        raise SettingsError(
            "--two-classes is of models that tell cells apart; leave it out where labels are "
            "classes."
        )
    if arguments.label_kind == "cells" and arguments.class_names is not None:
        raise SettingsError(
            "--class-names are given to labels that are classes; leave out --label-kind cells."
        )


def class_names(arguments: argparse.Namespace) -> tuple[str, ...] | None:
    """Names that the classes of a new model are given; None if it finds cells."""
    if arguments.label_kind == "classes":
        return arguments.class_names or ()
    names: tuple[str, ...] | None = arguments.class_names
    return names


def new_shape(arguments: argparse.Namespace) -> UNetConfig:
    """Shape of a new model, but for what the images decide."""
    wanted = read_settings(arguments, NEW_SHAPE, leave_out=_MADE_FROM_IMAGES)
    return read_settings(arguments, usual_shape(wanted.ndim), leave_out=_MADE_FROM_IMAGES)


def new_model(arguments: argparse.Namespace) -> NewModel:
    """What a new model is, but for what the images decide."""
    shape = new_shape(arguments)
    roles = (BACKGROUND, CELL) if arguments.two_classes else (BACKGROUND, CELL, BORDER)
    return NewModel(shape.ndim, shape, roles, class_names(arguments))


def described_anew(arguments: argparse.Namespace, pairs: list[TrainingPair]) -> NetworkDescription:
    """Describe the model that is made for these images, and say what it is."""
    description = new_model(arguments).described(pairs, arguments.out.stem)
    config = description.architecture
    report(
        f"a new {config.ndim}-D network ({config.sentence}) that reads "
        f"{count(config.in_channels, 'channel')} and learns {', '.join(description.class_roles)}"
    )
    return description


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))
