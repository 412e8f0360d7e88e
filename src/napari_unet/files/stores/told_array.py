"""An array in a file of which a part that cannot be read is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.errors import FileError


class ToldArray:
    """Reads parts of an array, and says in a sentence which of them cannot be read.

    Parameters
    ----------
    path : Path
    array : array
        With `shape`, `dtype` and indexing by whole numbers and slices.
    """

    def __init__(self, path: Path, array: Any) -> None:
        self._path, self._array = path, array

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        return tuple(map(int, self._array.shape))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of its pixels."""
        dtype: np.dtype[Any] = np.dtype(self._array.dtype)
        return dtype

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """What is best read at once, if the array says so."""
        chunks: tuple[int, ...] | None = getattr(self._array, "chunks", None)
        return chunks

    @property
    def shards(self) -> tuple[int, ...] | None:
        """Files of several chunks, if the array has them."""
        shards: tuple[int, ...] | None = getattr(self._array, "shards", None)
        return shards

    def over(self, change: Callable[[Any], Any]) -> Any:
        """What `change` makes of the array, which tells by itself what cannot be read."""
        return change(self._array)

    def __getitem__(self, where: tuple[int | slice, ...]) -> NDArray[Any]:
        try:
            return np.asarray(self._array[where])
        except MemoryError:
            raise
        except Exception as error:  # a damaged chunk makes its codec raise nearly anything
            ends = (f"{w.start}:{w.stop}" if isinstance(w, slice) else str(w) for w in where)
            raise FileError(
                f"'{self._path}' cannot be read at [{', '.join(ends)}] ({error}); copy or export "
                "it again."
            ) from error
