"""Outlines along the edges of pixels, and the pixels within outlines."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_unet.files.label_formats.outlines import outlines
from napari_unet.files.label_formats.polygons import Outline, extent, painted, pixels_inside

LABELS = arrays(
    np.int64, st.tuples(st.integers(1, 7), st.integers(1, 7)), elements=st.integers(0, 3)
)


def rings_of(labels: np.ndarray) -> list[list[list[tuple[int, int]]]]:
    (cell,) = outlines(labels)
    return [[list(map(tuple, ring.tolist())) for ring in polygon] for polygon in cell.polygons]


def area(ring: np.ndarray) -> float:
    (x, y), (following_x, following_y) = ring.T, np.roll(ring, -1, axis=0).T
    return float((x * following_y - following_x * y).sum()) / 2


def test_one_pixel_is_the_square_around_it() -> None:
    labels = np.zeros((3, 4), int)
    labels[1, 2] = 9

    assert rings_of(labels) == [[[(2, 1), (3, 1), (3, 2), (2, 2)]]]
    assert [cell.number for cell in outlines(labels)] == [9]


def test_a_hole_is_a_ring_the_other_way_round() -> None:
    labels = np.ones((3, 3), int)
    labels[1, 1] = 0

    ((outline, hole),) = rings_of(labels)

    assert outline == [(0, 0), (3, 0), (3, 3), (0, 3)]
    assert sorted(hole) == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert (area(np.array(outline)), area(np.array(hole))) == (9, -1)


def test_parts_that_meet_at_a_corner_are_two_polygons_and_a_hole_at_a_corner_stays_a_hole() -> None:
    assert len(rings_of(np.eye(2, dtype=int))) == 2

    ring = np.ones((3, 3), int)
    ring[1, 1] = ring[2, 2] = 0  # the hole and the outside meet at a corner
    ((outline, hole),) = rings_of(ring)
    assert (len(set(outline)), len(outline), len(hole)) == (6, 6, 4)


@settings(max_examples=150, deadline=None)
@given(LABELS)
def test_the_pixels_within_the_outlines_are_the_labels_again(labels: np.ndarray) -> None:
    cells = list(outlines(labels))

    again, numbers, remarks = painted(cells, labels.shape)

    np.testing.assert_array_equal(again, labels)
    assert numbers == sorted(set(np.unique(labels).tolist()) - {0})
    assert remarks == []


@settings(max_examples=100, deadline=None)
@given(LABELS)
def test_no_outline_touches_itself_and_its_area_is_the_count_of_its_pixels(
    labels: np.ndarray,
) -> None:
    for cell in outlines(labels):
        rings = [ring for polygon in cell.polygons for ring in polygon]
        assert all(len({*map(tuple, ring.tolist())}) == len(ring) for ring in rings)
        assert sum(map(area, rings)) == (labels == cell.number).sum()
        assert all(
            area(first) > 0 > max([-1, *map(area, holes)]) for first, *holes in cell.polygons
        )


def test_each_plane_of_a_stack_has_its_own_outlines() -> None:
    labels = np.zeros((2, 2, 3, 4), int)
    labels[1, 0, 1, 1] = labels[0, 1, 2, 2] = 5

    cells = list(outlines(labels))

    assert [(cell.number, cell.plane) for cell in cells] == [(5, (0, 1)), (5, (1, 0))]
    np.testing.assert_array_equal(painted(cells, labels.shape)[0], labels)
    assert list(outlines(np.zeros((2, 3, 4), int))) == []


CORNERS = st.lists(
    st.tuples(st.floats(-3, 9, width=16), st.floats(-3, 9, width=16)), min_size=3, max_size=7
)


@settings(max_examples=150, deadline=None)
@given(CORNERS)
def test_pixels_are_inside_by_the_even_odd_rule_at_their_centres(
    corners: list[tuple[float, float]],
) -> None:
    region, inside = pixels_inside([np.array(corners)], (5, 6))
    found = np.zeros((5, 6), bool)
    found[region] = inside

    for row, column in np.ndindex(5, 6):
        assert found[row, column] == _crosses_an_odd_number(corners, column + 0.5, row + 0.5)


def _crosses_an_odd_number(corners: list[tuple[float, float]], x: float, y: float) -> bool:
    """The slow way: how many edges a ray to the left crosses, with its end."""
    odd = False
    for begin, end in zip(corners, [*corners[1:], corners[0]], strict=True):
        (x0, y0), (x1, y1) = sorted([begin, end], key=lambda corner: corner[1])
        if y0 <= y < y1:
            odd ^= x0 + (y - y0) * (x1 - x0) / (y1 - y0) <= x
    return odd


def test_a_slanted_border_that_two_cells_share_leaves_no_gap_and_no_overlap() -> None:
    left = np.array([(0, 0), (3.3, 0), (6.1, 8), (0, 8)])
    right = np.array([(6.1, 8), (3.3, 0), (9, 0), (9, 8)])

    labels, _, remarks = painted(
        [Outline(None, (), [[left]]), Outline(None, (), [[right]])], (8, 9)
    )

    assert set(np.unique(labels)) == {1, 2}
    assert remarks == []


def test_what_is_lost_is_said_and_the_smaller_cell_lies_on_top() -> None:
    large = np.array([(0, 0), (6, 0), (6, 6), (0, 6)])
    small = np.array([(1, 1), (3, 1), (3, 3), (1, 3)])
    tiny = np.array([(4.1, 4.1), (4.2, 4.1), (4.2, 4.2)])
    cells = [
        Outline(7, (), [[small]]),
        Outline(None, (), [[large]]),
        Outline(None, (), [[tiny]]),
    ]

    labels, numbers, remarks = painted(cells, (5, 5))

    assert numbers == [7, 8, 9]
    assert (labels == 7).sum() == 4
    assert (labels == 8).sum() == 21
    assert remarks == [
        "1 of 3 cells overlap others; where they do, a pixel is of the smaller cell.",
        "1 of 3 cells are left out, because no pixel has its centre in them.",
        "1 of 3 cells reach beyond the image, and are cut there.",
    ]
    assert extent(cells) == (6, 6)


@pytest.mark.parametrize("plane", [None, (1,)])
def test_a_cell_of_every_plane_is_painted_in_all(plane: tuple[int, ...] | None) -> None:
    square = np.array([(0, 0), (2, 0), (2, 2), (0, 2)])

    labels, _, _ = painted([Outline(3, plane, [[square]])], (2, 2, 2))

    assert (labels == 3).all(axis=(1, 2)).tolist() == [plane is None, True]
