"""Compare two results for the same images, cell by cell: what a retrained model does differently.

Cells are gained, lost, split, merged, regrouped (several became others) or reshaped. With the
truth, each change also counts as better or worse.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_unet.batch.file_plan import plan_outputs
from napari_unet.cli.batch import for_each
from napari_unet.cli.checks import LooksAtLabels, add_check_option
from napari_unet.cli.commands.evaluate import report_unpaired, too_few
from napari_unet.cli.console import report, say
from napari_unet.cli.setting_options import real_number
from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.base.words import count
from napari_unet.engine.labels.comparison import (
    CHANGE_KINDS,
    SAME_IOU,
    Change,
    ChangeKind,
    Comparison,
    change_image,
    compare_cells,
)
from napari_unet.engine.labels.evaluation import Evaluation
from napari_unet.files.image_file import ImageFile
from napari_unet.files.images import read_labels, write_labels
from napari_unet.files.pairs import pair_files


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.usage = "%(prog)s BEFORE AFTER [--truth TRUTH] [-o OUT] [options]"
    parser.add_argument(
        "before", type=Path, metavar="BEFORE", help="label image of the first result, or a folder"
    )
    parser.add_argument(
        "after",
        type=Path,
        metavar="AFTER",
        help="label image of the second result, or a folder with files of the same names",
    )
    parser.add_argument(
        "--truth",
        type=Path,
        metavar="TRUTH",
        help="label image of the true cells, or a folder with files of the same names",
    )
    colours = ", ".join(f"{number} {kind}" for number, kind in enumerate(CHANGE_KINDS, 1))
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        help=f"folder for label images of the changes, or one .tif file; in them is {colours}",
    )
    parser.add_argument(
        "--same-iou",
        type=real_number,
        default=SAME_IOU,
        metavar="IOU",
        help="overlap from which a cell counts as unchanged (default: %(default)s)",
    )
    add_check_option(
        parser, "masks, and images given for labels, if half of the files are such, are"
    )
    parser.add_argument("--list", action="store_true", help="also list every change")
    parser.add_argument("--json", action="store_true", help="write everything as JSON instead")
    parser.add_argument("--overwrite", action="store_true", help="replace outputs that exist")


@dataclass(frozen=True, slots=True)
class _Task:
    """Files of one image."""

    before: Path
    after: Path
    truth: Path | None
    output: Path | None


def run(arguments: argparse.Namespace) -> int:
    """Compare every pair and print the table; return 1 if a pair could not be compared."""
    if not 0 < arguments.same_iou <= 1:
        raise SettingsError(
            f"--same-iou is {arguments.same_iou:g}; use an overlap above 0, at most 1."
        )
    comparisons: dict[str, Comparison] = {}
    tasks = _tasks(arguments)
    looks = LooksAtLabels(tasks, "pairs", wanted=arguments.checks)

    def compare(task: _Task) -> None:
        before, after = read_labels(task.before), read_labels(task.after)
        truth = read_labels(task.truth) if task.truth else None
        looks.add(task, *filter(None, (before, after, truth)))
        truth_array = truth.array if truth else None
        found = compare_cells(before.array, after.array, truth_array, same_iou=arguments.same_iou)
        comparisons[task.before.name] = found
        if task.output is not None:
            _write(task.output, found, before, overwrite=arguments.overwrite)

    status = for_each(
        tasks,
        compare,
        name=lambda task: task.after,
        noun="pair",
        debug=arguments.debug,
    )
    looks.tell()
    if comparisons:
        if arguments.json:
            report(json.dumps(_as_json(comparisons), indent=2))
        else:
            _print_table(comparisons, listed=arguments.list)
    return status


def _tasks(arguments: argparse.Namespace) -> list[_Task]:
    paired = pair_files(arguments.before, arguments.after)
    report_unpaired(paired, "label image before", "label image after")
    truths: dict[Path, Path] = {}
    if arguments.truth is not None:
        truths = dict(pair_files(arguments.before, arguments.truth).pairs)
        missing = [before for before, _ in paired.pairs if before not in truths]
        if missing:
            say(f"{count(len(missing), 'pair')} compared without a truth of the same name.")
    outputs: dict[Path, Path] = {}
    if arguments.out is not None:
        sources = [before for before, _ in paired.pairs]
        plan = plan_outputs(sources, arguments.out, overwrite=arguments.overwrite)
        outputs = {planned.source: planned.output for planned in plan}
    return [
        _Task(before, after, truths.get(before), outputs.get(before))
        for before, after in paired.pairs
    ]


def _write(path: Path, comparison: Comparison, labels: ImageFile, *, overwrite: bool) -> None:
    write_labels(
        path,
        change_image(comparison),
        axes=labels.axes,
        pixel_size_um=labels.pixel_size_um,
        overwrite=overwrite,
    )


# -- the table -----------------------------------------------------------------------------------


def _print_table(comparisons: dict[str, Comparison], *, listed: bool) -> None:
    every = comparisons.values()
    before, after = (sum(cells) for cells in zip(*map(_cells, every), strict=True))
    unchanged = sum(comparison.unchanged for comparison in every)
    report(
        f"{count(len(comparisons), 'image')}, {count(before, 'cell')} before, {after} after, "
        f"{unchanged} unchanged"
    )
    if listed:
        _print_changes(comparisons)
    changes = [change for comparison in every for change in comparison.changes]
    is_judged = any(comparison.before_score for comparison in every)
    report("")
    report(f"{'':9}  changes" + ("  better  worse" if is_judged else ""))
    for kind in CHANGE_KINDS:
        number, better, worse = _counts(changes, kind)
        judged = f"  {better:6d}  {worse:5d}" if is_judged else ""
        report(f"{kind:9}  {number:7d}{judged}")
    if is_judged:
        _print_scores(*_evaluations(every))


def _print_changes(comparisons: dict[str, Comparison]) -> None:
    report("")
    for name, comparison in comparisons.items():
        for change in comparison.changes:
            verdict = {None: "", True: ", better", False: ", worse"}[change.is_better]
            centre = ", ".join(f"{place:.0f}" for place in change.centre)
            report(f"{name}: {_in_words(change)} at ({centre}){verdict}")


def _in_words(change: Change) -> str:
    before, after = (", ".join(map(str, ids)) for ids in (change.before_ids, change.after_ids))
    return f"{change.kind} {' -> '.join(part for part in (before, after) if part)}"


def _print_scores(before: Evaluation, after: Evaluation) -> None:
    report("")
    figures = before.has_figures
    scores = "  AP before  95 % interval  AP after  95 % interval" if figures else ""
    report(f"  IoU{scores}  right before  right after")
    for threshold in before.thresholds:
        line = f"{threshold:5.2f}"
        for score, width in ((before, 9), (after, 8)) if figures else ():
            low, high = score.interval(threshold)
            ap = score.pooled(threshold).average_precision
            line += f"  {ap:{width}.3f}  {low:.3f} - {high:.3f}"
        old, new = (score.pooled(threshold).true_positives for score in (before, after))
        report(f"{line}  {old:12d}  {new:11d}")
    report("")
    if figures:
        report(
            f"mean IoU of matched cells: {before.mean_matched_iou:.3f} before, "
            f"{after.mean_matched_iou:.3f} after"
        )
    else:
        report(too_few(before))
    report(
        f"true cells merged with another: {before.merged_cells} before, {after.merged_cells} after"
    )


def _cells(comparison: Comparison) -> tuple[int, int]:
    return comparison.before_cells, comparison.after_cells


def _counts(changes: Iterable[Change], kind: ChangeKind) -> tuple[int, int, int]:
    """How many changes of a kind there are, and how many of them are better and worse."""
    verdicts = [change.is_better for change in changes if change.kind == kind]
    return len(verdicts), verdicts.count(True), verdicts.count(False)


def _evaluations(comparisons: Iterable[Comparison]) -> tuple[Evaluation, Evaluation]:
    """All images that have a truth, together: before and after."""
    scores = [(each.before_score, each.after_score) for each in comparisons]
    before = [image for score, _ in scores if score for image in score.images]
    after = [image for _, score in scores if score for image in score.images]
    return Evaluation(tuple(before)), Evaluation(tuple(after))


# -- JSON ----------------------------------------------------------------------------------------


def _as_json(comparisons: dict[str, Comparison]) -> dict[str, Any]:
    every = comparisons.values()
    changes = [change for comparison in every for change in comparison.changes]
    result: dict[str, Any] = {
        "before_cells": sum(comparison.before_cells for comparison in every),
        "after_cells": sum(comparison.after_cells for comparison in every),
        "unchanged": sum(comparison.unchanged for comparison in every),
        "changes": {
            kind: dict(zip(("number", "better", "worse"), _counts(changes, kind), strict=True))
            for kind in CHANGE_KINDS
        },
        "images": [
            {"name": name, "changes": [_change_json(change) for change in comparison.changes]}
            for name, comparison in comparisons.items()
        ],
    }
    if any(comparison.before_score for comparison in every):
        for name, score in zip(("before", "after"), _evaluations(every), strict=True):
            result[name] = {
                "true_cells": score.true_cells,
                "average_precision_interval_95": {
                    f"{t:g}": score.interval(t) for t in score.thresholds
                },
                "average_precision": {
                    f"{t:g}": score.pooled(t).average_precision for t in score.thresholds
                },
                "mean_matched_iou": score.mean_matched_iou,
                "merged_cells": score.merged_cells,
            }
    return result


def _change_json(change: Change) -> dict[str, Any]:
    return {
        "kind": change.kind,
        "before_ids": change.before_ids,
        "after_ids": change.after_ids,
        "box": [[part.start, part.stop] for part in change.box],
        "centre": change.centre,
        "before_px": change.before_px,
        "after_px": change.after_px,
        "improvement": change.improvement,
    }
