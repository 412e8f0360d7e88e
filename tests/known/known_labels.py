"""Cells whose number, places and errors are known."""

import numpy as np
from numpy.typing import NDArray


def grid(rows: int = 5, columns: int = 5) -> NDArray[np.int32]:
    """Squares of 6 pixels, 10 pixels apart."""
    labels = np.zeros((10 * rows, 10 * columns), np.int32)
    for number, (y, x) in enumerate(np.ndindex(rows, columns), start=1):
        labels[y * 10 + 1 : y * 10 + 7, x * 10 + 1 : x * 10 + 7] = number
    return labels


def with_errors(truth: NDArray[np.int32]) -> NDArray[np.int32]:
    """Of `grid`: cell 1 missed, 2 and 3 merged, 4 split, and a false one."""
    found = np.where(truth == 1, 0, truth)
    found[1:7, 11:27] = 2
    found[5:7, 31:37] = 100
    found[47:50, 47:50] = 101
    return found
