"""Compare found cells with true ones, image by image, and say how well they match.

A found cell counts as right at a threshold if its overlap with a true cell, divided by their
union (IoU), is at least that. AP is right / (right + missed + extra); in the interval beside it
lies, 95 times of 100, what more cells of such images would show. Fewer than 20 true cells are
counted only.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from napari_unet.cli.batch import for_each
from napari_unet.cli.checks import LooksAtLabels, add_check_option
from napari_unet.cli.console import count, listing, report, say, with_article
from napari_unet.cli.setting_options import real_number
from napari_unet.engine.labels.evaluation import (
    FEWEST_CELLS,
    THRESHOLDS,
    Evaluation,
    ImageScore,
    ThresholdScore,
    checked_thresholds,
    evaluate,
)
from napari_unet.files.images import read_labels
from napari_unet.files.pairs import PairedFiles, pair_files

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
    add_check_option(
        parser, "masks, and images given for labels, if half of the files are such, are"
    )
    parser.add_argument("--per-image", action="store_true", help="also list every image")
    parser.add_argument("--json", action="store_true", help="write everything as JSON instead")


def run(arguments: argparse.Namespace) -> int:
    """Evaluate every pair and print the table; return 1 if a pair could not be compared."""
    thresholds = checked_thresholds(arguments.thresholds)
    paired = pair_files(arguments.truth, arguments.prediction)
    report_unpaired(paired, "true label image", "predicted label image")
    scores: dict[str, ImageScore] = {}
    looks = LooksAtLabels(paired.pairs, "pairs", wanted=arguments.checks)

    def compare(pair: tuple[Path, Path]) -> None:
        truth = read_labels(pair[0])
        prediction = read_labels(pair[1], image=truth)
        looks.add(pair, truth, prediction)
        evaluation = evaluate(truth.array, prediction.array, thresholds=thresholds)
        scores[pair[0].name] = evaluation.images[0]

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
            report(json.dumps(summary, indent=2))
        else:
            _print_table(evaluation, list(scores), per_image=arguments.per_image)
    return status


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
    report(f"true cells merged with another: {evaluation.merged_cells}")


def too_few(evaluation: Evaluation) -> str:
    """Say why no score is told."""
    cells = count(evaluation.true_cells, "true cell")
    are = "is" if evaluation.true_cells == 1 else "are"
    return f"{cells} {are} too few for a figure; give {FEWEST_CELLS} or more for AP, F1 and IoU."


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
