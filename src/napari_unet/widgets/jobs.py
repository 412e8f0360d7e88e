"""What the forms have done in a worker's thread; torch is imported there, not by the window."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_unet.engine.errors import CheckpointError

if TYPE_CHECKING:
    from napari_unet.engine.network import Network

PREFERRED_MODEL = "nuclei"


@dataclass(frozen=True, slots=True)
class Machine:
    """What there is to choose from.

    Parameters
    ----------
    models : tuple of str
        Names of the bundled ones.
    devices : tuple of str
    source : str
        Bundled name or file of the model that is loaded next.
    """

    models: tuple[str, ...]
    devices: tuple[str, ...]
    source: str


def load_network(source: str, *, is_loaded: bool) -> Iterator[Machine | Network]:
    """Report what there is to choose from, then the network.

    Parameters
    ----------
    source : str
        Bundled name or file; empty for the preferred model.
    is_loaded : bool
        The session has it already.
    """
    from napari_unet.engine.checkpoint import bundled_models, load_checkpoint
    from napari_unet.engine.device import device_names

    models = tuple(bundled_models())
    if not source and models:
        source = PREFERRED_MODEL if PREFERRED_MODEL in models else models[0]
    yield Machine(models, tuple(device_names()), source)
    if not source:
        raise CheckpointError("No model came with this installation; choose a model file with '…'.")
    if not is_loaded:
        yield load_checkpoint(source)
