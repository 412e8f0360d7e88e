"""Pictures of what is done with cells: corrected, measured, compared, followed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from PIL import Image
from qtpy.QtCore import Qt

from napari_unet.files.samples import load_sample
from napari_unet.viewer.cells.cell_types import give_type
from napari_unet.viewer.gestures import LEFT, Click
from napari_unet.widgets.correct.tools import SPLIT
from pictures.window import (
    CELL_TYPES,
    CORRECT,
    EVALUATE,
    MEASURE,
    SEGMENT,
    TRACKS,
    open_sample,
    open_widget,
    photograph,
    picture,
    run,
    settle,
    wait_for,
    window,
)


@picture
def cell_types() -> Image.Image:
    """Photograph the window with cells of two types, and one that was just clicked."""
    with window() as viewer:
        open_sample(viewer)
        run(open_widget(viewer, SEGMENT))
        image, labels = viewer.layers[0].data, viewer.layers[-1]
        widget = open_widget(viewer, CELL_TYPES)
        widget.layer_choice.choose_layer(labels)
        bright = [np.median(image[labels.data == n]) for n in range(1, labels.data.max() + 1)]
        for label in np.argsort(bright)[:-1] + 1:
            give_type(
                labels, int(label), "bright" if bright[label - 1] > np.mean(bright) else "dim"
            )
        widget.type_box.setEditText("bright")
        widget.button.click()
        widget.gestures.clicked.emit(Click((0, 0), int(np.argmax(bright)) + 1, LEFT))
        return photograph(viewer)


@picture
def correct() -> Image.Image:
    """Photograph the window while a stroke is drawn across a cell, close up."""
    with window() as viewer:
        open_sample(viewer)
        run(open_widget(viewer, SEGMENT))
        labels = viewer.layers[-1]
        labels.contour = 1
        widget = open_widget(viewer, CORRECT)
        largest = int(np.bincount(labels.data[labels.data > 0]).argmax())
        y, x = np.argwhere(labels.data == largest).mean(axis=0)
        camera = getattr(viewer, "scene", viewer).camera
        camera.center, camera.zoom = (y, x), 3.5 * camera.zoom
        widget.tools.choose(SPLIT)
        settle()
        (canvas,) = widget.canvases()
        middle = canvas.width() / 2, canvas.height() / 2
        half_px = camera.zoom * 1.1 * np.sqrt(np.count_nonzero(labels.data == largest) / np.pi)
        shares = np.linspace(-1, 1, 40)
        bend = 0.06 * np.sin(3 * shares)
        stroke = np.stack([middle[0] + half_px * bend, middle[1] + half_px * shares], axis=1)
        widget.gestures.drawing.emit(stroke.tolist())
        return photograph(viewer)


@picture
def look_over() -> Image.Image:
    """Photograph the window with a doubtful cell that is looked at, some others seen."""
    with window() as viewer:
        open_sample(viewer, "crowded")
        run(open_widget(viewer, SEGMENT))
        viewer.layers.selection.active = viewer.layers[-1]
        widget = open_widget(viewer, CORRECT)
        wait_for(lambda: not widget.look_over.is_busy and widget.look_over.has_scores, "a list")
        widget.look_over.go_on()
        for mark in ("right", "wrong", "right", "look again", "right", "right"):
            widget.look_over.give(mark)
        for layer in viewer.layers[1:-1]:
            layer.visible = False
        viewer.layers[-1].contour = 1
        return photograph(viewer)


@picture
def image_to_table_doubt() -> Image.Image:
    """Photograph the window with the cell of the demo sample that the model doubted most."""
    with window() as viewer:
        open_sample(viewer)
        run(open_widget(viewer, SEGMENT))
        viewer.layers.selection.active = viewer.layers[-1]
        widget = open_widget(viewer, CORRECT)
        wait_for(lambda: not widget.look_over.is_busy and widget.look_over.has_scores, "a list")
        widget.look_over.go_on()
        viewer.layers[-1].contour = 1
        return photograph(viewer)


@contextmanager
def measured_sample() -> Iterator[tuple[Any, Any]]:
    """Open a window with the demo sample in micrometres, its cells, and their table."""
    with window() as viewer:
        open_sample(viewer)
        run(open_widget(viewer, SEGMENT))
        labels = viewer.layers[-1]
        for layer in viewer.layers:
            layer.scale, layer.units = (0.5, 0.5), ("um", "um")
        viewer.reset_view()
        widget = open_widget(viewer, MEASURE)
        widget.form.layer_choice.choose_layer(labels)
        widget.button.click()
        wait_for(lambda: not widget.job.is_running, "the table")
        yield viewer, widget


@picture
def measure() -> Image.Image:
    """Photograph the window with the table of the cells, the largest first, and one looked at."""
    with measured_sample() as (viewer, widget):
        widget.table.sortByColumn(1, Qt.SortOrder.DescendingOrder)
        largest = widget.table.cells.label_at(0)
        widget.table.choose(largest)
        widget.table.cell_chosen.emit(largest)
        settle()
        return photograph(viewer)


@picture
def measure_colours() -> Image.Image:
    """Photograph the window with the cells in the colour of how bright they are."""
    with measured_sample() as (viewer, widget):
        _colour_by_brightness(widget)
        return photograph(viewer)


@picture
def measure_plot() -> Image.Image:
    """Photograph the window with cells that were drawn around in a plot."""
    with measured_sample() as (viewer, widget):
        _colour_by_brightness(widget)
        _draw_around(widget)
        return photograph(viewer)


def _colour_by_brightness(widget: Any) -> None:
    name = next(each for each in widget.columns if each.startswith("intensity_mean_"))
    widget.colours.column_box.choose_value(name)
    settle()


def _draw_around(widget: Any) -> None:
    """Plot brightness over area, and drag around the small and bright cells."""
    widget.plot_fold.expand()
    plot = widget.plot
    plot.y_box.choose_value(widget.colours.column)
    wait_for(lambda: plot.has_plots, "the plot")
    area, bright = (np.median(widget.columns[box.chosen]) for box in (plot.x_box, plot.y_box))
    box, far = plot.plot.getViewBox(), 1e6
    box.drawn.emit([(0, bright), (area, bright), (area, far), (0, far)])
    settle()


@picture
def evaluate() -> Image.Image:
    """Photograph the window with the errors of the bundled model, and one of them looked at."""
    with window() as viewer:
        open_sample(viewer, "crowded")
        run(open_widget(viewer, SEGMENT))
        widget = open_widget(viewer, EVALUATE)
        widget.button.click()
        wait_for(lambda: not widget.job.is_running, "the errors")
        widget.table.choose(2)
        widget.table.cell_chosen.emit(2)
        settle()
        return photograph(viewer)


@picture
def tracks() -> Image.Image:
    """Photograph the window with followed cells, in a film made of a sample's nuclei."""
    with window() as viewer:
        images, labels = _film_of(load_sample("fluorescence"))
        viewer.add_image(images, name="film", contrast_limits=(0, 0.6 * images.max()))
        viewer.add_labels(labels, name="film: nuclei")
        widget = open_widget(viewer, TRACKS)
        widget.run()
        wait_for(lambda: not widget.job.is_running and widget.plot.has_plots, "the tracks")
        viewer.dims.set_point(0, 14)
        viewer.layers["film: nuclei: tracked"].contour = 2
        widget.table.sortByColumn(4, Qt.SortOrder.DescendingOrder)
        settle()
        return photograph(viewer)


