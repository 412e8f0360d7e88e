"""Imports and compiles what is large beside the Qt thread, without holding the window up."""

from __future__ import annotations

import ctypes
import importlib.util
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from napari_unet.engine.base.errors import TrackingError
from napari_unet.viewer.garbage import collections_put_off

_FIRST_DRAWN_S = 0.1
_LONGEST_UNITS_S = 2.0
_LOOK_S = 0.005
_ASK_AGAIN_S = 0.1
_importing = threading.Lock()
_log = logging.getLogger(__name__)

Part: TypeAlias = Literal["cells", "weights", "measurements", "tracks", "forms"]
"""What finds cells and shows them, computes weight maps, measures cells and follows them; and the
forms, which otherwise are imported on the Qt thread when they are opened."""

PREPARING = "preparing this computer for the first run, once after installing"


def import_torch() -> None:
    """Import torch, for a worker's thread; once it is there, this does nothing."""
    if "torch" not in sys.modules:
        with _importing, collections_put_off():
            _load_torch_libraries()
            import torch
    import torch  # noqa: F401


class Preparation:
    """Compiles and imports in a thread of its own what runs need, one part after the other.

    A form asks for its parts when it opens, and a run waits for the one that
    it needs, after all that can be done without it. From the second start on
    the compiled code comes from numba's cache and each part takes a moment.

    Parameters
    ----------
    parts : mapping of str to callable
        What makes each part ready; of an error in it the run tells that needs the part.
    """

    def __init__(self, parts: Mapping[Part, Callable[[], None]]) -> None:
        self._parts = parts
        self._ready = {part: threading.Event() for part in parts}
        self._wanted: deque[Part] = deque()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def ask_for(self, *parts: Part) -> None:
        """Begin with what was not yet asked for; return at once."""
        with self._lock:
            new = [p for p in parts if p not in self._wanted and not self._ready[p].is_set()]
            self._wanted.extend(new)
            if self._wanted and self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="napari-unet-preparing", daemon=True
                )
                self._thread.start()

    def wait_for(self, part: Part) -> Iterator[str]:
        """Say what is being waited for, again and again, until a part is ready."""
        self.ask_for(part)
        while not self._ready[part].wait(_ASK_AGAIN_S):
            yield PREPARING

    def end(self, timeout_s: float) -> None:
        """Begin nothing more, and wait for what is compiled: Python must not end meanwhile."""
        with self._lock:
            thread = self._thread
            while len(self._wanted) > 1:
                self._wanted.pop()
        if thread is not None:
            thread.join(timeout_s)

    def _run(self) -> None:
        # Whoever opened the window is about to draw it.
        time.sleep(_FIRST_DRAWN_S)
        while True:
            with self._lock:
                if not self._wanted:
                    self._thread = None
                    return
                part = self._wanted[0]
            try:
                with collections_put_off():
                    self._parts[part]()
            except Exception:
                _log.exception("%s could not be prepared", part)
            with self._lock:
                self._wanted.popleft()
                self._ready[part].set()


def _prepare_cells() -> None:
    """Compile what finds cells, and what napari shows the first layer of them with.

    Otherwise napari compiles and imports for seconds on the Qt thread when the
    first result is added.
    """
    from napari_unet.engine.segmentation.instances import prepare_instances

    prepare_instances()
    _load_units()
    from napari.layers import Labels

    Labels(np.zeros((8, 8), np.int32))
    with suppress(ImportError):
        from vispy.visuals.line.dash_atlas import DashAtlas  # type: ignore[import-untyped]

        # Each line of a layer's overlays makes one, from what the first one computed.
        DashAtlas()


def _prepare_weights() -> None:
    from napari_unet.engine.weight_map.tracker import prepare_weight_maps

    prepare_weight_maps()


def _prepare_measurements() -> None:
    from napari_unet.engine.labels.measurements import prepare_measurements

    prepare_measurements()


def _prepare_tracks() -> None:
    from napari_unet.engine.labels.tracking.laptrack_links import load_laptrack

    # Whoever follows cells is told what is missing.
    with suppress(TrackingError):
        load_laptrack()


def _prepare_forms() -> None:
    from napari_unet.viewer.commands import WIDGETS, widget_class

    for name in WIDGETS:
        widget_class(name)


preparation = Preparation(
    {
        "cells": _prepare_cells,
        "weights": _prepare_weights,
        "measurements": _prepare_measurements,
        "tracks": _prepare_tracks,
        "forms": _prepare_forms,
    }
)
"""The process's."""


def import_pyqtgraph() -> None:
    """Import what draws curves, for a worker's thread; once it is there, this does nothing."""
    if "pyqtgraph" not in sys.modules:
        from qtpy import API_NAME

        # Where both bindings are installed it has to take the one that the window has.
        os.environ.setdefault("PYQTGRAPH_QT_LIB", API_NAME)
        with _importing, collections_put_off():
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


def _load_torch_libraries() -> None:
    """Load most of torch without Python's lock, which an import holds meanwhile.

    Only libraries that know nothing of Python. On Windows torch does the same
    itself. Where this fails the import tells why, or does without.

    Measured as in `collections_put_off`: without this the window stands still
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
