"""The picture of the loaded network with the few numbers that say what it is."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QLabel, QWidget

from napari_unet.session import Session
from napari_unet.viewer.layers import full_resolution
from napari_unet.viewer.worker import Job
from napari_unet.widgets.model.network_bars import NetworkFacts, network_facts
from napari_unet.widgets.model.network_drawing import NetworkDrawing
from napari_unet.widgets.shared.image_layers import SelectedImage
from napari_unet.widgets.shared.parts import in_column, while_alive

if TYPE_CHECKING:
    from napari_unet.engine.networks.network import Network


class NetworkPanel(QWidget):
    """Follows the session's network and the selected image."""

    def __init__(self, session: Session, image: SelectedImage) -> None:
        super().__init__()
        self._session, self._image = session, image
        self._job = Job(self)
        self._wanted: tuple[Any, ...] = ()
        self.drawing = NetworkDrawing()
        self.caption = QLabel()
        self.caption.setWordWrap(True)
        in_column(self.drawing, self.caption, within=self)
        session.network_loaded.connect(self._update)
        image.changed.connect(self._update)
        self._update()

    @property
    def is_busy(self) -> bool:
        """Whether a picture is still to come."""
        return self._job.is_running

    def stop(self) -> None:
        """Drop a picture that is being worked out."""
        self._job.stop()

    @while_alive
    def _update(self, _cause: Any = None) -> None:
        network = self._session.network
        if network is None:
            self.stop()
            self._wanted = ()
            self.drawing.show_facts(None)
            self.caption.setText("")
            return
        wanted = (network, self._shape(network))
        if self._wanted and wanted[0] is self._wanted[0] and wanted[1] == self._wanted[1]:
            return
        self._wanted = wanted
        self._job.start(
            partial(network_facts, network.description, wanted[1]),
            on_result=partial(self._on_found, network),
        )

    def _shape(self, network: Network) -> tuple[int, ...] | None:
        """Pixels of the selected image along the axes that the network reads."""
        layer, ndim = self._image.layer, network.description.architecture.ndim
        if layer is None or layer.ndim < ndim:
            return None
        return tuple(int(n) for n in full_resolution(layer).shape[: layer.ndim][-ndim:])

    def _on_found(self, network: Network, facts: NetworkFacts) -> None:
        self.drawing.show_facts(facts)
        self.caption.setText(_caption(network, facts))
        self.caption.setToolTip(
            "<qt>The receptive field: only what lies so near to a place decides what "
            "the network says of it.</qt>"
        )


def _caption(network: Network, facts: NetworkFacts) -> str:
    from napari_unet.engine.models.facts import parameters_sentence, sight_sentence

    sight = sight_sentence(facts.receptive_field_px)
    told = (parameters_sentence(network.parameter_count), sight)
    text = "; ".join(filter(None, told))
    return f"{text[:1].upper()}{text[1:]}." if text else ""
