"""Arrays that are read in parts and cannot be viewed, as those of zarr and h5py, made viewable."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.images.image import AnyImage
from napari_unet.engine.images.pixels import Survey


def viewable(image: Any) -> AnyImage:
    """Return an array that can be indexed and transposed before any of it is read.

    Parameters
    ----------
    image : array
        With `shape`, `dtype`, and indexing by whole numbers and slices. NumPy's
        and dask's are returned as they are.
    """
    return cast("AnyImage", image if hasattr(image, "transpose") else LazyView(image))


class LazyView:
    """Part of an array, its axes in any order, of which nothing is read until it becomes NumPy's.

    Parameters
    ----------
    array : array
    picked : sequence of int or slice, optional
        What is taken along each axis of it; all if left out.
    axes : sequence of int or None, optional
        Axis of the array that each axis of the view is; None for a new one.
    survey : callable, optional
        Who looks at all of its parts; see `surveyed`. It is not sent elsewhere
        with the view.
    """

    def __init__(
        self,
        array: Any,
        picked: Sequence[int | slice] | None = None,
        axes: Sequence[int | None] | None = None,
        survey: Survey | None = None,
    ) -> None:
        self._array, self.survey = array, survey
        self._picked = [slice(0, int(n)) for n in array.shape] if picked is None else list(picked)
        self._axes = list(range(len(self._picked))) if axes is None else list(axes)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of its pixels."""
        dtype: np.dtype[Any] = np.dtype(self._array.dtype)
        return dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the view."""
        parts = [slice(0, 1) if axis is None else self._picked[axis] for axis in self._axes]
        return tuple(p.stop - p.start for p in parts if isinstance(p, slice))

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self._axes)

    @property
    def size(self) -> int:
        """Number of pixels."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """What is best read at once, if the array says so."""
        own = getattr(self._array, "shards", None) or getattr(self._array, "chunks", None)
        if own is None:
            return None
        return tuple(1 if axis is None else int(own[axis]) for axis in self._axes)

    def transpose(self, order: Sequence[int]) -> LazyView:
        """View with the axes in another order."""
        axes = [self._axes[axis] for axis in order]
        return LazyView(self._array, self._picked, axes, self.survey)

    def over(self, change: Callable[[Any], Any]) -> LazyView:
        """The same view of what `change` makes of the array."""
        return LazyView(change(self._array), self._picked, self._axes, self.survey)

    def by(self, survey: Survey) -> LazyView:
        """The same view, all of whose parts are looked at by somebody else."""
        return LazyView(self._array, self._picked, self._axes, survey)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "survey": None}

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[LazyView]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, key: Any) -> LazyView:
        keys = key if isinstance(key, tuple) else (key,)
        picked, rest = list(self._picked), list(self._axes)
        axes: list[int | None] = []
        for each in keys:
            if each is None:
                axes.append(None)
                continue
            axis = rest.pop(0)
            part = slice(0, 1) if axis is None else cast("slice", picked[axis])
            within: Any = range(part.start, part.stop)[each]
            if isinstance(within, int):
                part_of_it: int | slice = within
            elif within.step == 1:
                part_of_it = slice(within.start, max(within.start, within.stop))
                axes.append(axis)
            else:
                raise IndexError("A lazy view is cut without steps.")
            if axis is not None:
                picked[axis] = part_of_it
        return LazyView(self._array, picked, axes + rest, self.survey)

    def __array__(
        self,
        dtype: np.dtype[Any] | None = None,
        copy: bool | None = None,  # noqa: FBT001 - NumPy's protocol, and always a copy
    ) -> NDArray[Any]:
        read = np.asarray(self._array[tuple(self._picked)], dtype)
        left = [axis for axis, part in enumerate(self._picked) if isinstance(part, slice)]
        read = read.transpose([left.index(axis) for axis in self._axes if axis is not None])
        new = tuple(place for place, axis in enumerate(self._axes) if axis is None)
        return np.expand_dims(read, new)
