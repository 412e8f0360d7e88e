"""Pieces of label images, and what is put right in them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from napari_unet.engine.labels.components import NOBODY, OPEN, label_pieces
from napari_unet.engine.labels.repair import (
    holes_filled,
    label_faults,
    pieces_numbered,
    specks_removed,
)

small_labels = arrays(
    np.int16, array_shapes(min_dims=2, max_dims=3, max_side=7), elements=st.integers(-1, 3)
)


def test_pieces_are_those_worked_out_by_hand():
    labels = np.array(
        [
            [4, 4, 4, 0, 2],
            [4, 0, 4, 0, 0],
            [4, 4, 4, 2, 2],
        ]
    )
    pieces = label_pieces(labels)
    assert pieces.numbers.tolist() == [4, 0, 2, 0, 2]
    assert pieces.sizes.tolist() == [8, 3, 1, 1, 2]
    assert pieces.starts.tolist() == [[0, 0], [0, 3], [0, 4], [1, 1], [2, 3]]
    assert pieces.stops.tolist() == [[3, 3], [2, 5], [1, 5], [2, 2], [3, 5]]
    assert pieces.owners.tolist() == [OPEN, OPEN, OPEN, 0, OPEN]
    assert pieces.touches.tolist() == [True, False, False, False, True]
    assert pieces.box(pieces.numbers == 2) == (slice(0, 3), slice(3, 5))
    assert pieces.box(pieces.numbers == 9) is None


def test_a_cell_is_connected_by_corners_and_background_is_not():
    labels = np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1]])
    assert label_pieces(labels).numbers.tolist() == [1, 0, 0, 0, 0]


def test_background_between_two_cells_or_beside_an_ignored_pixel_is_no_hole():
    between = np.array([[1, 1, 2], [1, 0, 2], [1, 1, 2]])
    assert label_pieces(between).owners.tolist() == [OPEN, OPEN, OPEN]
    beside = np.array([[1, 1, 1], [1, 0, -1], [1, 1, 1]])
    assert label_pieces(beside).owners.max() == OPEN


def test_a_hole_of_a_volume_is_closed_in_all_three_axes():
    labels = np.ones((3, 3, 3), int)
    labels[1, 1, 1] = 0
    assert label_pieces(labels).owners.tolist() == [OPEN, 0]
    labels[0, 1, 1] = 0
    assert label_pieces(labels).owners.max() == OPEN


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (2, 0, 3), (1, 1)])
def test_an_empty_image_has_no_pieces_and_one_pixel_is_one(shape):
    pieces = label_pieces(np.zeros(shape, int))
    assert pieces.numbers.size == np.prod(shape)
    assert pieces.count_in(np.ones(shape, bool)).tolist() == [1] * int(np.prod(shape))
    assert NOBODY not in pieces.owners


@given(small_labels)
def test_pieces_are_those_that_scipy_finds_number_by_number(labels):
    pieces = label_pieces(labels)
    expected = []
    for number in np.unique(labels):
        joined = 1 if number == 0 else labels.ndim
        shape = ndimage.generate_binary_structure(labels.ndim, joined)
        found, count = ndimage.label(labels == number, shape)
        expected += [
            (number, *[(part.start, part.stop) for part in box])
            for box in ndimage.find_objects(found, count)
        ]
    boxes = np.stack([pieces.starts, pieces.stops], axis=-1)
    seen = [
        (number, *map(tuple, box))
        for number, box in zip(pieces.numbers.tolist(), boxes.tolist(), strict=True)
    ]
    assert sorted(seen) == sorted(expected)
    assert np.array_equal(pieces.painted(pieces.numbers), labels)
    assert pieces.sizes.sum() == labels.size


@given(small_labels, st.data())
def test_pixels_in_a_mask_are_counted_for_each_piece(labels, data):
    mask = data.draw(arrays(bool, labels.shape))
    pieces = label_pieces(labels)
    places = pieces.painted(np.arange(pieces.numbers.size))
    expected = np.bincount(places[mask], minlength=pieces.numbers.size)
    assert pieces.count_in(mask).tolist() == expected.tolist()


def test_the_largest_piece_keeps_the_number_and_the_others_get_new_ones():
    labels = np.array([[5, 0, 5, 5, 0, 5, 0, 7, 7]])
    assert pieces_numbered(labels, [5]).tolist() == [[8, 0, 5, 5, 0, 9, 0, 7, 7]]


def test_new_numbers_are_unused_ones_where_the_dtype_ends_and_it_widens_where_it_is_full():
    mask = np.array([[255, 0, 255, 255, 0, 255]], np.uint8)
    numbered = pieces_numbered(mask, [255])
    assert numbered.dtype == np.uint8
    assert numbered.tolist() == [[1, 0, 255, 255, 0, 2]]
    full = np.tile(np.array([9, 0, 0], np.uint8), (300, 1))
    full[::2] = 0
    full[1] = 255
    full = np.concatenate([full, np.tile(np.array([[255], [0]], np.uint8), (150, 3))])
    wide = pieces_numbered(full, [9, 255])
    assert wide.dtype == np.uint16
    assert len(np.unique(wide)) == 1 + 150 + 150


def test_a_mask_of_true_and_false_can_be_numbered():
    mask = np.array([[True, False, True]])
    assert pieces_numbered(mask, [1]).tolist() == [[1, 0, 2]]


def test_only_the_holes_and_specks_of_the_cells_asked_for_are_changed():
    ring = np.ones((3, 3), int)
    ring[1, 1] = 0
    row = np.hstack([ring, np.zeros((3, 1), int), 2 * ring])
    filled = holes_filled(row, [2])
    assert filled[1].tolist() == [1, 0, 1, 0, 2, 2, 2]
    assert np.array_equal(filled[::2], row[::2])
    labels = np.zeros((9, 12), int)
    labels[:, :9], labels[2, 10], labels[6, 10] = 1, 1, 3
    assert np.argwhere(specks_removed(labels, [1])[:, 9:]).tolist() == [[6, 1]]


@given(small_labels)
def test_after_a_repair_its_fault_is_gone_and_all_else_is_as_before(labels):
    ids = sorted(set(labels[labels > 0].tolist()))
    before = label_faults(label_pieces(labels), ids)
    for faulty, repaired in (
        (before.strays, pieces_numbered(labels, ids)),
        (before.specks, specks_removed(labels, ids)),
        (before.holes, holes_filled(labels, ids)),
    ):
        changed = label_pieces(labels).painted(faulty)
        assert np.array_equal(repaired[~changed], labels[~changed])
        assert (repaired[changed] != labels[changed]).all()
        assert repaired.dtype == labels.dtype
    assert not label_faults(label_pieces(pieces_numbered(labels, ids))).strays.any()
    assert not label_faults(label_pieces(holes_filled(labels, ids))).holes.any()
