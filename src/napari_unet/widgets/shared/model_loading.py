"""What the loading of a model does in a worker's thread, and what it asks before code may run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QMessageBox, QWidget

from napari_unet.engine.base.errors import CheckpointError, UNetError
from napari_unet.session import LoadedModel, read_model
from napari_unet.versions.history import Version, kept_versions


@dataclass(frozen=True, slots=True)
class Machine:
    """What there is to choose from."""

    models: tuple[str, ...]
    """Names of the bundled ones."""
    versions: tuple[Version, ...]
    """What was kept after trainings, the newest first."""
    devices: tuple[str, ...]
    source: str
    """Bundled name or file of the model that is loaded next."""


@dataclass(frozen=True, slots=True)
class Missed:
    """The model that was used last cannot be used again."""

    sentence: str
    """Why, and which one is taken instead."""


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """A model that is wanted, and the one that there is.

    Parameters
    ----------
    source : str
        Bundled name or file; empty for the default one.
    loaded_source, loaded_hash : str, optional
        Of the session's model; None without one.
    reads_again : bool
        Read the file also if the session has the model of that name.
    allows_code : bool
        The user has said yes to running the code in this file, this time.
    last_used : str
        What is loaded where no model is named, if it still can be.
    """

    source: str
    loaded_source: str | None = None
    loaded_hash: str = ""
    reads_again: bool = False
    allows_code: bool = False
    last_used: str = ""

    @property
    def is_loaded(self) -> bool:
        """Whether the session has a model of this name."""
        return self.source == self.loaded_source


def list_versions() -> tuple[Version, ...]:
    """Read what was kept after trainings, the newest first."""
    return kept_versions().versions()


def load_network(request: LoadRequest) -> Iterator[Machine | Missed | LoadedModel]:
    """Report what there is to choose from, then the model if it is a new one."""
    from napari_unet.engine.base.device import device_names
    from napari_unet.engine.models.checkpoint import bundled_models

    models, source = tuple(bundled_models()), request.source
    usual = next(iter(models), "")
    if not source and request.loaded_source is None:
        source = request.last_used or usual
    yield Machine(models, list_versions(), tuple(device_names()), source)
    if not request.is_loaded or request.reads_again:
        try:
            model = _read(request, source)
        except UNetError as error:
            if request.source or source == usual:
                raise
            yield Missed(f"{error} This was the model that you used last; now it is '{usual}'.")
            model = _read(request, usual)
        if not (request.is_loaded and request.loaded_hash == model.file_hash != ""):
            yield model


def _read(request: LoadRequest, source: str) -> LoadedModel:
    if not source:
        raise CheckpointError("No model came with this installation; choose a model file with '…'.")
    try:
        return read_model(source, allow_code=request.allows_code)
    except CheckpointError as error:
        if request.is_loaded and isinstance(error.__cause__, FileNotFoundError):
            raise CheckpointError(
                f"The file of the loaded model, '{source}', is gone; the loaded copy still works "
                "until napari closes: put the file back, or save it in the Model widget."
            ) from error.__cause__
        raise


_TOLD = (
    "It could read your files, delete them, or send them away. Whatever you choose, you are asked "
    "again the next time."
)


class CodeQuestion(QMessageBox):
    """A window that asks, and holds nothing else up.

    Parameters
    ----------
    source : str
        The model file.
    sentence : str
        What the engine found in it.
    """

    allowed = Signal()
    """The code may run, this time."""
    refused = Signal(object)
    """Carries what is said then."""

    def __init__(self, source: str, sentence: str, parent: QWidget) -> None:
        super().__init__(parent)
        self._source = source
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setIcon(QMessageBox.Icon.Warning)
        self.setWindowTitle("Run the code in this model file?")
        self.setTextFormat(Qt.TextFormat.PlainText)
        # How to say yes in Python is of no use here.
        self.setText(sentence.replace(" (allow_code=True)", ""))
        self.setInformativeText(_TOLD)
        self.yes_button = self.addButton(
            f"Run the code of '{Path(source).name}'", QMessageBox.ButtonRole.AcceptRole
        )
        self.no_button = self.addButton("Do not open it", QMessageBox.ButtonRole.RejectRole)
        self.setDefaultButton(self.no_button)
        self.setEscapeButton(self.no_button)
        self.finished.connect(self._on_finished)

    def _on_finished(self, _result: int) -> None:
        if self.clickedButton() is self.yes_button:
            self.allowed.emit()
            return
        self.refused.emit(
            CheckpointError(
                f"'{self._source}' was not opened, and none of its code was run; the loaded model "
                "is as it was."
            )
        )

    def drop(self) -> None:
        """Close the window without an answer."""
        self.blockSignals(True)
        self.close()
