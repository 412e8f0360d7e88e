"""Pictures of the model card: how it was trained, how sure it is, and where it fails."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from chart import COLOURS, Line, Panel, chart
from numpy.typing import NDArray
from picture_sets import Picture
from PIL import Image, ImageDraw, ImageFont, ImageOps
from reliability import Cells, binned
from scipy import ndimage

from napari_unet import compare_cells, evaluate
from napari_unet.engine.base.score_calibration import ScoreCalibration
from napari_unet.engine.labels.comparison import Change, ChangeKind
from napari_unet.files.overlay import draw_overlay

WORST = 5
_TENTHS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
_ALL = "all"
_RIGHT_IOU = 0.5
_PART_PX, _STRIDE_PX = 256, 32
_PANEL_PX, _COLUMNS, _GAP_PX, _CAPTION_PX = 330, 3, 6, 14
_GROUND, _INK = (38, 41, 48), (240, 241, 242)
_TRUE, _FOUND = (0, 220, 255), (255, 140, 0)
_QUALITY = 70
_WORDS: dict[ChangeKind, str] = {
    "lost": "missed",
    "merged": "merged",
    "split": "split",
    "regrouped": "cut otherwise",
    "reshaped": "badly outlined",
    "gained": "extra",
}
"""What a change from the true cells to the found ones is called."""


# -- charts --------------------------------------------------------------------------------------


def reliability_chart(cells: Cells, calibration: ScoreCalibration) -> str:
    """Share of right cells over their score, and over their probability, as SVG."""
    panels = []
    for title, x_title, claims in (
        ("before", "mean score of the cell", lambda own: own.scores),
        ("after", "probability of being right", lambda own: calibration.probability(own.scores)),
    ):
        lines = [
            Line(name, _points(claims(own), own), COLOURS[number])
            for number, (name, own) in enumerate(cells.by_kind.items())
        ]
        lines.append(Line(_ALL, _points(claims(cells), cells), "#000", width=2.5))
        panels.append(
            Panel(title, x_title, "share that is right", _TENTHS, _TENTHS, lines, has_diagonal=True)
        )
    return chart(panels)


def _points(claimed: NDArray[np.float64], cells: Cells) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y, _ in binned(claimed, cells.is_right)]


def training_chart(validations: Path) -> str:
    """AP 0.5 of each kind over the steps, as SVG; `validations` is what train.py wrote."""
    with validations.open(newline="") as file:
        rows = list(csv.DictReader(file))
    kinds = [name.removesuffix(" 0.5") for name in rows[0] if name.endswith(" 0.5")]
    colours: dict[str, str] = {}
    lines = []
    for kind in kinds:
        part, name = kind.split(", ")
        colour = colours.setdefault(name, COLOURS[len(colours) % len(COLOURS)])
        points = [(float(row["step"]) / 1000, float(row[f"{kind} 0.5"])) for row in rows]
        lines.append(Line(kind, points, colour, is_dashed=part == "training"))
    last = max(float(row["step"]) for row in rows) / 1000
    stride = next(n for n in (1, 2, 5, 10, 20, 50) if last / n <= 6)
    steps = [float(n) for n in range(0, stride * math.ceil(last / stride) + 1, stride)]
    title = "held out, and learned from (dashed)"
    return chart([Panel(title, "thousand steps", "AP 0.5", steps, _TENTHS, lines)])


# -- where it fails ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Failure:
    """An image in which little is right."""

    image: NDArray[Any]
    truth: NDArray[Any]
    labels: NDArray[Any]
    precision: float
    changes: tuple[Change, ...]

    @property
    def caption(self) -> str:
        """AP 0.5, and the errors of the whole image by their kind."""
        kinds = [change.kind for change in self.changes]
        told = [f"{kinds.count(kind)} {word}" for kind, word in _WORDS.items() if kind in kinds]
        return f"AP {self.precision:.2f}: {', '.join(told) or 'no error'}"


def worst_images(items: Sequence[Picture], found: Mapping[str, NDArray[Any]]) -> list[Failure]:
    """Images with the lowest AP 0.5, the lowest first."""
    failures = []
    for item in items:
        pair, labels = item.pair(), found[item.name]
        precision = evaluate(pair.labels, labels).pooled(_RIGHT_IOU).average_precision
        changes = compare_cells(pair.labels, labels, same_iou=_RIGHT_IOU).changes
        failures.append(Failure(pair.image, pair.labels, labels, precision, changes))
    return sorted(failures, key=lambda failure: failure.precision)[:WORST]


def failure_sheet(failures: Sequence[Failure], file: Path) -> None:
    """Draw images with true and found outlines, each over its caption, as WebP."""
    font = ImageFont.load_default(_CAPTION_PX)
    line_px = round(1.3 * _CAPTION_PX)
    tiles = [Image.fromarray(_outlined(failure)) for failure in failures]
    size = (_PANEL_PX, _PANEL_PX)
    rows = math.ceil(len(tiles) / _COLUMNS)
    columns = min(_COLUMNS, len(tiles))
    each = (_PANEL_PX + _GAP_PX, _PANEL_PX + 3 * line_px)
    sheet = Image.new("RGB", (columns * each[0] - _GAP_PX, rows * each[1] + line_px), _GROUND)
    ink = ImageDraw.Draw(sheet)
    for number, (tile, failure) in enumerate(zip(tiles, failures, strict=True)):
        left, top = each[0] * (number % columns), each[1] * (number // columns)
        sheet.paste(ImageOps.contain(tile, size, Image.Resampling.LANCZOS), (left, top))
        for line, words in enumerate(_wrapped(failure.caption, font)):
            place = (left + 2, top + _PANEL_PX + 4 + line * line_px)
            ink.text(place, words, font=font, fill=_INK)
    bottom = rows * each[1] + 2
    ink.text((2, bottom), "true outlines", font=font, fill=_TRUE)
    ink.text((100, bottom), "found outlines", font=font, fill=_FOUND)
    sheet.save(file, quality=_QUALITY, method=6)


def _wrapped(words: str, font: Any) -> list[str]:
    lines = [""]
    for word in words.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) > _PANEL_PX - 4:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _outlined(failure: Failure) -> NDArray[np.uint8]:
    """The part of the image with most errors, magnified, with the outlines of both."""
    picture = draw_overlay(failure.image, np.zeros_like(failure.labels))
    factor = picture.shape[0] // failure.labels.shape[0]
    part = _worst_part(failure)
    drawn = picture[tuple(slice(factor * p.start, factor * p.stop) for p in part)].copy()
    for labels, colour, width_px in (
        (failure.truth, _TRUE, factor),
        (failure.labels, _FOUND, round(0.7 * factor)),
    ):
        large = labels[part].repeat(factor, axis=0).repeat(factor, axis=1)
        size = 2 * width_px + 1
        highest, lowest = (
            each(large, size, mode="nearest")
            for each in (ndimage.maximum_filter, ndimage.minimum_filter)
        )
        drawn[(highest != lowest) & (large > 0)] = colour
    return drawn


def _worst_part(failure: Failure) -> tuple[slice, ...]:
    """Window that holds the centres of most errors, in its middle; all of a small image."""
    shape = failure.truth.shape
    side = [min(_PART_PX, n) for n in shape]
    centres = np.array([change.centre for change in failure.changes]).reshape(-1, 2)

    def errors(start: tuple[int, int]) -> tuple[int, float]:
        inside = ((centres >= start) & (centres < np.add(start, side))).all(axis=1)
        if not inside.any():
            return 0, 0.0
        aside = centres[inside].mean(axis=0) - np.add(start, np.divide(side, 2))
        return int(inside.sum()), -float(np.hypot(*aside))

    ranges = [range(0, n - own + 1, _STRIDE_PX) for n, own in zip(shape, side, strict=True)]
    best = max(((y, x) for y in ranges[0] for x in ranges[1]), key=errors)
    return tuple(slice(start, start + own) for start, own in zip(best, side, strict=True))
