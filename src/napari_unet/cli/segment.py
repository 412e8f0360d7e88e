"""Find the cells in images and write them as label images, one number for each cell.

One image and an OUT that ends in .tif: OUT is that file. Otherwise OUT is a folder, and each
image's labels are written there under the image's own name, as .tif. Scores and overlays stand
beside the file (OUT_scores.tif, OUT_overlay.png) or in the folder's subfolders scores and overlay.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_unet.cli.batch import for_each
from napari_unet.cli.console import count, progress_bar, report, say
from napari_unet.cli.file_plan import PlannedFile, plan_outputs
from napari_unet.cli.setting_options import add_setting_options, read_settings, whole_number
from napari_unet.engine.checkpoint import bundled_models, load_checkpoint
from napari_unet.engine.errors import ImageShapeError
from napari_unet.engine.network import Network
from napari_unet.engine.segmentation import Segmentation, iterate_segmentation
from napari_unet.engine.settings import InstanceSettings, SegmentationSettings
from napari_unet.image_files import (
    ImageFile,
    find_images,
    read_image,
    write_labels,
    write_picture,
    write_scores,
)
from napari_unet.overlay import draw_overlay


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.usage = "%(prog)s IMAGES... -o OUT [options]"
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGES",
        help="image files (TIFF, PNG, JPEG and the like) or folders of them",
    )
    parser.add_argument(
        "-o", "--out", type=Path, required=True, help="folder for the results, or one .tif file"
    )
    parser.add_argument(
        "--model",
        default="nuclei",
        help=f"a model file, or a bundled model: {', '.join(bundled_models())} (default: nuclei)",
    )
    parser.add_argument(
        "--device", default="auto", help="auto, cpu, cuda, cuda:1, mps ... (default: auto)"
    )
    parser.add_argument(
        "--channel",
        type=whole_number,
        metavar="N",
        help="segment only this channel of images with several; 1 is the first, as in Fiji",
    )
    parser.add_argument(
        "--overlay",
        action="store_true",
        help="also write a PNG picture of the image with every cell outlined",
    )
    parser.add_argument(
        "--scores", action="store_true", help="also write the model's scores, as float32 TIFF"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    parser.add_argument(
        "--progress", action="store_true", help="show the progress bar even if not on a terminal"
    )
    add_setting_options(parser, SegmentationSettings(), title="how the image is read")
    add_setting_options(
        parser,
        InstanceSettings(),
        title="how cells are told apart",
        default_text="the model's own",
    )


def run(arguments: argparse.Namespace) -> int:
    """Segment every image; return 1 if any of them failed."""
    settings = read_settings(arguments, SegmentationSettings())
    extras = {"scores": ".tif"} if arguments.scores else {}
    extras |= {"overlay": ".png"} if arguments.overlay else {}
    sources = find_images(arguments.images)
    plan = plan_outputs(sources, arguments.out, extras=extras, overwrite=arguments.overwrite)
    network = load_checkpoint(arguments.model)
    job = SegmentationJob(
        network,
        settings,
        read_settings(arguments, network.description.instances),
        device=arguments.device,
        channel=arguments.channel,
        overwrite=arguments.overwrite,
        progress=arguments.progress,
    )
    return for_each(
        plan, job, name=lambda planned: planned.source, noun="image", debug=arguments.debug
    )


@dataclass(frozen=True, slots=True)
class SegmentationJob:
    """Segments one image file after the other in the same way.

    Parameters
    ----------
    network : Network
    settings : SegmentationSettings
    instances : InstanceSettings
    device : str
    channel : int, optional
        Only this channel, counted from 1.
    overwrite, progress : bool
    """

    network: Network
    settings: SegmentationSettings
    instances: InstanceSettings
    device: str = "auto"
    channel: int | None = None
    overwrite: bool = False
    progress: bool = False

    def __call__(self, planned: PlannedFile) -> Segmentation:
        """Segment one image and write all that was asked for."""
        started = time.perf_counter()
        image = read_image(planned.source)
        if self.channel is not None:
            image = take_channel(image, self.channel)
        settings = self._settings_for(image)
        result = self._segment(image, settings, keep_scores="scores" in planned.extras)
        self._write(planned, image, settings, result)
        resized = "" if result.zoom == 1 else f", resized {result.zoom:.3g} times for the model"
        report(
            f"{planned.source.name}: {count(result.cell_count, 'cell')} "
            f"in {time.perf_counter() - started:.1f} s{resized} -> {planned.output}"
        )
        for note in result.notes:
            say(f"{planned.source}: {note}")
        return result

    def _settings_for(self, image: ImageFile) -> SegmentationSettings:
        """Take from the file what was not given on the command line."""
        settings, axis = self.settings, image.channel_axis
        if settings.pixel_size_um is None and image.pixel_size_um is not None:
            settings = replace(settings, pixel_size_um=image.pixel_size_um[-1])
        ndim = self.network.description.unet.ndim
        # Where there is only room for one, planes named channels are the slices asked for.
        are_slices = (
            settings.every_slice and image.array.ndim == ndim + 1 and not image.axes.endswith("C")
        )
        if axis is None or settings.channel_axis is not None or are_slices:
            return settings
        return replace(settings, channel_axis=axis)

    def _segment(
        self, image: ImageFile, settings: SegmentationSettings, *, keep_scores: bool
    ) -> Segmentation:
        result = None
        with progress_bar(0, image.path.name, forced=self.progress) as bar:
            for step in iterate_segmentation(
                image.array,
                self.network,
                settings=settings,
                instances=self.instances,
                device=self.device,
                keep_scores=keep_scores,
            ):
                bar.total = step.tiles * step.slices
                bar.update(step.slice_index * step.tiles + step.tile - bar.n)
                result = step.result
        assert result is not None  # noqa: S101 - the last report carries the result
        return result

    def _write(
        self,
        planned: PlannedFile,
        image: ImageFile,
        settings: SegmentationSettings,
        result: Segmentation,
    ) -> None:
        axes = image.label_axes if len(image.label_axes) == result.labels.ndim else None
        scale: dict[str, Any] = {
            "axes": axes,
            "pixel_size_um": image.pixel_size_um,
            "overwrite": self.overwrite,
        }
        # The labels come last: where they are, everything is.
        if result.scores is not None and "scores" in planned.extras:
            path = planned.extras["scores"]
            write_scores(path, result.scores, result.class_roles, **scale)
        if "overlay" in planned.extras:
            picture = draw_overlay(image.array, result.labels, channel_axis=settings.channel_axis)
            write_picture(planned.extras["overlay"], picture, overwrite=self.overwrite)
        write_labels(planned.output, result.labels, **scale)


def take_channel(image: ImageFile, number: int) -> ImageFile:
    """Return one channel of an image, counted from 1.

    Raises
    ------
    ImageShapeError
        If it has no such channel.
    """
    axis = image.channel_axis
    channels = 1 if axis is None else image.array.shape[axis]
    if not 1 <= number <= channels:
        raise ImageShapeError(
            f"There is no channel {number}, the image has {count(channels, 'channel')}; "
            "count from 1."
        )
    if axis is None:
        return image
    return replace(image, array=np.take(image.array, number - 1, axis=axis), axes=image.label_axes)
