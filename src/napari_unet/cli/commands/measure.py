"""Measure each cell of label images: size, place, form, and intensities in other images.

OUT that ends in .csv or .parquet is one table for all of them; otherwise OUT is a folder, with one
.csv file for each.
Sizes are in micrometres where the files know the size of a pixel; the names of the columns tell.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_unet.batch.cell_table import cell_table, size_along
from napari_unet.batch.file_plan import PlannedFile, check_new_file, plan_outputs
from napari_unet.cli.batch import for_each
from napari_unet.cli.checks import Look, add_check_option, look_at_labels
from napari_unet.cli.console import report, say, say_of
from napari_unet.engine.base.errors import FileError, LabelsError
from napari_unet.engine.base.words import count, listing
from napari_unet.engine.labels.measurements import (
    Column,
    PixelSize,
)
from napari_unet.files.finding import find_images
from napari_unet.files.image_file import ImageFile
from napari_unet.files.images import read_image, read_labels
from napari_unet.files.measurements import (
    SUFFIX,
    SUFFIXES,
    Table,
    joined_tables,
    write_measurements,
)
from napari_unet.files.pairs import partners_of

_MEANT = ("mask", "disconnected")


@dataclass(frozen=True, slots=True)
class _Choices:
    """How every label image is measured."""

    images: Mapping[str, Mapping[Path, Path]]
    """For each name the image of each label image."""
    takes_background: bool
    is_volume: bool
    in_pixels: bool
    has_checks: bool


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.usage = "%(prog)s LABELS... -o OUT [--on NAME=IMAGES ...] [options]"
    parser.add_argument(
        "labels", nargs="+", metavar="LABELS", help="label images, or folders of them"
    )
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        required=True,
        help="folder for the tables, or one .csv or .parquet file",
    )
    parser.add_argument(
        "--on",
        action="append",
        default=[],
        metavar="NAME=IMAGES",
        help="also measure intensities in an image, or in those of a folder, which are found by "
        "the names of the label images; their columns have NAME in them. May be given several "
        "times",
    )
    parser.add_argument(
        "--background",
        action="store_true",
        help="take the median intensity where no cell is from the intensities",
    )
    parser.add_argument(
        "--3d",
        dest="volume",
        action="store_true",
        help="a cell extends through the slices of a stack; otherwise each slice is measured",
    )
    parser.add_argument(
        "--pixels",
        action="store_true",
        help="sizes in pixels, also where the size of a pixel is known",
    )
    add_check_option(parser, "an image that is given for labels is")
    parser.add_argument("--overwrite", action="store_true", help="replace outputs that exist")


def run(arguments: argparse.Namespace) -> int:
    """Measure every label image; return 1 if any of them failed."""
    # In a folder of Cellpose the same labels lie as a picture and as its own file.
    has_folders = any(not Path(each).suffix for each in arguments.labels)
    sources = find_images(arguments.labels, labels=not has_folders)
    choices = _Choices(
        {name: _partners(name, path, sources) for name, path in _named(arguments.on).items()},
        arguments.background,
        arguments.volume,
        arguments.pixels,
        arguments.checks,
    )
    used = {path for partners in choices.images.values() for path in partners.values()}
    # Labels and images may lie in one folder.
    sources = [path for path in sources if path not in used]
    options: dict[str, Any] = {"noun": "label image", "debug": arguments.debug}
    out: Path = arguments.out
    if out.suffix.lower() not in SUFFIXES or out.is_dir():
        plan = plan_outputs(sources, out, ending=SUFFIX, overwrite=arguments.overwrite)

        def write(planned: PlannedFile) -> None:
            table = _measured(planned.source, choices)
            write_measurements(planned.output, table, overwrite=arguments.overwrite)
            report(f"{_cells_in(planned.source, table)} -> {planned.output}")

        return for_each(plan, write, name=lambda planned: planned.source, **options)
    check_new_file(out, overwrite=arguments.overwrite)
    tables: dict[Path, dict[str, Column]] = {}

    def keep(source: Path) -> None:
        tables[source] = _measured(source, choices)
        report(_cells_in(source, tables[source]))

    status = for_each(sources, keep, name=lambda source: source, **options)
    if tables:
        joined: Table = _with_names(tables) if len(sources) > 1 else tables[sources[0]]
        write_measurements(out, joined, overwrite=arguments.overwrite)
        report(f"{count(len(joined['label']), 'row')} -> {out}")
    return status


def _named(words: Sequence[str]) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for word in words:
        name, equals, path = word.partition("=")
        if not (name and equals and path):
            raise FileError(
                f"--on {word} has no name for the columns; write NAME=FILE or NAME=FOLDER, as in "
                "--on dapi=images/."
            )
        if name in named:
            raise FileError(f"--on {name}=... is given twice; give each its own name.")
        named[name] = Path(path)
    return named


def _partners(name: str, images: Path, labels: Sequence[Path]) -> dict[Path, Path]:
    """For each label image that has one its image, and say which images are left out."""
    partners = partners_of(labels, images)
    if not partners:
        raise FileError(
            f"No image of --on {name}={images} has the name of a label image (such as "
            f"'{labels[0].name}'); files belong together by their names without endings."
        )
    taken = {*partners.values(), *partners}
    rest = [path.name for path in find_images([images]) if path not in taken]
    if rest:
        say(f"{count(len(rest), f'image of {name}')} left out, without labels: {listing(rest)}.")
    return partners


def _measured(source: Path, choices: _Choices) -> dict[str, Column]:
    labels = read_labels(source)
    look = Look()
    if choices.has_checks:
        found = look_at_labels(labels.array, source, axes=3 if choices.is_volume else 2)
        look.add(each for each in found if each.code not in _MEANT)
    look.refuse()
    ndim = _ndim(labels, is_volume=choices.is_volume)
    files = {name: _image_of(source, name, of) for name, of in choices.images.items()}
    size = None if choices.in_pixels else _pixel_size(labels, files, ndim)
    look.tell(source)
    return cell_table(
        labels, files, ndim=ndim, pixel_size=size, takes_background=choices.takes_background
    )


def _ndim(labels: ImageFile, *, is_volume: bool) -> int:
    """Axes of a cell."""
    if not is_volume:
        return 2
    if labels.axes[-3:] != "ZYX":
        has = "frames and no slices" if "T" in labels.axes else "no slices"
        raise LabelsError(f"'{labels.path}' has {has}; measure it without --3d.")
    return 3


def _image_of(labels: Path, name: str, partners: Mapping[Path, Path]) -> ImageFile:
    if labels not in partners:
        raise FileError(
            f"'{labels}' has no image of '{name}'; give one of its name, or leave out the labels."
        )
    return read_image(partners[labels])


def _pixel_size(labels: ImageFile, files: Mapping[str, ImageFile], ndim: int) -> PixelSize | None:
    """As the labels say, or else an image; None where the size along an axis is not known."""
    known = next(filter(None, (size_along(each, ndim) for each in (labels, *files.values()))), None)
    if known is None and any(file.pixel_size_um for file in (labels, *files.values())):
        say_of(
            labels.path,
            "how far the slices are apart is not known, so that sizes are in pixels.",
        )
    return known


def _cells_in(source: Path, table: Mapping[str, Column]) -> str:
    return f"{source.name}: {count(len(table['label']), 'cell')}"


def _with_names(tables: Mapping[Path, Mapping[str, Column]]) -> dict[str, list[Any]]:
    """All tables below each other, with the name of its image in each row."""
    names = [path.name for path in tables]
    are_unique = len(set(names)) == len(names)
    named: list[dict[str, Any]] = [
        {"image": [path.name if are_unique else str(path)] * len(table["label"]), **table}
        for path, table in tables.items()
    ]
    return joined_tables(named)
