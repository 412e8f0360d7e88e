"""The one owner of the loaded network; every widget follows it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from psygnal import Signal

if TYPE_CHECKING:
    from napari_unet.engine.network import Network


class Session:
    """Holds the network that is loaded and tells who listens when it changes.

    The signal is emitted in the thread that calls `load` or `adopt`; widgets
    load in a worker and hand the network over with `adopt` on the Qt thread.

    Attributes
    ----------
    network_loaded : Signal
        Carries the `Network`.
    """

    network_loaded = Signal(object)

    def __init__(self) -> None:
        self._network: Network | None = None
        self._source = ""

    @property
    def network(self) -> Network | None:
        """The loaded network."""
        return self._network

    @property
    def source(self) -> str:
        """Bundled name or file that the network was loaded from; empty without one."""
        return self._source

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
        from napari_unet.engine.checkpoint import load_checkpoint

        network = load_checkpoint(name_or_path)
        self.adopt(network, name_or_path)
        return network

    def adopt(self, network: Network, source: str) -> None:
        """Make a network that is already in memory the session's.

        Parameters
        ----------
        network : Network
        source : str
            Bundled name or file it came from.
        """
        self._network, self._source = network, source
        self.network_loaded.emit(network)


@cache
def shared_session() -> Session:
    """Return the session of this process, the same one for every widget."""
    return Session()
