"""Buttons that say what they do, and one that has it done beside the Qt thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton

from napari_unet.engine.base.errors import UNetError
from napari_unet.viewer.worker import Job


def action_button(text: str, tooltip: str, clicked: Any) -> QPushButton:
    """Make a button.

    Parameters
    ----------
    text : str
    tooltip : str
        What it does; broken into lines as needed.
    clicked : callable or signal
        What follows a click.
    """
    button = QPushButton(text)
    button.setToolTip(f"<qt>{tooltip}</qt>")
    button.clicked.connect(clicked)
    return button


class JobButton(QPushButton):
    """A button that is pressed once until its work is done.

    Parameters
    ----------
    text, tooltip : str
    prepare : callable
        Returns the work for the thread, and what is called with its result;
        raises a `UNetError` if something is missing.

    Attributes
    ----------
    failed : Signal
        Carries the exception.
    """

    failed = Signal(object)

    def __init__(
        self,
        text: str,
        tooltip: str,
        prepare: Callable[[], tuple[Callable[[], Any], Callable[[Any], None]]],
    ) -> None:
        super().__init__(text)
        self.setToolTip(f"<qt>{tooltip}</qt>")
        self._prepare = prepare
        self._job = Job(self)
        self.clicked.connect(self._on_clicked)

    def stop(self) -> None:
        """Let go of what is not finished."""
        self._job.stop()

    def _on_clicked(self) -> None:
        try:
            work, show = self._prepare()
        except UNetError as error:
            self.failed.emit(error)
            return
        self.setEnabled(False)
        self._job.start(
            work,
            on_result=show,
            on_error=self.failed.emit,
            on_end=self._on_end,
        )

    def _on_end(self) -> None:
        # A method, so that Qt forgets it with the button; a partial would be called after its end.
        self.setEnabled(True)
