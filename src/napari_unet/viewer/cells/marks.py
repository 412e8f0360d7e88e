"""Marks of cells that were looked over, in the features table of a Labels layer."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.engine.labels.look_over import MARKS
from napari_unet.files.label_notes import LOOKED_OVER
from napari_unet.viewer.cells.features import joined_features, label_column

if TYPE_CHECKING:
    from napari.layers import Labels


def marks_of_layer(layer: Labels) -> dict[int, str]:
    """Read the marks of cells from a layer's features, by label; cells without one are left out."""
    return marks_in(layer.features)


def marks_in(features: Any) -> dict[int, str]:
    """Read the marks of cells from a table, a DataFrame."""
    named = {label: str(mark) for label, mark in label_column(features, LOOKED_OVER).items()}
    return {label: mark for label, mark in named.items() if mark in MARKS}


def write_marks(layer: Labels, marks: Mapping[int, str]) -> None:
    """Write marks into a layer's features, in place of those of before; the rest stays."""
    columns = mark_columns(marks)
    labels = columns.pop("index", np.zeros(0, np.int64))
    layer.features = joined_features(layer.features, labels, columns, without=(LOOKED_OVER,))


def mark_columns(marks: Mapping[int, str], *, among: Collection[int] = ()) -> dict[str, Any]:
    """Make the columns of a features table, as napari takes them; none without marks.

    Parameters
    ----------
    among : collection of int
        Further cells that get a row.
    """
    if not marks:
        return {}
    labels = sorted({*marks, *among})
    names = np.array([marks.get(label, "") for label in labels], object)
    return {"index": np.array(labels, np.int64), LOOKED_OVER: names}
