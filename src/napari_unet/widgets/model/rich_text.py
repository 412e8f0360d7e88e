"""Pieces of rich text about a model: paragraphs, numbers, and tables of its scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

_COLUMN_PERCENT = 16
_AP_TEXT = (
    "AP 0.5 is the share of right cells among all that were found or missed: 1 is perfect. A cell "
    "is right if it and the true one share half of the area that they cover together; for AP 0.9, "
    "nine tenths."
)
_TITLES = {"": "Test images", "pooled": "All cells together"}


def paragraphs(lines: Iterable[str]) -> str:
    """One paragraph for each line that says something; the lines may hold anything."""
    return "".join(f"<p>{escape(line)}</p>" for line in lines if line)


def number(value: object, digits: int = 3) -> str:
    """Show a number shortly, and anything else as it is: the file may hold whatever it likes."""
    if isinstance(value, float):
        return str(round(value)) if abs(value) >= 10**digits else f"{value:.{digits}g}"
    return str(value)


def look_into(values: object, *keys: str) -> Mapping[str, Any]:
    """Look into nested dictionaries; empty where one is missing."""
    for key in keys:
        values = values.get(key) if isinstance(values, Mapping) else None
    return values if isinstance(values, Mapping) else {}


def score_tables(metrics: object, unmeasured: str) -> str:
    """What was measured on test images, as far as it can be told; a sentence if nothing was."""
    if not isinstance(metrics, Mapping) or not metrics:
        return paragraphs([unmeasured])
    plain = [f"{name}: {number(value)}." for name, value in metrics.items() if not look_into(value)]
    tables = {name: look_into(value) for name, value in metrics.items() if look_into(value)}
    # "AP 0.5, pooled" is the column "AP 0.5" of the table "pooled".
    kinds = dict.fromkeys(_kind(key) for values in tables.values() for key in values)
    text = paragraphs(plain) + "".join(_table(kind, tables) for kind in kinds)
    if any(str(key).startswith("AP ") for values in tables.values() for key in values):
        text += paragraphs([_AP_TEXT])
    return text


def _kind(key: object) -> str:
    return str(key).partition(", ")[2]


def _table(kind: str, tables: Mapping[Any, Mapping[Any, Any]]) -> str:
    columns = dict.fromkeys(
        key for values in tables.values() for key in values if _kind(key) == kind
    )
    name_percent = max(40, 100 - _COLUMN_PERCENT * len(columns))
    head = "".join(f"<th>{escape(str(key).partition(', ')[0])}</th>" for key in columns)
    rows = "".join(
        f"<tr><td>{escape(str(name))}</td>"
        + "".join(f"<td>{escape(_score(values.get(key)))}</td>" for key in columns)
        + "</tr>"
        for name, values in tables.items()
    )
    title = _TITLES.get(kind, f"{kind[:1].upper()}{kind[1:]}")
    return (
        f'<table width="100%"><tr><th width="{name_percent}%">{escape(title)}</th>{head}</tr>'
        f"{rows}</table>"
    )


def _score(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if isinstance(value, float) else str(value)
