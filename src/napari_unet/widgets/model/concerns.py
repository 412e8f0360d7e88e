"""Says what does not fit between the model, the selected image and the memory that is free."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal

from napari_unet.engine.checks.finding import IN_MODEL_WIDGET
from napari_unet.engine.checks.image_case import Choices
from napari_unet.engine.checks.image_rules import image_findings
from napari_unet.engine.segmentation.memory import segmentation_memory
from napari_unet.session import Session
from napari_unet.viewer.layers import full_resolution, shown_plane, spatial_ndim
from napari_unet.widgets.shared.device_choice import DeviceChoice
from napari_unet.widgets.shared.findings_panel import FindingsPanel
from napari_unet.widgets.shared.image_layers import ImageLook, SelectedImage
from napari_unet.widgets.shared.parts import while_alive
from napari_unet.widgets.shared.texts import Sentence

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_unet.engine.base.device import DeviceState


class ModelConcerns(FindingsPanel):
    """Follows the session's network and the selected image."""

    segment_wanted = Signal(object, dict)
    """Carries the layer, and the changes of the Segment form that help."""

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

    @while_alive
    def _update(self, _cause: Any = None) -> None:
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


_GB = 1 << 30
_SCARCE_BYTES = _GB // 2
"""Free memory of a GPU below which its tiles become small and slow."""


class MemoryFit(Sentence):
    """Follows the selected image layer, the session's model, and the memory that is free.

    Parameters
    ----------
    devices : DeviceChoice
        Knows how much memory is free, and is asked again when the layer changes.
    """

    def __init__(self, image: SelectedImage, session: Session, devices: DeviceChoice) -> None:
        super().__init__()
        self.setToolTip(
            "<qt>An estimate, on the safe side, for the image at its own size; enlarging it for "
            "small cells takes more.</qt>"
        )
        self._image, self._session, self._devices = image, session, devices
        image.changed.connect(self._on_layer_changed)
        session.network_loaded.connect(self._update)
        session.device_changed.connect(self._update)
        devices.refreshed.connect(self._update)
        self._update()

    def _on_layer_changed(self) -> None:
        self._update()
        if self.isVisible():
            self._devices.refresh()

    @while_alive
    def _update(self, _cause: Any = None) -> None:
        network, layer = self._session.network, self._image.layer
        if network is None:
            self.show_text("")
            return
        if layer is None:
            self.show_text("Open an image to see whether it fits into memory.")
            return
        ndim = network.description.architecture.ndim
        shape = tuple(int(n) for n in full_resolution(layer).shape[: layer.ndim])
        if len(shape) < ndim:
            self.show_text("")
            return
        host = next((s for s in self._devices.states if s.host_number_bytes), None)
        device = self._device()

        def needed(shape: tuple[int, ...]) -> int:
            return segmentation_memory(
                shape,
                network.description,
                kept_scores=False,
                number_bytes=device.host_number_bytes if device else 4,
            )

        plane = shape[-ndim:]
        is_stack = shape != plane
        sizes = [needed(plane), needed(shape)] if is_stack else [needed(plane)]
        free = host.free_bytes if host else None
        subject = f"A slice of '{layer.name}'" if is_stack else f"Image '{layer.name}'"
        text = f"{subject} ({' x '.join(map(str, plane))}) {_fit(sizes, free)}{_gpu_text(device)}"
        (self.show_text if free is None or sizes[0] <= free else self.show_error)(text)

    def _device(self) -> DeviceState | None:
        """What is chosen, or what "auto" stands for."""
        chosen = self._session.device
        for state in self._devices.states:
            if state.name == chosen or (chosen == "auto" and state.is_preferred):
                return state
        return None


def _fit(sizes: Sequence[int], free: int | None) -> str:
    """What a plane and, if there are more, all of them need of what is free."""
    text = f"needs about {_gigabytes(sizes[0])} of memory"
    if len(sizes) > 1:
        text += f", all slices together {_gigabytes(sizes[1])}"
    if free is None:
        return f"{text}."
    text += f"; {_gigabytes(free)} are free"
    if sizes[0] > free:
        return f"{text}. Segment the field of view only, or close other programs."
    return f"{text}: it fits." if sizes[-1] <= free else f"{text}: a slice fits, all do not."


def _gpu_text(device: DeviceState | None) -> str:
    if device is None or device.host_number_bytes:
        return ""
    if device.free_bytes is None:
        return f" {device.model} does not answer: choose another device."
    free = _gigabytes(device.free_bytes)
    if device.free_bytes < _SCARCE_BYTES:
        return f" {device.model} has only {free} free: its tiles will be small and slow."
    return f" The network runs on {device.model} in tiles that fit into its {free}."


def _gigabytes(size: int) -> str:
    return f"{size / _GB:.1f} GB"
