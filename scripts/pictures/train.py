"""Pictures of the Train form, and of the way to a model of one's own."""

from __future__ import annotations

from functools import cache
from typing import Any

import napari
from PIL import Image

from pictures.window import (
    SEGMENT,
    TRAIN,
    alone,
    open_sample,
    open_widget,
    photograph,
    picture,
    run,
    settle,
    wait_for,
    window,
)

OWN_CELLS = "histology-large"
_LEARNED_STEPS = 30


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
