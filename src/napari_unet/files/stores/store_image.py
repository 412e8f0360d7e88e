"""An array of any size as an image file that is read in parts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import override

from napari_unet.engine.base.errors import FileError
from napari_unet.engine.base.host_memory import free_host_bytes
from napari_unet.engine.images.lazy import LazyView
from napari_unet.files.image_file import (
    ImageFile,
    ImageFormat,
    SeriesInfo,
    chosen_series,
    microscope_scale,
    numbered_series,
)
from napari_unet.files.stores.ngff import FIRST_AXES, Multiscale, axis_letter
from napari_unet.files.stores.told_array import ToldArray
from napari_unet.files.tiff.writer import fitting_axes

_GIGABYTE = 1e9


class StoreFormat(ImageFormat):
    """A family of files that hold arrays, each of which is read in parts."""

    @abstractmethod
    def images(self, path: Path, closing: ExitStack) -> dict[str, tuple[Any, Multiscale]]:
        """The images of a file by their names: an array, and how its pixels lie.

        Parameters
        ----------
        path : Path
        closing : ExitStack
            What must stay open while the arrays are read is closed with it.
        """

    @override
    def series(self, path: Path) -> tuple[SeriesInfo, ...]:
        with ExitStack() as closing:
            return _numbered(self.images(path, closing))

    @override
    def opened(self, path: Path, *, series: int | str | None, closing: ExitStack) -> ImageFile:
        images = self.images(path, closing)
        found = _numbered(images)
        info = chosen_series(path, found, series)
        array, stored = list(images.values())[info.number - 1]
        spread, sizes = stored.spread, stored.sizes
        view = LazyView(ToldArray(path, array))[
            tuple(slice(None) if at in spread else 0 for at in range(len(stored.axes)))
        ]
        left = sorted(spread)
        return ImageFile(
            path,
            view.transpose([left.index(at) for at in spread]),  # type: ignore[arg-type]
            info.axes,
            microscope_scale([sizes.get(axis) for axis in "ZYX" if axis in info.axes]),
            sizes.get("T") if "T" in info.axes else None,
            info if len(found) > 1 else None,
            remarks=self.remarks(array),
            stored=stored,
        )

    @override
    def read(self, path: Path, *, series: int | str | None, as_labels: bool) -> ImageFile:
        with ExitStack() as closing:
            file = self.opened(path, series=series, closing=closing)
            needed, free = file.array.size * file.array.dtype.itemsize, free_host_bytes()
            if needed > free:
                raise FileError(
                    f"'{path}' takes {needed / _GIGABYTE:.1f} GB of memory, of which "
                    f"{free / _GIGABYTE:.1f} GB are free; segment it in blocks, with an output "
                    "that ends in .ome.zarr."
                )
            return replace(file, array=np.asarray(file.array))

    def remarks(self, array: Any) -> tuple[str, ...]:  # noqa: ARG002
        """What of an array is not as it should be, in sentences."""
        return ()


def plain_image(
    path: Path,
    array: Any,
    *,
    names: Sequence[str] = (),
    size_um: Sequence[float] = (),
) -> Multiscale:
    """How the pixels of an array lie whose file says little of it.

    Parameters
    ----------
    path : Path
        For messages.
    array : array
    names : sequence of str, optional
        Of its axes; counted only if they are T, C, Z, Y and X.
    size_um : sequence of float, optional
        Along the last of Z, Y and X.

    Raises
    ------
    FileError
        If it has no two axes.
    """
    shape = tuple(map(int, array.shape))
    if len(shape) < 2:
        raise FileError(f"'{path}' holds an array of shape {shape}; an image has two or more axes.")
    letters = "".join(str(name)[:1].upper() for name in names)
    is_named = len(set(letters)) == len(letters) == len(shape)
    if not is_named or not {"Y", "X"} <= set(letters) <= set(FIRST_AXES):
        is_colour = len(shape) > 2 and shape[-1] in (3, 4) and np.dtype(array.dtype) == np.uint8
        letters = fitting_axes(None, len(shape) - is_colour) + "C" * is_colour
    spatial = [at for at, letter in enumerate(letters) if letter in "ZYX"]
    steps = dict(zip(reversed(spatial), reversed(list(size_um)), strict=False))
    kinds = {"T": "time", "C": "channel"}
    axes = tuple(
        {"name": letter.lower(), "type": kinds.get(letter, "space")}
        | ({"unit": "micrometer"} if at in steps else {})
        for at, letter in enumerate(letters)
    )
    scale = tuple(float(steps.get(at, 1.0)) for at in range(len(shape)))
    return Multiscale(axes, ("",), (shape,), scale, (0.0,) * len(shape))


def _numbered(images: dict[str, tuple[Any, Multiscale]]) -> tuple[SeriesInfo, ...]:
    return numbered_series(
        (
            name,
            tuple(stored.shapes[0][at] for at in stored.spread),
            "".join(axis_letter(stored.axes[at]) for at in stored.spread),
        )
        for name, (_, stored) in images.items()
    )
