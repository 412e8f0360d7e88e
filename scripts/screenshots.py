"""Take the pictures of the documentation and of the README in a real napari.

    scripts/with_display.sh python scripts/screenshots.py             # all of them
    scripts/with_display.sh python scripts/screenshots.py demo model  # only these

Each function below that is marked as a picture makes docs/images/<its name>.png. The windows are
sized for the virtual display of `with_display.sh`; on a real one they open and close by themselves.
Neither the settings of napari nor those of the plugin are touched.
"""

# ruff: noqa: E402 - napari and Qt look for the user's settings when they are imported

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from shutil import copy
from typing import Any
from unittest.mock import patch

_ELSEWHERE = tempfile.TemporaryDirectory(prefix="napari-unet-screenshots-")
os.environ["NAPARI_CONFIG"] = str(Path(_ELSEWHERE.name, "napari.yaml"))
os.environ["XDG_CONFIG_HOME"] = os.environ["XDG_DATA_HOME"] = _ELSEWHERE.name

import napari
import numpy as np
from napari.settings import get_settings
from PIL import Image
from qtpy.QtCore import QPoint, QSettings, Qt
from qtpy.QtWidgets import QApplication, QDockWidget, QMenu, QWidget

from napari_unet.batch.settings import ModelFile
from napari_unet.batch.training.labelled_files import LabelledFiles
from napari_unet.batch.training.plan import TrainingPlan
from napari_unet.engine.blocks import segmentation
from napari_unet.engine.training.settings import TrainingSettings
from napari_unet.files.images import write_image
from napari_unet.files.samples import DEMO_SAMPLE, load_sample, sample_files
from napari_unet.viewer.cells.cell_types import give_type
from napari_unet.viewer.gestures import LEFT, Click
from napari_unet.widgets.correct.tools import SPLIT

IMAGES = Path(__file__).parents[1] / "docs" / "images"
PLUGIN = "napari-unet-cells"
SEGMENT, MODEL, WEIGHT_MAP, TRAIN = "Segment cells", "Model", "Weight map", "Train"
CELL_TYPES, CORRECT, MEASURE = "Cell types", "Correct", "Measure"
EVALUATE, BATCH, LARGE, TRACKS = "Evaluate", "Batch", "Large images", "Tracks"
OWN_CELLS = "histology-large"

_WINDOW = (1240, 780)
_DOCK_WIDTH_PX = 300
_LARGE_FONT_PT = 15
_LONGEST_S = 1800  # of a training that ends by itself, on two cores
_SETTLE_S = 0.7
_LEARNED_STEPS = 30
_COLOURS = 255
_MARGIN_PX = 12
_CANVAS_PX = (400, 270)
_GAP_PX = 6
_IN_A_ROW = 3
_MENU_MARGIN_PX = 40

PICTURES: dict[str, Callable[[], Image.Image]] = {}


def picture(take: Callable[[], Image.Image]) -> Callable[[], Image.Image]:
    """Mark a function as one that takes a picture; its name is the picture's."""
    PICTURES[take.__name__.replace("_", "-")] = take
    return take


@picture
def demo() -> Image.Image:
    """Photograph the whole window: the demo sample with its cells, beside the form."""
    with window() as viewer:
        open_sample(viewer)
        run(open_widget(viewer, SEGMENT))
        return photograph(viewer)


@picture
def opened() -> Image.Image:
    """Photograph the window before anything has run."""
    with window() as viewer:
        open_sample(viewer)
        open_widget(viewer, SEGMENT)
        return photograph(viewer)


@picture
def moved_threshold() -> Image.Image:
    """Photograph a part of the window after the foreground threshold was moved."""
    with window() as viewer:
        open_sample(viewer)
        widget = open_widget(viewer, SEGMENT)
        run(widget)
        viewer.scene.camera.zoom *= 2.5
        widget.form.apply_changes({"foreground_threshold": 0.95})
        settle(2)
        return photograph(viewer)


