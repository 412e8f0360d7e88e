"""Find the cells in images and write them as label images, one number for each cell.

One image and an OUT that ends in .tif: OUT is that file. Otherwise OUT is a folder, and each
image's labels are written there under the image's own name, as .tif. Scores and overlays stand
beside the file (OUT_scores.tif, OUT_overlay.png) or in the folder's subfolders scores and overlay.
So does the table of the types of cells (OUT_types.csv, types), if the model tells types apart.
Of a file with several series (scenes, positions) each is an image, NAME_SERIES.tif. Of several
images the folder gets a table, summary.csv, with the cells, sizes and warnings of each.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from napari_unet.cli.batch import Processors, Stopped, for_each
from napari_unet.cli.checks import add_check_option
from napari_unet.cli.console import BatchBar, count, in_option_words, report, say, say_of
from napari_unet.cli.file_plan import PlannedFile, named_images, plan_outputs
from napari_unet.cli.image_part import WantedPart, read_channel_axis, read_plane_numbers
from napari_unet.cli.model_options import add_loading_options, load_models, model_help
from napari_unet.cli.segmentation_job import SegmentationJob, Segmented
from napari_unet.cli.setting_options import (
    add_setting_options,
    is_given,
    read_settings,
    whole_number,
)
from napari_unet.cli.summary import Summary
from napari_unet.engine.base.device import resolve_device
from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.base.settings import (
    LEARNED_SETTINGS,
    InstanceSettings,
    SegmentationSettings,
)
from napari_unet.engine.networks.bundled import DEFAULT_MODEL
from napari_unet.engine.networks.network import NetworkDescription

_TABLE = "summary.csv"


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
        action="append",
        help=f"{model_help()}; given several times, the scores of the models are averaged, with "
        f"the thresholds of the first: two take twice as long (default: {DEFAULT_MODEL})",
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
    parser.add_argument(
        "--series",
        action="append",
        default=[],
        metavar="N",
        help="of files with several series (scenes, positions), only this one: its number, from "
        "1, or its name; may be given several times (default: all)",
    )
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    existing.add_argument(
        "--skip-existing",
        action="store_true",
        help="leave outputs that exist as they are and do only what is missing: goes on after an "
        "interruption, or with new images in the folder",
    )
    parser.add_argument(
        "--jobs",
        type=whole_number,
        metavar="N",
        help="images that are computed at a time, each by its share of the processors; one so "
        "large that memory might run out has them all (default: one for each processor, on a GPU "
        "1)",
    )
    parser.add_argument(
        "--summary",
        type=Path,
        metavar="CSV",
        help=f"where to write the table of images (default: {_TABLE} in the folder OUT, if there "
        "are several images)",
    )
    parser.add_argument(
        "--progress", action="store_true", help="show the progress bar even if not on a terminal"
    )
    parser.add_argument(
        "--flips",
        action=argparse.BooleanOptionalAction,
        help="older name of --averaging flips, and of --averaging none",
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
        leave_out=LEARNED_SETTINGS,
        default_text="the model's own",
    )
    add_loading_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Segment every image; return 1 if any of them failed."""
    if arguments.jobs is not None and arguments.jobs < 1:
        raise SettingsError(f"--jobs is {arguments.jobs}; use 1 or more.")
    settings = _settings(arguments)
    part = WantedPart(
        arguments.channel, arguments.channel_axis, arguments.slice, settings.every_slice
    )
    extras = {"scores": ".tif"} if arguments.scores else {}
    extras |= {"overlay": ".png"} if arguments.overlay else {}
    models = tuple(arguments.model or [DEFAULT_MODEL])
    networks = load_models(models, arguments)
    description = networks[0].description
    extras |= {"types": ".csv"} if description.cell_types else {}
    plan = plan_outputs(
        named_images(arguments.images),
        arguments.out,
        extras=extras,
        overwrite=arguments.overwrite,
        skip_existing=arguments.skip_existing,
        series=arguments.series,
    )
    summary = _summary(arguments, plan)
    missing = _missing(plan, summary, arguments, description)
    jobs = _jobs(arguments, len(missing))
    bar = BatchBar(
        len(missing),
        missing[0].source.name if len(missing) == 1 else "images",
        forced=arguments.progress,
    )
    job = SegmentationJob(
        networks,
        models,
        settings,
        read_settings(arguments, description.instances, leave_out=LEARNED_SETTINGS),
        part,
        device=arguments.device,
        intensities=arguments.intensities,
        overwrite=arguments.overwrite,
        skip_existing=arguments.skip_existing,
        checks=arguments.checks,
        bar=bar,
        processors=Processors(jobs),
    )
    return _segment_all(missing, job, jobs, summary, arguments)


