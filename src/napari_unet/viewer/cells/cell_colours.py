"""Cells of a Labels layer in colours of their own: by what was measured, or some of them alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari.layers import Labels

_NAME = "by "
"""Begins the name of a colormap from here; what the colours stand for follows."""

_GRADIENT = "viridis"
_NO_VALUE = (0.45, 0.45, 0.45, 1.0)
_FAINT = 0.15
"""How much of the colour of a cell is left that is not among those to be seen."""

_HIGHEST = 60_000
"""Up to this number colours are looked up in one table, which napari's textures hold."""

_SPARE = 1024
"""Cells that may be made before colours are given anew, and are grey until then."""

_STEPS = 256


def value_colours(values: NDArray[Any], low: float, high: float) -> NDArray[np.float32]:
    """Colour of each value, (N, 4); what is beyond an end has the colour of this end, NaN is grey.

    Parameters
    ----------
    values : (N,) array
        Numbers or bool.
    low, high : float
        Which values have the first and the last colour.
    """
    from napari.utils.colormaps import ensure_colormap

    numbers = np.asarray(values, float)
    is_known = np.isfinite(numbers)
    shares = np.full(numbers.size, 0.5) if high <= low else (numbers - low) / (high - low)
    shares = np.where(is_known, shares, 0).clip(0, 1)
    steps = np.rint(shares * (_STEPS - 1)).astype(np.intp)
    table = np.asarray(ensure_colormap(_GRADIENT).map(np.linspace(0, 1, _STEPS)), np.float32)
    colours = table[steps]
    colours[~is_known] = _NO_VALUE
    return colours


def faded(colours: NDArray[np.float32], is_seen: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Take most of the colours away from all cells but those that are to be seen."""
    faint = colours.copy()
    faint[~is_seen, 3] *= _FAINT
    return faint


def colour_cells(
    layer: Labels, labels: NDArray[Any], colours: NDArray[np.float32], *, name: str
) -> None:
    """Give each cell a colour; all others are grey.

    Parameters
    ----------
    labels : (N,) int array
    colours : (N, 4) float32 array
    name : str
        What the colours stand for, for `coloured_by`.
    """
    from napari.utils.colormaps import CyclicLabelColormap, DirectLabelColormap

    highest = int(labels.max(initial=0))
    if highest <= _HIGHEST:
        # Not a `DirectLabelColormap`: that looks each pixel up in a dict, five times as slow, and
        # numba compiles it for seconds on the Qt thread.
        table = np.tile(np.array(_NO_VALUE, np.float32), (highest + _SPARE, 1))
        table[0] = 0
        table[labels] = colours
        layer.colormap = CyclicLabelColormap(colors=table, name=_NAME + name)
        return
    colormap = DirectLabelColormap(
        color_dict={None: np.array(_NO_VALUE), 0: "transparent"}, name=_NAME + name
    )
    # Past the check of each colour, which takes longer than all the rest.
    colormap.color_dict.update(zip(labels.tolist(), colours, strict=True))
    layer.colormap = colormap


def coloured_by(layer: Labels) -> str | None:
    """What the colours from `colour_cells` stand for; None if a layer has others."""
    name = str(layer.colormap.name)
    return name.removeprefix(_NAME) if name.startswith(_NAME) else None