@picture
def menu() -> Image.Image:
    """Photograph the menu that opens the Segment widget."""
    with window() as viewer:
        return _with_menus(viewer, "plugins_menu", "U-Net")


@picture
def sample_menu() -> Image.Image:
    """Photograph the menu that opens a sample image."""
    with window() as viewer:
        return _with_menus(viewer, "file_menu", "Open Sample", "U-Net")


@picture
def running() -> Image.Image:
    """Photograph the window while a large image is half done."""
    with window() as viewer:
        small = load_sample(DEMO_SAMPLE).image
        half = np.concatenate([small, small[:, ::-1]], axis=1)
        large = np.tile(np.concatenate([half, half[::-1]], axis=0), (2, 2))
        viewer.add_image(large, name="large image")
        widget = open_widget(viewer, SEGMENT)
        widget.run()
        bar = widget.panel.bar
        wait_for(lambda: bar.maximum() > 0 and bar.value() >= 0.4 * bar.maximum(), "half of it")
        taken = photograph(viewer, settles=False)
        widget.stop()
        wait_for(lambda: not widget.panel.is_running, "the end")
        return taken


@picture
def large_images() -> Image.Image:
    """Photograph the window while a slide is segmented in blocks, smaller ones than usual."""
    folder = Path(_ELSEWHERE.name, "slides")
    folder.mkdir()
    small = load_sample(DEMO_SAMPLE).image
    write_image(folder / "slide.tif", np.tile(np.hstack([small, small[:, ::-1]]), (2, 1)), "YX")
    with (
        window() as viewer,
        patch.object(segmentation, "default_block", lambda *_: (320, 320)),
    ):
        viewer.open(str(folder / "slide.tif"), plugin="napari")
        widget = open_widget(viewer, LARGE)
        widget.run()
        bar = widget.panel.bar
        wait_for(lambda: bar.maximum() > 1 and bar.value() >= 0.5 * bar.maximum(), "half of it")
        settle(1.5)
        taken = photograph(viewer, settles=False)
        widget.stop()
        return taken


@picture
def concern() -> Image.Image:
    """Photograph the form when something seems wrong with the image, with the remedy."""
    with window() as viewer:
        sample = load_sample("crowded")
        viewer.add_image(sample.image, name="nuclei")
        viewer.add_image(sample.labels, name="mask")
        return alone(open_widget(viewer, SEGMENT))


@picture
def segment_dark() -> Image.Image:
    """Photograph the Segment form alone, in a narrow dock and the dark theme."""
    return _segment_form()


@picture
def segment_light() -> Image.Image:
    """Photograph the Segment form alone, in the light theme."""
    return _segment_form(theme="light")


@picture
def segment_large_font() -> Image.Image:
    """Photograph the Segment form alone, in large type."""
    return _segment_form(font_pt=_LARGE_FONT_PT)


@picture
def segment_all() -> Image.Image:
    """Photograph the Segment form with all settings unfolded."""
    with window() as viewer:
        open_sample(viewer)
        widget = open_widget(viewer, SEGMENT)
        run(widget)
        widget.form.better_fold.expand()
        widget.form.more.expand()
        return alone(widget)


@picture
def model_dark() -> Image.Image:
    """Photograph the Model widget alone."""
    return _model()


@picture
def model_light() -> Image.Image:
    """Photograph the Model widget alone, in the light theme."""
    return _model(theme="light")


@picture
def model_foreign() -> Image.Image:
    """Photograph the Model widget with weights that came without a description."""
    with window() as viewer:
        open_sample(viewer)
        with _bare_weights(viewer) as widget:
            taken = alone(widget)
            # What follows is said in words, among it where the file is.
            below = widget.text.mapTo(widget, QPoint(0, 0)).y()
            return taken.crop((0, 0, taken.width, below))


@picture
def model_guess() -> Image.Image:
    """Photograph what each choice of a guess makes of the image."""
    with window() as viewer:
        open_sample(viewer)
        with _bare_weights(viewer) as widget:
            guesses = widget.guesses
            guesses.rows["roles"].try_button.click()
            wait_for(lambda: not guesses.trial.is_running, "the pictures")
            return alone(guesses)


