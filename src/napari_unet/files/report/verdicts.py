"""How verdicts on cells are told and shown: their words, meanings and colours."""

from __future__ import annotations

from collections.abc import Mapping

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
    "right": "#2fc79a",
    "missed": "#e8503a",
    "false": "#c478ff",
    "merged": "#e69f00",
    "split": "#56b4e9",
    "regrouped": "#bfc4cc",
    "outline": "#e8e050",
}
"""In the order of `VERDICTS`, which are numbers in an error image."""
