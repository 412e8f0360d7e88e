"""Whose scores a model file tells: they belong to the weights that were measured, not to others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from napari_unet.engine.labels.evaluation import Evaluation
from napari_unet.engine.networks.network import NetworkDescription

_START = "start"
"""In an entry of a history: what was said of the model that the training started from."""

_ORIGIN = "started_from"
_MOST_NAMES = 3


@dataclass(frozen=True, slots=True)
class Ancestor:
    """What a model that a training started from said of itself."""

    name: str
    summary: str = ""
    training_data: str = ""
    metrics: Mapping[str, Any] = field(default_factory=dict)


def measured(evaluation: Evaluation) -> dict[str, Any] | str:
    """Return what a description's `metrics` say of an evaluation; of few cells only the counts."""
    if not evaluation.has_figures:
        return f"{evaluation.counts(evaluation.thresholds[0])}; too few for a figure"
    told: dict[str, Any] = {"cells": evaluation.true_cells}
    for threshold in evaluation.thresholds:
        told[f"AP {threshold:g}"] = round(evaluation.pooled(threshold).average_precision, 4)
    for threshold in evaluation.thresholds:
        low, high = evaluation.interval(threshold)
        told[f"AP {threshold:g}, interval of 95 %"] = f"{low:.2f} to {high:.2f}"
    return told


def trained_further(before: NetworkDescription, entry: Mapping[str, Any]) -> NetworkDescription:
    """Describe a network after a training: what was said of it before is its start's now.

    Parameters
    ----------
    before : NetworkDescription
        What it expects now, and otherwise what its start said of itself.
    entry : mapping
        Of the history: date, steps, images, cells and so on, "started_from"
        among them, which is None for a new network.
    """
    if entry.get(_ORIGIN) is None:
        return replace(before, history=(*before.history, dict(entry)))
    start = {
        "summary": before.summary,
        "training_data": before.training_data,
        "metrics": before.metrics,
    }
    return _with_own_texts(
        replace(before, metrics={}, history=(*before.history, {**entry, _START: start}))
    )


def _with_own_texts(description: NetworkDescription) -> NetworkDescription:
    last = description.history[-1]
    learned = f"{learned_from(last) or 'other images'}."
    return replace(
        description,
        summary=f"'{last[_ORIGIN]}', trained further on {learned}",
        training_data=f"{learned[:1].upper()}{learned[1:]}",
    )


def learned_from(entry: Mapping[str, Any]) -> str:
    """Say "2 images with 31 cells: 'a', 'b'"; empty if an entry of a history does not tell."""
    counts = [
        f"{entry[key]} {key[:-1] if entry[key] == 1 else key}"
        for key in ("images", "cells")
        if entry.get(key)  # of classes there are no cells
    ]
    text = " with ".join(counts)
    names = entry.get("names")
    if not text or not isinstance(names, list | tuple) or not names:
        return text
    listed = ", ".join(f"'{name}'" for name in names[:_MOST_NAMES])
    return f"{text}: {listed}{' and others' if len(names) > _MOST_NAMES else ''}"


def ancestors(description: NetworkDescription) -> tuple[Ancestor, ...]:
    """What was said of the models that it was trained further from, the nearest first."""
    found = []
    for entry in reversed(description.history):
        start = entry.get(_START) if isinstance(entry, Mapping) else None
        if isinstance(start, Mapping):
            metrics = start.get("metrics")
            found.append(
                Ancestor(
                    str(entry.get(_ORIGIN)),
                    str(start.get("summary", "")),
                    str(start.get("training_data", "")),
                    metrics if isinstance(metrics, Mapping) else {},
                )
            )
    return tuple(found)


def measured_ancestor(description: NetworkDescription) -> Ancestor | None:
    """Return the nearest of its ancestors that was measured."""
    return next((each for each in ancestors(description) if each.metrics), None)


# -- files of version 0.1.0 ------------------------------------------------------------------------


def told_apart(description: NetworkDescription) -> NetworkDescription:
    """Give back to its start what a model that version 0.1.0 trained further says as its own.

    There a training left all texts and scores as they were. Scores on
    "held-out images" are a model's own where the command line has written
    them, which began with none; the form has noted the version that it kept.
    """
    history = list(description.history)
    last = len(history) - 1
    if not history or not history[last].get(_ORIGIN) or _START in history[last]:
        return description
    own: dict[str, Any] = {}
    starts: dict[int, dict[str, Any]] = {last: {}}
    for name, values in description.metrics.items():
        after = _measured_after(history, name)
        if after == last:
            own[name] = values
        else:
            starts.setdefault(after + 1, {}).setdefault("metrics", {})[name] = values
    is_kept_by_form = "version" in history[last]
    if is_kept_by_form:
        first = _measured_after(history, "") + 1
        texts = {"summary": description.summary, "training_data": description.training_data}
        starts.setdefault(first, {}).update(texts)
    for number, start in starts.items():
        history[number] = {**history[number], _START: start}
    apart = replace(description, metrics=own, history=tuple(history))
    return _with_own_texts(apart) if is_kept_by_form else apart


def _measured_after(history: list[dict[str, Any]], name: str) -> int:
    """Number of the last training after which these scores can have been measured; -1 for none."""
    is_held_out = name.startswith("held-out images")
    numbers = (
        number
        for number, entry in reversed(list(enumerate(history)))
        if not entry.get(_ORIGIN) or _START in entry or (is_held_out and "version" not in entry)
    )
    return next(numbers, -1)
