"""Networks that come as a finished program: they segment and cannot learn."""

from napari_unet.engine.foreign.ready_made.network import (
    ReadyMadeConfig,
    ReadyMadeNetwork,
    load_ready_made,
)
from napari_unet.engine.foreign.ready_made.program import PROGRAMS

__all__ = ["PROGRAMS", "ReadyMadeConfig", "ReadyMadeNetwork", "load_ready_made"]
