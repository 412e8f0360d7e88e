"""Find the cells in images and write them as label images, one number for each cell.

One image and an OUT that ends in .tif: OUT is that file. One image and an OUT that ends in .zarr:
the image is segmented block by block and may be larger than memory, OUT is OME-Zarr, and the same
command goes on after an interruption. Otherwise OUT is a folder, and each
image's labels are written there under the image's own name, as .tif. Scores and overlays stand
beside the file (OUT_scores.tif, OUT_overlay.png) or in the folder's subfolders scores and overlay.
So does the table of the types of cells (OUT_types.csv, types), if the model tells types apart.
Of a file with several series (scenes, positions) each is an image, NAME_SERIES.tif. Of several
images the folder gets a table, summary.csv, with the cells, sizes and warnings of each.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from napari_unet.batch.attempts import Stopped
from napari_unet.batch.file_plan import PlannedFile, named_images, plan_outputs
from napari_unet.batch.images.entry import ImageEntry
from napari_unet.batch.images.job import Advise
from napari_unet.batch.images.part import WantedPart
from napari_unet.batch.queue import Entry, Queue, has_queue, noun_of
from napari_unet.batch.running import iterate_queue, load_networks
from napari_unet.batch.settings import BatchSettings
from napari_unet.batch.summary import TABLE, Summary
from napari_unet.cli.batch_output import Told, count_earlier
from napari_unet.cli.better_model import BetterModel
from napari_unet.cli.block_run import add_block_option, segment_in_blocks
from napari_unet.cli.checks import add_check_option, look_before
from napari_unet.cli.console import PROGRAM, in_option_words, say
from napari_unet.cli.model_options import (
    add_loading_options,
    model_help,
    read_guesses,
)
from napari_unet.cli.queued_models import wanted_models
from napari_unet.cli.setting_options import (
    add_setting_options,
    add_voxel_size_option,
    is_given,
    read_channel_axis,
    read_plane_numbers,
    read_settings,
    whole_number,
)
from napari_unet.cli.worker_options import add_worker_options, wants_workers
from napari_unet.engine.base.errors import FileError, SettingsError
from napari_unet.engine.base.settings import (
    LEARNED_SETTINGS,
    InstanceSettings,
    SegmentationSettings,
    scale_settings,
)
from napari_unet.engine.base.words import count
from napari_unet.engine.networks.bundled import DEFAULT_MODEL
from napari_unet.engine.networks.network import Network, NetworkDescription
from napari_unet.engine.segmentation.volumes.ways import own_instances
from napari_unet.files.stores.label_store import is_label_store

_REMEDY = (
    "choose another output, leave them as they are with --skip-existing, or allow replacing with "
    "--overwrite"
)

_BESIDE_CONTINUE = (
    "--continue",
    "-o",
    "--out",
    "--device",
    "--jobs",
    "--summary",
    "--progress",
    "--allow-code",
    "--debug",
)
"""Options that change no result."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.usage = "%(prog)s IMAGES... -o OUT [options]\n       %(prog)s --continue -o OUT"
    parser.add_argument(
        "images",
        nargs="*",
        metavar="IMAGES",
        help="image files (TIFF, PNG, JPEG, OME-Zarr, HDF5 and the like) or folders of them",
    )
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        required=True,
        help="folder for the results, or one .tif or .ome.zarr",
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
    add_block_option(parser)
    add_worker_options(parser)
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
    parser.add_argument(
        "--measure",
        action="store_true",
        help="also measure each cell, and write a table of them for each image, as "
        "'napari-unet measure' does: sizes, places, and intensities in the image",
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
        help="leave outputs that exist as they are, whatever made them, and do what is missing",
    )
    existing.add_argument(
        "--continue",
        dest="goes_on",
        action="store_true",
        help="go on with the queue in the folder OUT, whether it was begun here or in napari: do "
        "what was not done or has failed, with the model and the settings that the queue knows",
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
        help=f"where to write the table of images (default: {TABLE} in the folder OUT, if there "
        "are several images)",
    )
    parser.add_argument(
        "--progress", action="store_true", help="show the progress bar even if not on a terminal"
    )
    add_voxel_size_option(parser, "of volumes, as --pixel-size and --anisotropy together")
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
    if arguments.goes_on:
        return _go_on(arguments)
    if not arguments.images:
        raise SettingsError(
            "No images were given; name files or folders, or go on with a queue by --continue."
        )
    settings = _settings(arguments)
    models = wanted_models(arguments)
    batch = BatchSettings(
        models.files,
        settings,
        read_settings(
            arguments, own_instances(models.instances, settings), leave_out=LEARNED_SETTINGS
        ),
        WantedPart(
            arguments.channel, arguments.channel_axis, arguments.slice, settings.every_slice
        ),
        read_guesses(arguments),
        arguments.intensities,
        left_to_model=models.left_to_it(arguments),
        checks="refuse" if arguments.checks else "none",
    )
    if is_label_store(arguments.out):
        return segment_in_blocks(arguments, batch, models.networks)
    of_blocks = "--block" if arguments.block is not None else wants_workers(arguments)
    if of_blocks is not None:
        raise SettingsError(f"{of_blocks} goes with an OUT that ends in .ome.zarr; leave it out.")
    plan = _plan(batch, arguments, tells_types=models.has_types)
    with _queue(plan, arguments.out) as queue:
        added = queue.add(plan, batch, replaces=arguments.overwrite, keeps=arguments.skip_existing)
        missing = _missing(added, arguments)
        summary = _summary(arguments, queue, added)
        if summary is not None and models.description is not None:
            count_earlier(summary, added, models.description)
        loaded = {batch.id: models.networks}
        return _segment(queue, [*models.trainings, *missing], summary, arguments, loaded)


