"""The best pairing of rows and columns that may also stay alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching


def best_pairs(
    rows: NDArray[np.int64], columns: NDArray[np.int64], gains: NDArray[np.float64]
) -> NDArray[np.intp]:
    """Choose pairs so that none of their ends is in two, and the sum of gains is the largest.

    Parameters
    ----------
    rows, columns : (N,) int64 array
        The ends of each pair that is possible; each pair once.
    gains : (N,) float64 array
        From 0 to 1, what a pair is worth.

    Returns
    -------
    (M,) int array
        Which of the pairs are chosen, ascending.

    Notes
    -----
    A linear assignment in which each row has a column of its own for staying
    alone, which is worth nothing.
    """
    if not rows.size:
        return np.zeros(0, np.intp)
    first, row = np.unique(rows, return_inverse=True)
    second, column = np.unique(columns, return_inverse=True)
    own = np.arange(first.size)
    at = (np.concatenate([row, own]), np.concatenate([column, second.size + own]))
    # From 1, because a cost of 0 would be no entry.
    costs = np.concatenate([2.0 - gains, np.full(first.size, 2.0)])
    table = csr_array(coo_array((costs, at), (first.size, second.size + first.size)))
    chosen_rows, chosen_columns = min_weight_full_bipartite_matching(table)
    is_pair = chosen_columns < second.size
    wanted = chosen_rows[is_pair] * second.size + chosen_columns[is_pair]
    (chosen,) = np.nonzero(np.isin(row * second.size + column, wanted))
    return chosen
