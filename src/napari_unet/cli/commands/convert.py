"""Write labels for other programs, and read theirs: the same cells with the same numbers.

What is read goes by the content of a file, what is written by the ending of OUT, or by --format:
tiff (.tif), ome-tiff (.ome.tif), ome-zarr (.ome.zarr, or .zarr), imagej-rois (_rois.zip, or .zip:
the ROI Manager of ImageJ and Fiji), geojson (.geojson: QuPath), cellpose (_seg.npy).
IMAGE.zarr/labels/NAME adds labels to an OME-Zarr image. ROIs and GeoJSON hold a stack plane by
plane. Types of cells go along; a format without a place for them has a table beside it.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_unet.batch.file_plan import PlannedFile, plan_outputs
from napari_unet.cli.batch import for_each
from napari_unet.cli.checks import Look, add_check_option, look_at_labels
from napari_unet.cli.console import report, say, say_of
from napari_unet.engine.base.errors import FileError, LabelsError
from napari_unet.engine.base.words import count, listing
from napari_unet.engine.labels.measurements import Column, PixelSize, measure_cells
from napari_unet.files.cell_types import read_cell_types, table_beside, write_cell_types
from napari_unet.files.finding import find_images
from napari_unet.files.image_file import ImageFile, existing
from napari_unet.files.images import (
    IMAGE_SUFFIXES,
    LABEL_FILES,
    LABEL_FORMATS,
    read_image,
    read_labels,
    write_labels,
)
from napari_unet.files.label_formats.ome_zarr import image_around
from napari_unet.files.measurements import SUFFIXES
from napari_unet.files.pairs import partners_of, says_labels

_HOLDS_TYPES = {each.name for each in LABEL_FORMATS if each.holds_types}
_MEANT = ("mask", "disconnected")


@dataclass(frozen=True, slots=True)
class _Choices:
    """How every file is converted."""

    format: str
    images: Mapping[Path, Path]
    """The image of each label image that has one."""
    is_measured: bool
    has_checks: bool
    overwrite: bool


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.usage = "%(prog)s IN... -o OUT [--format FORMAT] [--image IMAGES] [options]"
    parser.add_argument(
        "labels", nargs="+", metavar="IN", help="files of labels, or folders of them"
    )
    parser.add_argument(
        "-o", "--out", type=Path, required=True, help="folder, or a file for a single IN"
    )
    parser.add_argument(
        "--format",
        choices=list(LABEL_FILES),
        metavar="|".join(LABEL_FILES),
        help="what to write (default: what OUT ends in)",
    )
    parser.add_argument(
        "--image",
        type=Path,
        metavar="IMAGES",
        help="the image of the labels, or a folder of them, found by their names: ROIs and GeoJSON "
        "of other programs do not tell how large it is, and Cellpose looks for it",
    )
    parser.add_argument(
        "--measure",
        action="store_true",
        help="with geojson: give each cell its size, place and form as measurements",
    )
    add_check_option(parser, "an image that is given for labels is")
    parser.add_argument("--overwrite", action="store_true", help="replace outputs that exist")


def run(arguments: argparse.Namespace) -> int:
    """Convert every file; return 1 if any of them failed."""
    out: Path = arguments.out
    format_ = arguments.format or _format_named_by(out)
    sources = _labels_among(find_images(arguments.labels, labels=True))
    images = {} if arguments.image is None else partners_of(sources, arguments.image)
    choices = _Choices(format_, images, arguments.measure, arguments.checks, arguments.overwrite)
    if choices.is_measured and format_ != "geojson":
        raise FileError(
            f"--measure goes with geojson; for a table beside {format_} run 'napari-unet measure'."
        )
    taken = {path.resolve() for path in images.values()}
    plan = plan_outputs(
        [path for path in sources if path.resolve() not in taken],
        out,
        ending=LABEL_FILES[format_][0],
        file_endings=LABEL_FILES[format_] if image_around(out) is None else ("",),
        overwrite=arguments.overwrite,
        series=(),
        are_labels=True,
    )
    return for_each(
        plan,
        lambda planned: _convert(planned, choices),
        name=lambda planned: planned.source,
        noun="label image",
        debug=arguments.debug,
    )


def _labels_among(files: list[Path]) -> list[Path]:
    """Leave out images beside labels of other programs, and say it."""
    if not any(path.suffix.lower() not in IMAGE_SUFFIXES for path in files):
        return files
    images = [path.name for path in files if not says_labels(path)]
    if images:
        say(f"left out, as images beside their labels: {listing(images)}.")
    return [path for path in files if says_labels(path)]


def _format_named_by(out: Path) -> str:
    """Name of the format whose ending a file has, the longest one first."""
    if image_around(out) is not None:
        return "ome-zarr"
    endings = [(end, name) for name, ends in LABEL_FILES.items() for end in ends]
    for end, name in sorted(endings, key=lambda each: -len(each[0])):
        if out.name.lower().endswith(end):
            return name
    if out.suffix.lower() in SUFFIXES:
        raise FileError(
            f"'{out}' is a table, which holds no labels; 'napari-unet measure' writes tables."
        )
    raise FileError(
        f"'{out}' does not tell in which format to write; add --format with one of "
        f"{', '.join(LABEL_FILES)}, or name a file that ends in {_endings()}."
    )


def _endings() -> str:
    *first, last = (ends[0] for ends in LABEL_FILES.values())
    return f"{', '.join(first)} or {last}"


def _convert(planned: PlannedFile, choices: _Choices) -> None:
    if planned.problem is not None:
        raise planned.problem
    source, output = planned.source, planned.output
    at = choices.images.get(source)
    image = None if at is None else read_image(at)
    labels = read_labels(source, series=planned.series, image=image)
    _look(labels, has_checks=choices.has_checks)
    for remark in labels.remarks:
        say_of(source, remark)
    types, table = _types(labels), table_beside(output)
    has_table = choices.format not in _HOLDS_TYPES and (bool(types) or table.exists())
    if has_table and table.exists() and not choices.overwrite:
        raise existing(table)
    size = labels.pixel_size_um or (None if image is None else image.pixel_size_um)
    write_labels(
        output,
        labels.array,
        axes=labels.axes,
        pixel_size_um=size,
        frame_interval_s=labels.frame_interval_s,
        notes=labels.notes,
        types=types,
        measurements=_measured(labels) if choices.is_measured else None,
        image=None if at is None else at.name,
        overwrite=choices.overwrite,
    )
    if has_table:
        write_cell_types(table, types, {}, overwrite=choices.overwrite)
    cells = np.unique(labels.array[labels.array > 0]).size
    report(f"{planned.title}: {count(cells, 'cell')} -> {output}")


def _look(labels: ImageFile, *, has_checks: bool) -> None:
    look = Look()
    if has_checks:
        found = look_at_labels(labels.array, labels.path, axes=2)
        look.add(each for each in found if each.code not in _MEANT)
    look.refuse()
    look.tell(labels.path)


def _types(labels: ImageFile) -> Mapping[int, str]:
    """As the file tells them, or a table beside it."""
    table = table_beside(labels.path)
    if labels.types or not table.exists() or labels.series is not None:
        return labels.types
    return read_cell_types(table, labels.array)


def _measured(labels: ImageFile) -> dict[str, Column]:
    if labels.array.ndim != 2:
        raise LabelsError(
            f"'{labels.path}' is a stack, of which a cell has an outline in each plane; convert it "
            "without --measure, and measure it with 'napari-unet measure'."
        )
    size = labels.pixel_size_um
    return measure_cells(
        labels.array, pixel_size=None if size is None else PixelSize(size[-2:], "um")
    )
