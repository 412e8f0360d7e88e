"""`napari-unet segment IMAGE -o OUT.ome.zarr`: what the terminal shows of it, and how it ends."""

from __future__ import annotations

import argparse
import time
from contextlib import closing

from napari_unet.batch.attempts import Stopped
from napari_unet.batch.file_plan import named_images
from napari_unet.batch.images.store_job import StoreJob
from napari_unet.batch.settings import BatchSettings
from napari_unet.cli.checks import look_before
from napari_unet.cli.console import PROGRAM, progress_bar, report, say, say_of
from napari_unet.cli.worker_options import workers_of
from napari_unet.engine.base.errors import (
    FileError,
    ImageShapeError,
    ImageValueError,
    SettingsError,
)
from napari_unet.engine.cluster.crew import Crew
from napari_unet.engine.labels.cell_types import cells_in_words
from napari_unet.engine.networks.network import Network
from napari_unet.files.stores.label_store import LabelStore

_OF_FILES = ("overlay", "scores", "measure", "summary", "jobs", "skip_existing")
"""Options that go with labels in TIFF alone, by their names in Python."""

_STAGES = {
    "slices": "network, slices of three directions",
    "scores": "network",
    "flood": "flood, once more until nothing changes",
    "written": "writing",
}


def add_block_option(parser: argparse.ArgumentParser) -> None:
    """Let the user choose the shape of blocks."""
    parser.add_argument(
        "--block",
        type=read_block,
        metavar="Y,X",
        help="with an OUT that ends in .ome.zarr: pixels of a block along each axis, Z,Y,X of "
        "volumes; the labels are the same for all (default: about 2048,2048 or 192,192,192)",
    )


def read_block(text: str) -> tuple[int, ...]:
    """Read the shape of a block, such as "1024,1024"."""
    words = text.split(",")
    if len(words) not in (2, 3) or not all(word.strip().isdigit() and int(word) for word in words):
        raise argparse.ArgumentTypeError(
            f"'{text}' is no shape; write Y,X or Z,Y,X in pixels, as in 1024,1024"
        )
    return tuple(map(int, words))


def segment_in_blocks(
    arguments: argparse.Namespace, batch: BatchSettings, networks: tuple[Network, ...]
) -> int:
    """Segment one image of any size into OME-Zarr; return the exit status."""
    with workers_of(arguments) as crew:
        return _told(_job(arguments, batch, networks, crew), arguments)


def _told(job: StoreJob, arguments: argparse.Namespace) -> int:
    """Do the work, and show how far it is."""
    title, began = job.source.name, time.perf_counter()
    bar = progress_bar(1, title, forced=arguments.progress)
    told: set[str] = set()
    found, types = 0, None
    try:
        with closing(job.reports()) as reports:
            for each in reports:
                bar.set_description_str(f"{title}: {_STAGES.get(each.stage, each.stage)}")
                bar.total = each.total
                bar.update(each.done - bar.n)
                for warning in each.warnings:
                    if warning not in told:
                        say_of(job.source, warning)
                    told.add(warning)
                found, types = each.cell_count or found, each.types or types
    except (ImageShapeError, ImageValueError) as error:
        raise type(error)(f"{job.source}: {error}") from error
    except KeyboardInterrupt:
        folder = LabelStore(job.out).folder
        kept = f"What is done is in '{folder}'; run the same command to go on."
        raise Stopped(kept if folder.exists() else "") from None
    finally:
        bar.close()
    seconds = time.perf_counter() - began
    report(f"{title}: {cells_in_words(found, types)} in {seconds:.1f} s -> {job.out}")
    return 0


def _job(
    arguments: argparse.Namespace,
    batch: BatchSettings,
    networks: tuple[Network, ...],
    crew: Crew | None,
) -> StoreJob:
    for name in _OF_FILES:
        if getattr(arguments, name):
            option = f"--{name.replace('_', '-')}"
            raise SettingsError(
                f"{option} goes with labels as TIFF; leave it out, or name an OUT that ends in "
                ".tif or is a folder."
            )
    sources = named_images(arguments.images, tell=say)
    if len(sources) > 1 or len(arguments.series) > 1:
        raise FileError(
            f"Several images cannot go into the one '{arguments.out}'; name one image, and one "
            "series of it with --series."
        )
    return StoreJob(
        sources[0],
        arguments.out,
        networks,
        batch,
        series=arguments.series[0] if arguments.series else None,
        block=arguments.block,
        device=arguments.device,
        crew=crew,
        overwrite=arguments.overwrite,
        look=look_before,
        program=PROGRAM,
    )
