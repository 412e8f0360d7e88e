"""The page of a report: figures with their intervals, curve, errors, pictures and settings."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from html import escape
from pathlib import Path

import numpy as np

from napari_unet import __version__
from napari_unet.engine.base.words import count
from napari_unet.engine.labels.evaluation import (
    FEWEST_CELLS,
    Evaluation,
    Metric,
)
from napari_unet.engine.labels.truth.cell_errors import (
    ERROR_KINDS,
    VERDICTS,
    verdict_shares,
)
from napari_unet.files.image_file import replacing
from napari_unet.files.report.curve import CurveLine, curve_svg
from napari_unet.files.report.pictures import (
    TRUE_COLOUR,
    Pixels,
    as_data_url,
    draw_place,
    worst_places,
)
from napari_unet.files.report.report import Report
from napari_unet.files.report.verdicts import VERDICT_COLOURS, VERDICT_MEANINGS, VERDICT_WORDS

SUFFIX = ".html"
_count = partial(count, grouped=True)
_MOST_PICTURES = 6
_NONE = "&ndash;"
_LINES: tuple[tuple[str, Metric, str], ...] = (
    ("AP", "average_precision", "ap"),
    ("F1", "f1", "f1"),
    ("precision", "precision", "precision"),
    ("recall", "recall", "recall"),
)


def write_report(
    path: Path, report: Report, pixels_of: Callable[[int], Pixels], *, overwrite: bool = False
) -> None:
    """Write a report as one HTML file that needs nothing beside it.

    Parameters
    ----------
    path : Path
    report : Report
    pixels_of : callable
        Returns what the pictures of an image are drawn from, given its place
        among `report.images`; it is asked for the worst ones alone.
    overwrite : bool

    Raises
    ------
    FileError
        If the file exists or cannot be written; then nothing has changed.
    """
    page = report_page(report, list(_pictures(report, pixels_of)))
    with replacing(path, overwrite=overwrite) as stream:
        stream.write(page.encode("utf-8", "replace"))


def report_page(report: Report, pictures: Sequence[tuple[str, str]]) -> str:
    """Write the page; pictures are addresses and captions in HTML."""
    evaluation = report.evaluation
    parts = [*_head(report)]
    parts += [f'<p class="note">{escape(note)}</p>' for note in report.notes]
    if evaluation.has_figures:
        parts += [_tiles(report, evaluation), "<h2>How strictly cells are judged</h2>"]
        parts += [_curve(evaluation), _score_table(evaluation)]
    parts += ["<h2>What is wrong</h2>", _verdict_table(report), _matched_in_errors(report)]
    if pictures:
        parts += ["<h2>Where most is wrong</h2>", _legend(), '<div class="pictures">']
        parts += [
            f'<figure><img src="{url}" alt=""><figcaption>{caption}</figcaption></figure>'
            for url, caption in pictures
        ]
        parts.append("</div>")
    if len(report.images) > 1:
        parts += ["<h2>Images, the worst first</h2>", _image_table(report)]
    parts += [*_explained(report), "</body>", "</html>", ""]
    return "\n".join(parts)


# -- parts of the page ---------------------------------------------------------------------------


def _head(report: Report) -> Iterator[str]:
    style = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
    evaluation = report.evaluation
    title = f"{report.found} beside {report.truth}"
    yield '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>"
    yield "<h1>Evaluation</h1>"
    names = f"{report.found}, beside the true cells of {report.truth}"
    yield f'<p class="faint">{escape(names)}</p>'
    images = "" if len(report.images) == 1 else f" in {_count(len(report.images), 'image')}"
    lead = (
        f"{_count(evaluation.true_cells, 'true cell')}{images}, {evaluation.predicted_cells:,} "
        f"found. At IoU {report.right_iou:g}, {evaluation.counts(report.right_iou)}."
    )
    if not evaluation.true_cells and not evaluation.predicted_cells:
        lead = "There are no cells, neither true nor found."
    elif not evaluation.has_figures:
        lead += f" Fewer than {FEWEST_CELLS} true cells are too few for figures."
    yield f'<p class="lead">{lead}</p>'


def _tiles(report: Report, evaluation: Evaluation) -> str:
    at = report.right_iou
    score = evaluation.pooled(at)
    iou = evaluation.mean_matched_iou
    entries = [
        (f"F1 at IoU {at:g}", score.f1, evaluation.interval(at, "f1")),
        (f"AP at IoU {at:g}", score.average_precision, evaluation.interval(at)),
        ("precision", score.precision, evaluation.interval(at, "precision")),
        ("recall", score.recall, evaluation.interval(at, "recall")),
        ("mean IoU, matched", iou, evaluation.matched_iou_interval()),
    ]
    tiles = [
        f'<div class="tile"><span>{name}</span><b>{value:.2f}</b>'
        f"<span>{low:.2f} to {high:.2f}</span></div>"
        for name, value, (low, high) in entries
    ]
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _curve(evaluation: Evaluation) -> str:
    thresholds = evaluation.thresholds
    scores = [evaluation.pooled(threshold) for threshold in thresholds]
    bands = [evaluation.interval(threshold) for threshold in thresholds]
    lines = [
        CurveLine(
            name,
            [getattr(score, metric) for score in scores],
            style,
            bands if metric == "average_precision" else (),
        )
        for name, metric, style in _LINES
    ]
    return curve_svg(thresholds, lines)


def _score_table(evaluation: Evaluation) -> str:
    heads = ["IoU", "AP", "F1", "precision", "recall", "right", "missed", "extra"]
    rows = []
    for threshold in evaluation.thresholds:
        score = evaluation.pooled(threshold)
        cells = [f"{threshold:.2f}"]
        cells += [
            _with_interval(getattr(score, metric), *evaluation.interval(threshold, metric))
            for _, metric, _ in _LINES
        ]
        counts = (score.true_positives, score.false_negatives, score.false_positives)
        cells += [f"{count:,}" for count in counts]
        rows.append("".join(f"<td>{cell}</td>" for cell in cells))
    return _table("".join(f"<th>{head}</th>" for head in heads), rows)


def _verdict_table(report: Report) -> str:
    heads = ["", "places", "true cells", "found cells", "share", ""]
    kinds = ("text", "", "", "", "", "text")
    head = "".join(
        f'<th class="{kind}">{name}</th>' for kind, name in zip(kinds, heads, strict=True)
    )
    rows = []
    for each in verdict_shares(report.counts):
        of = "found" if each.verdict == "false" else "true"
        share = f"{100 * each.share:.1f} % <i>{100 * each.low:.1f} to {100 * each.high:.1f}</i>"
        numbers = (each.places, each.true_cells, each.found_cells)
        rows.append(
            f'<td class="text">{_swatch(VERDICT_COLOURS[each.verdict])}'
            f"{VERDICT_WORDS[each.verdict]}</td>"
            + "".join(_number(number) for number in numbers)
            + (f"<td>{share} <i>of {of}</i></td>" if report.evaluation.has_figures else "<td></td>")
            + f'<td class="meaning">{VERDICT_MEANINGS[each.verdict]}</td>'
        )
    return _table(head, rows)


def _matched_in_errors(report: Report) -> str:
    """Say why more cells count as right at the threshold than in the table."""
    right = sum(each.places["right"] for each in report.counts)
    others = report.evaluation.pooled(report.right_iou).true_positives - right
    if not others:
        return ""
    are = "cell is" if others == 1 else "cells are"
    return (
        f'<p class="faint">{others:,} true {are} in an error, and all the same overlap enough with '
        "a found one to count as right in the figures.</p>"
    )


def _image_table(report: Report) -> str:
    words = [VERDICT_WORDS[kind] for kind in ERROR_KINDS]
    heads = ["true", "found", "right", *words, "IoU", f"F1 at {report.right_iou:g}"]
    head = '<th class="text">image</th>' + "".join(f"<th>{name}</th>" for name in heads)
    rows = []
    for at in report.worst_first():
        image = report.images[at]
        evaluation = image.evaluation
        places = [sum(each.places[kind] for each in image.counts) for kind in VERDICTS]
        numbers = [evaluation.true_cells, evaluation.predicted_cells, *places]
        score = evaluation.pooled(report.right_iou)
        f1 = f"{score.f1:.2f}" if evaluation.has_figures else _NONE
        iou = f"{evaluation.mean_matched_iou:.2f}" if score.true_positives else _NONE
        rows.append(
            f'<td class="name">{escape(image.name)}</td>'
            + "".join(_number(number) for number in numbers)
            + f"<td>{iou}</td><td>{f1}</td>"
        )
    return _table(head, rows)


def _legend() -> str:
    def line(colour: str, words: str) -> str:
        drawn = f"border-top: 3px solid {colour}; outline: 1px solid rgba(0, 0, 0, .35)"
        return f'<span><span class="line" style="{drawn}"></span>{words}</span>'

    errors = [
        f"<span>{_swatch(VERDICT_COLOURS[kind])}{VERDICT_WORDS[kind]}</span>"
        for kind in ERROR_KINDS
    ]
    entries = [line(TRUE_COLOUR, "true outline"), line(VERDICT_COLOURS["right"], "found and right")]
    return f'<p class="legend">{"".join([*entries, *errors])}</p>'


def _explained(report: Report) -> Iterator[str]:
    yield "<h2>What the figures mean</h2>"
    yield (
        "<p>IoU is the overlap of a true and a found cell divided by their union. At a "
        "threshold, a found cell is right if its IoU with a true one is at least that; AP is "
        "right / (right + missed + extra), F1 is 2 right / (2 right + missed + extra).</p>"
        "<p>For the kinds of error, cells that share more than half of the smaller one belong "
        "together. Such a place is right if it is one true and one found cell with an IoU of at "
        f"least {report.right_iou:g}, otherwise it is one error; each cell is in one place. So a "
        "true cell that matches a found one, while a piece of it was found as another cell, is "
        "split, and one that matches a found cell which holds another true one, too, is merged "
        "(after Hoover et al. 1996, and Caicedo et al. 2019).</p>"
        f"<p>{_about_intervals(report)}</p>"
    )
    settings = {
        "true cells": report.truth,
        "found cells": report.found,
        "right from IoU": f"{report.right_iou:g}",
        **report.settings,
        "made": f"{datetime.now().astimezone():%Y-%m-%d %H:%M}",
        "with": f"napari-unet-cells {__version__}, NumPy {np.__version__}, "
        f"Python {platform.python_version()}",
    }
    yield "<h2>Settings</h2>\n<dl>"
    for name, value in settings.items():
        yield f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>"
    yield "</dl>"


def _about_intervals(report: Report) -> str:
    images = len(report.evaluation.images)
    if images == 1:
        over = "from the number of cells of this one image, so that other images may lie outside"
    elif images < 5:
        over = "from the cells of these few images, so that other images may lie outside"
    else:
        over = "from the cells and from how much the images differ"
    return (
        f"Beside each figure stands its 95 % interval, {over}: Wilson's for shares (for AP that of "
        "F1), Student's t for the mean IoU."
    )


# -- pictures ------------------------------------------------------------------------------------


def _pictures(report: Report, pixels_of: Callable[[int], Pixels]) -> Iterator[tuple[str, str]]:
    """Address and caption of each picture: of the worst images, of few several places."""
    wrong = [at for at in report.worst_first() if report.images[at].errors][:_MOST_PICTURES]
    for number, at in enumerate(wrong):
        # What is left over goes to the worst ones.
        most = (_MOST_PICTURES - number - 1) // len(wrong) + 1
        image = report.images[at]
        pixels = pixels_of(at)
        for place in worst_places(image.errors, image.shape, most=most):
            told = [
                f"{place.counts[kind]} {VERDICT_WORDS[kind]}"
                for kind in ERROR_KINDS
                if place.counts[kind]
            ]
            y, x = (part.start for part in place.part)
            plane = "".join(f", slice {index + 1}" for index in place.plane)
            caption = f"{escape(image.name)}{plane}, from y {y}, x {x}: {', '.join(told)}"
            yield as_data_url(draw_place(pixels, place)), caption


# -- pieces of HTML ------------------------------------------------------------------------------


def _table(head: str, rows: Sequence[str]) -> str:
    body = "\n".join(f"<tr>{row}</tr>" for row in rows)
    return (
        f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n'
        "</table></div>"
    )


def _with_interval(value: float, low: float, high: float) -> str:
    return f"{value:.2f} <i>{low:.2f} to {high:.2f}</i>"


def _number(number: int) -> str:
    return f"<td>{number:,}</td>" if number else '<td class="zero">0</td>'


def _swatch(colour: str) -> str:
    return f'<span class="swatch" style="background: {colour}"></span>'
