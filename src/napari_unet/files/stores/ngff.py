"""What OME-NGFF, up to version 0.5, says of an image in Zarr: its sizes, axes and scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_unet.engine.base.errors import FileError

FIRST_AXES = "TCZYX"
"""All of which every image had in the first versions; many programs still write so."""

NESTED_VERSION = "0.5"
"""The first whose attributes lie in Zarr's format 3, under a name of their own."""

_ROOT_FILES = (".zgroup", ".zattrs", ".zarray", "zarr.json")
"""By which a folder is known as Zarr's, which may be replaced by another one."""

_LETTERS = {"time": "T", "channel": "C"}
_MICROMETRES = {"angstrom": 1e-4, "nanometer": 1e-3, "micrometer": 1.0, "millimeter": 1e3}
_SECONDS = {"millisecond": 1e-3, "second": 1.0, "minute": 60.0, "hour": 3600.0}


@dataclass(frozen=True, slots=True)
class Multiscale:
    """An image at several sizes, the largest first.

    Parameters
    ----------
    axes : tuple of mapping
        Name, and type and unit where they are told, of each axis.
    paths : tuple of str
        Of the array of each size, within the group.
    shapes : tuple of tuple of int
    scale, translation : tuple of float
        Of the largest size, in the units of the axes.
    is_scaled : bool
        Whether the file tells a scale; else it is 1.
    """

    axes: tuple[Mapping[str, Any], ...]
    paths: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    scale: tuple[float, ...]
    translation: tuple[float, ...]
    is_scaled: bool = True

    @property
    def letters(self) -> str:
        """Letter of `FIRST_AXES` for each axis."""
        return "".join(axis_letter(axis) for axis in self.axes)

    @property
    def kept(self) -> list[int]:
        """The axes in the order of `FIRST_AXES`, without those that only the first versions had."""
        letters, shape = self.letters, self.shapes[0]
        may_go = "TCZ" if sorted(letters) == sorted(FIRST_AXES) else "C"
        order = sorted(range(len(letters)), key=lambda at: FIRST_AXES.index(letters[at]))
        return [at for at in order if shape[at] > 1 or letters[at] not in may_go]

    @property
    def spread(self) -> list[int]:
        """The axes in the order of `FIRST_AXES`, without those of one pixel but Y and X."""
        letters, shape = self.letters, self.shapes[0]
        order = sorted(range(len(letters)), key=lambda at: FIRST_AXES.index(letters[at]))
        return [at for at in order if shape[at] > 1 or letters[at] in "YX"]

    @property
    def sizes(self) -> dict[str, float]:
        """Micrometres, and seconds along T, of a pixel, by the letter of the axis, if known."""
        found: dict[str, float] = {}
        if not self.is_scaled:
            return found
        for letter, axis, step in zip(self.letters, self.axes, self.scale, strict=True):
            factor = (_SECONDS if letter == "T" else _MICROMETRES).get(str(axis.get("unit", "")))
            if factor is not None:
                found[letter] = step * factor
        return found


def is_zarr_group(path: Path) -> bool:
    """Whether a path is a folder that holds a Zarr group or array."""
    return path.is_dir() and any((path / name).exists() for name in _ROOT_FILES)


def axis_letter(axis: Mapping[str, Any]) -> str:
    """Letter of an axis, by its type or its name."""
    return _LETTERS.get(str(axis.get("type")), str(axis.get("name"))[:1].upper())


def ome_of(group: Any) -> dict[str, Any]:
    """What OME-NGFF says of a Zarr group; since 0.5 under a name of its own."""
    told = dict(group.attrs)
    return dict(told["ome"]) if isinstance(told.get("ome"), dict) else told


def multiscale_of(path: Path, group: Any) -> Multiscale:
    """Read what a group says of its image.

    Parameters
    ----------
    path : Path
        For messages.
    group : zarr.Group
        With "multiscales".

    Raises
    ------
    FileError
        If what it says cannot be, or arrays are missing.
    """
    image = ome_of(group)["multiscales"][0]
    paths = tuple(str(each["path"]) for each in image["datasets"])
    missing = [each for each in paths if each not in group]
    if missing or not paths:
        raise FileError(
            f"'{path}' names the array '{', '.join(missing)}' and does not hold it; copy the whole "
            "folder again."
        )
    shapes = tuple(tuple(map(int, group[each].shape)) for each in paths)
    ndim = len(shapes[0])
    axes = _axes(image, ndim)
    letters = "".join(map(axis_letter, axes))
    is_known = len(set(letters)) == len(letters) == ndim and not set(letters) - set(FIRST_AXES)
    if not is_known or not {"Y", "X"} <= set(letters):
        names = ", ".join(str(each.get("name")) for each in axes)
        raise FileError(
            f"'{path}' has the axes {names} for pixels of shape {shapes[0]}; an image has Y and X, "
            "and of T, C and Z each at most once. Export it again with its axes named so."
        )
    scale, translation = _placed(path, image, ndim)
    return Multiscale(axes, paths, shapes, scale, translation, _is_scaled(image))


def _axes(image: Mapping[str, Any], ndim: int) -> tuple[Mapping[str, Any], ...]:
    axes = image.get("axes") or [
        {"name": letter.lower(), "type": {"T": "time", "C": "channel"}.get(letter, "space")}
        for letter in FIRST_AXES[-ndim:]
    ]
    return tuple(dict(each) if isinstance(each, dict) else {"name": each} for each in axes)


def _transforms(image: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Of the largest size, its own and then those of all sizes."""
    each = (image["datasets"][0], image)
    return [told for of in each for told in of.get("coordinateTransformations", ())]


def _is_scaled(image: Mapping[str, Any]) -> bool:
    return any(each.get("type") == "scale" for each in _transforms(image))


def _placed(
    path: Path, image: Mapping[str, Any], ndim: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Scale and translation of the largest size."""
    scale, translation = np.ones(ndim), np.zeros(ndim)
    for each in _transforms(image):
        numbers = each.get(str(each.get("type")))
        if each.get("type") not in ("scale", "translation") or not isinstance(numbers, list):
            continue
        if len(numbers) != ndim:
            raise FileError(
                f"'{path}' has a {each['type']} of {len(numbers)} numbers for {ndim} axes; "
                "export it again."
            )
        if each["type"] == "scale":
            scale, translation = scale * numbers, translation * numbers
        else:
            translation = translation + numbers
    return tuple(scale.tolist()), tuple(translation.tolist())
