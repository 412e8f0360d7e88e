"""Labelled images of what a model knows: learned again beside new ones, and what it is judged by.

A bank is a zip file beside its model, `<model>.bank.zip`: `index.json` with the kind and the use of
each image, and for each an image and its labels, as PNG, as WebP or as an array of NumPy.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_unet.engine.base.errors import FileError
from napari_unet.engine.base.whole_file import whole_file
from napari_unet.engine.images.image import AnyImage, LabelImage
from napari_unet.engine.networks.bundled import descended_from
from napari_unet.engine.networks.network import NetworkDescription
from napari_unet.engine.training.pairs import TrainingPair

Use: TypeAlias = Literal["learn", "judge"]

SUFFIX = ".bank.zip"

_INDEX = "index.json"
_GREY_WEBP = ".grey.webp"
"""WebP itself knows only colours."""


@dataclass(frozen=True, slots=True, eq=False)
class BankImage:
    """An image whose cells are all labelled.

    Parameters
    ----------
    kind : str
        Such as "histology".
    use : {"learn", "judge"}
        What is learned again judges nothing.
    image : (H, W) or (H, W, C) array
    labels : (H, W) integer array
    name : str
        Of the image that it is from.
    """

    kind: str
    use: Use
    image: AnyImage
    labels: LabelImage
    name: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Bank:
    """What a model knows, by example."""

    images: tuple[BankImage, ...] = ()

    def pairs(self, use: Use) -> list[TrainingPair]:
        """Those to learn again, or to judge by; each is named by its kind."""
        return [
            TrainingPair(each.image, each.labels, each.kind)
            for each in self.images
            if each.use == use
        ]

    def __add__(self, other: Bank) -> Bank:
        return Bank(self.images + other.images)


def bank_file(model: Path) -> Path:
    """Where the bank of a model file is, if it has one."""
    return model.with_suffix("").with_name(model.with_suffix("").name + SUFFIX)


def bundled_bank(description: NetworkDescription) -> Bank:
    """What comes with the bundled model that a network is or descends from; empty for others."""
    model = descended_from(description)
    path = None if model is None else bank_file(model.file)
    return Bank() if path is None or not path.exists() else read_bank(path)


def write_bank(bank: Bank, path: Path, *, lossy: bool = False) -> None:
    """Write a bank, complete or not at all.

    Parameters
    ----------
    lossy : bool
        Images of uint8 as WebP, which takes a quarter of the place.

    Raises
    ------
    FileError
        If it cannot be written.
    """
    index = []
    with (
        whole_file(path, refused=FileError) as partial,
        zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for number, each in enumerate(bank.images):
            named = {}
            for part, array in (("image", np.asarray(each.image)), ("labels", each.labels)):
                is_lossy = lossy and part == "image"
                ending, content = _encoded(np.asarray(array), lossy=is_lossy)
                named[part] = f"{number:03d}-{part}{ending}"
                archive.writestr(named[part], content)
            index.append({"kind": each.kind, "use": each.use, "name": each.name, **named})
        archive.writestr(_INDEX, json.dumps(index, indent=1))


def read_bank(path: Path) -> Bank:
    """Read what `write_bank` wrote.

    Raises
    ------
    FileError
        If it is none.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            rows = json.loads(archive.read(_INDEX))
            return Bank(tuple(_image(archive, row) for row in rows))
    except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise FileError(
            f"'{path}' is no bank of images ({type(error).__name__}: {error}); delete it, and the "
            "model is trained without it."
        ) from error


def _image(archive: zipfile.ZipFile, row: Mapping[str, Any]) -> BankImage:
    image, labels = (_decoded(row[part], archive.read(row[part])) for part in ("image", "labels"))
    if row["use"] not in ("learn", "judge") or image.shape[: labels.ndim] != labels.shape:
        raise ValueError("an image does not fit its labels")
    return BankImage(str(row["kind"]), row["use"], image, labels.astype(np.int32), str(row["name"]))


def _encoded(array: NDArray[Any], *, lossy: bool) -> tuple[str, bytes]:
    buffer = io.BytesIO()
    if lossy and array.dtype == np.uint8:
        Image.fromarray(array).save(buffer, "webp", quality=92, method=6)
        return (_GREY_WEBP if array.ndim == 2 else ".webp"), buffer.getvalue()
    if array.dtype == np.uint8 or (array.dtype.kind in "iu" and array.ndim == 2 and _fits(array)):
        pixels = array if array.dtype == np.uint8 else array.astype(np.uint16)
        Image.fromarray(pixels).save(buffer, "png", optimize=True)
        return ".png", buffer.getvalue()
    np.save(buffer, array, allow_pickle=False)
    return ".npy", buffer.getvalue()


def _fits(array: NDArray[Any]) -> bool:
    return not array.size or (int(array.min()) >= 0 and int(array.max()) < 1 << 16)


def _decoded(name: str, content: bytes) -> NDArray[Any]:
    buffer = io.BytesIO(content)
    if name.endswith(".npy"):
        array: NDArray[Any] = np.load(buffer, allow_pickle=False)
        return array
    with Image.open(buffer, formats=("PNG", "WEBP")) as picture:
        return np.asarray(picture.convert("L") if name.endswith(_GREY_WEBP) else picture)
