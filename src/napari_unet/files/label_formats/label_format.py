"""What a format that holds labels alone must be able to do."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

from numpy.typing import NDArray
from typing_extensions import override

from napari_unet.engine.base.errors import FileError
from napari_unet.files.image_file import ImageFile, ImageFormat, SeriesInfo, numbered_series
from napari_unet.files.tiff.writer import fitting_axes

Measurements: TypeAlias = Mapping[str, Sequence[Any] | NDArray[Any]]
"""Columns of numbers of one length, by name; one of them is "label"."""


class LabelFormat(ImageFormat):
    """A kind of file that holds labels and nothing else.

    Attributes
    ----------
    name : str
        For the command line.
    ending : str
        Of the files that are written; `suffixes` are those by which labels in a folder are found.
    suffix : str
        By which a name asks for this format.
    holds_types : bool
        Whether there is a place for the types of cells.
    """

    name: ClassVar[str]
    ending: ClassVar[str]
    suffix: ClassVar[str]
    holds_types: ClassVar[bool] = False

    @override
    def series(self, path: Path) -> tuple[SeriesInfo, ...]:
        file = self.read_labels(path, image=None)
        return numbered_series([("", file.array.shape, file.axes)])

    @override
    def read(self, path: Path, *, series: int | str | None, as_labels: bool) -> ImageFile:
        return self.read_labels(path, image=None)

    def writes(self, path: Path) -> bool:
        """Whether the name of a file asks for this format."""
        return path.suffix.lower() == self.suffix

    @abstractmethod
    def read_labels(self, path: Path, *, image: ImageFile | None) -> ImageFile:
        """Read labels.

        Parameters
        ----------
        path : Path
        image : ImageFile, optional
            Of which they are: it tells the shape and the size of a pixel where the file does not.

        Raises
        ------
        FileError
            If the file holds something else.
        """

    @abstractmethod
    def write(
        self,
        path: Path,
        labels: ImageFile,
        *,
        image: str,
        measurements: Measurements | None,
        overwrite: bool,
    ) -> None:
        """Write labels.

        Parameters
        ----------
        path : Path
        labels : ImageFile
            With unsigned integers; what else it says goes along as far as the format holds it.
        image : str
            Name of the file of the image.
        measurements : Measurements, optional
        overwrite : bool

        Raises
        ------
        FileError
            If the format cannot hold these labels, or the file exists or cannot be written.
        """


def stated(labels: ImageFile) -> dict[str, Any]:
    """What a file says that other programs have no place for, in plain values; see `with_stated`.

    Parameters
    ----------
    labels : ImageFile
    """
    told: dict[str, Any] = {"shape": list(labels.array.shape), "axes": labels.axes}
    if labels.pixel_size_um is not None:
        told["pixel_size_um"] = list(map(float, labels.pixel_size_um))
    if labels.frame_interval_s is not None and "T" in labels.axes:
        told["frame_interval_s"] = float(labels.frame_interval_s)
    if labels.notes is not None:
        told["notes"] = json.loads(json.dumps(dict(labels.notes), default=str))
    return told


def stated_shape(path: Path, told: Any) -> tuple[int, ...] | None:
    """Shape of the labels as `stated` wrote it; None where it did not.

    Raises
    ------
    FileError
        If what stands there cannot be a shape.
    """
    if not isinstance(told, dict) or "shape" not in told:
        return None
    shape, axes = told["shape"], told.get("axes")
    are_sizes = isinstance(shape, list) and all(type(each) is int and each > 0 for each in shape)
    if not are_sizes or not 2 <= len(shape) <= 5 or len(axes or "") != len(shape):
        raise FileError(f"'{path}' says that its labels are {shape}; write the file again.")
    return tuple(shape)


def with_stated(
    path: Path,
    array: NDArray[Any],
    told: Any,
    *,
    image: ImageFile | None,
    axes: str | None = None,
    types: Mapping[int, str] | None = None,
    remarks: Sequence[str] = (),
) -> ImageFile:
    """Give labels with what their file says of them, or else the image that they are of.

    Parameters
    ----------
    path : Path
    array : integer array
    told : dict
        From the file, as `stated` gave it; anything else is of another program.
    image : ImageFile, optional
    axes : str, optional
        Where neither of them tells.
    types, remarks
        As in `ImageFile`.
    """
    told = told if isinstance(told, dict) else {}
    size, interval, notes = (
        told.get(key) for key in ("pixel_size_um", "frame_interval_s", "notes")
    )
    if isinstance(size, list) and all(isinstance(each, float | int) for each in size):
        size_um: tuple[float, ...] | None = tuple(map(float, size))
    else:
        size_um = image.pixel_size_um if image else None
    if not isinstance(interval, float | int):
        interval = image.frame_interval_s if image else None
    named = told.get("axes") or axes or (image.label_axes if image else None)
    names = fitting_axes(named, array.ndim)
    return ImageFile(
        path,
        array,
        names,
        size_um,
        interval if "T" in names else None,
        notes=notes if isinstance(notes, dict) else None,
        types=types or {},
        remarks=tuple(remarks),
    )