def _settings(arguments: argparse.Namespace) -> SegmentationSettings:
    settings = read_settings(arguments, SegmentationSettings())
    if arguments.flips is None:
        return settings
    if is_given(arguments, SegmentationSettings, "averaging"):
        raise SettingsError("--flips is an older name of --averaging; give only one of them.")
    return replace(settings, flips=arguments.flips)


def _summary(arguments: argparse.Namespace, plan: list[PlannedFile]) -> Summary | None:
    if arguments.summary is not None:
        return Summary(arguments.summary, plan)
    is_folder = plan[0].output != arguments.out
    return Summary(arguments.out / _TABLE, plan) if is_folder and len(plan) > 1 else None


def _missing(
    plan: list[PlannedFile],
    summary: Summary | None,
    arguments: argparse.Namespace,
    description: NetworkDescription,
) -> list[PlannedFile]:
    """Images of which an output is missing; the others go into the table as they are."""
    if not arguments.skip_existing:
        return plan
    missing = [each for each in plan if not all(path.exists() for path in each.outputs)]
    skipped = [each for each in plan if each not in missing]
    if skipped:
        say(f"{count(len(skipped), 'image')} of {len(plan)} left out, with outputs that exist.")
    if summary is not None and not description.gives_classes:
        for planned in skipped:
            summary.add_earlier(planned, ndim=description.architecture.ndim)
    return missing


def _jobs(arguments: argparse.Namespace, images: int) -> int:
    wanted: int | None = arguments.jobs
    if wanted is None:
        on_cpu = resolve_device(arguments.device).type == "cpu"
        wanted = torch.get_num_threads() if on_cpu else 1
    return max(1, min(wanted, images))


def _segment_all(
    plan: list[PlannedFile],
    job: SegmentationJob,
    jobs: int,
    summary: Summary | None,
    arguments: argparse.Namespace,
) -> int:
    finished = 0

    def tell(planned: PlannedFile, found: Segmented) -> None:
        nonlocal finished
        finished += 1
        report(found.line)
        for warning in found.warnings:
            say_of(planned.source.parent / planned.title, warning)
        if summary is not None:
            summary.add(
                planned, warnings=in_option_words(" ".join(found.warnings)), **found.measured
            )

    def note(planned: PlannedFile, sentence: str) -> None:
        if summary is not None:
            summary.add(planned, error=in_option_words(sentence))

    again = "name them alone" if arguments.overwrite else "add --skip-existing"
    is_table_whole = True
    try:
        status = for_each(
            plan,
            job,
            name=lambda planned: planned.source.parent / planned.title,
            noun="image",
            debug=arguments.debug,
            # One more is read or written meanwhile.
            workers=min(jobs + 1, len(plan)) if len(plan) > 1 else 1,
            cancel=job.cancel,
            done=tell,
            failed=note,
            remedy=f"To do only these again, {again}.",
        )
    except KeyboardInterrupt:
        if len(plan) == 1:
            raise
        raise Stopped(
            f"{finished} of {count(len(plan), 'image')} are done; to go on, add --skip-existing."
        ) from None
    finally:
        job.close()
        if summary is not None:
            is_table_whole = summary.write()
    return status if is_table_whole else 1
