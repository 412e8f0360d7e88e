"""Follow cells through time: the same cell has one number in all frames, and daughters a parent.

LABELS is a file with all frames, or a folder with a file for each, in natural order of names.
OUT is a new folder in the form of the Cell Tracking Challenge: mask000.tif, mask001.tif and so on,
of 16 bit, and res_track.txt with label, first frame, last frame and parent of each track.
Cells are linked with the package laptrack: pip install 'napari-unet-cells[tracks]'.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from napari_unet.batch.cell_table import size_along
from napari_unet.batch.file_plan import check_new_file
from napari_unet.cli.checks import Look, add_check_option, look_at_labels
from napari_unet.cli.console import progress_bar, report, say_of
from napari_unet.cli.setting_options import add_setting_options, read_settings
from napari_unet.engine.base.words import count
from napari_unet.engine.labels.tracking.settings import TrackingSettings
from napari_unet.engine.labels.tracking.tracking import iterate_tracking
from napari_unet.engine.labels.tracking.tracks import Tracks
from napari_unet.files.frames import read_frames
from napari_unet.files.image_file import ImageFile
from napari_unet.files.measurements import Table, write_measurements
from napari_unet.files.tracking_challenge import check_new_folder, write_challenge


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.usage = "%(prog)s LABELS -o OUT [options]"
    parser.add_argument(
        "labels", type=Path, metavar="LABELS", help="file with all frames, or a folder of frames"
    )
    parser.add_argument(
        "-o", "--out", type=Path, required=True, help="folder that is not there yet, or is empty"
    )
    parser.add_argument(
        "--table",
        type=Path,
        metavar="FILE",
        help="also write a table, .csv or .parquet, with a row for each cell in each frame",
    )
    parser.add_argument(
        "--counts",
        type=Path,
        metavar="FILE",
        help="also write a table, .csv or .parquet, with the number of cells in each frame",
    )
    add_setting_options(parser, TrackingSettings(), title="what is the same cell")
    add_check_option(parser, "masks are")
    parser.add_argument("--overwrite", action="store_true", help="replace tables that exist")


def run(arguments: argparse.Namespace) -> int:
    """Follow the cells, and write what came out."""
    settings = read_settings(arguments, TrackingSettings())
    check_new_folder(arguments.out)
    tables = [path for path in (arguments.table, arguments.counts) if path is not None]
    for path in tables:
        check_new_file(path, overwrite=arguments.overwrite)
    labels = read_frames(arguments.labels)
    _look_at(labels, has_checks=arguments.checks)
    tracks = _tracked(labels, settings)
    frames = tracks.frame_count
    with progress_bar(frames, "writing") as bar:
        for done in write_challenge(arguments.out, tracks, labels.array):
            bar.update(done - bar.n)
    counts = {"frame": np.arange(frames), "cells": tracks.cells_per_frame}
    contents: Mapping[Path | None, Table] = {
        arguments.table: tracks.table(),
        arguments.counts: counts,
    }
    for path in tables:
        write_measurements(path, contents[path], overwrite=arguments.overwrite)
    report(f"{arguments.labels.name}: {_in_words(tracks)} -> {arguments.out}")
    return 0


def _look_at(labels: ImageFile, *, has_checks: bool) -> None:
    """Say what may be meant otherwise, or refuse what makes no sense."""
    look = Look()
    if has_checks:
        found = look_at_labels(labels.array, labels.path, axes=labels.array.ndim - 1)
        look.add(each for each in found if each.code == "mask")
    look.refuse()
    if labels.array.ndim > 2 and not labels.axes.startswith("T"):
        say_of(
            labels.path,
            "the file does not say that its first axis is time; each slice is taken for a frame.",
        )
    look.tell(labels.path)


def _tracked(labels: ImageFile, settings: TrackingSettings) -> Tracks:
    ndim = labels.array.ndim - 1
    size = size_along(labels, ndim)
    step = None if size is None else size.lengths[-ndim:]
    with progress_bar(2 * labels.array.shape[0] + 1, "following") as bar:
        for each in iterate_tracking(labels.array, settings, pixel_size=step):
            bar.update(each.done - bar.n)
    assert each.tracks is not None  # noqa: S101 - the last report has them
    return each.tracks


def _in_words(tracks: Tracks) -> str:
    cells = tracks.cells_per_frame
    most = count(int(cells.max()), "cell")
    each = most if cells.min() == cells.max() else f"{cells.min()} to {most}"
    return (
        f"{count(tracks.frame_count, 'frame')} of {each}, {count(tracks.count, 'track')}, "
        f"{count(tracks.division_count, 'division')}"
    )
