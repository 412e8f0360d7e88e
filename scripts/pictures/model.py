"""Pictures of the Model widget."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import napari
from PIL import Image
from qtpy.QtCore import QPoint

from pictures import ELSEWHERE
from pictures.window import MODEL, alone, open_sample, open_widget, picture, wait_for, window


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

    file = Path(ELSEWHERE.name, "unet_epoch_57.pth")
    torch.save(load_checkpoint("nuclei").unet.state_dict(), file)
    widget = open_widget(viewer, MODEL)
    widget.model_choice.open(str(file))
    wait_for(lambda: not widget.model_choice.is_loading, "the model")
    wait_for(lambda: not widget.network_panel.is_busy, "the drawing")
    yield widget
    widget.model_choice.load("nuclei")
    wait_for(lambda: not widget.model_choice.is_loading, "the model")


def _model(*, theme: str = "dark") -> Image.Image:
    with window(theme=theme) as viewer:
        open_sample(viewer)
        widget = open_widget(viewer, MODEL)
        wait_for(lambda: not widget.network_panel.is_busy, "the drawing")
        return alone(widget)
