"""How verdicts on cells are told and shown: their words, meanings and colours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_unet.engine.labels.truth.cell_errors import Verdict

VERDICT_WORDS: Mapping[Verdict, str] = {
    "right": "right",
    "missed": "missed",
    "false": "false",
    "merged": "merged",
    "split": "split",
    "regrouped": "cut otherwise",
    "outline": "poor outline",
}

VERDICT_MEANINGS: Mapping[Verdict, str] = {
    "right": "one true and one found cell that overlap enough",
    "missed": "a true cell that was not found",
    "false": "a found cell where no true one is",
    "merged": "several true cells in one found cell",
    "split": "one true cell in several found cells",
    "regrouped": "several true cells in several others",
    "outline": "one true and one found cell that overlap too little",
}

VERDICT_COLOURS: Mapping[Verdict, str] = {
    "right": "#00a878",
    "missed": "#e03a1e",
    "false": "#d98cff",
    "merged": "#4a45f0",
    "split": "#a6ecff",
    "regrouped": "#6f7278",
    "outline": "#f0e442",
}
"""In the order of `VERDICTS`, which are numbers in an error image.

Any two are at least 15 apart (CIEDE2000), also for the three kinds of colour blindness.
"""
