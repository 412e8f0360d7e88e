"""The layer in which labels grow, and the one that takes its place when they are whole."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from napari_unet.viewer.results import add_in_parts

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels

_REFRESH_S = 1.0
"""Between two pictures of the labels that grow."""


class ShownLabels:
    """Shows labels of a run, one layer at a time.

    Attributes
    ----------
    layer : napari Labels layer, optional
        What the last run shows so far.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self.layer: Labels | None = None
        self._changes, self._refreshed = 0, 0.0

    def begin(self, layer: Labels) -> None:
        """Show labels that grow, in place of those of a run that was stopped."""
        self._drop()
        self.layer, self._changes, self._refreshed = layer, 0, time.monotonic()
        active = self._viewer.layers.selection.active
        self._viewer.add_layer(layer)
        # Forms follow the image that is selected.
        self._viewer.layers.selection.active = active

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
        active = self._viewer.layers.selection.active
        yield from add_in_parts(self._viewer, layer)
        self._drop()
        self._viewer.layers.selection.active = active

    def _drop(self) -> None:
        if self.layer is not None and self.layer in self._viewer.layers:
            self._viewer.layers.remove(self.layer)
        self.layer = None
