"""Chooses where the network runs, and tells how much memory is free there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QHideEvent, QShowEvent

from napari_unet.session import Session
from napari_unet.viewer.worker import Job
from napari_unet.widgets.shared.choices import StillBox
from napari_unet.widgets.shared.parts import while_alive
from napari_unet.widgets.shared.remembered import user_settings

if TYPE_CHECKING:
    from napari_unet.engine.base.device import DeviceState

_AUTOMATIC = "auto"
_LAST = "device"


def list_devices() -> tuple[DeviceState, ...]:
    """Ask the devices of this machine for their free memory."""
    from napari_unet.engine.base.device import device_states

    return device_states()


class DeviceChoice(StillBox):
    """Devices of this machine with their free memory; the chosen one is the session's.

    The devices are asked in a worker whenever the box is shown or opened.

    Parameters
    ----------
    session : Session
        Another widget may choose its device: it is shown here, too.
    """

    refreshed = Signal(object)
    """Carries the `DeviceState` of each device."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._asking = Job(self)
        self.states: tuple[DeviceState, ...] = ()
        self.setToolTip(
            "<qt>Where the network runs. Automatic takes the GPU with the most free memory, or "
            "the processor (CPU) where there is none. All widgets share this choice.</qt>"
        )
        self.addItem("Automatic", _AUTOMATIC)
        self.activated.connect(self._on_activated)
        session.device_changed.connect(self._on_device_changed)
        self._on_device_changed(session.device)

    @property
    def device(self) -> str:
        """Name that the engine takes."""
        return str(self.currentData())

    def add_devices(self, names: Iterable[str]) -> None:
        """List devices by their names, until more is known about them."""
        for name in names:
            if self.findData(name) < 0:
                self.addItem(name.upper() if name == "cpu" else f"GPU ({name})", name)

    def choose_remembered(self, names: Iterable[str]) -> None:
        """List the devices of this machine, and choose the one that was chosen last."""
        there = tuple(names)
        self.add_devices(there)
        last = str(user_settings().value(_LAST) or _AUTOMATIC)
        if last in there and self._session.device == _AUTOMATIC:
            self._session.choose_device(last)

    def refresh(self) -> None:
        """Ask every device in a worker how much memory is free."""
        if not self._asking.is_running:
            self._asking.start(list_devices, on_result=self._show)

    def stop(self) -> None:
        """Wait no longer for an answer of the devices."""
        self._asking.stop()

    def _show(self, states: tuple[DeviceState, ...]) -> None:
        self.states = states
        self.add_devices(state.name for state in states)
        there = {state.name: state for state in states}
        for index in reversed(range(1, self.count())):
            name = self.itemData(index)
            if name in there:
                self._set_text(index, there[name].text)
            elif name == self._session.device:
                self._set_text(index, f"{name}, not on this machine")
            else:
                self.removeItem(index)
        preferred = next((state for state in states if state.is_preferred), None)
        self._set_text(0, f"Automatic: {preferred.model}" if preferred else "Automatic")
        self.refreshed.emit(states)

    def _set_text(self, index: int, text: str) -> None:
        self.setItemText(index, text)
        # In a narrow dock the end of the line is cut.
        self.setItemData(index, text, Qt.ItemDataRole.ToolTipRole)

    def _on_activated(self, index: int) -> None:
        name = str(self.itemData(index))
        user_settings().setValue(_LAST, name)
        self._session.choose_device(name)

    @while_alive
    def _on_device_changed(self, name: str) -> None:
        self.add_devices([name])
        self.setCurrentIndex(self.findData(name))

    def showPopup(self) -> None:  # noqa: N802
        """Open the list and bring the free memory up to date."""
        self.refresh()
        super().showPopup()

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802
        """Ask the devices once the box is in sight."""
        super().showEvent(event)
        self.refresh()

    def hideEvent(self, event: QHideEvent | None) -> None:  # noqa: N802
        """Ask no longer: the dock may be about to close."""
        super().hideEvent(event)
        self.stop()
