"""The button that has something computed of the cells of layers, and stops it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton

from napari_unet.viewer.worker import Job, failure_sentence
from napari_unet.widgets.shared.parts import while_alive

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_unet.widgets.shared.texts import Sentence


class ComputeButton(QPushButton):
    """Says Stop while what somebody asked for is computed, not while it only follows edits.

    Parameters
    ----------
    text, tooltip : str
    sentence : Sentence
        In which is told how it goes.
    doing : str
        What is told while it is computed: "Measuring…".
    kept : str
        What stays as it was if it is stopped or fails: "the table".
    """

    wanted = Signal()
    """Somebody has asked for it."""
    failed = Signal()
    """What was wrong stands in the sentence."""

    def __init__(
        self, text: str, tooltip: str, sentence: Sentence, *, doing: str, kept: str
    ) -> None:
        super().__init__(text)
        self.setToolTip(f"<qt>{tooltip}</qt>")
        self.job = Job(self)
        self.is_asked = False
        """Whether somebody waits for it."""
        self._name, self._sentence, self._doing = text, sentence, doing
        self._kept = f"{kept} is as it was."
        self.clicked.connect(self._on_clicked)

    def start(self, work: Callable[[], Any], on_result: Callable[[Any], Any]) -> None:
        """Compute, see `Job.start`, in place of what runs."""
        if self.is_asked:
            self.setText("Stop")
            self._sentence.show_text(self._doing)
        self.job.start(work, on_result=on_result, on_error=self.show_failure, on_end=self._on_ended)

    def take_request(self) -> bool:
        """Say whether somebody waits for what has come, and wait no more."""
        was_asked, self.is_asked = self.is_asked, False
        return was_asked

    def let_go(self) -> None:
        """Compute no more, and say nothing of it."""
        self.is_asked = False
        self.job.stop()

    @while_alive
    def show_failure(self, error: Exception) -> None:
        """Say what was wrong."""
        self.is_asked = False
        kept = f"{self._kept[0].upper()}{self._kept[1:]}"
        self._sentence.show_error(failure_sentence(error, kept=kept))
        self.failed.emit()

    def tell_removed(self, viewer: ViewerModel, layers: Iterable[Layer | None]) -> None:
        """Say which of the layers that it was about is gone, if one is."""
        for layer in layers:
            if layer is not None and layer not in viewer.layers:
                self._sentence.show_text(f"'{layer.name}' was removed.", settles=True)
                return

    def _on_clicked(self) -> None:
        if self.is_asked and self.job.is_showing:
            return  # it is too late to stop it
        was_asked, self.is_asked = self.is_asked, not self.is_asked
        if was_asked:
            self.job.stop()
            self._sentence.show_text(f"Stopped; {self._kept}")
        else:
            self.wanted.emit()

    @while_alive
    def _on_ended(self) -> None:
        self.setText(self._name)
