"""How labels lie in OME-Zarr: the grid of their image, at as many sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from napari_unet.engine.base.errors import FileError
from napari_unet.files.image_file import ImageFile, axis_sizes
from napari_unet.files.stores.ngff import FIRST_AXES, axis_letter

_SMALLEST_PX = 256
"""The smallest size has no longer axis of space."""


@dataclass(frozen=True, slots=True)
class LabelGrid:
    """Axes, place and sizes of labels.

    Parameters
    ----------
    axes : tuple of mapping
        As OME-NGFF has them.
    order : tuple of int or None
        For each of these the axis of the labels as they are computed; None
        where the image has one voxel along it.
    shapes : tuple of tuple of int
        Of each size, the largest first.
    factors : tuple of tuple of int
        Pixels of the largest size for one of each size, along each axis.
    scale, translation : tuple of float
        Of the largest size.
    """

    axes: tuple[Mapping[str, Any], ...]
    order: tuple[int | None, ...]
    shapes: tuple[tuple[int, ...], ...]
    factors: tuple[tuple[int, ...], ...]
    scale: tuple[float, ...]
    translation: tuple[float, ...]

    @property
    def letters(self) -> str:
        """Letter of each axis."""
        return "".join(map(axis_letter, self.axes))

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    def attributes(self, name: str) -> dict[str, Any]:
        """What OME-NGFF 0.5 says of such labels (https://ngff.openmicroscopy.org/0.5)."""
        datasets = []
        for number, factors in enumerate(self.factors):
            steps = [step * factor for step, factor in zip(self.scale, factors, strict=True)]
            transforms: list[dict[str, Any]] = [{"type": "scale", "scale": steps}]
            if any(self.translation):
                transforms.append({"type": "translation", "translation": list(self.translation)})
            datasets.append({"path": str(number), "coordinateTransformations": transforms})
        axes = [dict(axis) for axis in self.axes]
        return {
            "multiscales": [
                {"name": name, "axes": axes, "datasets": datasets, "type": "nearest"},
            ],
            "image-label": {},
        }


def label_grid(image: ImageFile, opened: ImageFile, channel_axis: int | None) -> LabelGrid:
    """Say how the labels of an image lie.

    Parameters
    ----------
    image : ImageFile
        The part of it that is segmented.
    opened : ImageFile
        All of it.
    channel_axis : int, optional
        Of `image`; labels have no such axis.

    Raises
    ------
    FileError
        If it has axes that OME-Zarr does not know.
    """
    places = [at for at in range(image.array.ndim) if at != channel_axis]
    letters = "".join(image.axes[at] for at in places)
    lengths = [int(image.array.shape[at]) for at in places]
    if len(set(letters)) != len(letters):
        raise FileError(
            f"'{image.path}' has the axes {', '.join(letters)}, and OME-Zarr has T, C, Z, Y and X "
            "once each; name an output that ends in .tif."
        )
    if image.stored is None:
        return _own_grid(image, letters, lengths)
    stored = image.stored
    kept = [
        at
        for at, letter in enumerate(stored.letters)
        if letter in letters or (letter not in opened.axes and letter != "C")
    ]
    shape = tuple(stored.shapes[0][at] for at in kept)
    axes = tuple(stored.axes[at] for at in kept)
    names = [axis_letter(axis) for axis in axes]
    if len(stored.shapes) > 1:
        sizes = [tuple(each[at] for at in kept) for each in stored.shapes]
        factors = [_factors(shape, each) for each in sizes]
    else:
        factors = _halved(names, shape)
        sizes = [shape] * len(factors)
    return LabelGrid(
        axes,
        tuple(letters.index(name) if name in letters else None for name in names),
        tuple(
            tuple(map(min, _shape(shape, each), size))
            for each, size in zip(factors, sizes, strict=True)
        ),
        tuple(factors),
        tuple(stored.scale[at] for at in kept),
        tuple(stored.translation[at] for at in kept),
    )


def _own_grid(image: ImageFile, letters: str, lengths: Sequence[int]) -> LabelGrid:
    """The grid of labels whose image is no OME-Zarr."""
    names = sorted(letters, key=FIRST_AXES.index)
    steps = axis_sizes(letters, image.pixel_size_um, image.frame_interval_s)
    axes = tuple(
        {"name": name.lower(), "type": {"T": "time", "C": "channel"}.get(name, "space")}
        | ({"unit": "second" if name == "T" else "micrometer"} if name in steps else {})
        for name in names
    )
    order = tuple(letters.index(name) for name in names)
    shape = tuple(lengths[at] for at in order)
    factors = _halved(names, shape)
    return LabelGrid(
        axes,
        order,
        tuple(_shape(shape, each) for each in factors),
        tuple(factors),
        tuple(steps.get(name, 1.0) for name in names),
        (0.0,) * len(names),
    )


def _factors(largest: Sequence[int], smaller: Sequence[int]) -> tuple[int, ...]:
    """How many times smaller a size of the image is."""
    pairs = zip(largest, smaller, strict=True)
    return tuple(max(1, round(n / few)) if few else 1 for n, few in pairs)


def _halved(names: Sequence[str], shape: Sequence[int]) -> list[tuple[int, ...]]:
    """Factors of sizes that are halved until they fit on a screen."""
    factors = [(1,) * len(shape)]
    while True:
        last = factors[-1]
        is_long = [
            name in "ZYX" and -(-n // factor) > _SMALLEST_PX
            for name, n, factor in zip(names, shape, last, strict=True)
        ]
        if not any(is_long):
            return factors
        factors.append(tuple(f * (2 if long else 1) for f, long in zip(last, is_long, strict=True)))


def _shape(largest: Sequence[int], factors: Sequence[int]) -> tuple[int, ...]:
    """Every so many pixels there is one, the first included."""
    return tuple(-(-n // factor) for n, factor in zip(largest, factors, strict=True))
