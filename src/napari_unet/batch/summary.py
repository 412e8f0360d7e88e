"""The table of a batch: one row for each image, for a spreadsheet or a script."""

from __future__ import annotations

import csv
import io
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.batch.file_plan import PlannedFile, check_writable
from napari_unet.batch.images.entry import ImageEntry, ImageOutcome
from napari_unet.engine.base.errors import FileError, UNetError
from napari_unet.engine.images.image import LabelImage
from napari_unet.files.image_file import replacing
from napari_unet.files.images import read_labels

TABLE = "summary.csv"

_SECONDS_BETWEEN_WRITES = 2.0


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """What the table says of an image; its fields are the columns.

    Parameters
    ----------
    image : str
        The file, as it was named.
    series : str
        Number of the image in a file with several.
    output : str
        The label image, from the table's folder on.
    cells : int, optional
    median_area_px : float, optional
        Of the cells; of a volume the voxels.
    median_area_um2 : float, optional
        Where the pixel size is known; not of a volume.
    seconds : float, optional
        That it took; not known of images that were done before.
    mean_doubt : float, optional
        Of the cells, 0 to 1; where there are scores.
    warnings, error : str
        Sentences.
    """

    image: str
    series: str
    output: str
    cells: int | None = None
    median_area_px: float | None = None
    median_area_um2: float | None = None
    seconds: float | None = None
    mean_doubt: float | None = None
    warnings: str = ""
    error: str = ""


COLUMNS = tuple(field.name for field in fields(SummaryRow))


def measured(
    labels: LabelImage, pixel_size_um: Sequence[float] | None, *, ndim: int
) -> dict[str, Any]:
    """Count cells and measure them, as fields of `SummaryRow`.

    Parameters
    ----------
    labels : integer array
    pixel_size_um : sequence of float, optional
        The last two are along Y and X.
    ndim : int
        Axes of a cell: 2, or 3 in a volume.
    """
    sizes: NDArray[np.int64] = np.unique(labels[labels > 0], return_counts=True)[1]
    values: dict[str, Any] = {"cells": int(sizes.size)}
    if sizes.size:
        median = float(np.median(sizes))
        values["median_area_px"] = median
        if pixel_size_um is not None and ndim == 2:
            area = median * float(pixel_size_um[-1]) * float(pixel_size_um[-2])
            values["median_area_um2"] = float(f"{area:.6g}")
    return values


def counted(entry: ImageEntry, *, ndim: int) -> ImageEntry:
    """Take in labels that were there before: as an image that is done, or failed if unreadable."""
    try:
        labels = read_labels(entry.output)
    except UNetError as error:
        return replace(entry, state="failed", error=str(error))
    outcome = ImageOutcome(**measured(labels.array, labels.pixel_size_um, ndim=ndim))
    return replace(entry, state="done", outcome=outcome)


class Summary:
    """The rows of a batch in a CSV file; rows of earlier ones stay, but for images done again.

    Parameters
    ----------
    path : Path
    plan : sequence of PlannedFile
        Whose rows come in this order, after those of other images.
    in_words : callable
        Writes a sentence as its readers know it.

    Raises
    ------
    FileError
        If the file cannot be written, or is something else.
    """

    def __init__(
        self, path: Path, plan: Sequence[PlannedFile], *, in_words: Callable[[str], str] = str
    ) -> None:
        self._path, self._in_words = path, in_words
        self._rows: dict[str, dict[str, Any]] = {}
        self._order = {self._name(planned): number for number, planned in enumerate(plan)}
        self._written = 0.0
        check_writable(path.parent)
        if path.exists():
            self._read()

    def has(self, entry: ImageEntry) -> bool:
        """Whether there is a row with the cells of an image."""
        return bool(self._rows.get(self._name(entry.planned), {}).get("cells"))

    def add(self, entry: ImageEntry) -> None:
        """Take in an image that is done or has failed."""
        planned, outcome = entry.planned, entry.outcome
        series = "" if planned.series is None else str(planned.series)
        names = ("cells", "median_area_px", "median_area_um2", "seconds", "mean_doubt")
        row = SummaryRow(
            str(planned.source),
            series,
            self._name(planned),
            **{name: getattr(outcome, name) for name in names},
            warnings=self._in_words(" ".join(outcome.warnings)),
            error=self._in_words(entry.error),
        )
        self._rows[row.output] = asdict(row)

    @property
    def is_due(self) -> bool:
        """Whether it was not written for some seconds."""
        return time.monotonic() - self._written > _SECONDS_BETWEEN_WRITES

    def write(self) -> None:
        """Write all rows.

        Raises
        ------
        FileError
            If the file cannot be written.
        """
        text = io.StringIO(newline="")
        table = csv.DictWriter(text, COLUMNS, restval="")
        table.writeheader()
        table.writerows(sorted(self._rows.values(), key=self._place))
        self._written = time.monotonic()
        with replacing(self._path, overwrite=True) as stream:
            stream.write(text.getvalue().encode("utf-8", "surrogateescape"))

    def _name(self, planned: PlannedFile) -> str:
        try:
            return Path(os.path.relpath(planned.output, self._path.parent)).as_posix()
        except ValueError:  # another drive of Windows
            return planned.output.resolve().as_posix()

    def _place(self, row: Mapping[str, Any]) -> int:
        return self._order.get(row["output"], -1)

    def _read(self) -> None:
        try:
            text = self._path.read_text("utf-8", "surrogateescape")
        except OSError as error:
            raise FileError(f"Cannot read the table '{self._path}' ({error}).") from error
        table = csv.DictReader(io.StringIO(text, newline=""))
        names = set(table.fieldnames or ())
        # Earlier versions had fewer columns.
        if not {"image", "output"} <= names or not names <= set(COLUMNS):
            raise FileError(
                f"'{self._path}' is no summary of a batch; take it away, or name another file for "
                "the table."
            )
        self._rows = {row["output"]: dict(row) for row in table}
