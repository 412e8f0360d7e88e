"""Says in the Model widget what does not fit between the model and the selected image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.compat import isalive
from qtpy.QtCore import Signal

from napari_unet.engine.checks.finding import IN_MODEL_WIDGET
from napari_unet.engine.checks.image_case import Choices
from napari_unet.engine.checks.image_rules import image_findings
from napari_unet.session import Session
from napari_unet.viewer.layers import shown_plane, spatial_ndim
from napari_unet.widgets.shared.findings_panel import FindingsPanel
from napari_unet.widgets.shared.image_look import ImageLook
from napari_unet.widgets.shared.selected_image import SelectedImage

if TYPE_CHECKING:
    from napari.components import ViewerModel


class ModelConcerns(FindingsPanel):
    """Follows the session's network and the selected image.

    Parameters
    ----------
    viewer : napari viewer
    session : Session
    image : SelectedImage

    Attributes
    ----------
    segment_wanted : Signal
        Carries the layer, and the changes of the Segment form that help.
    """

    segment_wanted = Signal(object, dict)

    def __init__(self, viewer: ViewerModel, session: Session, image: SelectedImage) -> None:
        super().__init__()
        self._viewer, self._session, self._image = viewer, session, image
        self._look = ImageLook(self)
        self._look.looked.connect(self._show)
        self.remedy_chosen.connect(self._on_remedy_chosen)
        image.changed.connect(self._update)
        session.network_loaded.connect(self._update)
        self._update()

    def stop(self) -> None:
        """Drop a look that takes long."""
        self._look.stop()

    def _update(self, _cause: Any = None) -> None:
        # The session outlives the widget.
        if not isalive(self):
            return
        layer = self._image.layer
        if layer is None or self._session.network is None:
            self._look.stop()
            self.show_findings(())
            return
        self._look.start(layer, self._viewer)

    def _show(self) -> None:
        network, layer, facts = self._session.network, self._image.layer, self._look.facts
        if network is None or layer is None or facts is None:
            return
        ndim = network.description.architecture.ndim
        # Memory and cell sizes have rows of their own, here and in the Segment widget.
        plane = (
            shown_plane(layer, self._viewer.dims, ndim) if spatial_ndim(layer, None) >= ndim else ()
        )
        found = image_findings(facts, network.description, Choices("slice", plane))
        self.show_findings([each.without_remedy(IN_MODEL_WIDGET) for each in found])

    def _on_remedy_chosen(self, changes: dict[str, Any]) -> None:
        self.segment_wanted.emit(self._image.layer, changes)
