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
from typing import Any, Literal

import numpy as np

from napari_unet.cli.batch import for_each
from napari_unet.cli.checks import Look, add_check_option, look_at_image
from napari_unet.cli.console import count, progress_bar, report, say_of
from napari_unet.cli.file_plan import PlannedFile, plan_outputs
from napari_unet.cli.image_part import (
    ImagePart,
    WantedPart,
    read_channel_axis,
    read_plane_numbers,
)
from napari_unet.cli.model_options import add_loading_options, load_model, model_help
from napari_unet.cli.setting_options import add_setting_options, read_settings, whole_number
from napari_unet.engine.base.settings import InstanceSettings, SegmentationSettings
from napari_unet.engine.images.image import AnyImage
from napari_unet.engine.networks.network import Network
from napari_unet.engine.segmentation.segmentation import Segmentation, iterate_segmentation
from napari_unet.files.finding import find_images
from napari_unet.files.image_file import ImageFile
from napari_unet.files.images import read_image, write_labels, write_picture, write_scores
from napari_unet.files.overlay import draw_overlay


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
        help=f"{model_help()} (default: nuclei)",
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
        "--channel-axis",
        type=read_channel_axis,
        metavar="N",
        help="axis of the channels, counted from 0; 'none' if what the file calls channels are "
        "slices (default: as the file says)",
    )
    parser.add_argument(
        "--slice",
        type=read_plane_numbers,
        metavar="N",
        help="segment only this slice of a stack; 1 is the first. Deeper stacks take one number "
        "for each axis, as in 2,7; ':' stands for an axis of the slice itself",
    )
    parser.add_argument(
        "--intensities",
        choices=("stack", "slice"),
        default="stack",
        help="where the range of intensities is measured with --slice: over all slices, so that "
        "each is segmented as with all others, or on that one (default: stack)",
    )
    parser.add_argument(
        "--overlay",
        action="store_true",
        help="also write a PNG picture of the image with every cell outlined",
    )
    parser.add_argument(
        "--scores", action="store_true", help="also write the model's scores, as float32 TIFF"
    )
    add_check_option(parser, "an image that looks like labels or a mask is")
    parser.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    parser.add_argument(
        "--progress", action="store_true", help="show the progress bar even if not on a terminal"
    )
    add_setting_options(
        parser,
        SegmentationSettings(),
        title="how the image is read",
        leave_out=("channel_axis",),
    )
    add_setting_options(
        parser,
        InstanceSettings(),
        title="how cells are told apart",
        default_text="the model's own",
    )
    add_loading_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Segment every image; return 1 if any of them failed."""
    settings = read_settings(arguments, SegmentationSettings())
    part = WantedPart(
        arguments.channel, arguments.channel_axis, arguments.slice, settings.every_slice
    )
    extras = {"scores": ".tif"} if arguments.scores else {}
    extras |= {"overlay": ".png"} if arguments.overlay else {}
    sources = find_images(arguments.images)
    plan = plan_outputs(sources, arguments.out, extras=extras, overwrite=arguments.overwrite)
    network = load_model(arguments.model, arguments)
    job = SegmentationJob(
        network,
        settings,
        read_settings(arguments, network.description.instances),
        part,
        device=arguments.device,
        intensities=arguments.intensities,
        overwrite=arguments.overwrite,
        progress=arguments.progress,
        checks=arguments.checks,
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
    part : WantedPart
        Which part of each image.
    device : str
    intensities : {"stack", "slice"}
        Where the range of intensities of a single slice is measured.
    overwrite, progress : bool
    checks : bool
        Look at each image first, and refuse what is none.
    """

    network: Network
    settings: SegmentationSettings
    instances: InstanceSettings
    part: WantedPart = WantedPart()  # noqa: RUF009 - frozen
    device: str = "auto"
    intensities: Literal["stack", "slice"] = "stack"
    overwrite: bool = False
    progress: bool = False
    checks: bool = False

    def __call__(self, planned: PlannedFile) -> Segmentation:
        """Segment one image and write all that was asked for."""
        started = time.perf_counter()
        ndim = self.network.description.architecture.ndim
        part = self.part.of(read_image(planned.source), ndim=ndim)
        settings = self._settings_for(part)
        look = look_at_image(part, self.network.description, settings) if self.checks else Look()
        look.refuse()
        result = self._segment(part, settings, keep_scores="scores" in planned.extras)
        self._write(planned, part.image, settings, result)
        resized = "" if result.zoom == 1 else f", resized {result.zoom:.3g} times for the model"
        report(
            f"{planned.source.name}: {count(result.cell_count, 'cell')} "
            f"in {time.perf_counter() - started:.1f} s{resized} -> {planned.output}"
        )
        # After what the engine refuses: that is said in its own words.
        look.tell(planned.source)
        for note in result.notes:
            say_of(planned.source, note)
        return result

    def _settings_for(self, part: ImagePart) -> SegmentationSettings:
        """Take from the file what was not given on the command line."""
        settings = replace(self.settings, channel_axis=part.channel_axis)
        size_um = part.image.pixel_size_um
        if settings.pixel_size_um is None and size_um is not None:
            settings = replace(settings, pixel_size_um=size_um[-1])
        return settings

    def _intensity_reference(self, part: ImagePart) -> AnyImage | None:
        """Return all slices, without the transparency of colours, for one slice of them."""
        if part.stack is None or self.intensities == "slice":
            return None
        axis = part.stack_channel_axis
        has_alpha = axis is not None and part.stack.shape[axis] == 4
        if axis is None or not has_alpha or self.network.description.architecture.in_channels == 4:
            return part.stack
        return np.moveaxis(part.stack, axis, 0)[:3]

    def _segment(
        self, part: ImagePart, settings: SegmentationSettings, *, keep_scores: bool
    ) -> Segmentation:
        result = None
        with progress_bar(0, part.image.path.name, forced=self.progress) as bar:
            for step in iterate_segmentation(
                part.image.array,
                self.network,
                settings=settings,
                instances=self.instances,
                device=self.device,
                intensity_reference=self._intensity_reference(part),
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
        axes = image.label_axes
        # A slice along another axis is a picture all the same.
        fits = len(axes) == result.labels.ndim and axes.endswith("YX")
        scale: dict[str, Any] = {
            "axes": axes if fits else None,
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
