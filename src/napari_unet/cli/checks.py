"""The look at files for what may spoil the work: told in a line each, or refused."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from napari_unet.batch.images.part import ImagePart
from napari_unet.batch.look import findings_before
from napari_unet.cli.console import say, say_of
from napari_unet.engine.base.errors import UNetError
from napari_unet.engine.base.settings import SegmentationSettings
from napari_unet.engine.base.words import listing
from napari_unet.engine.checks.finding import Finding
from napari_unet.engine.checks.label_facts import AnnotatedImage
from napari_unet.engine.checks.preflight import (
    MOST_LOOKED_AT,
    evenly,
    label_findings,
    preflight_all,
)
from napari_unet.engine.images.image import LabelImage
from napari_unet.engine.networks.network import NetworkDescription
from napari_unet.engine.training.pairs import TrainingPair
from napari_unet.files.image_file import ImageFile

Item = TypeVar("Item")

_MOST_PLANES = 8
_OPTIONS = {"channel": "--channel", "channel_axis": "--channel-axis", "diameter_px": "--diameter"}
_ADVICE = {
    "mask": " Number the pieces first, which the Train widget offers, and in Python "
    "napari_unet.repair.",
}


def add_check_option(parser: argparse.ArgumentParser, refused: str) -> None:
    """Let the user go on with what the look at the files refuses.

    Parameters
    ----------
    parser : ArgumentParser
    refused : str
        What that is.
    """
    parser.add_argument(
        "--no-checks",
        dest="checks",
        action="store_false",
        help="do not look at the files for what may spoil the result. Otherwise each thing that is "
        f"found is told in a line, and {refused} refused",
    )


@dataclass(slots=True)
class Look:
    """What was found in files of one kind, which are all taken together.

    Parameters
    ----------
    files : int
        How many were looked at.
    found : dict of str to list of Finding
        Warnings and errors by their code; notes are for those who sit in front of the form.
    """

    files: int = 0
    found: dict[str, list[Finding]] = field(default_factory=dict)

    def add(self, findings: Iterable[Finding], *, files: int = 1) -> None:
        """Take in what was found in so many files."""
        self.files += files
        for each in findings:
            if each.severity != "note":
                self.found.setdefault(each.code, []).append(each)

    def refuse(self) -> None:
        """Raise if going on makes no sense.

        Raises
        ------
        UNetError
            If the work could not start, or what half of the files or more
            hold is nothing to work with.
        """
        for those in self.found.values():
            first = those[0]
            if first.severity == "error" or (first.is_senseless and 2 * len(those) >= self.files):
                advice = _ADVICE.get(first.code, "")
                raise UNetError(f"{_in_one_line(those)}{advice} Or go on with --no-checks.")

    def lines(self) -> list[str]:
        """One line for each thing that was found."""
        return [_in_one_line(those) for those in self.found.values()]

    def tell(self, path: Path | None = None) -> None:
        """Say one line for each thing that was found, with the name of the file."""
        for line in self.lines():
            if path is None:
                say(line)
            else:
                say_of(path, line)


def _in_one_line(those: Sequence[Finding]) -> str:
    """Say it of the first file, and which others it is true of."""
    first, names = those[0], [each.name for each in those[1:]]
    given = {option: first.changes.get(name) for name, option in _OPTIONS.items()}
    options = " ".join(f"{option} {value}" for option, value in given.items() if value is not None)
    text = f"{first.text.removesuffix('.')} ({options})." if options else first.text
    if not names:
        return text
    return f"{text} The same goes for {len(names)} more: {listing(names)}."


def look_at_image(
    part: ImagePart, description: NetworkDescription, settings: SegmentationSettings
) -> Look:
    """Look at the part of an image that is to be segmented, with what is known of its scale."""
    look = Look()
    look.add(findings_before(part, description, settings))
    return look


def look_before(
    part: ImagePart,
    description: NetworkDescription,
    settings: SegmentationSettings,
    *,
    refuses: bool,
) -> list[str]:
    """Say in a line each what may spoil the segmentation of an image; see `concerns_before`.

    Raises
    ------
    UNetError
        As `Look.refuse`.
    """
    look = look_at_image(part, description, settings)
    if refuses:
        look.refuse()
    return look.lines()


def look_at_labels(labels: LabelImage, path: Path, *, axes: int) -> list[Finding]:
    """Look at the numbers of a label image; of many planes at some.

    Parameters
    ----------
    labels : integer array
    path : Path
    axes : int
        Along how many of the last axes a cell extends.
    """
    axes = min(axes, labels.ndim)
    planes = evenly(list(labels.reshape(-1, *labels.shape[-axes:])), _MOST_PLANES)
    found: dict[str, Finding] = {}
    for plane in planes:
        for each in label_findings(plane, name=str(path)):
            found.setdefault(each.code, each)
    return list(found.values())


class LooksAtLabels:
    """A look at the label images of several folders that belong together, of many at some.

    Parameters
    ----------
    items : sequence
        What stands for a label image of each folder.
    noun : str
        What these are, in the plural.
    wanted : bool
        Whether to look at all.
    """

    def __init__(self, items: Sequence[Any], noun: str, *, wanted: bool) -> None:
        self._items = some_of(items, noun) if wanted else []
        self._looks: list[Look] = []

    def add(self, item: Any, *files: ImageFile) -> None:
        """Look at the label images of an item, one of each folder."""
        if item not in self._items:
            return
        self._looks += [Look() for _ in files[len(self._looks) :]]
        for look, file in zip(self._looks, files, strict=False):
            look.add(look_at_labels(file.array, file.path, axes=3))

    def tell(self) -> None:
        """Say what was found in each folder, or raise if going on makes no sense.

        Raises
        ------
        UNetError
            As `Look.refuse`.
        """
        for look in self._looks:
            look.refuse()
        for look in self._looks:
            look.tell()

    def lines(self) -> list[str]:
        """One line for each thing that was found."""
        return [line for look in self._looks for line in look.lines()]


def look_at_pairs(
    pairs: Sequence[TrainingPair],
    description: NetworkDescription,
    *,
    class_names: Sequence[str] | None = None,
) -> Look:
    """Look at images and their labels before a training; `class_names` as in `preflight_all`."""
    some = some_of(pairs, "images and their labels")
    annotated = [
        AnnotatedImage(
            pair.labels,
            np.asarray(pair.image),
            pair.name,
            pair.channel_axis,
            reviewed=pair.reviewed,
            corrected=pair.corrected,
            in_slices=pair.in_slices,
        )
        for pair in some
    ]
    look = Look()
    found = preflight_all(annotated, network=description, class_names=class_names)
    look.add(found, files=len(some))
    return look


def some_of(items: Sequence[Item], noun: str) -> list[Item]:
    """Take of many files only some to look at, and say so."""
    some = evenly(items, MOST_LOOKED_AT)
    if len(some) < len(items):
        say(f"looking at {len(some)} of {len(items)} {noun} for what may spoil the result.")
    return some
