"""Cells in the colours of a column, and plots on which they are selected."""

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt

from napari_unet.viewer.cells.cell_colours import coloured_by
from napari_unet.viewer.cells.cell_types import colour_by_type, give_type
from napari_unet.widgets.measure.widget import MeasureWidget


@pytest.fixture
def cells(viewer: ViewerModel) -> Labels:
    """Six cells in a row, each wider and darker than the one before."""
    labels = np.zeros((20, 60), np.int32)
    image = np.zeros(labels.shape, np.float32)
    for number in range(1, 7):
        where = slice(4, 8), slice(10 * (number - 1) + 1, 10 * (number - 1) + 1 + number)
        labels[where], image[where] = number, 100 - 10 * number
    viewer.add_image(image, name="dapi")
    return viewer.add_labels(labels, name="cells")


def colour(layer: Labels, number: int) -> list[float]:
    return [round(float(each), 3) for each in layer.get_color(number)]


def choose(widget: MeasureWidget, column: str) -> None:
    widget.colours.column_box.choose_value(column)


def test_a_column_colours_the_cells_and_number_gives_the_colours_of_before_back(
    widget: MeasureWidget, cells: Labels, table: Any
) -> None:
    own = cells.colormap
    assert not widget.colours.bar.isVisible()
    table.measure()
    choose(widget, "area_px2")
    assert coloured_by(cells) == "area_px2"
    assert widget.colours.bar.isVisible()
    assert widget.colours.bar.texts == ("4.2", "23.8")
    widget.colours.outliers_box.setChecked(False)
    assert widget.colours.bar.texts == ("4", "24")
    assert colour(cells, 1)[:3] == pytest.approx([0.267, 0.005, 0.329], abs=0.01)
    assert colour(cells, 6)[:3] == pytest.approx([0.993, 0.906, 0.144], abs=0.01)
    assert colour(cells, 7) == [0.45, 0.45, 0.45, 1]

    choose(widget, "touches_border")
    assert widget.colours.bar.texts == ("0", "0")
    choose(widget, "")
    assert cells.colormap == own
    assert coloured_by(cells) is None
    assert not widget.colours.bar.isVisible()


def test_a_new_cell_gets_its_colour_and_a_changed_one_another(
    widget: MeasureWidget, cells: Labels, table: Any, qtbot: QtBot
) -> None:
    table.measure()
    widget.colours.outliers_box.setChecked(False)
    choose(widget, "area_px2")
    largest = colour(cells, 6)
    rows, columns = np.indices((4, 12)).reshape(2, -1)
    cells.data_setitem((rows + 12, columns + 2), 9)
    qtbot.waitUntil(lambda: widget.colours.bar.texts == ("4", "48"), timeout=20_000)
    assert colour(cells, 9) == largest
    assert colour(cells, 6) != largest
    # Other units are another column.
    choose(widget, "intensity_mean_dapi")
    widget.form.image_list.item(0).setCheckState(Qt.CheckState.Unchecked)
    table.measure()
    assert widget.colours.column == ""
    qtbot.waitUntil(lambda: coloured_by(cells) is None, timeout=20_000)


def test_colours_that_somebody_else_gives_stay(
    widget: MeasureWidget, cells: Labels, table: Any, qtbot: QtBot
) -> None:
    table.measure()
    choose(widget, "area_px2")
    give_type(cells, 2, "a")
    colour_by_type(cells)
    give_type(cells, 3, "b")
    assert cells.colormap.name == "type"
    assert widget.colours.column == ""
    # Fading takes them for its own, and gives them back.
    typed = colour(cells, 2)
    widget.table.choose_all(np.array([2, 3]))
    assert colour(cells, 2) == typed
    qtbot.waitUntil(lambda: colour(cells, 4)[3] == pytest.approx(0.15), timeout=5000)
    # Who paints sees the new cell.
    cells.data_setitem((np.array([15, 15]), np.array([2, 3])), 9)
    table.wait()
    qtbot.waitUntil(lambda: not widget.colours._soon.isActive(), timeout=5000)
    assert colour(cells, 9)[3] == 1
    qtbot.waitUntil(lambda: colour(cells, 4)[3] == pytest.approx(0.15), timeout=5000)
    widget.table.clearSelection()
    assert cells.colormap.name == "type"


def test_another_layer_has_colours_of_its_own(
    viewer: ViewerModel, widget: MeasureWidget, cells: Labels, table: Any, qtbot: QtBot
) -> None:
    table.measure()
    choose(widget, "area_px2")
    widget.table.choose_all(np.array([2, 3]))
    other = viewer.add_labels(cells.data.copy(), name="other")
    assert widget.colours.column == ""
    assert coloured_by(other) is None
    assert colour(cells, 5)[3] == 1
    widget.form.layer_choice.choose_layer(cells)
    assert widget.colours.column == "area_px2"
    widget.table.choose_all(np.array([2, 3]))
    qtbot.waitUntil(lambda: colour(cells, 5)[3] == pytest.approx(0.15), timeout=5000)
    widget.close()
    assert colour(cells, 5)[3] == 1
    assert coloured_by(cells) == "area_px2"


