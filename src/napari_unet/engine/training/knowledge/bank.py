"""Labelled images of what a model knows: learned again beside new ones, and what it is judged by.

A bank is a zip file beside its model, `<model>.bank.zip`: `index.json` with the kind and the use of
each image, and for each an image and its labels, as PNG, as WebP or as an array of NumPy.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_unet.engine.base.errors import FileError
from napari_unet.engine.base.whole_file import whole_file
from napari_unet.engine.images.image import AnyImage, LabelImage
from napari_unet.engine.networks.bundled import bank_file, descended_from
from napari_unet.engine.networks.class_roles import Types
from napari_unet.engine.networks.network import NetworkDescription
from napari_unet.engine.training.hold_out import labelled_part
from napari_unet.engine.training.pairs import TrainingPair

Use: TypeAlias = Literal["learn", "judge"]

_INDEX = "index.json"
_PARTS = ("image", "labels", "reviewed", "reference")
_REFERENCE_PX = 100_000
_GREY_WEBP = ".grey.webp"
"""WebP itself knows only colours."""


@dataclass(frozen=True, slots=True, eq=False)
class BankImage:
    """An image with its labels.

    Parameters
    ----------
    kind : str
        Such as "histology".
    use : {"learn", "judge"}
        What is learned again judges nothing.
    image : (*S) or (*S, C) array
    labels : (*S) integer array
    name : str
        Of the image that it is from.
    reviewed : (*S) bool array, optional
        Where the labels are the truth; everywhere without it.
    reference : array like the image, optional
        A sample of the whole of which this is a part, by whose intensities it
        is read.
    types : mapping of int to str, optional
        Type of cells by their label.
    """

    kind: str
    use: Use
    image: AnyImage
    labels: LabelImage
    name: str = ""
    reviewed: NDArray[np.bool_] | None = None
    reference: AnyImage | None = None
    types: Types | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Bank:
    """What a model knows, by example."""

    images: tuple[BankImage, ...] = ()

    def pairs(self, use: Use) -> list[TrainingPair]:
        """Those to learn again, or to judge by; each is named by its kind."""
        return [
            TrainingPair(
                each.image,
                each.labels,
                each.kind,
                channel_axis=-1 if np.ndim(each.image) > np.ndim(each.labels) else None,
                reviewed=each.reviewed,
                intensity_reference=each.reference,
                types=each.types,
            )
            for each in self.images
            if each.use == use
        ]


def known_bank(description: NetworkDescription, model: Path | None = None) -> Bank:
    """What a network knows: of the bundled model that it is or descends from, and its own.

    Parameters
    ----------
    model : Path, optional
        Its file, beside which a bank of its own may lie.

    Raises
    ------
    FileError
        If a bank is damaged.
    """
    bundled = descended_from(description)
    files = {bank_file(each) for each in (bundled and bundled.file, model) if each}
    return Bank(tuple(image for file in sorted(files) for image in _read_if_there(file)))


def _read_if_there(file: Path) -> tuple[BankImage, ...]:
    return read_bank(file).images if file.exists() else ()


def bank_of(pairs: Sequence[TrainingPair], start: Path | None = None) -> Bank:
    """What a network has learned from, to be learned again by those that go on from it.

    Of each image the part that was labelled, and a little around it.

    Parameters
    ----------
    pairs : sequence of TrainingPair
    start : Path, optional
        File of the model that it began with: what lies beside that is known, too.
    """
    known = () if start is None else _read_if_there(bank_file(start))
    return Bank((*known, *(_learned(labelled_part(pair)) for pair in pairs)))


def _learned(pair: TrainingPair) -> BankImage:
    labels, reference = np.asarray(pair.labels), pair.intensity_reference
    image = _channels_last(pair.image, pair)
    if reference is not None:
        stride = max(1, round((np.size(reference) / _REFERENCE_PX) ** (1 / labels.ndim)))
        steps = (slice(None, None, stride),) * labels.ndim
        reference = _channels_last(reference, pair)[steps]
    there = set(np.unique(labels).tolist())
    types = {number: name for number, name in (pair.types or {}).items() if number in there}
    return BankImage(
        "learned", "learn", image, labels, pair.name, pair.reviewed, reference, types or None
    )


def _channels_last(image: AnyImage, pair: TrainingPair) -> NDArray[Any]:
    array = np.asarray(image)
    if pair.channel_axis is None:
        return array
    array = np.moveaxis(array, pair.channel_axis, -1)
    return array[..., 0] if array.shape[-1] == 1 else array


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
            arrays = {part: getattr(each, part) for part in _PARTS}
            for part, array in arrays.items():
                if array is None:
                    continue
                is_lossy = lossy and part == "image"
                ending, content = _encoded(np.asarray(array), lossy=is_lossy)
                named[part] = f"{number:03d}-{part}{ending}"
                archive.writestr(named[part], content)
            about: dict[str, Any] = {"kind": each.kind, "use": each.use, "name": each.name}
            if each.types:
                about["types"] = {str(number): name for number, name in each.types.items()}
            index.append({**about, **named})
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
    except (
        AttributeError,
        OSError,
        KeyError,
        TypeError,
        ValueError,
        zipfile.BadZipFile,
    ) as error:
        raise FileError(
            f"'{path}' is no bank of images ({type(error).__name__}: {error}); delete it, and the "
            "model is trained without it."
        ) from error


def _image(archive: zipfile.ZipFile, row: Mapping[str, Any]) -> BankImage:
    image, labels, reviewed, reference = (
        _decoded(row[part], archive.read(row[part])) if part in row else None for part in _PARTS
    )
    if row["use"] not in ("learn", "judge") or image is None or labels is None:
        raise ValueError("an image has no use, pixels or labels")
    is_other = reviewed is not None and reviewed.shape != labels.shape
    if is_other or image.shape[: labels.ndim] != labels.shape:
        raise ValueError("an image does not fit its labels")
    shown = None if reviewed is None else reviewed.astype(bool)
    kind, name = str(row["kind"]), str(row["name"])
    types = {int(number): str(each) for number, each in row.get("types", {}).items()}
    return BankImage(
        kind, row["use"], image, labels.astype(np.int32), name, shown, reference, types or None
    )


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