@contextmanager
def _bare_weights(viewer: napari.Viewer) -> Iterator[Any]:
    """Write the weights of the bundled model as PyTorch does, and open them as any others."""
    import torch

    from napari_unet.engine.models.checkpoint import load_checkpoint

    file = Path(_ELSEWHERE.name, "unet_epoch_57.pth")
    torch.save(load_checkpoint("nuclei").unet.state_dict(), file)
    widget = open_widget(viewer, MODEL)
    widget.model_choice.open(str(file))
    wait_for(lambda: not widget.model_choice.is_loading, "the model")
    wait_for(lambda: not widget.network_panel.is_busy, "the drawing")
    yield widget
    widget.model_choice.load("nuclei")
    wait_for(lambda: not widget.model_choice.is_loading, "the model")


@picture
def all_widgets() -> Image.Image:
    """Photograph the window with every widget of the plugin as a tab, the Model widget in front."""
    with window() as viewer:
        open_sample(viewer)
        for name in (SEGMENT, WEIGHT_MAP, TRAIN, CELL_TYPES, CORRECT, MEASURE, EVALUATE, MODEL):
            open_widget(viewer, name)
        return photograph(viewer)


def _with_menus(viewer: napari.Viewer, first: str, *captions: str) -> Image.Image:
    """Open a menu and its submenus over the window, and cut the picture around them."""
    taken = photograph(viewer)
    opened: QMenu = getattr(viewer.window, first)
    origin = viewer.window._qt_window.mapToGlobal(QPoint(0, 0))
    bar = viewer.window._qt_window.menuBar()
    place = bar.mapToGlobal(bar.actionGeometry(opened.menuAction()).bottomLeft()) - origin
    right = below = 0
    for caption in [*captions, None]:
        opened.popup(origin + place)
        settle()
        sub = None
        if caption is not None:
            action = next(each for each in opened.actions() if _plain(each.text()) == caption)
            opened.setActiveAction(action)
            settle()
            sub = action.menu()
        shown = _grabbed(opened)
        taken.paste(shown, (place.x(), place.y()))
        right, below = max(right, place.x() + shown.width), max(below, place.y() + shown.height)
        if sub is not None:
            place += opened.actionGeometry(action).topRight()
            opened.hide()
            opened = sub
    opened.hide()
    return taken.crop((0, 0, right + _MENU_MARGIN_PX, below + _MENU_MARGIN_PX))


def _plain(caption: str) -> str:
    return caption.replace("&", "")


def _segment_form(*, theme: str = "dark", font_pt: int | None = None) -> Image.Image:
    with window(theme=theme, font_pt=font_pt) as viewer:
        open_sample(viewer)
        widget = open_widget(viewer, SEGMENT)
        run(widget)
        return alone(widget)


def _model(*, theme: str = "dark") -> Image.Image:
    with window(theme=theme) as viewer:
        open_sample(viewer)
        widget = open_widget(viewer, MODEL)
        wait_for(lambda: not widget.network_panel.is_busy, "the drawing")
        return alone(widget)


@picture
def weight_map() -> Image.Image:
    """Photograph the weight map over crowded nuclei, after two discs were painted."""
    with _painting() as (viewer, widget, labels):
        for column in (60, 84):
            _stroke(widget, labels, int(labels.data.max()) + 1, (60, column))
        return photograph(viewer)


