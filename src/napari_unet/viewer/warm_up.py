"""Imports what is large beside the Qt thread, without holding the window up."""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

_FIRST_DRAWN_S = 0.1
_LONGEST_UNITS_S = 2.0
_LOOK_S = 0.005
_importing = threading.Lock()


def import_torch() -> None:
    """Import torch, for a worker's thread; once it is there, this does nothing."""
    if "torch" not in sys.modules:
        with _importing, _collections_put_off():
            _load_torch_libraries()
            import torch
    import torch  # noqa: F401


@cache
def warm_up() -> None:
    """Import and compile what a segmentation and its first Labels layer need; for a worker.

    Otherwise napari imports for half a second on the Qt thread when the first
    result is added. Right after installation the compiler takes some seconds.
    """
    import_torch()
    with _importing, _collections_put_off():
        from napari.layers import Labels

        import napari_unet.engine.models.checkpoint
        import napari_unet.engine.segmentation.segmentation  # noqa: F401
        from napari_unet.engine.segmentation.instances import prepare_instances

        _load_units()
        Labels(np.zeros((8, 8), np.int32))
        with suppress(ImportError):
            from vispy.visuals.line.dash_atlas import DashAtlas  # type: ignore[import-untyped]

            # Each line of a layer's overlays makes one, from what the first one computed.
            DashAtlas()
        prepare_instances()


def import_pyqtgraph() -> None:
    """Import what draws curves, for a worker's thread; once it is there, this does nothing."""
    if "pyqtgraph" not in sys.modules:
        from qtpy import API_NAME

        # Where both bindings are installed it has to take the one that the window has.
        os.environ.setdefault("PYQTGRAPH_QT_LIB", API_NAME)
        with _importing, _collections_put_off():
            import pyqtgraph
    import pyqtgraph  # noqa: F401


def _load_units() -> None:
    """Load the units of napari's layers, which two threads must not do at once.

    pint fills its registry when the first layer asks for a unit; another thread
    that asks meanwhile finds half of them. So it gets one that is full, or this
    waits for the one that the Qt thread fills.
    """
    import pint
    from pint.registry import LazyRegistry

    application: Any = pint.application_registry
    if isinstance(application.get(), LazyRegistry):
        full: Any = pint.UnitRegistry()
        if isinstance(application.get(), LazyRegistry):
            application.set(full)
    end_s = time.monotonic() + _LONGEST_UNITS_S
    while not getattr(application.get(), "_initialized", False) and time.monotonic() < end_s:
        time.sleep(_LOOK_S)


@contextmanager
def _collections_put_off() -> Iterator[None]:
    """Spare imports the search for garbage: it holds every thread up for tenths of a second.

    What imports make lives for ever. It is put with the old objects unseen, so
    that it does not make the next search due either. The compiler takes half
    the time without.

    Measured (two busy cores, napari 0.9.2, torch 2.13, longest gap between two
    turns of the event loop while everything is imported, three runs of each in
    turn): 0.2 to 0.3 s like this, 0.3 to 0.6 s without putting the new objects
    aside, 0.7 to 1.2 s with the searches left on.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        if gc.get_freeze_count() == 0:
            gc.freeze()
            gc.unfreeze()
        gc.enable()


def _load_torch_libraries() -> None:
    """Load most of torch without Python's lock, which an import holds meanwhile.

    Only libraries that know nothing of Python. On Windows torch does the same
    itself. Where this fails the import tells why, or does without.

    Measured as in `_collections_put_off`: without this the window stands still
    for 1.3 to 1.6 s at a time instead of 0.2 to 0.3 s.
    """
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return
    # Whoever opened the window is about to draw it, which looks up symbols and would wait.
    time.sleep(_FIRST_DRAWN_S)
    # Not `CDLL(file)`: that loads under the lock, whereas any function is called without it.
    with suppress(OSError, TypeError, AttributeError):
        load = ctypes.CDLL(None).dlopen
        load.restype, load.argtypes = ctypes.c_void_p, (ctypes.c_char_p, ctypes.c_int)
        now = sys.getdlopenflags()
        # The order and the flags are those of torch.
        for name, flags in (("libtorch_global_deps", now | ctypes.RTLD_GLOBAL), ("libtorch", now)):
            for file in Path(spec.origin).parent.glob(f"lib/{name}.*"):
                if not load(bytes(file), flags):
                    return
