"""The model that a training of a queue has made, taken at a click."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import QObject, Signal

from napari_unet.batch.training.entry import TrainingEntry
from napari_unet.session import LoadedModel, Session, read_model
from napari_unet.viewer.worker import Job
from napari_unet.widgets.shared.parts import while_alive


class MadeModel(QObject):
    """Makes a model the session's, and says what came of its training."""

    told = Signal(str)
    """Carries a sentence."""
    failed = Signal(object)
    """Carries the exception."""

    def __init__(self, session: Session, parent: QObject) -> None:
        super().__init__(parent)
        self._session = session
        self._reading = Job(self)

    def open(self, entry: TrainingEntry) -> None:
        """Take the model of a training that is done; of another one say how it is."""
        if entry.state != "done":
            self.told.emit(f"{entry.title} waits; press Run.")
        elif entry.outcome.is_refused:
            self.told.emit(f"{entry.title}: {entry.remarks}")
        else:
            self._reading.start(
                partial(read_model, str(entry.output)),
                on_result=partial(self._on_read, entry, self._session.request()),
                on_error=self.failed.emit,
            )

    def stop(self) -> None:
        """Read no more."""
        self._reading.stop()

    @while_alive
    def _on_read(self, entry: TrainingEntry, request: int, model: LoadedModel) -> None:
        self._session.adopt_model(model, request=request)
        self.told.emit(f"'{entry.name}' is the model now. {entry.remarks}")