@picture
def weight_map_painting() -> Image.Image:
    """Photograph the canvas while two cells are painted, come together and become one."""
    with _painting() as (viewer, widget, labels):
        viewer.scene.camera.center, viewer.scene.camera.zoom = (60, 75), 6.5
        one, other = (int(labels.data.max()) + n for n in (1, 2))
        taken = []
        for label, column in ((one, 62), (other, 92), (other, 87), (other, 84), (other, 80)):
            _stroke(widget, labels, label, (60, column))
            taken.append(_canvas(viewer))
        labels.fill((60, 60), other)
        _wait_for_map(widget)
        taken.append(_canvas(viewer))
        return _row(taken)


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
def batch() -> Image.Image:
    """Photograph the window with a training, the samples segmented after it, and one of them."""
    with window() as viewer, tempfile.TemporaryDirectory() as folder:
        for name in ("fluorescence", "crowded", "noisy", "large", "histology"):
            copy(sample_files(name)[0], folder)
        Path(folder, "cut_short.tif").write_bytes(b"II*\0")
        widget = open_widget(viewer, BATCH)
        widget.form.choose_folder(Path(folder, "cells"))
        widget.add_training(_TissueTraining())
        wait_for(lambda: len(widget.table.images.rows) == 1, "the training")
        widget.job.list_files([Path(folder)])
        wait_for(lambda: len(widget.table.images.rows) == 7, "the list of images")
        widget.run()
        wait_for(lambda: not widget.panel.is_running, "the batch")
        row = next(each for each in widget.table.images.rows if "fluorescence" in each.title)
        widget.form.folder_edit.setText("images/cells")
        widget.table.selectRow(widget.table.images.rows.index(row))
        widget.results.open(row.entry, Path(folder, "cells"))
        wait_for(lambda: not widget.results.is_opening, "the result")
        settle()
        return photograph(viewer)


class _TissueTraining:
    """A short training of the bundled model on the nuclei of a sample of stained tissue."""

    name = "tissue"

    def written(self, _folder: Path) -> TrainingPlan:
        files = LabelledFiles((sample_files("histology"),), share=0.0)
        few = {"steps": 12, "batch_size": 2, "patch_size_px": 96}
        return TrainingPlan(files, TrainingSettings.fine_tuning(**few), ModelFile("nuclei"))


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


@picture
def train() -> Image.Image:
    """Photograph the Train form alone."""
    with window() as viewer:
        _open_own_cells(viewer)
        return alone(open_widget(viewer, TRAIN))


@picture
def train_settings() -> Image.Image:
    """Photograph the Train form unfolded."""
    with window() as viewer:
        _open_own_cells(viewer)
        widget = open_widget(viewer, TRAIN)
        widget.form.more.expand(animate=False)
        return alone(widget)


@picture
def own_model_before() -> Image.Image:
    """Photograph what the bundled model finds in an image that is not like its own."""
    return _way_to_an_own_model()["before"]


@picture
def own_model_training() -> Image.Image:
    """Photograph the window while the network learns."""
    return _way_to_an_own_model()["training"]


@picture
def own_model_compared() -> Image.Image:
    """Photograph what has changed."""
    return _way_to_an_own_model()["compared"]


@picture
def own_model_after() -> Image.Image:
    """Photograph what the new version finds."""
    return _way_to_an_own_model()["after"]


@picture
def doubt() -> Image.Image:
    """Photograph a place in which the network is not sure."""
    with window() as viewer:
        open_sample(viewer, "noisy")
        viewer.layers["noisy truth"].visible = True
        viewer.layers["noisy truth"].contour = 1
        viewer.layers.selection.active = viewer.layers["noisy truth"]
        widget = open_widget(viewer, TRAIN)
        found: list[bool] = []
        widget.uncertainty.found.connect(lambda: found.append(True))
        widget.uncertainty.button.click()
        wait_for(lambda: bool(found), "the places")
        return photograph(viewer)


def _open_own_cells(viewer: napari.Viewer) -> Any:
    open_sample(viewer, OWN_CELLS)
    truth = viewer.layers[f"{OWN_CELLS} truth"]
    truth.visible, truth.contour = True, 2
    viewer.layers.selection.active = truth
    return truth


