"""Images in Zarr: OME-Zarr up to 0.5, and arrays of which nothing more is told."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from typing_extensions import override

from napari_unet.engine.base.errors import FileError
from napari_unet.files.stores.ngff import Multiscale, is_zarr_group, multiscale_of, ome_of
from napari_unet.files.stores.store_image import StoreFormat, plain_image

_MOST_COUNTED = 100_000
"""Chunks of an array of which it is looked how many are there."""


class ZarrImage(StoreFormat):
    """A folder of Zarr: one image, or several as Bio-Formats writes them."""

    suffixes = (".zarr",)

    @override
    def holds(self, path: Path, start: bytes) -> bool:
        return is_zarr_group(path)

    @override
    def images(self, path: Path, closing: ExitStack) -> dict[str, tuple[Any, Multiscale]]:
        import zarr  # takes half a second, and few read it

        node = zarr.open(path, mode="r")
        if not isinstance(node, zarr.Group):
            return {"": (node, _plain(path, node))}
        told = ome_of(node)
        if "image-label" in told:
            raise FileError(f"'{path}' holds labels and no image; name the folder of their image.")
        if "multiscales" in told:
            return {"": _multiscale(path, node)}
        if "plate" in told:
            wells = [str(each["path"]) for each in told["plate"].get("wells", ())]
            well = wells[0] if wells else "A/1"
            raise FileError(
                f"'{path}' is a plate of many images; name one of them, such as '{path}/{well}/0'."
            )
        groups = {name: group for name, group in node.groups() if "multiscales" in ome_of(group)}
        if groups:
            return {name: _multiscale(path, groups[name]) for name in _in_order(groups)}
        arrays = {name: array for name, array in node.arrays() if array.ndim > 1}
        if not arrays:
            raise FileError(
                f"'{path}' is a Zarr group in which there is no image; name the folder of one."
            )
        return {name: (arrays[name], _plain(path, arrays[name])) for name in _in_order(arrays)}

    @override
    def remarks(self, array: Any) -> tuple[str, ...]:
        if array.nchunks > _MOST_COUNTED:
            return ()
        missing, all_of_them = array.nchunks - array.nchunks_initialized, array.nchunks
        if not missing:
            return ()
        remark = (
            f"{missing} of {all_of_them} chunks are not there, and their pixels count as "
            f"{array.fill_value}, as Zarr has it; if the image is not empty there, copy the whole "
            "folder again."
        )
        return (remark,)


def _multiscale(path: Path, group: Any) -> tuple[Any, Multiscale]:
    stored = multiscale_of(path, group)
    return group[stored.paths[0]], stored


def _plain(path: Path, array: Any) -> Multiscale:
    names = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS")
    return plain_image(path, array, names=[str(name) for name in names or ()])


def _in_order(names: Any) -> list[str]:
    """Names with "2" before "10"."""
    parts = {name: re.split(r"(\d+)", name) for name in names}
    return sorted(names, key=lambda name: [(p.isdigit(), int(p) if p.isdigit() else 0, p)
                                           for p in parts[name]])  # fmt: skip
