"""Compare found cells with true ones, image by image, and say how well they match.

A found cell counts as right at a threshold if its overlap with a true cell, divided by their
union (IoU), is at least that. AP is right / (right + missed + extra); in the interval beside it
lies, 95 times of 100, what more cells of such images would show. Fewer than 20 true cells are
counted only.

The report is one HTML file for a browser: all figures with intervals, the curve of AP, which cells
were missed, false, merged or split, and pictures of the places where most is wrong.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from napari_unet.batch.file_plan import check_new_file
from napari_unet.cli.batch import for_each
from napari_unet.cli.checks import LooksAtLabels, add_check_option
from napari_unet.cli.console import describe_failure, report, say, say_of, with_article
from napari_unet.cli.setting_options import real_number
from napari_unet.engine.base.errors import FileError, LabelsError, SettingsError, UNetError
from napari_unet.engine.base.words import count, listing
from napari_unet.engine.images.image import AnyImage
from napari_unet.engine.labels.evaluation import (
    FEWEST_CELLS,
    THRESHOLDS,
    Evaluation,
    ImageScore,
    ThresholdScore,
    checked_thresholds,
)
from napari_unet.engine.labels.truth.cell_errors import (
    RIGHT_IOU,
    CellErrors,
    VerdictCounts,
    find_errors,
    verdict_shares,
)
from napari_unet.files.image_file import ImageFile
from napari_unet.files.images import read_image, read_labels
from napari_unet.files.pairs import PairedFiles, channels_last, pair_files, partners_of
from napari_unet.files.report.page import SUFFIX, write_report
from napari_unet.files.report.pictures import Pixels
from napari_unet.files.report.report import Report, ReportedImage
from napari_unet.files.report.verdicts import VERDICT_WORDS

_WIDEST_NAME = 40
_SCORE_NAMES = (
    *("threshold", "true_positives", "false_positives", "false_negatives"),
    *("average_precision", "precision", "recall", "f1"),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.usage = "%(prog)s TRUTH PREDICTION [options]"
    parser.add_argument(
        "truth", type=Path, metavar="TRUTH", help="label image of the true cells, or a folder"
    )
    parser.add_argument(
        "prediction",
        type=Path,
        metavar="PREDICTION",
        help="label image of the found cells, or a folder with files of the same names",
    )
    parser.add_argument(
        "--thresholds",
        nargs="+",
        type=real_number,
        default=list(THRESHOLDS),
        metavar="IOU",
        help="overlaps from which two cells count as the same (default: 0.5 0.7 0.9)",
    )
    parser.add_argument(
        "--slices",
        action="store_true",
        help="each slice of a stack is an image of its own; otherwise a cell extends through them",
    )
    parser.add_argument(
        "--right-iou",
        type=real_number,
        default=RIGHT_IOU,
        metavar="IOU",
        help="overlap from which a cell is right, for the kinds of error and the report "
        "(default: 0.5)",
    )
    parser.add_argument(
        "--report", type=Path, metavar="OUT.html", help="also write a report for a browser"
    )
    parser.add_argument(
        "--images",
        type=Path,
        metavar="IMAGES",
        help="what the pictures of the report show below the outlines: an image, or a folder of "
        "images, which are found by the names of the true label images",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace a report that exists already"
    )
    add_check_option(
        parser, "masks, and images given for labels, if half of the files are such, are"
    )
    parser.add_argument("--per-image", action="store_true", help="also list every image")
    parser.add_argument("--json", action="store_true", help="write everything as JSON instead")


def run(arguments: argparse.Namespace) -> int:
    """Evaluate every pair and print the table; return 1 if a pair could not be compared."""
    thresholds = checked_thresholds(arguments.thresholds)
    paired = pair_files(arguments.truth, arguments.prediction)
    pages = _report_file(arguments, paired)
    report_unpaired(paired, "true label image", "predicted label image")
    scores: dict[str, ImageScore] = {}
    counts: list[VerdictCounts] = []
    looks = LooksAtLabels(paired.pairs, "pairs", wanted=arguments.checks)

    def compare(pair: tuple[Path, Path]) -> None:
        truth = read_labels(pair[0])
        prediction = read_labels(pair[1], image=truth)
        looks.add(pair, truth, prediction)
        ndim = _ndim(truth, by_slice=arguments.slices)
        pixels, iou = (truth.array, prediction.array), arguments.right_iou
        found = find_errors(*pixels, right_iou=iou, ndim=ndim, thresholds=thresholds)
        names = [pair[0].name]
        if len(found.evaluation.images) > 1:
            numbers = range(1, len(found.evaluation.images) + 1)
            names = [f"{pair[0].name}, slice {number}" for number in numbers]
        scores.update(zip(names, found.evaluation.images, strict=True))
        counts.extend(found.counts)
        if pages is not None:
            pages.add(pair, find_errors(*pixels, right_iou=iou, ndim=ndim))

    status = for_each(
        paired.pairs,
        compare,
        name=lambda pair: pair[1],
        noun="pair",
        debug=arguments.debug,
    )
    looks.tell()
    if scores:
        evaluation = Evaluation(tuple(scores.values()))
        if arguments.json:
            summary = _as_json(evaluation, list(scores), paired)
            summary["cells"] = [asdict(each) for each in verdict_shares(counts)]
            report(json.dumps(summary, indent=2))
        else:
            _print_table(evaluation, list(scores), per_image=arguments.per_image)
            report(_kinds_line(counts))
    if scores and pages is not None:
        pages.write(looks.lines())
    return status


def _ndim(labels: ImageFile, *, by_slice: bool) -> int:
    """Axes of a cell."""
    if not by_slice:
        return labels.array.ndim
    if labels.array.ndim < 3:
        raise LabelsError(f"'{labels.path}' has no slices; evaluate it without --slices.")
    return 2


def _report_file(arguments: argparse.Namespace, paired: PairedFiles) -> _ReportFile | None:
    """Prepare the report if one is wanted, so that what is wrong is told before the work."""
    path: Path | None = arguments.report
    if path is None:
        if arguments.images is not None:
            raise SettingsError("--images are for the report; add --report OUT.html.")
        return None
    if path.suffix.lower() not in (SUFFIX, ".htm"):
        raise FileError(f"The report '{path}' is a page; give it a name that ends in {SUFFIX}.")
    check_new_file(path, overwrite=arguments.overwrite)
    return _ReportFile(arguments, paired)


class _ReportFile:
    """Gathers what the report says, and reads the worst pairs again for its pictures."""

    def __init__(self, arguments: argparse.Namespace, paired: PairedFiles) -> None:
        self._arguments, self._paired = arguments, paired
        self._pairs: list[tuple[Path, Path]] = []
        self._images: list[ReportedImage] = []
        self._below: Mapping[Path, Path] = {}
        if arguments.images is not None:
            self._below = partners_of([pair[0] for pair in paired.pairs], arguments.images)
            if not self._below:
                raise FileError(
                    f"No image of --images {arguments.images} has the name of a true label image "
                    f"(such as '{paired.pairs[0][0].name}'); files belong together by their names "
                    "without endings."
                )

    def add(self, pair: tuple[Path, Path], found: CellErrors) -> None:
        """Take in a pair."""
        self._pairs.append(pair)
        self._images.append(ReportedImage.of(pair[0].name, found))

    def write(self, notes: Sequence[str]) -> None:
        """Write it, and say where it is."""
        arguments = self._arguments
        page = Report(
            str(arguments.truth),
            str(arguments.prediction),
            self._images,
            arguments.right_iou,
            notes,
            self._settings(),
        )
        write_report(arguments.report, page, self._pixels, overwrite=arguments.overwrite)
        # Who asked for JSON reads nothing else there.
        (say if arguments.json else report)(f"report -> {arguments.report}")

    def _settings(self) -> dict[str, str]:
        settings = {}
        if self._arguments.images is not None:
            settings["images"] = str(self._arguments.images)
        if self._arguments.slices:
            settings["stacks"] = "each slice is an image of its own"
        for name, left in (
            ("without a prediction", self._paired.only_first),
            ("without a truth", self._paired.only_second),
        ):
            if left:
                settings[name] = ", ".join(left)
        return settings

    def _pixels(self, at: int) -> Pixels:
        truth, prediction = (read_labels(path) for path in self._pairs[at])
        ndim = _ndim(truth, by_slice=self._arguments.slices)
        iou = self._arguments.right_iou
        found = find_errors(truth.array, prediction.array, right_iou=iou, ndim=ndim)
        image = self._image(self._pairs[at][0], truth.array.shape)
        return Pixels(truth.array, prediction.array, found.image(), image)

    def _image(self, labels: Path, shape: tuple[int, ...]) -> AnyImage | None:
        """What lies below the outlines; if it cannot be shown, that is said."""
        if labels not in self._below:
            return None
        path = self._below[labels]
        try:
            array = np.asarray(channels_last(read_image(path), shape))
        except UNetError as error:
            say_of(path, f"{describe_failure(error)} The report shows its outlines alone.")
            return None
        if array.shape[: len(shape)] != shape or array.ndim > len(shape) + 1:
            say_of(
                path,
                f"it is {' x '.join(map(str, array.shape))} and its labels are "
                f"{' x '.join(map(str, shape))}; the report shows their outlines alone.",
            )
            return None
        return array


def report_unpaired(paired: PairedFiles, first: str, second: str) -> None:
    """Say which files were left out for want of a partner."""
    for names, kind, other in (
        (paired.only_first, first, second),
        (paired.only_second, second, first),
    ):
        if names:
            say(
                f"{count(len(names), kind)} left out, without {with_article(other)}: "
                f"{listing(names)}."
            )


def _print_table(evaluation: Evaluation, names: list[str], *, per_image: bool) -> None:
    report(
        f"{count(len(names), 'image')}, {count(evaluation.true_cells, 'true cell')}, "
        f"{count(evaluation.predicted_cells, 'cell')} found"
    )
    if per_image:
        _print_images(evaluation, names)
    report("")
    figures = evaluation.has_figures
    scores = "  AP pooled  95 % interval  AP mean over images     F1" if figures else ""
    report(f"  IoU{scores}  right  missed  extra")
    for threshold in evaluation.thresholds:
        score = evaluation.pooled(threshold)
        low, high = evaluation.interval(threshold)
        scores = (
            f"  {score.average_precision:9.3f}  {low:.3f} - {high:.3f}  "
            f"{evaluation.mean_ap(threshold):19.3f}  {score.f1:5.3f}"
        )
        report(
            f"{threshold:5.2f}{scores if figures else ''}  "
            f"{score.true_positives:5d}  {score.false_negatives:6d}  {score.false_positives:5d}"
        )
    report("")
    if figures:
        report(f"mean IoU of matched cells: {evaluation.mean_matched_iou:.3f}")
    else:
        report(too_few(evaluation))


def too_few(evaluation: Evaluation) -> str:
    """Say why no score is told."""
    cells = count(evaluation.true_cells, "true cell")
    are = "is" if evaluation.true_cells == 1 else "are"
    return f"{cells} {are} too few for a figure; give {FEWEST_CELLS} or more for AP, F1 and IoU."


def _kinds_line(counts: Sequence[VerdictCounts]) -> str:
    """Say "errors: 3 missed, 2 merged", each of one cell or of several."""
    shares = verdict_shares(counts)
    told = [
        f"{each.places} {VERDICT_WORDS[each.verdict]}"
        for each in shares
        if each.places and each.verdict != "right"
    ]
    return f"errors: {', '.join(told) or 'none'}"


def _print_images(evaluation: Evaluation, names: list[str]) -> None:
    names = [
        name if len(name) <= _WIDEST_NAME else f"...{name[3 - _WIDEST_NAME :]}" for name in names
    ]
    width = max(map(len, [*names, "image"]))
    columns = "".join(f"    AP {threshold:4.2f}" for threshold in evaluation.thresholds)
    report(f"\n{'image':{width}}  true  found{columns}")
    for name, image in zip(names, evaluation.images, strict=True):
        values = "".join(f"  {_of_image(image, score):>9}" for score in image.scores)
        report(f"{name:{width}}  {image.true_cells:4d}  {image.predicted_cells:5d}{values}")


def _of_image(image: ImageScore, score: ThresholdScore) -> str:
    if image.true_cells < FEWEST_CELLS:
        return f"{score.true_positives} of {image.true_cells}"
    return f"{score.average_precision:.3f}"


def _as_json(evaluation: Evaluation, names: list[str], paired: PairedFiles) -> dict[str, Any]:
    return {
        "true_cells": evaluation.true_cells,
        "pooled": [
            _score_json(evaluation.pooled(t))
            | {"average_precision_interval_95": evaluation.interval(t)}
            for t in evaluation.thresholds
        ],
        "mean_over_images": [
            {"threshold": t, "average_precision": evaluation.mean_ap(t)}
            for t in evaluation.thresholds
        ],
        "mean_matched_iou": evaluation.mean_matched_iou,
        "merged_cells": evaluation.merged_cells,
        "images": [
            {
                "name": name,
                "true_cells": image.true_cells,
                "predicted_cells": image.predicted_cells,
                "scores": [_score_json(score) for score in image.scores],
            }
            for name, image in zip(names, evaluation.images, strict=True)
        ],
        "without_prediction": paired.only_first,
        "without_truth": paired.only_second,
    }


def _score_json(score: ThresholdScore) -> dict[str, float]:
    return {name: getattr(score, name) for name in _SCORE_NAMES}
