"""Cellpose's `_seg.npy`: a pickled dict, read without running what it names."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from typing_extensions import override

from napari_unet.engine.base.errors import FileError
from napari_unet.engine.images.image import LabelImage
from napari_unet.engine.images.label_numbers import whole_numbers
from napari_unet.files.image_file import ImageFile, replacing
from napari_unet.files.label_formats.label_format import (
    LabelFormat,
    Measurements,
    stated,
    with_stated,
)

_OURS = "napari_unet"
"""Key of what Cellpose has no place for; it passes over it."""

_NO_FLOWS: list[list[Any]] = [[], [], [], [], [[]]]
"""What Cellpose has where masks were drawn and not computed."""


class Cellpose(LabelFormat):
    """What Cellpose and its window save beside an image, and arrays of NumPy alone."""

    name = "cellpose"
    ending = "_seg.npy"
    suffix = ".npy"
    suffixes = ("_seg.npy",)

    @override
    def holds(self, path: Path, start: bytes) -> bool:
        return start.startswith(npy.MAGIC_PREFIX)

    @override
    def read_labels(self, path: Path, *, image: ImageFile | None) -> ImageFile:
        with path.open("rb") as stream:
            shape, _, dtype = _header(stream)
            if not dtype.hasobject:
                stream.seek(0)
                return _file(path, npy.read_array(stream, allow_pickle=False), None, image)
            content = _Content(path, stream).load()
        held = content.items_held() if isinstance(content, _StoredArray) and shape == () else []
        found = held[0] if held else None
        masks = found.get("masks") if isinstance(found, dict) else None
        if not isinstance(found, dict) or not isinstance(masks, _StoredArray):
            raise FileError(
                f"'{path}' holds no masks of Cellpose; save it again in Cellpose, or save the "
                "masks as TIFF or PNG there."
            )
        return _file(path, masks.array(path), found.get(_OURS), image)

    @override
    def write(
        self,
        path: Path,
        labels: ImageFile,
        *,
        image: str,
        measurements: Measurements | None,
        overwrite: bool,
    ) -> None:
        array = labels.array
        if array.ndim > 3:
            raise FileError(
                f"Cellpose holds a plane or a stack, and the labels for '{path}' have the axes "
                f"{', '.join(labels.axes)}; save each frame by itself, or save them as TIFF."
            )
        masks = array.astype(np.uint16 if array.max(initial=0) < (1 << 16) - 1 else np.uint32)
        content = {
            "outlines": masks * _rims(masks),
            "masks": masks,
            "chan_choose": [0, 0],
            # As many as cells: Cellpose numbers them afresh where numbers are missing.
            "ismanual": np.zeros(np.count_nonzero(np.unique(masks)), bool),
            "filename": image,
            "flows": _NO_FLOWS,
            "diameter": np.nan,
            _OURS: stated(labels),
        }
        with replacing(path, overwrite=overwrite) as stream:
            np.save(stream, np.array(content, object), allow_pickle=True)


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = npy.read_magic(stream)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    return read(stream)


def _file(path: Path, masks: NDArray[Any], told: Any, image: ImageFile | None) -> ImageFile:
    if masks.ndim == 3 and masks.shape[0] == 1 and not isinstance(told, dict):
        masks = masks[0]
    if masks.ndim not in (2, 3) and not isinstance(told, dict):
        raise FileError(
            f"'{path}' holds an array of shape {masks.shape}; labels are a plane or a stack."
        )
    labels = whole_numbers(masks, holder=f"'{path}' holds")
    if labels.dtype.kind == "i" and labels.min(initial=0) == -1:
        labels = labels + 1  # early versions counted from -1, the background
    is_ours = isinstance(told, dict) and told.get("shape") == list(labels.shape)
    return with_stated(path, labels, told if is_ours else None, image=image)


def _rims(masks: LabelImage) -> NDArray[np.bool_]:
    """Pixels of each plane that have another number, or the edge of the image, beside them."""
    padded = np.pad(masks.astype(np.int64), [(0, 0)] * (masks.ndim - 2) + [(1, 1)] * 2, "constant",
                    constant_values=-1)  # fmt: skip
    sides = (
        padded[..., :-2, 1:-1],
        padded[..., 2:, 1:-1],
        padded[..., 1:-1, :-2],
        padded[..., 1:-1, 2:],
    )
    rims: NDArray[np.bool_] = np.logical_or.reduce([side != masks for side in sides])
    return rims & (masks > 0)


class _StoredType:
    """Stands in for numpy.dtype: what was written of it, and no more."""

    def __init__(self, code: str, *_: Any) -> None:
        self.code = code
        self.order = "="

    def __setstate__(self, state: Any) -> None:
        self.order = str(state[1])

    def dtype(self, path: Path) -> np.dtype[Any]:
        if self.code[:1] not in ("b", "i", "u", "f") or not self.code[1:].isdigit():
            raise FileError(f"'{path}' has masks of the type '{self.code}'; labels are integers.")
        return np.dtype(f"{self.order}{self.code}")


class _StoredArray:
    """Stands in for numpy.ndarray: what was written of it; an array of numbers can be made."""

    state: Any = None

    def __init__(self, *_: Any) -> None: ...

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def items_held(self) -> list[Any]:
        """The objects in an array of objects."""
        held = self.state[4] if isinstance(self.state, tuple) and len(self.state) == 5 else None
        return held if isinstance(held, list) else []

    def array(self, path: Path) -> NDArray[Any]:
        _, shape, kind, is_fortran, pixels = self.state
        flat = np.frombuffer(pixels, kind.dtype(path))
        return flat.reshape(shape, order="F" if is_fortran else "C").copy()


class _Ignored:
    """Stands in for a number or a path that no label needs."""

    def __init__(self, *_: Any) -> None: ...

    def __setstate__(self, state: Any) -> None: ...


_STAND_INS: dict[str, type] = {
    "numpy.dtype": _StoredType,
    "numpy.ndarray": _Ignored,
    **{
        f"numpy.{core}.multiarray.{name}": stand_in
        for core in ("core", "_core")
        for name, stand_in in (("_reconstruct", _StoredArray), ("scalar", _Ignored))
    },
    **{
        f"{module}.{name}": _Ignored
        for module in ("pathlib", "pathlib._local")
        for name in ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")
    },
}
"""Classes that a pickle may name. A function would be an object that it could change."""


class _Content(pickle.Unpickler):
    """Reads a pickle of arrays and plain containers; no function or class of another is called."""

    def __init__(self, path: Path, stream: IO[bytes]) -> None:
        super().__init__(stream)
        self._path = path

    @override
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        name = f"{module_name}.{global_name}"
        if name in _STAND_INS:
            return _STAND_INS[name]
        raise FileError(
            f"'{self._path}' holds more than arrays ({name}), which may be code, so that it is not "
            "opened; save the masks as TIFF or PNG in Cellpose (menu File, or --save_tif)."
        )
