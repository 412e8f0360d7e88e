"""Searches for garbage: put off while much is imported, short while layers come and go."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collections_put_off() -> Iterator[None]:
    """Spare imports the search for garbage: it holds every thread up for tenths of a second.

    What imports make lives for ever. It is put with the old objects unseen, so
    that it does not make the next search due either. The compiler takes half
    the time without.

    Measured (two busy cores, napari 0.9.2, torch 2.13, longest gap between two
    turns of the event loop while everything is imported, three runs of each in
    turn): 0.2 to 0.3 s like this, 0.3 to 0.6 s without putting the new objects
    aside, 0.7 to 1.2 s with the searches left on.
    """
    _PutOff.begin()
    try:
        yield
    finally:
        _PutOff.end()


class _PutOff:
    """Switches the searches off with the first of several threads and on with the last."""

    _lock = threading.Lock()
    _threads = 0
    _was_on = False

    @classmethod
    def begin(cls) -> None:
        with cls._lock:
            if cls._threads == 0:
                cls._was_on = gc.isenabled()
                gc.disable()
            cls._threads += 1

    @classmethod
    def end(cls) -> None:
        with cls._lock:
            cls._threads -= 1
            if cls._threads == 0 and cls._was_on:
                if gc.get_freeze_count() == 0:
                    gc.freeze()
                    gc.unfreeze()
                gc.enable()


class ShortSearches:
    """Searches for garbage among what is younger than some moment, until that is over.

    napari searches whenever a layer is removed, to free what OpenGL holds of it at once. Through
    all that torch, napari and numba have imported that takes half a second. Whoever has layers
    come and go begins anew before each of them is added: what it holds is younger, and is found.
    What is older waits until `end`.
    """

    def __init__(self) -> None:
        self._is_on = False

    def begin(self) -> None:
        """Leave out all that there is now."""
        self.end()
        gc.freeze()
        self._is_on = True

    def end(self) -> None:
        """Search among everything again."""
        if self._is_on:
            gc.unfreeze()
            self._is_on = False
