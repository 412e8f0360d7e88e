"""Draw the weights by which training stresses the gaps between neighbouring cells.

One label image and an OUT that ends in .tif: OUT is that file. Otherwise OUT is a folder.
Weights are written as float32 TIFF.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.batch.file_plan import PlannedFile, plan_outputs
from napari_unet.cli.batch import for_each
from napari_unet.cli.checks import Look, add_check_option, look_at_labels
from napari_unet.cli.console import report, say_of
from napari_unet.cli.setting_options import (
    add_setting_options,
    read_settings,
    real_number,
    whole_number,
)
from napari_unet.engine.base.setting_texts import setting_texts
from napari_unet.engine.checks.finding import Finding
from napari_unet.engine.images.image import LabelImage, WeightMap
from napari_unet.engine.weight_map.settings import WeightMapSettings
from napari_unet.engine.weight_map.weight_map import (
    IGNORED,
    boundary_weight_map,
    looks_like_mask,
    number_pieces,
    why_no_border,
)
from napari_unet.files.finding import find_images
from napari_unet.files.image_file import ImageFile
from napari_unet.files.images import read_labels, write_float_image

_OF_VARIANT = {"w0": "--w0", "border_sigma_px": "--sigma"}
"""Settings that start as the variant has them."""

_DESCRIBED_HERE = (*_OF_VARIANT, "ignore_label")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.usage = "%(prog)s LABELS... -o OUT [options]"
    parser.add_argument(
        "labels", nargs="+", metavar="LABELS", help="label images, or folders of them"
    )
    parser.add_argument(
        "-o", "--out", type=Path, required=True, help="folder for the results, or one .tif file"
    )
    texts, fiji = setting_texts(WeightMapSettings), WeightMapSettings.of("fiji")
    for name, option in _OF_VARIANT.items():
        usual, of_fiji = getattr(WeightMapSettings(), name), getattr(fiji, name)
        parser.add_argument(
            option,
            dest=name,
            type=real_number,
            metavar="X",
            help=f"{texts[name]} (default: {usual:g}, with --variant fiji {of_fiji:g})",
        )
    parser.add_argument(
        "--ignore-label",
        type=whole_number,
        metavar="N",
        help=f"{texts['ignore_label']} (default: none)",
    )
    parser.add_argument(
        "--3d",
        dest="volume",
        action="store_true",
        help="measure distances through the whole stack instead of in each slice",
    )
    parser.add_argument(
        "--pieces",
        action="store_true",
        help="for masks: number the connected pieces first; cells that touch become one",
    )
    add_check_option(parser, "an image that is given for labels is")
    parser.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    add_setting_options(parser, WeightMapSettings(), title="weights", leave_out=_DESCRIBED_HERE)


def run(arguments: argparse.Namespace) -> int:
    """Draw the map of every label image; return 1 if any of them failed."""
    settings = _settings(arguments)
    sources = find_images(arguments.labels)
    plan = plan_outputs(sources, arguments.out, overwrite=arguments.overwrite)

    def draw(planned: PlannedFile) -> None:
        labels = read_labels(planned.source)
        look = Look()
        if arguments.checks:
            look.add(_findings(labels, arguments))
        look.refuse()
        cells = _cells(labels, settings, arguments)
        weights = _weights(cells, labels, settings, volume=arguments.volume)
        look.tell(planned.source)
        _explain_no_border(planned.source, cells)
        write_float_image(
            planned.output,
            weights,
            axes=labels.axes,
            pixel_size_um=labels.pixel_size_um,
            overwrite=arguments.overwrite,
        )
        report(
            f"{planned.source.name}: weights {weights.min():.3g} to {weights.max():.3g} "
            f"-> {planned.output}"
        )

    return for_each(
        plan,
        draw,
        name=lambda planned: planned.source,
        noun="label image",
        debug=arguments.debug,
    )


def _settings(arguments: argparse.Namespace) -> WeightMapSettings:
    given = read_settings(arguments, WeightMapSettings(), leave_out=_DESCRIBED_HERE)
    usual = WeightMapSettings.of(given.variant)
    own = {name: getattr(arguments, name) for name in _OF_VARIANT}
    own = {name: getattr(usual, name) if value is None else value for name, value in own.items()}
    return replace(given, **own, ignore_label=arguments.ignore_label)


def _findings(labels: ImageFile, arguments: argparse.Namespace) -> list[Finding]:
    """What is wrong with the numbers, but for what is told when the map shows no border."""
    axes = 3 if arguments.volume else 2
    found = look_at_labels(labels.array, labels.path, axes=axes)
    meant = ("mask", "disconnected") if arguments.pieces else ("mask",)
    return [each for each in found if each.code not in meant]


def _cells(
    file: ImageFile, settings: WeightMapSettings, arguments: argparse.Namespace
) -> LabelImage:
    """Labels with pieces numbered, if wanted, and -1 where they are to be ignored."""
    ignored = None if settings.ignore_label is None else file.array == settings.ignore_label
    cells = file.array if ignored is None else np.where(ignored, 0, file.array)
    if arguments.pieces:
        cells = number_pieces(cells, axes=3 if arguments.volume else 2)
    return cells if ignored is None else np.where(ignored, IGNORED, cells.astype(np.int64))


def _explain_no_border(path: Path, cells: LabelImage) -> None:
    sentence = why_no_border(cells)
    if sentence:
        remedy = " (--pieces does that)." if looks_like_mask(cells) else "."
        say_of(path, f"{sentence.removesuffix('.')}{remedy}")


def _weights(
    cells: LabelImage, file: ImageFile, settings: WeightMapSettings, *, volume: bool
) -> WeightMap:
    if settings.ignore_label is not None:
        settings = replace(settings, ignore_label=IGNORED)
    sizes, axes = file.pixel_size_um, min(3, cells.ndim)
    # sigma is in pixels of the slice, so that is the unit of the steps, too.
    known = volume and sizes is not None and len(sizes) == axes
    spacing = [size / sizes[-1] for size in sizes] if sizes and known else None

    def draw(part: LabelImage) -> WeightMap:
        return boundary_weight_map(
            part, settings=settings, spacing=spacing, workers=os.cpu_count() or 1
        )

    return _part_by_part(cells, draw, volume=volume)


def _part_by_part(
    array: LabelImage, compute: Callable[[LabelImage], NDArray[Any]], *, volume: bool
) -> NDArray[Any]:
    """Compute each slice of a stack on its own, or each stack of several."""
    axes = min(3 if volume else 2, array.ndim)
    parts = array.reshape(-1, *array.shape[-axes:])
    return np.stack([compute(part) for part in parts]).reshape(array.shape)
