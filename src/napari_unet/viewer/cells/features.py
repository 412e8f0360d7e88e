"""The features table of a Labels layer: rows by label, columns of several owners side by side."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

LABEL_COLUMNS = ("index", "label")
"""Of napari, and of tables of measurements; without them the rows are those of 0, 1, 2, ..."""

EMPTY = ("", "nan", "none", "<na>")
"""What empty entries are as text: napari makes text of NaN beside names."""


def label_column(features: Any, name: str) -> dict[int, Any]:
    """Read a column of a table, a DataFrame, by label; empty where there is none."""
    if name not in features:
        return {}
    column = next((each for each in LABEL_COLUMNS if each in features), None)
    # The first row is that of the background, then.
    labels = range(len(features)) if column is None else features[column].tolist()
    rows = zip(labels, features[name].tolist(), strict=True)
    return {int(label): value for label, value in rows if label > 0}


def joined_features(
    before: Any,
    labels: NDArray[np.int64],
    columns: Mapping[str, NDArray[Any]],
    *,
    without: Collection[str] = (),
) -> dict[str, NDArray[Any]]:
    """Put columns beside those that a table has, in place of those of the same names.

    Parameters
    ----------
    before : pandas.DataFrame
        A layer's features.
    labels : (N,) int array
        Ascending; the cells of `columns`.
    columns : mapping of str to (N,) array
    without : collection of str
        Further columns that go.

    Returns
    -------
    dict of str to array
        As napari takes features: `index` first, ascending. Rows in which nothing would be left
        are left out.
    """
    known, others = _others(before, without={*without, *columns})
    rows = np.union1d(labels, known)
    return {
        "index": rows,
        **{name: _spread(column, known, rows) for name, column in others.items()},
        **{name: _spread(column, labels, rows) for name, column in columns.items()},
    }


def _others(before: Any, *, without: set[str]) -> tuple[NDArray[np.int64], dict[str, NDArray[Any]]]:
    """Labels of the rows of a table that hold anything in its other columns, and these."""
    column = next((name for name in LABEL_COLUMNS if name in before), None)
    rows = range(len(before)) if column is None else before[column].to_numpy()
    labels = np.asarray(rows, np.int64)
    names = [name for name in before if name not in (*LABEL_COLUMNS, *without)]
    others = {name: before[name].to_numpy() for name in names}
    holds = np.zeros(labels.size, np.bool_)
    for values in others.values():
        holds |= _is_filled(values)
    holds &= labels >= 0
    # The last row of a label counts, as for napari.
    kept, places = np.unique(labels[holds][::-1], return_index=True)
    return kept, {name: values[holds][::-1][places] for name, values in others.items()}


def _is_filled(values: NDArray[Any]) -> NDArray[np.bool_]:
    if values.dtype.kind == "f":
        filled: NDArray[np.bool_] = ~np.isnan(values)
        return filled
    if values.dtype.kind in "biu":
        return np.ones(values.size, np.bool_)
    return np.array([str(value).strip().lower() not in EMPTY for value in values], np.bool_)


def _spread(
    values: NDArray[Any], own: NDArray[np.int64], labels: NDArray[np.int64]
) -> NDArray[Any]:
    """Bring the values of some labels to the rows of all, empty where there is none."""
    if own.size == labels.size:
        return values
    if values.dtype.kind in "iuf":
        spread: NDArray[Any] = np.full(labels.size, np.nan)
    else:
        spread = np.full(labels.size, None if values.dtype.kind == "b" else "", object)
    spread[np.searchsorted(labels, own)] = values
    return spread
