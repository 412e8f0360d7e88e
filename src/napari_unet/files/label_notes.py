"""What a file of labels says of how they came about: one line of JSON, where programs show it."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np

from napari_unet import __version__
from napari_unet.engine.base.settings import InstanceSettings, SegmentationSettings
from napari_unet.engine.labels.cell_list import CellScores
from napari_unet.engine.labels.look_over import MARKS

_MARK = "napari-unet-cells labels: "

LOOKED_OVER = "looked over"
"""Key in the notes, and column of a layer's features."""

CELL_SCORES = "cell_scores"
"""Key in the notes of what a network said of the cells that it found."""

_SCORE_DIGITS = 4


def segmentation_notes(
    *,
    image: str,
    model: str,
    source: str,
    cells: int,
    settings: SegmentationSettings,
    instances: InstanceSettings,
    averaged_with: Sequence[Mapping[str, str]] = (),
) -> dict[str, Any]:
    """Say how labels came about, in plain values.

    Parameters
    ----------
    image : str
        Name of the layer, or of the file without its ending.
    model : str
        What the network is called.
    source : str
        Bundled name or file of the model.
    cells : int
    settings, instances
        With which it was segmented.
    averaged_with : sequence of mapping
        What names each further network of an ensemble; its first is `source`.
    """
    return {
        "image": image,
        "model": model,
        "model_source": source,
        "averaged_with": [dict(each) for each in averaged_with],
        "cells": cells,
        "settings": asdict(settings),
        "instances": asdict(instances),
        "version": __version__,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def notes_line(notes: Mapping[str, Any]) -> str:
    """Write notes as one line of text; what JSON does not know is written as its text."""
    return _MARK + json.dumps(dict(notes), default=str, ensure_ascii=False)


def notes_in(text: str) -> dict[str, Any] | None:
    """Find the notes in the description of a file; None where nobody wrote any."""
    _, mark, rest = text.partition(_MARK)
    if not mark:
        return None
    try:
        notes, _ = json.JSONDecoder().raw_decode(rest)
    except ValueError:
        return None  # cut short by a program that keeps only the start of a description
    return notes if isinstance(notes, dict) else None


def mark_notes(marks: Mapping[int, str], there: set[int]) -> dict[str, list[int]]:
    """Marks of the cells that are there as plain lists, for the notes of a file."""
    found = {
        mark: sorted(label for label, each in marks.items() if each == mark and label in there)
        for mark in MARKS
    }
    return {mark: labels for mark, labels in found.items() if labels}


def noted_marks(notes: Any) -> dict[int, str]:
    """Read marks from the notes of a file, which may hold anything."""
    if not isinstance(notes, Mapping):
        return {}
    return {
        label: mark
        for mark, labels in notes.items()
        if mark in MARKS and isinstance(labels, list)
        for label in labels
        if isinstance(label, int) and label > 0
    }


def score_notes(known: CellScores | None) -> dict[str, Any]:
    """Make notes of scores of cells, of about 30 characters for each; none where none are known."""
    if known is None:
        return {}
    noted = {
        "labels": known.numbers.tolist(),
        # Numbers of 64 bits are none for programs that read JSON as floats.
        "prints": base64.b64encode(known.prints.astype("<u8").tobytes()).decode("ascii"),
        "scores": known.scores.round(_SCORE_DIGITS).tolist(),
        "doubts": known.doubts.round(_SCORE_DIGITS).tolist(),
    }
    return {CELL_SCORES: noted}


def noted_scores(notes: Mapping[str, Any] | None) -> CellScores | None:
    """Read scores of cells from the notes of a file, which may hold anything; None without any."""
    noted: Any = (notes or {}).get(CELL_SCORES)
    try:
        prints = np.frombuffer(base64.b64decode(noted["prints"], validate=True), "<u8")
        found = CellScores(
            np.array(noted["labels"], np.int64),
            prints.astype(np.uint64),
            np.array(noted["scores"], np.float64),
            np.array(noted["doubts"], np.float64),
        )
    except (TypeError, KeyError, ValueError, OverflowError):
        return None
    columns = (found.numbers, found.prints, found.scores, found.doubts)
    is_whole = all(each.shape == prints.shape for each in columns)
    return found if is_whole and bool((np.diff(found.numbers) > 0).all()) else None
