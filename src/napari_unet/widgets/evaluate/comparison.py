"""Two labels layers compared, free of napari: the request, and what came out of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.files.report.verdicts import VERDICT_WORDS

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.engine.images.image import AnyImage, LabelImage
    from napari_unet.engine.labels.runs import LabelRuns
    from napari_unet.engine.labels.truth.cell_errors import CellError, CellErrors, VerdictShare

_SHOWN_FINDINGS = ("mask", "negative")
"""What of the look at labels is told: pieces that share a number may well be one cell's."""

_DIGITS = 3


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """What is to be compared."""

    truth: Any
    found: Any
    """`truth`, `found`: integer arrays of one shape, which may be lazy."""
    truth_name: str
    found_name: str
    right_iou: float
    by_slice: bool


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """What came out, with a copy of the labels as they were."""

    request: Request
    errors: CellErrors
    shares: tuple[VerdictShare, ...]
    columns: dict[str, NDArray[Any]]
    """Of the table of errors."""
    image: NDArray[np.uint8]
    """As `CellErrors.image`."""
    shown: NDArray[np.uint8]
    """The same with a gap between each two cells."""
    truth: LabelRuns
    found: LabelRuns
    notes: tuple[str, ...]
    """What may be wrong with the labels, in sentences."""
    state: tuple[Any, ...]
    """Tells whether a further request is for the same."""


def compare(request: Request, known: tuple[Any, ...] | None = None) -> Compared | None:
    """Compare, for a worker's thread.

    Parameters
    ----------
    known : tuple, optional
        `Compared.state` of what need not be compared again.

    Returns
    -------
    Compared or None
        None if nothing is other than what is known.

    Raises
    ------
    UNetError
        As `find_errors`.
    """
    from napari_unet.engine.labels.checksums import checksum
    from napari_unet.engine.labels.runs import LabelRuns
    from napari_unet.engine.labels.truth.cell_errors import find_errors, verdict_shares

    truth, found = (_native(array) for array in (request.truth, request.found))
    sums = tuple(checksum(array) if array.size else 0 for array in (truth, found))
    state = (*sums, request.right_iou, request.by_slice)
    if state == known:
        return None
    ndim = 2 if request.by_slice else truth.ndim
    errors = find_errors(truth, found, right_iou=request.right_iou, ndim=ndim)
    image = errors.image()
    return Compared(
        request,
        errors,
        verdict_shares(errors.counts),
        error_columns(errors.errors),
        image,
        _with_gaps(image, truth, found),
        LabelRuns.of(truth),
        LabelRuns.of(found),
        tuple(_notes(request, truth, found, ndim)),
        state,
    )


def write_page(path: Path, compared: Compared, image: tuple[str, AnyImage] | None) -> None:
    """Write the report of a comparison, for a worker's thread.

    Parameters
    ----------
    image : (name, array), optional
        What the pictures show below the outlines.
    """
    from napari_unet.files.report.page import write_report
    from napari_unet.files.report.pictures import Pixels
    from napari_unet.files.report.report import Report, ReportedImage

    request = compared.request
    settings = {} if image is None else {"image": image[0]}
    if request.by_slice:
        settings["stack"] = "each slice is an image of its own"
    report = Report(
        request.truth_name,
        request.found_name,
        [ReportedImage.of(request.found_name, compared.errors)],
        request.right_iou,
        compared.notes,
        settings,
    )

    def pixels(_at: int) -> Pixels:
        below = None if image is None else np.asarray(image[1])
        return Pixels(compared.truth.labels(), compared.found.labels(), compared.image, below)

    # The dialog has asked whether a file is to be replaced.
    write_report(path, report, pixels, overwrite=True)


def _with_gaps(image: NDArray[np.uint8], *labels: LabelImage) -> NDArray[np.uint8]:
    """Take the last pixel before another cell away, along Y and X, in the truth or the result."""
    gapped = image.copy()
    for cells in labels:
        for axis in (-1, -2):
            ahead, behind = np.moveaxis(cells, axis, 0)[:-1], np.moveaxis(cells, axis, 0)[1:]
            shown = np.moveaxis(gapped, axis, 0)[:-1]
            shown[(ahead != behind) & (ahead > 0) & (behind > 0)] = 0
    return gapped


def _native(array: Any) -> LabelImage:
    labels = np.asarray(array)
    native: LabelImage = labels.astype(labels.dtype.newbyteorder("="), copy=False)
    return native


def _notes(request: Request, truth: LabelImage, found: LabelImage, ndim: int) -> Iterator[str]:
    from napari_unet.engine.checks.preflight import label_findings

    for labels, name in ((truth, request.truth_name), (found, request.found_name)):
        parts = labels.reshape(-1, *labels.shape[-ndim:])
        # Of slices that are compared by themselves the one in the middle.
        for finding in label_findings(parts[len(parts) // 2], name=name):
            if finding.code in _SHOWN_FINDINGS:
                yield finding.text


def error_columns(errors: Sequence[CellError]) -> dict[str, NDArray[Any]]:
    """Number, kind, overlap, size and cells of each error; an empty table has no columns."""
    if not errors:
        return {}
    return {
        "error": np.arange(1, len(errors) + 1),
        "kind": np.array([VERDICT_WORDS[error.kind] for error in errors], object),
        "IoU": np.array([round(error.iou, _DIGITS) for error in errors]),
        "pixels": np.array([error.size_px for error in errors]),
        "true": np.array([_listed(error.true_ids) for error in errors], object),
        "found": np.array([_listed(error.found_ids) for error in errors], object),
    }


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
