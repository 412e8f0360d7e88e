"""Types of cells in the features table of a Labels layer: read, written, given, and as colours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.engine.base.errors import UNetError
from napari_unet.viewer.cells.features import EMPTY, joined_features, label_column

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_unet.engine.labels.cell_types import CellTypes

TYPE, PROBABILITY = "type", "type probability"
"""Columns of the features table."""

TYPES_KEY = "napari_unet_types"
"""Where a layer's metadata keep the types as they were predicted, by label."""

_COLOURS = (
    *("#4e9bff", "#ff8c1a", "#35c46a", "#e8425a", "#b07cff", "#c9a227"),
    *("#ff7ad1", "#2ec4c4", "#9acd32", "#a0703c"),
)
_NO_TYPE = "#8f8f8f"


def types_of_layer(layer: Labels) -> dict[int, str]:
    """Read the types of cells from a layer's features; cells without one are left out."""
    return types_in(layer.features)


def types_in(features: Any) -> dict[int, str]:
    """Read the types of cells from a table, a DataFrame; cells without one are left out."""
    named = {label: str(name).strip() for label, name in label_column(features, TYPE).items()}
    return {label: name for label, name in named.items() if name.lower() not in EMPTY}


def probabilities_in(features: Any) -> dict[int, float]:
    """Read how sure the types of cells are, as far as the table says so."""
    known = {label: float(value) for label, value in label_column(features, PROBABILITY).items()}
    return {label: value for label, value in known.items() if value == value}


def features_of(types: Mapping[int, str], probabilities: Mapping[int, float]) -> dict[str, Any]:
    """Make the columns of a features table, as napari takes them."""
    labels = sorted(types)
    columns: dict[str, Any] = {"index": labels, TYPE: [types[label] for label in labels]}
    if probabilities:
        columns[PROBABILITY] = [probabilities.get(label, np.nan) for label in labels]
    return columns


def given_types(layer: Labels) -> dict[int, str]:
    """Types of a layer that a person has given, or that came with it: all but the predicted."""
    predicted = layer.metadata.get(TYPES_KEY, {})
    return {
        label: name for label, name in types_of_layer(layer).items() if predicted.get(label) != name
    }


def show_types(layer: Labels, types: CellTypes, *, keeps_others: bool) -> None:
    """Write predicted types into a layer's features.

    Parameters
    ----------
    keeps_others : bool
        Whether cells that `types` do not tell of keep theirs. A type that a
        person has given stays in any case, as long as its cell is there.
    """
    predicted = types.by_label
    given = given_types(layer)
    kept = {label: name for label, name in given.items() if keeps_others or label in predicted}
    sure = {label: round(share, 3) for label, share in types.probability_by_label.items()}
    own = predicted
    if keeps_others:
        own = {**layer.metadata.get(TYPES_KEY, {}), **predicted}
        sure = {**probabilities_in(layer.features), **sure}
    layer.metadata = {**layer.metadata, TYPES_KEY: own}
    _write(layer, {**own, **kept}, {label: p for label, p in sure.items() if label not in kept})


def give_type(layer: Labels, label: int, name: str) -> None:
    """Say of what type a cell is; an empty name takes its type away."""
    types = types_of_layer(layer)
    types[label] = name.strip()
    sure = probabilities_in(layer.features)
    sure.pop(label, None)
    _write(layer, {each: name for each, name in types.items() if name}, sure)


def _write(layer: Labels, types: dict[int, str], probabilities: dict[int, float]) -> None:
    """Write the columns of types; what others have measured of the cells stays beside them."""
    own = {name: np.asarray(column) for name, column in features_of(types, probabilities).items()}
    labels = own.pop("index").astype(np.int64)
    layer.features = joined_features(layer.features, labels, own, without=(TYPE, PROBABILITY))
    if is_coloured_by_type(layer):
        colour_by_type(layer)


def type_colours(layer: Labels) -> dict[str, str]:
    """Colour of each type of a layer's cells, by the alphabet."""
    names = sorted(set(types_of_layer(layer).values()))
    return {name: _COLOURS[index % len(_COLOURS)] for index, name in enumerate(names)}


def is_coloured_by_type(layer: Labels) -> bool:
    """Whether `colour_by_type` has given a layer its colours."""
    from napari.utils.colormaps import DirectLabelColormap

    return isinstance(layer.colormap, DirectLabelColormap) and layer.colormap.name == TYPE


def colour_by_type(layer: Labels) -> None:
    """Give the cells of a type one colour; cells without one are grey.

    Raises
    ------
    UNetError
        If no cell has a type.
    """
    from napari.utils.colormaps import DirectLabelColormap

    types, colours = types_of_layer(layer), type_colours(layer)
    if not types:
        raise UNetError(
            f"No cell of '{layer.name}' has a type: its features have no column '{TYPE}' with "
            "names. Give some cells a type, or segment with a model that tells types apart."
        )
    by_label: dict[int | None, Any] = {label: colours[name] for label, name in types.items()}
    by_label |= {None: _NO_TYPE, 0: "transparent"}
    layer.colormap = DirectLabelColormap(color_dict=by_label, name=TYPE)


def colour_by_label(layer: Labels) -> None:
    """Give each cell a colour of its own again."""
    from napari.utils.colormaps import label_colormap

    layer.colormap = label_colormap()
