"""The layer in which labels grow, and the one that takes its place when they are whole."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject

from napari_unet.viewer.garbage import ShortSearches
from napari_unet.viewer.results import add_in_parts
from napari_unet.widgets.shared.parts import single_shot

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels

_REFRESH_S = 1.0
"""Between two pictures of the labels that grow."""

_DRAWN_MS = 10
"""Until what has changed is drawn."""

_OVER = object()


class ShownLabels(QObject):
    """Shows labels of a run, one layer at a time.

    Parameters
    ----------
    viewer : napari viewer
    parent : QObject
        It lives as long as this.

    Attributes
    ----------
    layer : napari Labels layer, optional
        What the last run shows so far.
    """

    def __init__(self, viewer: ViewerModel, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.layer: Labels | None = None
        self._changes, self._refreshed = 0, 0.0
        self._searches = ShortSearches()
        self._parts: Iterator[None] = iter(())
        self._next_part = single_shot(self, self._show_part, after_ms=_DRAWN_MS)

    def begin(self, layer: Labels) -> None:
        """Show labels that grow, in place of those of a run that was stopped."""
        if self.layer is None:
            self._searches.begin()
        self._parts = self._shown_instead(layer)
        self._show_part()

    def _show_part(self) -> None:
        # The window is drawn and answers in between.
        if next(self._parts, _OVER) is not _OVER:
            self._next_part.start()

    def note(self, changes: int) -> None:
        """Draw what has been added, not more often than people look."""
        now = time.monotonic()
        if self.layer is None or changes == self._changes or now < self._refreshed + _REFRESH_S:
            return
        self._changes = changes
        if self.layer in self._viewer.layers and self.layer.visible:
            self.layer.refresh(thumbnail=False, extent=False)
        self._refreshed = time.monotonic()

    def replace(self, layer: Labels) -> Iterator[None]:
        """Show the labels as they were written; the window is to answer at each `yield`."""
        self._next_part.stop()
        yield from self._shown_instead(layer)
        self.layer = None
        self._searches.end()

    def stop(self) -> None:
        """Show no more; the layer stays."""
        self._next_part.stop()
        self._searches.end()

    def _shown_instead(self, layer: Labels) -> Iterator[None]:
        before, self.layer = self.layer, layer
        self._changes, self._refreshed = 0, time.monotonic()
        active = self._viewer.layers.selection.active
        for _ in add_in_parts(self._viewer, layer, in_place_of=[before]):
            # Forms follow the image that is selected.
            self._viewer.layers.selection.active = active
            yield
        yield
        if before is not None and before in self._viewer.layers:
            self._viewer.layers.remove(before)
            self._viewer.layers.selection.active = active
