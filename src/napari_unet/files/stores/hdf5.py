"""Images in HDF5, as ilastik, Fiji and PlantSeg write them: each array of a file is one."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import override

from napari_unet.engine.base.errors import FileError
from napari_unet.files.stores.ngff import Multiscale
from napari_unet.files.stores.store_image import StoreFormat, plain_image

_SIGNATURE = b"\x89HDF\r\n\x1a\n"


class Hdf5(StoreFormat):
    """What h5py reads."""

    suffixes = (".h5", ".hdf5", ".he5")

    @override
    def holds(self, path: Path, start: bytes) -> bool:
        # Imaris' files are HDF5, too, in blocks of their own.
        return start.startswith(_SIGNATURE) and path.suffix.lower() != ".ims"

    @override
    def images(self, path: Path, closing: ExitStack) -> dict[str, tuple[Any, Multiscale]]:
        try:
            import h5py
        except ImportError as error:
            raise FileError(
                f"'{path}' is HDF5, read through the package h5py; run "
                "\"pip install 'napari-unet-cells[hdf5]'\", or save the image as TIFF or OME-Zarr."
            ) from error
        file = closing.enter_context(h5py.File(path, "r"))
        found: dict[str, tuple[Any, Multiscale]] = {}

        def note(name: str, item: Any) -> None:
            is_image = (
                isinstance(item, h5py.Dataset) and item.ndim > 1 and item.dtype.kind in "buif"
            )
            if is_image:
                size = np.asarray(item.attrs.get("element_size_um", ())).ravel().tolist()
                found[name] = item, plain_image(path, item, names=_names(item), size_um=size)

        file.visititems(note)
        if not found:
            raise FileError(f"'{path}' holds no array of two or more axes, so no image.")
        return found


def _names(dataset: Any) -> list[str]:
    """Names of the axes: HDF5's own, or those of ilastik."""
    own = [str(each.label) for each in dataset.dims]
    if all(own) or "axistags" not in dataset.attrs:
        return own
    try:
        return [str(each["key"]) for each in json.loads(dataset.attrs["axistags"])["axes"]]
    except (ValueError, KeyError, TypeError):
        return []