def _film_of(sample: Any, frames: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Let the cells of a sample wander, and some of them divide; numbers differ in each frame."""
    rng = np.random.default_rng(3)
    image, labels = np.squeeze(sample.image), sample.labels
    numbered = np.zeros((frames, *labels.shape), np.int32)
    films = rng.choice(image[labels == 0], numbered.shape)
    for number in np.unique(labels[labels > 0]):
        y, x = np.nonzero(labels == number)
        places, middle = np.stack([y, x], axis=1), np.array([y.mean(), x.mean()])
        way = np.cumsum(rng.normal(0, 1.2, (frames, 2)), axis=0) + rng.normal(0, 0.6, 2)
        divides = int(rng.integers(4, frames - 2)) if rng.random() < 0.12 else frames
        apart = 0.5 * np.sqrt(y.size / np.pi) * np.array([1.0, 0.4])
        for at in range(frames):
            sides = (0,) if at < divides else (-1, 1)
            for side in sides:
                size, shift = (0.7, side * apart * (1 + 0.08 * (at - divides))) if side else (1, 0)
                moved = middle + shift + way[at] + size * (places - middle)
                row, column = np.round(moved).astype(int).T
                inside = (row >= 0) & (row < image.shape[0]) & (column >= 0)
                inside &= column < image.shape[1]
                row, column = row[inside], column[inside]
                films[at, row, column] = image[y[inside], x[inside]]
                numbered[at, row, column] = (number * 37 + at) % 997 + 1000 * (side > 0)
    return films, numbered
