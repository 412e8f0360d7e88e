"""Networks that come as a finished program: they segment and cannot learn."""

from napari_unet.engine.foreign.ready_made.network import (
    ReadyMadeConfig,
    ReadyMadeNetwork,
    load_ready_made,
    ready_made_network,
)

__all__ = ["ReadyMadeConfig", "ReadyMadeNetwork", "load_ready_made", "ready_made_network"]
