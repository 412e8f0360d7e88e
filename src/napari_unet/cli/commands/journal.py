"""Show the journal of corrections that napari left, and bring the labels in it back."""

from __future__ import annotations

import argparse
from pathlib import Path

from napari_unet.cli.console import report
from napari_unet.engine.base.words import count
from napari_unet.files.images import write_labels
from napari_unet.files.label_notes import LOOKED_OVER, mark_notes
from napari_unet.versions.journal import Correction, Journal, left_journals, read_journal


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.usage = "%(prog)s [FILE] [-o OUT] [options]"
    parser.add_argument(
        "file",
        nargs="?",
        type=Path,
        metavar="FILE",
        help="a journal, or the file of labels that it lies beside; without it, journals of labels "
        "that are in no file are listed",
    )
    parser.add_argument(
        "-o", "--out", type=Path, metavar="OUT", help="write the labels here, .ome.tif or .zarr"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")


def run(arguments: argparse.Namespace) -> int:
    """Tell what was corrected, and write the labels if that is asked for."""
    if arguments.file is None:
        found = left_journals()
        for journal in found:
            report(f"{journal.path}  {_about(journal)}")
        if not found:
            report("No journal was left of labels that are in no file.")
        return 0
    journal = read_journal(arguments.file)
    report(_about(journal))
    for each in journal.corrections:
        report(_line(each))
    if arguments.out is not None:
        _write(journal, arguments.out, overwrite=arguments.overwrite)
        report(f"The labels are in '{arguments.out}'; the journal is as it was.")
    return 0


def _about(journal: Journal) -> str:
    parts = [count(len(journal.corrections), "step")]
    parts += [count(len(journal.marks), "mark")] if journal.marks else []
    return f"'{journal.name}': {' and '.join(parts)}, the last at {journal.date}"


def _line(step: Correction) -> str:
    """A step, such as "2026-11-30T18:02:11+00:00  split  3 -> 3, 9  in 0:5, 20:40"."""
    before, after = (
        ", ".join(map(str, each)) or "background" for each in (step.before, step.after)
    )
    box = ", ".join(f"{start}:{stop}" for start, stop in step.box)
    return f"{step.time}  {step.action}  {before} -> {after}  in {box}"


def _write(journal: Journal, path: Path, *, overwrite: bool) -> None:
    labels = journal.labels()
    options = dict(journal.writing)
    if journal.marks:
        marks = mark_notes(journal.marks, set(journal.marks))
        options["notes"] = {**options.get("notes", {}), LOOKED_OVER: marks}
    write_labels(path, labels, **options, overwrite=overwrite)