@pytest.fixture
def plot(widget: MeasureWidget, cells: Labels, table: Any, qtbot: QtBot) -> Any:
    table.measure()
    widget.resize(320, 900)
    widget.plot_fold.expand()
    qtbot.waitUntil(lambda: widget.plot.has_plots, timeout=60_000)
    # pyqtgraph finds the range of the axes when it paints.
    qtbot.waitUntil(lambda: not widget.plot._soon.isActive(), timeout=5000)
    widget.plot.plot.grab()
    return widget.plot


def selected(widget: MeasureWidget) -> list[int]:
    return [int(each) for each in widget.table.selected_labels]


def test_nothing_is_drawn_while_the_plot_is_folded_away(
    widget: MeasureWidget, cells: Labels, table: Any
) -> None:
    table.measure()
    assert not widget.plot.isVisible()
    assert not widget.plot.has_plots


def test_a_histogram_selects_the_cells_between_both_ends(
    widget: MeasureWidget, cells: Labels, plot: Any, table: Any, qtbot: QtBot
) -> None:
    assert (plot.x_box.chosen, plot.y_box.chosen) == ("area_px2", "")
    bars, chosen = (bars.opts["height"] for bars in plot._bars)
    assert (bars.sum(), chosen.sum()) == (6, 0)
    plot.plot.getViewBox().drawn.emit([(10, 0), (18, 0), (18, 1), (10, 1)])
    assert selected(widget) == [3, 4]
    assert table.column("label") == ["3", "4", "1", "2", "5", "6"]
    assert plot._bars[1].opts["height"].sum() == 2
    assert colour(cells, 3)[3] == 1
    qtbot.waitUntil(lambda: colour(cells, 5)[3] == pytest.approx(0.15), timeout=5000)

    plot.plot.getViewBox().clicked.emit(4.1, 0.5)
    assert selected(widget)[0] == 1
    plot.plot.getViewBox().clicked.emit(4000, 0.5)
    assert selected(widget) == []
    assert colour(cells, 5)[3] == 1


def test_dots_are_drawn_around_and_lead_to_their_cell(
    viewer: ViewerModel, widget: MeasureWidget, cells: Labels, plot: Any
) -> None:
    assert not plot._dots[0].isVisible()
    plot.y_box.choose_value("intensity_mean_dapi")
    plot.plot.grab()
    x, y = plot._dots[0].getData()
    assert x.tolist() == [4, 8, 12, 16, 20, 24]
    assert y.tolist() == [90, 80, 70, 60, 50, 40]
    box = plot.plot.getViewBox()
    # A triangle around the two at the right end.
    box.drawn.emit([(18, 30), (30, 30), (18, 60)])
    assert selected(widget) == [5, 6]
    assert plot._dots[1].getData()[0].tolist() == [20, 24]

    camera = getattr(viewer, "scene", viewer).camera
    box.clicked.emit(8.01, 80.1)
    assert selected(widget) == [2]
    assert widget.table.chosen == 2
    assert camera.center[-2:] == pytest.approx((5.5, 11.5))
    assert plot._ring.getData()[0].tolist() == [8]
    assert colour(cells, 5)[3] == 1
    box.clicked.emit(4, 40)
    assert selected(widget) == []


def test_cells_without_a_value_are_neither_drawn_nor_selected(
    widget: MeasureWidget, cells: Labels, plot: Any, table: Any
) -> None:
    features = cells.features
    features["ratio"] = [np.nan, 0.5, 0.5, np.nan, 0.5, 0.7]
    cells.features = features
    plot.x_box.choose_value("ratio")
    assert plot._bars[0].opts["height"].sum() == 4
    plot.y_box.choose_value("area_px2")
    box = plot.plot.getViewBox()
    box.drawn.emit([(-1e9, -1e9), (1e9, -1e9), (1e9, 1e9), (-1e9, 1e9)])
    assert selected(widget) == [2, 3, 5, 6]


@pytest.mark.parametrize("number", [0, 1, 2**40])
def test_no_cell_one_cell_and_huge_numbers_can_be_coloured_and_drawn(
    viewer: ViewerModel, widget: MeasureWidget, plot: Any, table: Any, number: int, qtbot: QtBot
) -> None:
    labels = np.zeros((9, 9), np.int64)
    labels[2:5, 2:5] = number
    layer = viewer.add_labels(labels, name="few")
    assert table.measure().startswith("1 cell in 'few'" if number else "'few' has no cells")
    assert table.column("label") == [str(number)] * (number > 0)
    choose(widget, "area_px2")
    heights = plot._bars[0].opts
    qtbot.waitUntil(lambda: heights["height"].sum() == (number > 0), timeout=5000)
    plot.y_box.choose_value("solidity")
    plot.plot.getViewBox().clicked.emit(9, 1)
    assert selected(widget) == [number] * (number > 0)
    if number:
        assert colour(layer, number)[3] == 1
        gone_to: list[int] = []
        widget.table.cell_chosen.connect(gone_to.append)
        widget.table.selectRow(0)
        widget.table.clicked.emit(widget.table.cells.index(0, 0))
        assert gone_to == [number]