@cache
def _way_to_an_own_model() -> dict[str, Image.Image]:
    """Walk the tutorial once, and photograph on the way."""
    taken = {}
    with window() as viewer:
        open_sample(viewer, OWN_CELLS)
        segment = open_widget(viewer, SEGMENT)
        viewer.layers.selection.active = viewer.layers[OWN_CELLS]
        run(segment)
        taken["before"] = photograph(viewer)
        viewer.layers[f"{OWN_CELLS}: nuclei"].visible = False
        truth = viewer.layers[f"{OWN_CELLS} truth"]
        truth.visible, truth.contour = True, 2
        viewer.layers.selection.active = truth
        widget = open_widget(viewer, TRAIN)
        widget.train()
        wait_for(lambda: len(widget.curves.rows()) >= _LEARNED_STEPS, "the curves")
        taken["training"] = photograph(viewer)
        wait_for(lambda: widget.outcome.comparison.isVisible(), "the comparison")
        settle()
        taken["compared"] = photograph(viewer)
        widget.outcome.keep()
        wait_for(lambda: not widget.outcome.is_busy, "the version")
        settle()
        truth.visible = False
        settle()
        widget.outcome.segment_button.click()
        settle()
        wait_for(lambda: not segment.panel.is_running, "the cells")
        taken["after"] = photograph(viewer)
        widget.form.model_choice.load("nuclei")
        wait_for(lambda: not widget.form.model_choice.is_loading, "the model")
    return taken


@contextmanager
def _painting() -> Iterator[tuple[napari.Viewer, Any, Any]]:
    """Open crowded nuclei with their true outlines and their weight map, the brush in hand."""
    with window() as viewer:
        open_sample(viewer, "crowded")
        labels = viewer.layers["crowded truth"]
        labels.visible, labels.contour = True, 1
        viewer.layers.selection.active = labels
        widget = open_widget(viewer, WEIGHT_MAP)
        widget.button.click()
        _wait_for_map(widget)
        labels.mode = "paint"
        yield viewer, widget, labels


def _stroke(widget: Any, labels: Any, label: int, point: tuple[int, int]) -> None:
    labels.brush_size = 20
    labels.paint(point, label)
    _wait_for_map(widget)


def _wait_for_map(widget: Any) -> None:
    settle(0.1)
    wait_for(lambda: not widget.live.is_busy, "the map")


def _canvas(viewer: napari.Viewer) -> Image.Image:
    """Take a picture of the middle of the canvas."""
    settle()
    shot = Image.fromarray(viewer.screenshot(canvas_only=True, flash=False)[..., :3])
    left, top = (shot.width - _CANVAS_PX[0]) // 2, (shot.height - _CANVAS_PX[1]) // 2
    return shot.crop((left, top, left + _CANVAS_PX[0], top + _CANVAS_PX[1]))


