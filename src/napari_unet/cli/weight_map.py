"""Draw the weights by which training stresses the gaps between neighbouring cells.

One label image and an OUT that ends in .tif: OUT is that file. Otherwise OUT is a folder.
Weights are written as float32 TIFF.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from napari_unet.cli.batch import for_each
from napari_unet.cli.console import report
from napari_unet.cli.file_plan import PlannedFile, plan_outputs
from napari_unet.cli.setting_options import real_number
from napari_unet.engine.image import WeightMap
from napari_unet.engine.weight_map import boundary_weight_map
from napari_unet.image_files import ImageFile, find_images, read_labels, write_float_image


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.usage = "%(prog)s LABELS... -o OUT [options]"
    parser.add_argument(
        "labels", nargs="+", metavar="LABELS", help="label images, or folders of them"
    )
    parser.add_argument(
        "-o", "--out", type=Path, required=True, help="folder for the results, or one .tif file"
    )
    parser.add_argument(
        "--w0",
        type=real_number,
        default=10.0,
        metavar="X",
        help="weight added where two cells meet (default: 10)",
    )
    parser.add_argument(
        "--sigma",
        type=real_number,
        default=5.0,
        metavar="X",
        help="distance in pixels over which that weight fades (default: 5)",
    )
    parser.add_argument(
        "--no-class-balance",
        dest="class_balance",
        action="store_false",
        help="weigh cells and background by 1, however much of the image they cover",
    )
    parser.add_argument(
        "--keep-touching",
        dest="separate_touching",
        action="store_false",
        help="do not carve a gap of one pixel between touching cells first",
    )
    parser.add_argument(
        "--3d",
        dest="volume",
        action="store_true",
        help="measure distances through the whole stack instead of in each slice",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace outputs that exist")


def run(arguments: argparse.Namespace) -> int:
    """Draw the map of every label image; return 1 if any of them failed."""
    sources = find_images(arguments.labels)
    plan = plan_outputs(sources, arguments.out, overwrite=arguments.overwrite)

    def draw(planned: PlannedFile) -> None:
        labels = read_labels(planned.source)
        weights = _weights(labels, arguments)
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


def _weights(labels: ImageFile, arguments: argparse.Namespace) -> WeightMap:
    def draw(array: np.ndarray, spacing: tuple[float, ...] | None) -> WeightMap:
        return boundary_weight_map(
            array,
            w0=arguments.w0,
            border_sigma_px=arguments.sigma,
            spacing=spacing,
            class_balance=arguments.class_balance,
            separate_touching=arguments.separate_touching,
        )

    array = labels.array
    if arguments.volume:
        sizes = labels.pixel_size_um
        known = sizes is not None and len(sizes) == array.ndim
        # sigma is in pixels of the slice, so that is the unit of the steps, too.
        return draw(array, tuple(size / sizes[-1] for size in sizes) if sizes and known else None)
    if array.ndim < 3:
        return draw(array, None)
    slices = array.reshape(-1, *array.shape[-2:])
    return np.stack([draw(plane, None) for plane in slices]).reshape(array.shape)
