"""Copies the form as a script: Python lines or a command line that do the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from napari.layers import Image
from qtpy.QtCore import Signal
from qtpy.QtGui import QAction, QGuiApplication
from qtpy.QtWidgets import QMenu, QPushButton

from napari_unet.engine.base.errors import UNetError
from napari_unet.files.samples import sample_files
from napari_unet.script import SegmentRecipe, command_line, file_holds, python_lines
from napari_unet.viewer.commands import PLUGIN
from napari_unet.viewer.layers import LayerImage
from napari_unet.widgets.segment.runs import Recipe


class ScriptButton(QPushButton):
    """A button with a menu: copy what the form does as Python, or as a command.

    Parameters
    ----------
    read_form : callable
        Returns what the form says; raises a `UNetError` if it is not complete.
    write_python, write_command : callable
        Make text of that.

    Attributes
    ----------
    copied : Signal
        Carries a sentence about what is in the clipboard.
    failed : Signal
        Carries the error.
    """

    copied = Signal(str)
    failed = Signal(object)

    def __init__(
        self,
        read_form: Callable[[], Any],
        write_python: Callable[[Any], str] = python_lines,
        write_command: Callable[[Any], str] = command_line,
    ) -> None:
        super().__init__()
        self._read_form = read_form
        self._write_python = write_python
        self._write_command = write_command
        self.setText("Copy as script")
        self.setToolTip(
            "<qt>Put lines into the clipboard that do the same as this form: Python for a notebook "
            "or a cluster, or a command for the terminal.</qt>"
        )
        menu = QMenu(self)
        self.python_action = QAction("Python", self)
        self.python_action.triggered.connect(self._on_python)
        self.command_action = QAction("Command line", self)
        self.command_action.triggered.connect(self._on_command)
        menu.addActions([self.python_action, self.command_action])
        self.setMenu(menu)

    def _on_python(self) -> None:
        self._copy("The Python lines are in the clipboard.", self._write_python)

    def _on_command(self) -> None:
        self._copy("The command is in the clipboard.", self._write_command)

    def _copy(self, sentence: str, write: Callable[[Any], str]) -> None:
        try:
            text = write(self._read_form())
        except UNetError as error:
            self.failed.emit(error)
            return
        clipboard = QGuiApplication.clipboard()
        if clipboard is not None:
            clipboard.setText(text)
            self.copied.emit(sentence)


def segment_recipe(layer: Image, image: LayerImage, recipe: Recipe) -> SegmentRecipe:
    """Collect what decides about the labels of a run.

    Parameters
    ----------
    layer : napari Image layer
    image : LayerImage
        What is read of it.
    recipe : Recipe
    """
    description = recipe.network.description
    shape = tuple(int(n) for n in image.array.shape)
    return SegmentRecipe(
        image_name=image.name,
        shape=shape,
        image_file=_own_file(layer, shape),
        model=recipe.source,
        guesses=recipe.guesses,
        device=recipe.device,
        plane=image.plane if image.has_slices and image.extent != "stack" else None,
        channel=None if image.channel is None else image.channel + 1,
        is_rgb=bool(layer.rgb),
        is_multiscale=bool(layer.multiscale),
        settings=replace(
            recipe.settings,
            pixel_size_um=image.pixel_size_um,
            every_slice=image.extent == "stack" and image.has_slices,
            channel_axis=None if layer.rgb else image.channel_axis,
            region=image.region,
        ),
        instances=recipe.instances,
        model_instances=description.instances,
        model_pixel_size_um=description.pixel_size_um,
        intensity_from_stack=not image.is_lazy,
        show_scores=recipe.shows_scores,
    )


def _own_file(layer: Image, shape: tuple[int, ...]) -> str | None:
    """Return the file that holds what the layer shows, as our own commands read it."""
    source = layer.source
    if source.sample is not None and source.sample[0] == PLUGIN:
        return str(sample_files(source.sample[1])[0])
    if source.path and source.reader_plugin == "napari" and file_holds(source.path, shape):
        return str(source.path)
    return None