def _row(pictures: list[Image.Image]) -> Image.Image:
    """Put pictures of one size side by side, three in a row."""
    width, height = (n + _GAP_PX for n in pictures[0].size)
    rows = -(-len(pictures) // _IN_A_ROW)
    canvas = Image.new("RGB", (_IN_A_ROW * width - _GAP_PX, rows * height - _GAP_PX), "white")
    for number, taken in enumerate(pictures):
        canvas.paste(taken, (number % _IN_A_ROW * width, number // _IN_A_ROW * height))
    return canvas


@contextmanager
def window(*, theme: str = "dark", font_pt: int | None = None) -> Iterator[napari.Viewer]:
    """Open napari and close it."""
    appearance = get_settings().appearance
    usual_pt = appearance.font_size
    appearance.theme = theme
    appearance.font_size = font_pt or usual_pt
    viewer = napari.Viewer()
    viewer.window.resize(*_WINDOW)
    settle()
    try:
        yield viewer
    finally:
        viewer.close()
        appearance.font_size = usual_pt
        settle()


def open_sample(viewer: napari.Viewer, name: str = DEMO_SAMPLE) -> None:
    """Open a bundled image as `File > Open Sample` does."""
    viewer.open_sample(PLUGIN, name)
    settle()


def open_widget(viewer: napari.Viewer, name: str) -> Any:
    """Open a widget as its menu does, in a narrow dock, and wait for its model."""
    dock, widget = viewer.window.add_plugin_dock_widget(PLUGIN, name, tabify=True)
    dock.show()
    dock.raise_()
    settle()
    # The docks of a column are as wide as its widest one.
    docks = viewer.window._qt_window.findChildren(QDockWidget)
    right = [each for each in docks if each.isVisible() and each.x() > _WINDOW[0] // 2]
    viewer.window._qt_window.resizeDocks(
        right, [_DOCK_WIDTH_PX] * len(right), Qt.Orientation.Horizontal
    )
    model_choice = getattr(getattr(widget, "form", widget), "model_choice", None)
    if model_choice is not None:
        wait_for(lambda: not model_choice.is_loading, "the model")
    settle()
    return widget


def run(widget: Any) -> None:
    """Press Run, wait for the cells, and let napari draw them."""
    widget.run()
    wait_for(lambda: not widget.panel.is_running, "the cells")
    settle()


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Let the window live until a condition holds."""
    last_s = time.monotonic() + _LONGEST_S
    while not condition():
        if time.monotonic() > last_s:
            raise TimeoutError(f"waited {_LONGEST_S} s for {what}")
        QApplication.processEvents()
        time.sleep(0.005)


def settle(seconds: float = _SETTLE_S) -> None:
    """Let everything that is under way be drawn."""
    end_s = time.monotonic() + seconds
    wait_for(lambda: time.monotonic() > end_s, "time to pass")


def photograph(viewer: napari.Viewer, *, settles: bool = True) -> Image.Image:
    """Take a picture of the whole window."""
    if settles:
        settle()
    pixels = viewer.screenshot(canvas_only=False, flash=False)
    return Image.fromarray(pixels[..., :3])


def alone(widget: QWidget) -> Image.Image:
    """Take a picture of a widget in its dock, as high as it asks for."""
    settle()
    height = max(widget.sizeHint().height(), widget.minimumSizeHint().height())
    inner = getattr(widget, "form", None)  # scrolls where the screen is low
    scrolled = getattr(widget, "scrolled", None)
    if scrolled is not None:
        height = widget.height() - scrolled.parentWidget().height()
        height += max(scrolled.heightForWidth(scrolled.width()), scrolled.sizeHint().height())
    if inner is not None:
        height = inner.heightForWidth(widget.width() - 8) if inner.hasHeightForWidth() else 0
        height = max(height, inner.sizeHint().height()) + 16
    widget.setMinimumHeight(height)
    settle()
    return _without_empty_rows(_grabbed(widget))


def _grabbed(widget: QWidget) -> Image.Image:
    file = Path(_ELSEWHERE.name, "widget.png")
    widget.grab().save(str(file))
    with Image.open(file) as opened:
        return opened.convert("RGB")


def _without_empty_rows(taken: Image.Image) -> Image.Image:
    """Cut off what is below the last row that shows anything."""
    pixels = np.asarray(taken)
    rows = np.flatnonzero((pixels != pixels[-1, 0]).any(axis=(1, 2)))
    below = min(taken.height, rows[-1] + _MARGIN_PX) if rows.size else taken.height
    return taken.crop((0, 0, taken.width, int(below)))


def save(taken: Image.Image, name: str) -> Path:
    """Write a small PNG."""
    file = IMAGES / f"{name}.png"
    IMAGES.mkdir(parents=True, exist_ok=True)
    # Without k-means the colours of small swatches go over to larger ones.
    options = {"method": Image.Quantize.MEDIANCUT, "dither": Image.Dither.NONE, "kmeans": 4}
    small = taken.quantize(_COLOURS, **options)
    small.save(file, optimize=True)
    return file


def main() -> int:
    """Take the pictures that are asked for; one that fails does not keep the others away."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"which: {', '.join(PICTURES)}; all if left out"
    )
    names = parser.parse_args().names or list(PICTURES)
    if unknown := set(names) - PICTURES.keys():
        parser.error(f"there is no picture {', '.join(sorted(unknown))}")
    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, _ELSEWHERE.name)
    failed = []
    for name in names:
        try:
            file = save(PICTURES[name](), name)
        except Exception:
            traceback.print_exc()
            failed.append(name)
        else:
            print(f"{file} ({file.stat().st_size / 1000:.0f} kB)", flush=True)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
