"""Someone at the Correct widget, and cells to correct."""

import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels
from numpy.typing import NDArray
from pytestqt.qtbot import QtBot

from napari_unet.session import Session
from napari_unet.viewer.gestures import Gestures
from napari_unet.widgets.correct.tools import Tool
from napari_unet.widgets.correct.widget import CorrectWidget


class Hand:
    """Someone at the mouse: presses, moves and lets go, as napari passes it on."""

    def __init__(self, qtbot: QtBot, viewer: ViewerModel, widget: CorrectWidget) -> None:
        self.qtbot, self.viewer, self.widget = qtbot, viewer, widget

    @property
    def message(self) -> str:
        return self.widget.sentence.message

    def take(self, tool: Tool) -> None:
        self.widget.tools.choose(None)
        self.widget.tools.buttons[tool].click()

    def event(self, at: Any, button: int) -> Any:
        down, across = self.viewer.dims.displayed[-2:]
        return SimpleNamespace(
            position=tuple(map(float, at)),
            pos=(10 * float(at[across]), 10 * float(at[down])),
            view_direction=None,
            dims_displayed=list(self.viewer.dims.displayed),
            button=button,
            type="mouse_press",
        )

    def drag(self, *points: Any, button: int = 1) -> str:
        """Drag through these places of the world, with steps between; return the sentence."""
        event = self.event(points[0], button)
        steps = [
            step
            for each in list(self.viewer.mouse_drag_callbacks)
            if isinstance(getattr(each, "__self__", None), Gestures)
            for step in [each(self.viewer, event)]
        ]
        for step in steps:
            next(step, None)
        for one, other in itertools.pairwise(points):
            for share in (0.25, 0.5, 0.75, 1):
                at = np.asarray(one) + share * (np.asarray(other) - np.asarray(one))
                vars(event).update(vars(self.event(at, button)), type="mouse_move")
                for step in steps:
                    next(step, None)
        event.type = "mouse_release"
        for step in steps:
            next(step, None)
        return self.message

    def click(self, *at: float, button: int = 1) -> str:
        """Click a place of the world, and wait for what comes of it; return the sentence."""
        self.drag(at, button=button)
        self.qtbot.waitUntil(lambda: not self.widget.corrections.is_busy, timeout=20_000)
        return self.message

    def counted(self) -> str:
        self.qtbot.waitUntil(lambda: not self.widget.count.is_busy, timeout=20_000)
        return self.widget.count_label.text()

    @staticmethod
    def cells_in(labels: NDArray[np.integer[Any]]) -> set[int]:
        """Numbers of the cells in labels."""
        return set(np.unique(labels).tolist()) - {0}


@pytest.fixture
def widget(viewer: ViewerModel, session: Session, shown: Callable[..., Any]) -> CorrectWidget:
    return shown(CorrectWidget(viewer, session))


@pytest.fixture
def hand(qtbot: QtBot, viewer: ViewerModel, widget: CorrectWidget) -> Hand:
    return Hand(qtbot, viewer, widget)


@pytest.fixture
def labels(viewer: ViewerModel, square_labels: NDArray[np.int32]) -> Labels:
    return viewer.add_labels(square_labels.copy(), name="cells")
