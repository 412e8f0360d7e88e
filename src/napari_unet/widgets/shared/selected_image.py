"""The image layer that what is said of a model is about: the selected one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Image
from qtpy.compat import isalive
from qtpy.QtCore import QObject, QTimer, Signal

from napari_unet.viewer.results import is_made_up

if TYPE_CHECKING:
    from napari.components import ViewerModel


class SelectedImage(QObject):
    """Follows the layer list of a viewer.

    Parameters
    ----------
    viewer : napari viewer
    parent : QObject
        It lives as long as this.

    Attributes
    ----------
    changed : Signal
        Another layer, other data, or another name; once for all that happens at a time.
    """

    changed = Signal()

    def __init__(self, viewer: ViewerModel, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._on_due)
        viewer.layers.selection.events.active.connect(self._on_event)
        for event in (viewer.layers.events.inserted, viewer.layers.events.removed):
            event.connect(self._on_event)
        self._follow()

    @property
    def layer(self) -> Image | None:
        """The selected image layer; the uppermost one if another kind is selected."""
        active = self._viewer.layers.selection.active
        # Scores are images, too, but of no cells.
        images = [
            layer
            for layer in self._viewer.layers
            if isinstance(layer, Image) and not is_made_up(layer)
        ]
        if active in images:
            return active
        return images[-1] if images else None

    def _follow(self) -> None:
        layer = self.layer
        if layer is not None:
            # Once for each layer, however often.
            for event in (layer.events.name, layer.events.data):
                event.connect(self._on_event)

    def _on_event(self, _event: Any = None) -> None:
        # napari's signals outlive the widget until Python collects it.
        if isalive(self):
            self._soon.start(0)

    def _on_due(self) -> None:
        self._follow()
        self.changed.emit()