def _settings(arguments: argparse.Namespace) -> SegmentationSettings:
    settings = read_settings(arguments, SegmentationSettings())
    if arguments.voxel_size is not None:
        if settings.pixel_size_um is not None or settings.anisotropy is not None:
            raise SettingsError(
                "--voxel-size tells what --pixel-size and --anisotropy do; leave these out."
            )
        settings = replace(settings, **scale_settings(arguments.voxel_size))
    if arguments.flips is None:
        return settings
    if is_given(arguments, SegmentationSettings, "averaging"):
        raise SettingsError("--flips is an older name of --averaging; give only one of them.")
    return replace(settings, flips=arguments.flips)


@contextmanager
def _queue(plan: Sequence[PlannedFile], out: Path) -> Iterator[Queue]:
    """The queue of a folder, or one that is not kept for a single image."""
    is_folder = all(each.output != out for each in plan)
    if is_folder and (len(plan) > 1 or has_queue(out)):
        with Queue.held(out, program=PROGRAM) as queue:
            yield queue
    else:
        yield Queue()


def _plan(
    batch: BatchSettings, arguments: argparse.Namespace, *, tells_types: bool
) -> list[PlannedFile]:
    known: Collection[Path] = ()
    remedy = _REMEDY
    if has_queue(arguments.out):
        known = Queue.read(arguments.out).known(batch.id)
        remedy = f"go on with the queue that is there by --continue, {_REMEDY}"
    extras = {"scores": ".tif"} if arguments.scores else {}
    extras |= {"overlay": ".png"} if arguments.overlay else {}
    extras |= {"types": ".csv"} if tells_types else {}
    extras |= {"measurements": ".csv"} if arguments.measure else {}
    return plan_outputs(
        named_images(arguments.images, tell=say),
        arguments.out,
        extras=extras,
        overwrite=arguments.overwrite or arguments.skip_existing,
        known=known,
        remedy=remedy,
        series=arguments.series,
        tell=say,
    )


def _missing(added: Sequence[ImageEntry], arguments: argparse.Namespace) -> list[ImageEntry]:
    """Images of which a result is missing."""
    missing = [each for each in added if not _is_there(each, arguments)]
    left_out = len(added) - len(missing)
    if left_out:
        is_kept = arguments.skip_existing
        why = "with outputs that exist" if is_kept else "done before with this model and settings"
        say(f"{count(left_out, 'image')} of {len(added)} left out, {why}.")
    return missing


def _is_there(entry: ImageEntry, arguments: argparse.Namespace) -> bool:
    return entry.is_whole or (arguments.skip_existing and entry.has_results)


def _summary(
    arguments: argparse.Namespace, queue: Queue, entries: Sequence[ImageEntry]
) -> Summary | None:
    """The table, with what is known of images that were done before."""
    path = arguments.summary
    if path is None and queue.folder is not None:
        path = queue.folder / TABLE
    if path is None:
        return None
    summary = Summary(path, [each.planned for each in entries], in_words=in_option_words)
    for entry in entries:
        if entry.state != "waiting":
            summary.add(entry)
    return summary


def _go_on(arguments: argparse.Namespace) -> int:
    """Do what waits in a queue, with the settings that it knows."""
    options = [word.partition("=")[0] for word in arguments.command_line if word[:1] == "-"]
    others = [word for word in options if word not in _BESIDE_CONTINUE]
    if others or arguments.images:
        what = others[0] if others else f"'{arguments.images[0]}'"
        raise SettingsError(
            f"--continue takes images, model and settings from the queue; leave out {what}, or "
            "give the images with their options and without --continue."
        )
    if not has_queue(arguments.out):
        raise FileError(
            f"There is no queue in '{arguments.out}'; name the folder of the results of "
            "'napari-unet segment' or of the Batch widget."
        )
    with Queue.held(arguments.out, program=PROGRAM) as queue:
        entries, waiting = queue.entries, queue.waiting
        done, all_of_them = len(entries) - len(waiting), count(len(entries), noun_of(entries))
        is_one = "is" if len(entries) == 1 else "are"
        say(f"{done} of {all_of_them} {is_one} done; going on with what waits.")
        return _segment(queue, waiting, _summary(arguments, queue, queue.images), arguments, {})


def _segment(
    queue: Queue,
    entries: Sequence[Entry],
    summary: Summary | None,
    arguments: argparse.Namespace,
    networks: Mapping[str, tuple[Network, ...]],
) -> int:
    """Segment, train, and tell of each; `networks` are those that are loaded, by settings."""

    def load(batch: BatchSettings) -> tuple[Network, ...]:
        loaded = networks.get(batch.id)
        return loaded or load_networks(batch, allow_code=arguments.allow_code)

    def advise_with(batch: BatchSettings, description: NetworkDescription) -> Advise:
        names = [model.source for model in batch.models]
        return BetterModel(description, names, device=arguments.device).sentence

    told = Told(entries, arguments)
    reports = iterate_queue(
        queue,
        entries,
        load=load,
        device=arguments.device,
        look=look_before,
        advise_with=advise_with,
        at_a_time=arguments.jobs,
        allow_code=arguments.allow_code,
        summary=summary,
    )
    try:
        with closing(reports):
            for each in reports:
                told.tell(each)
    except KeyboardInterrupt:
        if len(entries) == 1 and isinstance(entries[0], ImageEntry):
            raise
        raise Stopped(told.stopped(queue)) from None
    finally:
        told.close()
    return told.status(queue)
