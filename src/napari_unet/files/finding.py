"""Image files among files, folders and patterns."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from napari_unet.engine.base.errors import FileError
from napari_unet.engine.base.whole_file import system_reason
from napari_unet.files.image_file import missing_file
from napari_unet.files.images import (
    IMAGE_SUFFIXES,
    LABEL_FORMATS,
    STORE_SUFFIXES,
    label_format_of,
)
from napari_unet.files.label_formats.ome_zarr import ZARR_SUFFIX
from napari_unet.files.stores.ngff import is_zarr_group

_LABEL_ENDINGS = tuple(suffix for each in LABEL_FORMATS for suffix in each.suffixes)
_LABEL_FILE_ENDINGS = tuple(end for end in _LABEL_ENDINGS if end not in STORE_SUFFIXES)


def find_images(paths: Iterable[str | Path], *, labels: bool = False) -> list[Path]:
    """List the image files among `paths`.

    Parameters
    ----------
    paths : iterable of path
        Files, folders (their images, not those of subfolders) and patterns
        such as `*.tif`, which some command lines pass on as they are.
    labels : bool
        Find labels of other programs, too: ROIs, GeoJSON, `_seg.npy`, OME-Zarr.

    Returns
    -------
    list of Path
        Each file once, a folder's in natural order ("2" before "10").

    Raises
    ------
    FileError
        If a file is not there or is no image, or a folder holds none.
    """
    found: dict[Path, None] = {}
    for path in map(Path, paths):
        try:
            path.exists()
        except OSError as error:  # a name with more letters than names can have
            raise FileError(f"Cannot read '{path}' ({system_reason(error)}).") from error
        if is_zarr_group(path) or (labels and path.exists() and label_format_of(path) is not None):
            found[path] = None
        elif path.is_dir() and path.suffix.lower() == ZARR_SUFFIX and not _has_images(path):
            raise FileError(
                f"'{path}' is named as Zarr, and the file that says what is in it is missing "
                "(zarr.json, .zgroup or .zarray); copy the whole folder again."
            )
        elif path.is_dir():
            found.update(dict.fromkeys(_images_in(path, labels=labels)))
        elif path.exists():
            found[_checked_suffix(path, labels=labels)] = None
        else:
            matches = path.parent.glob(path.name) if re.search(r"[*?[]", path.name) else ()
            images = [
                match
                for match in matches
                if _is_image_name(match, labels=labels) or _is_store_name(match)
            ]
            images.sort(key=_natural_order)
            if not images:
                raise FileError(missing_file(path))
            found.update(dict.fromkeys(images))
    if not found:
        raise FileError("No images were given; name files or folders.")
    return list(found)


def stores_beside_images(folder: Path) -> list[Path]:
    """List what `find_images` leaves out of a folder: Zarr, HDF5 and .npy beside pictures."""
    if not folder.is_dir() or is_zarr_group(folder):
        return []
    entries = sorted(folder.iterdir(), key=_natural_order)
    if not any(_is_image_name(path, labels=False) for path in entries):
        return []
    return [p for p in entries if _is_store_name(p) and (p.is_file() or is_zarr_group(p))]


def _has_images(folder: Path) -> bool:
    try:
        return bool(_images_in(folder, labels=False))
    except FileError:
        return False


def _natural_order(path: Path) -> tuple[Any, ...]:
    """Sort key that puts "cell 2" before "cell 10"."""
    parts = re.split(r"(\d+)", path.name.casefold())
    return tuple((int(part), "") if part.isdigit() else (math.inf, part) for part in parts if part)


def _is_image_name(path: Path, *, labels: bool) -> bool:
    # Names with a leading dot are no images of the user's: macOS leaves "._cells.tif".
    is_image = path.suffix.lower() in IMAGE_SUFFIXES
    is_labels = labels and path.name.lower().endswith(_LABEL_ENDINGS)
    return (is_image or is_labels) and not path.name.startswith(".")


def _is_store_name(path: Path) -> bool:
    is_other = path.name.lower().endswith(_LABEL_FILE_ENDINGS) or path.name.startswith(".")
    return path.suffix.lower() in STORE_SUFFIXES and not is_other


def _images_in(folder: Path, *, labels: bool) -> list[Path]:
    try:
        named = [path for path in folder.iterdir() if _is_image_name(path, labels=labels)]
        # Beside pictures they are more often labels of these.
        named = named or [path for path in folder.iterdir() if _is_store_name(path)]
        entries = [path for path in named if path.is_file() or is_zarr_group(path)]
    except OSError as error:
        raise FileError(
            f"Cannot look into the folder '{folder}' ({system_reason(error)})."
        ) from error
    if not entries:
        raise FileError(
            f"The folder '{folder}' holds no images; it should hold TIFF, PNG or JPEG files, or "
            "OME-Zarr or HDF5 alone (subfolders are not searched)."
        )
    return sorted(entries, key=_natural_order)


def _checked_suffix(path: Path, *, labels: bool) -> Path:
    if path.suffix.lower() not in (*IMAGE_SUFFIXES, *STORE_SUFFIXES):
        if labels:
            raise FileError(
                f"'{path}' is no image, and holds no labels as ImageJ (ROIs), QuPath (GeoJSON), "
                "Cellpose or OME-Zarr have them; save the labels as TIFF."
            )
        raise FileError(
            f"'{path}' is no image file that can be read here; save it as TIFF or PNG first, "
            "for example with Fiji."
        )
    return path
