"""Labels as outlines: made from those that a file holds, and written as such."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from typing_extensions import override

from napari_unet.engine.base.errors import FileError
from napari_unet.files.image_file import ImageFile, replacing
from napari_unet.files.label_formats.label_format import (
    LabelFormat,
    Measurements,
    stated_shape,
    with_stated,
)
from napari_unet.files.label_formats.polygons import Outline, extent, painted

NO_GRID = (
    "The file does not tell how large its image is, so that the labels end with the last cell; "
    "give the image, too."
)
"""Remark of labels of which the file does not tell how large their image is."""

_MOST_PIXELS = 1 << 31

AXES = "TZ"
"""Of the planes that ImageJ and QuPath know beside channels."""


def check_axes(path: Path, labels: ImageFile) -> None:
    """Refuse labels with planes along other axes than T and Z."""
    before = labels.axes[:-2]
    if not labels.axes.endswith("YX") or set(before) - set(AXES) or len(set(before)) < len(before):
        raise FileError(
            f"'{path.name}' holds planes along T and Z, and the labels have the axes "
            f"{', '.join(labels.axes)}; save them as TIFF."
        )


def plane_of(labels: ImageFile, cell: Outline) -> dict[str, int]:
    """Indices of a cell along T and Z, as far as the labels have them."""
    return dict(zip(labels.axes[:-2], cell.plane or (), strict=True))


class DrawnFormat(LabelFormat):
    """A kind of file that holds the outlines of cells, with their types."""

    holds_types = True

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
        from napari_unet.files.label_formats.outlines import outlines  # numba takes its time

        check_axes(path, labels)
        with replacing(path, overwrite=overwrite) as stream:
            self.write_cells(stream, labels, outlines(labels.array), measurements)

    @abstractmethod
    def write_cells(
        self,
        stream: IO[bytes],
        labels: ImageFile,
        cells: Iterable[Outline],
        measurements: Measurements | None,
    ) -> None:
        """Write the outlines of labels, and what else is known of them."""


def drawn_labels(
    path: Path,
    cells: Sequence[Outline],
    told: Any,
    *,
    image: ImageFile | None,
    among: tuple[int, str],
    kind: str,
) -> ImageFile:
    """Make a label image of the outlines in a file.

    Parameters
    ----------
    path : Path
    cells : sequence of Outline
        With planes as indices along T and Z. What they are called is their type.
    told : Any
        As `stated` wrote it, or anything else.
    image : ImageFile, optional
        Of which they are.
    among : (int, str)
        How many objects the file holds, and what they are called.
    kind : str
        Which of them are cells: the others are left out, and that is told.

    Raises
    ------
    FileError
        If a cell is in a plane that the image does not have.
    """
    shape, axes = _grid(path, cells, told, image)
    if math.prod(shape) > _MOST_PIXELS:
        raise FileError(
            f"The cells of '{path}' make a label image of {' x '.join(map(str, shape))} pixels, "
            "which is too large for one; export those of a part of the image."
        )
    placed = [_placed(path, cell, axes) for cell in cells]
    labels, numbers, remarks = painted(placed, shape)
    count, objects = among
    left_out = f"{count - len(cells)} of {count} {objects} are no {kind} and are left out."
    if count > len(cells):
        remarks.append(left_out)
    types = {number: cell.name for number, cell in zip(numbers, cells, strict=True) if cell.name}
    if image is None and stated_shape(path, told) is None:
        remarks.insert(0, NO_GRID)
    return with_stated(
        path,
        labels,
        told,
        image=image,
        axes=axes,
        types=types,
        remarks=remarks,
    )


def _grid(
    path: Path, cells: Sequence[Outline], told: Any, image: ImageFile | None
) -> tuple[tuple[int, ...], str]:
    """Shape and axes: as the file says, as the image has them, or as large as the cells need."""
    shape = stated_shape(path, told)
    if shape is not None:
        return shape, str(told["axes"])
    if image is not None:
        sizes = zip(image.axes, image.array.shape, strict=True)
        return tuple(size for axis, size in sizes if axis != "C"), image.label_axes
    last = [max((cell.plane[at] for cell in cells if cell.plane), default=0) for at in (0, 1)]
    axes = "".join(axis for axis, index in zip(AXES, last, strict=True) if index)
    return (*(index + 1 for index in last if index), *extent(cells)), axes + "YX"


def _placed(path: Path, cell: Outline, axes: str) -> Outline:
    """Give the plane of a cell along the axes of the labels."""
    if cell.plane is None:
        return cell
    at = dict(zip(AXES, cell.plane, strict=True))
    for axis, words in (("T", "frame"), ("Z", "slice")):
        if at[axis] and axis not in axes:
            raise FileError(
                f"'{path}' has a cell in {words} {at[axis] + 1}, and its image has no {words}s; "
                "give the image that it belongs to."
            )
    return replace(cell, plane=tuple(at.get(axis, 0) for axis in axes[:-2]))
