"""The columns of the table of errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.files.report.verdicts import VERDICT_WORDS

if TYPE_CHECKING:
    from napari_unet.engine.labels.truth.cell_errors import CellError

_DIGITS = 3


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
