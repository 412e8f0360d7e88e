"""The one owner of the loaded network and of the device; every widget follows it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from psygnal import Signal

from napari_unet.engine.base.errors import TrainingError

if TYPE_CHECKING:
    from napari_unet.engine.networks.network import Network

Report = TypeVar("Report")

_HASH_LENGTH = 12


class Turn:
    """The right to train, of which a session has one."""

    def __init__(self, on_end: Callable[[], None]) -> None:
        self._on_end: Callable[[], None] | None = on_end

    def end(self) -> None:
        """Let others train; any thread may, and more than once."""
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end()

    def during(self, work: Callable[[], Iterator[Report]]) -> Iterator[Report]:
        """Do work whose end, whichever it is, is that of the turn.

        A form cannot see to that alone: napari may go without a word to it, while the process and
        the session stay.
        """
        try:
            yield from work()
        finally:
            self.end()


@dataclass(frozen=True, slots=True, eq=False)
class LoadedModel:
    """A network and the file that it came from.

    Parameters
    ----------
    network : Network
    source : str
        Bundled name or file.
    file_hash : str
        First digits of the file's SHA-256; empty if unknown.
    file_bytes : int
        Size of the file; 0 if unknown.
    guesses : mapping of str to str
        What a person said about things that the file does not tell: what each
        is about, and its value.
    """

    network: Network
    source: str
    file_hash: str = ""
    file_bytes: int = 0
    guesses: Mapping[str, str] = field(default_factory=dict)


def read_model(name_or_path: str, *, allow_code: bool = False) -> LoadedModel:
    """Load a network and measure its file; takes a moment, so call it in a worker.

    Parameters
    ----------
    name_or_path : str
        A bundled model's name or a file.
    allow_code : bool
        Open a file that carries a program and let it run; ask the user first.

    Returns
    -------
    LoadedModel

    Raises
    ------
    CheckpointError
        If it cannot be loaded.
    CodeInFileError
        If it carries code that was not allowed.
    """
    from napari_unet.engine.models.checkpoint import load_checkpoint

    network = load_checkpoint(name_or_path, allow_code=allow_code)
    # Without a hash if the file is gone since: the network is whole all the same.
    return LoadedModel(network, name_or_path, *measured_file(name_or_path))


def measured_file(name_or_path: str) -> tuple[str, int]:
    """Return the first digits of the SHA-256 of a model's file, and its bytes; ("", 0) if gone."""
    from napari_unet.engine.models.checkpoint import bundled_models

    path = bundled_models().get(name_or_path, Path(name_or_path).expanduser())
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return digest[:_HASH_LENGTH], file.tell()
    except OSError:
        return "", 0


class Session:
    """Holds the network that is loaded and tells who listens when it changes.

    The signals are emitted in the thread that calls; widgets load in a worker
    and hand the network over with `adopt` on the Qt thread.

    Attributes
    ----------
    network_loaded : Signal
        Carries the `Network`.
    device_changed : Signal
        Carries the name of the device.
    versions_changed : Signal
        Some of the versions that were kept may have other names, or be gone.
    """

    network_loaded = Signal(object)
    device_changed = Signal(str)
    versions_changed = Signal()

    def __init__(self) -> None:
        self._model: LoadedModel | None = None
        self._device = "auto"
        self._requests = 0
        self._is_training = False

    @property
    def model(self) -> LoadedModel | None:
        """The loaded network with the file it came from."""
        return self._model

    @property
    def network(self) -> Network | None:
        """The loaded network."""
        return self._model.network if self._model else None

    @property
    def source(self) -> str:
        """Bundled name or file that the network was loaded from; empty without one."""
        return self._model.source if self._model else ""

    @property
    def file_hash(self) -> str:
        """First digits of the SHA-256 of the model's file; empty if unknown."""
        return self._model.file_hash if self._model else ""

    @property
    def file_bytes(self) -> int:
        """Size of the model's file; 0 if unknown."""
        return self._model.file_bytes if self._model else 0

    @property
    def guesses(self) -> Mapping[str, str]:
        """What a person said about things that the model's file does not tell."""
        return self._model.guesses if self._model else {}

    @property
    def device(self) -> str:
        """Where networks run: "auto", "cpu", "cuda:1" or "mps"."""
        return self._device

    def load(self, name_or_path: str) -> Network:
        """Load a network and make it the session's.

        Parameters
        ----------
        name_or_path : str
            A bundled model's name or a file.

        Returns
        -------
        Network

        Raises
        ------
        CheckpointError
            If it cannot be loaded; the session keeps what it had.
        """
        request = self.request()
        model = read_model(name_or_path)
        self.adopt_model(model, request=request)
        return model.network

    def adopt(self, network: Network, source: str, *, file_hash: str = "") -> None:
        """Make a network that is already in memory the session's.

        Parameters
        ----------
        network : Network
        source : str
            Bundled name or file it came from; empty if there is no file of it.
        file_hash : str
            First digits of the file's SHA-256.
        """
        self.adopt_model(LoadedModel(network, source, file_hash), request=self.request())

    def request(self) -> int:
        """Announce that a network will follow; of several, the last one asked for counts."""
        self._requests += 1
        return self._requests

    def adopt_model(self, model: LoadedModel, *, request: int) -> None:
        """Make a loaded model the session's, unless another was asked for in the meantime.

        Parameters
        ----------
        model : LoadedModel
        request : int
            What `request` gave before the model was loaded; 0 for one that
            nobody asked for, which only fills an empty session.
        """
        is_wanted = request == self._requests if request else self._model is None
        if is_wanted:
            self._model = model
            self.network_loaded.emit(model.network)

    def begin_training(self) -> Turn:
        """Note that a network is taught, until the turn ends.

        Raises
        ------
        TrainingError
            If another one is: two would only take the processor from each other.
        """
        if self._is_training:
            raise TrainingError(
                "A training runs already; wait for its end, or stop it where it runs."
            )
        self._is_training = True
        return Turn(self._end_training)

    def _end_training(self) -> None:
        self._is_training = False

    def choose_device(self, name: str) -> None:
        """Run networks on another device.

        Parameters
        ----------
        name : str
            As `segment` takes it; whether it is there shows when it is used.
        """
        if name != self._device:
            self._device = name
            self.device_changed.emit(name)


@cache
def shared_session() -> Session:
    """Return the session of this process, the same one for every widget."""
    return Session()
