"""Pictures of the Segment form, of the menus, and of many or large images."""

from __future__ import annotations

import tempfile
from pathlib import Path
from shutil import copy
from unittest.mock import patch

import napari
import numpy as np
from PIL import Image
from qtpy.QtCore import QPoint
from qtpy.QtWidgets import QMenu

from napari_unet.batch.settings import ModelFile
from napari_unet.batch.training.labelled_files import LabelledFiles
from napari_unet.batch.training.plan import TrainingPlan
from napari_unet.engine.blocks import segmentation
from napari_unet.engine.training.settings import TrainingSettings
from napari_unet.files.images import write_image
from napari_unet.files.samples import DEMO_SAMPLE, load_sample, sample_files
from pictures import ELSEWHERE
from pictures.window import (
    BATCH,
    CELL_TYPES,
    CORRECT,
    EVALUATE,
    LARGE,
    MEASURE,
    MODEL,
    SEGMENT,
    TRAIN,
    WEIGHT_MAP,
    alone,
    grabbed,
    open_sample,
    open_widget,
    photograph,
    picture,
    run,
    settle,
    wait_for,
    window,
)

_LARGE_FONT_PT = 15
_MENU_MARGIN_PX = 40


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
    folder = Path(ELSEWHERE.name, "slides")
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
def all_widgets() -> Image.Image:
    """Photograph the window with every widget of the plugin as a tab, the Model widget in front."""
    with window() as viewer:
        open_sample(viewer)
        for name in (SEGMENT, WEIGHT_MAP, TRAIN, CELL_TYPES, CORRECT, MEASURE, EVALUATE, MODEL):
            open_widget(viewer, name)
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
        shown = grabbed(opened)
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
