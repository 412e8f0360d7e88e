"""Points within what was drawn around them."""

import numpy as np
from skimage.measure import points_in_poly

from napari_unet.widgets.shared.plots.lasso import within_corners


def test_points_within_a_loop_are_those_of_skimage() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.random((2, 500))
    for corners in (
        [(0.1, 0.2), (0.9, 0.2), (0.9, 0.7), (0.1, 0.7)],
        [(0.5, 0.1), (0.9, 0.9), (0.5, 0.4), (0.1, 0.9)],
        [(a, b) for a, b in rng.random((9, 2)).tolist()],  # crosses itself
    ):
        wanted = points_in_poly(np.column_stack([x, y]), corners)
        assert np.array_equal(within_corners(x, y, corners), wanted)
        assert 0 < wanted.sum() < 500


def test_what_has_no_place_lies_outside() -> None:
    x, y = np.array([0.5, np.nan, 0.5]), np.array([0.5, 0.5, np.nan])
    assert within_corners(x, y, [(0, 0), (1, 0), (1, 1), (0, 1)]).tolist() == [True, False, False]
    assert not within_corners(x, y, [(0, 0), (0, 0)]).any()
