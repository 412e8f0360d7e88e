"""An array in a file that any process can open by itself: pickled, it is the file's name."""

from __future__ import annotations

import mmap
import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from napari_unet.engine.base.errors import FileError, SettingsError
from napari_unet.engine.base.whole_file import system_reason, write_problem

_REMEDY = (
    "write it to zarr first, for example by zarr.save_array('image.zarr', image), and give that"
)


class StoredArray:
    """An array in a file, opened where it is used.

    Parameters
    ----------
    opener : callable
        Opens the array; can be pickled and is small.
    path : str
        For messages.
    like : array
        Tells `shape`, `dtype` and what is best read at once.
    """

    def __init__(self, opener: Callable[[], Any], path: str, like: Any) -> None:
        self._opener, self._path = opener, path
        self.shape: tuple[int, ...] = tuple(int(n) for n in like.shape)
        self.dtype: np.dtype[Any] = np.dtype(like.dtype)
        self.chunks: tuple[int, ...] | None = getattr(like, "chunks", None)
        self.shards: tuple[int, ...] | None = getattr(like, "shards", None)
        self._opened: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    def __getitem__(self, where: Any) -> Any:
        try:
            return np.asarray(self._array()[where])
        # Whatever a library says of a chunk that is torn, gone or not to be read.
        except Exception as error:
            raise FileError(
                f"{_words(where)} of '{self._path}' cannot be read ({system_reason(error)}); "
                "repair or copy that file again, and run the same again."
            ) from error

    def __setitem__(self, where: Any, values: Any) -> None:
        try:
            self._array()[where] = values
        except OSError as error:
            raise FileError(write_problem(Path(self._path), error)) from error

    def _array(self) -> Any:
        if self._opened is None:
            self._opened = self._opener()
        return self._opened


def _words(where: Any) -> str:
    parts = where if isinstance(where, tuple) else (where,)
    texts = [f"{p.start}:{p.stop}" if isinstance(p, slice) else str(p) for p in parts]
    return f"Part [{', '.join(texts)}]"


def stored(array: Any, *, written: bool = False) -> Any:
    """Describe an array in a file, so that other processes and computers can open it.

    Parameters
    ----------
    array : array
        Of zarr, also of a store elsewhere; a whole `numpy.memmap` if it is read
        alone. What views or wraps one has a method `over`.
    written : bool
        Whether several processes will write to it.

    Returns
    -------
    StoredArray
        Or what viewed an array, over such a one.

    Raises
    ------
    SettingsError
        If it is in memory, or cannot be written by several at once.
    """
    if isinstance(array, StoredArray):
        return array
    if hasattr(array, "over"):
        return array.over(partial(stored, written=written))
    library = type(array).__module__.partition(".")[0]
    if library == "zarr":
        return _zarr(array, written=written)
    if written:
        raise SettingsError(
            f"The labels are to be written to {_kind(array)}, and several workers cannot write to "
            "that; give an array of zarr in a folder that all of them see."
        )
    # A part of one has the file's name and the place of the whole.
    is_whole = isinstance(getattr(array, "base", None), mmap.mmap)
    if isinstance(array, np.memmap) and is_whole and array.filename:
        path = str(Path(array.filename).absolute())
        order = "C" if array.flags.c_contiguous else "F"
        opener = partial(np.memmap, path, array.dtype, "r", array.offset, array.shape, order)
        return StoredArray(opener, path, array)
    raise SettingsError(
        f"The image is {_kind(array)}, which workers in other processes cannot open; {_REMEDY}."
    )


def _kind(array: Any) -> str:
    if isinstance(array, np.memmap):
        return "a part of a numpy.memmap" if array.filename else "an array in memory"
    library = type(array).__module__.partition(".")[0]
    return "an array in memory" if library == "numpy" else f"an array of {library}"


def _zarr(array: Any, *, written: bool) -> StoredArray:
    from zarr.storage import LocalStore, MemoryStore

    store = array.store
    if isinstance(store, MemoryStore):
        what = "labels are to be written to" if written else "image is"
        raise SettingsError(
            f"The {what} an array of zarr in memory, which workers in other processes cannot "
            "open; give one in a folder, as zarr.open_array('image.zarr')."
        )
    if not isinstance(store, LocalStore):
        return _elsewhere(array)
    root = str(Path(store.root).absolute())
    mode = "r+" if written else "r"
    opener = partial(_open_zarr, root, array.path, mode)
    return StoredArray(opener, str(Path(root) / array.path), array)


def _elsewhere(array: Any) -> StoredArray:
    """An array of zarr in a store of which only zarr knows how it is sent."""
    try:
        pickle.dumps(array)
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        raise SettingsError(
            f"The image lies in a {type(array.store).__name__}, which cannot be sent to workers; "
            f"{_REMEDY}."
        ) from error
    return StoredArray(partial(_given, array), str(array.store_path), array)


def _given(array: Any) -> Any:
    return array


def _open_zarr(root: str, path: str, mode: Any) -> Any:
    import zarr

    return zarr.open_array(root, path=path, mode=mode)
