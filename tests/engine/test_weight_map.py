"""The boundary weight map against hand-made values and the brute-force definition."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy.ndimage import distance_transform_edt

from napari_unet.engine.errors import ImageShapeError, LabelsError, SettingsError
from napari_unet.engine.weight_map import boundary_weight_map, separate_touching_cells


def border_term_by_definition(labels, w0, sigma, spacing):
    """The paper's Eq. 2, one distance transform per cell."""
    cells = [value for value in np.unique(labels) if value != 0]
    if len(cells) < 2:
        return np.zeros(labels.shape)
    distances = np.sort(
        [distance_transform_edt(labels != cell, sampling=spacing) for cell in cells], axis=0
    )
    term = w0 * np.exp(-((distances[0] + distances[1]) ** 2) / (2 * sigma**2))
    return np.where(labels == 0, term, 0)


def test_one_pixel_gap_weighs_w0_at_distance_one_from_both():
    weights = boundary_weight_map(np.array([[1, 1, 0, 2, 2]]), class_balance=False)
    assert np.allclose(weights, [[1, 1, 1 + 10 * math.exp(-4 / 50), 1, 1]])


def test_narrower_gap_weighs_more():
    labels = np.zeros((3, 40), int)
    labels[:, :5], labels[:, 7:12], labels[:, 20:25] = 1, 2, 3
    weights = boundary_weight_map(labels, class_balance=False)
    assert weights[1, 5] > weights[1, 15] > 1


def test_gap_between_touching_cells_weighs_most():
    labels = np.array([[0, 1, 1, 1, 2, 2, 2, 0, 0, 3]])
    weights = boundary_weight_map(labels, class_balance=False)
    assert weights.argmax() == 4  # the pixel the second cell gave
    assert weights[0, 4] == pytest.approx(1 + 10 * math.exp(-4 / 50))


def test_touching_cells_left_together_have_no_gap_to_weigh():
    labels = np.array([[1, 1, 2, 2]])
    together = boundary_weight_map(labels, class_balance=False, separate_touching=False)
    assert np.array_equal(together, np.ones((1, 4)))


def test_carved_gap_is_one_pixel_and_uncrossable():
    labels = np.array(
        [
            [1, 1, 2, 2],
            [1, 1, 2, 2],
            [3, 3, 4, 4],
        ]
    )
    expected = np.array(
        [
            [1, 1, 0, 2],
            [1, 1, 0, 2],
            [0, 0, 0, 0],
        ]
    )
    assert np.array_equal(separate_touching_cells(labels), expected)
    assert labels[0, 2] == 2  # the labels given are not changed


def test_class_balance_gives_both_classes_the_same_total():
    labels = np.zeros((10, 10), int)
    labels[:2, :5] = 1
    weights = boundary_weight_map(labels)
    assert weights[labels > 0].sum() == pytest.approx(50)
    assert weights[labels == 0].sum() == pytest.approx(50)


@pytest.mark.parametrize(
    "labels",
    [
        np.zeros((5, 5), int),
        np.ones((5, 5), int),
        np.pad(np.ones((2, 2), int), 3),
        np.zeros((0, 4), int),
        np.zeros((1, 1), np.uint8),
    ],
)
def test_fewer_than_two_cells_have_no_border_term(labels):
    weights = boundary_weight_map(labels, class_balance=False)
    assert weights.dtype == np.float32
    assert np.array_equal(weights, np.ones(labels.shape))


SHAPES = st.one_of(
    npst.array_shapes(min_dims=2, max_dims=2, max_side=24),
    npst.array_shapes(min_dims=3, max_dims=3, max_side=9),
)


@settings(deadline=None, max_examples=150)
@given(
    labels=SHAPES.flatmap(
        lambda shape: npst.arrays(
            np.int64, shape, elements=st.sampled_from([0, 0, 0, 0, 0, 1, 2, 70_000, 2**40])
        )
    ),
    steps=st.lists(st.floats(0.3, 4), min_size=3, max_size=3),
    w0=st.floats(0.1, 10),
    sigma=st.floats(0.5, 8),
    separate=st.booleans(),
)
def test_map_equals_its_definition(labels, steps, w0, sigma, separate):
    spacing = steps[: labels.ndim]
    weights = boundary_weight_map(
        labels,
        w0=w0,
        border_sigma_px=sigma,
        spacing=spacing,
        class_balance=False,
        separate_touching=separate,
    )
    cells = separate_touching_cells(labels) if separate else labels
    expected = 1 + border_term_by_definition(cells, w0, sigma, spacing)
    assert np.abs(weights - expected).max() <= 2e-6


@pytest.mark.parametrize("count", [2, 12, 150])
def test_distances_beyond_the_reach_change_nothing(count):
    rng = np.random.default_rng(count)
    labels = np.zeros((150, 170), np.uint16)
    for cell in range(1, count + 1):
        y, x = rng.integers(0, 150), rng.integers(0, 170)
        labels[y : y + rng.integers(1, 9), x : x + rng.integers(1, 9)] = cell
    expected = border_term_by_definition(separate_touching_cells(labels), 10, 5, None)
    weights = boundary_weight_map(labels, class_balance=False)
    assert np.abs(weights - 1 - expected).max() <= 2e-6


def test_disconnected_pieces_of_one_cell_are_one_cell():
    labels = np.array([[1, 0, 0, 1, 0, 2]])
    weights = boundary_weight_map(labels, class_balance=False)
    assert weights[0, 1] == pytest.approx(1 + 10 * math.exp(-((1 + 4) ** 2) / 50))


@pytest.mark.parametrize(
    ("labels", "options", "error", "message"),
    [
        (np.zeros((2, 2, 2, 2), int), {}, ImageShapeError, r"give \(H, W\) or \(Z, H, W\)"),
        (np.zeros((4, 4)), {}, LabelsError, "dtype float64; give integers"),
        (np.full((4, 4), -1), {}, LabelsError, "negative values"),
        (np.zeros((4, 4), int), {"w0": 0}, SettingsError, "w0 is 0; use a positive"),
        (np.zeros((4, 4), int), {"border_sigma_px": -1}, SettingsError, "use a positive distance"),
        (np.zeros((4, 4), int), {"spacing": (1, 2, 3)}, SettingsError, "each of the 2 axes"),
    ],
)
def test_bad_input_is_answered_with_one_sentence(labels, options, error, message):
    with pytest.raises(error, match=message):
        boundary_weight_map(labels, **options)
