"""Cells in colours of their own."""

import numpy as np
import pytest
from napari.layers import Labels

from napari_unet.viewer.cells.cell_colours import (
    colour_cells,
    coloured_by,
    faded,
    value_colours,
)
from napari_unet.viewer.cells.cell_types import colour_by_label

GREY = [0.45, 0.45, 0.45, 1]


def test_values_have_the_colours_between_both_ends_and_nan_is_grey() -> None:
    colours = value_colours(np.array([-5.0, 0, 1, 2, 99, np.nan]), 0, 2)
    assert np.array_equal(colours[0], colours[1])
    assert np.array_equal(colours[3], colours[4])
    assert colours[5].tolist() == pytest.approx(GREY)
    # Viridis: dark violet, teal, yellow.
    assert colours[1, :3] == pytest.approx([0.267, 0.005, 0.329], abs=0.01)
    assert colours[2, :3] == pytest.approx([0.128, 0.567, 0.551], abs=0.02)
    assert colours[3, :3] == pytest.approx([0.993, 0.906, 0.144], abs=0.01)
    assert np.isfinite(value_colours(np.ones(3), 1, 1)).all()


@pytest.mark.parametrize(("dtype", "number"), [("uint8", 250), ("int32", 9000), ("int64", 2**40)])
def test_each_cell_has_its_colour_and_a_new_one_is_grey(dtype: str, number: int) -> None:
    labels = np.array([[0, 3, number - 1], [number, 0, number + 1]], dtype)
    layer = Labels(labels)
    colours = np.array([[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 1, 0.5]], np.float32)
    colour_cells(layer, np.array([3, number - 1, number]), colours, name="area_px2")
    assert coloured_by(layer) == "area_px2"
    for label, colour in zip((3, number - 1, number), colours, strict=True):
        assert layer.get_color(label) == pytest.approx(colour)
    assert layer.get_color(number + 1) == pytest.approx(GREY)
    assert layer.colormap.map(labels)[0, 0, 3] == 0

    colour_by_label(layer)
    assert coloured_by(layer) is None


def test_cells_that_are_not_to_be_seen_fade() -> None:
    colours = np.ones((2, 4), np.float32)
    assert faded(colours, np.array([True, False]))[:, 3].tolist() == pytest.approx([1, 0.15])
    assert colours[1, 3] == 1
