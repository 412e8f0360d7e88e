"""Boxes, each held against the pixels that it stands for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.engine.base import regions

SHAPE = (7, 9)


@st.composite
def boxes(draw):
    ends = [sorted(draw(st.tuples(*[st.integers(0, n)] * 2))) for n in SHAPE]
    return tuple(slice(*each) for each in ends)


def pixels_of(box):
    mask = np.zeros(SHAPE, bool)
    mask[box] = True
    return mask


@given(boxes(), boxes())
def test_what_two_boxes_share_are_the_pixels_of_both(one, other):
    shared = regions.shared(one, other)
    assert np.array_equal(pixels_of(shared), pixels_of(one) & pixels_of(other))
    assert min(regions.sizes(shared)) >= 0


@given(boxes(), boxes())
def test_a_box_counted_from_another_finds_the_same_pixels_in_it(one, other):
    image = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    shared = regions.shared(one, other)
    assert np.array_equal(image[other][regions.within(shared, other)], image[shared])


@given(boxes(), st.sets(st.sampled_from([-2, -1])))
def test_a_mirrored_box_holds_the_mirrored_pixels(box, axes):
    mirrored = regions.mirrored(box, axes, SHAPE)
    assert np.array_equal(pixels_of(mirrored), np.flip(pixels_of(box), tuple(axes)))


@given(boxes())
def test_the_box_around_what_is_true_is_the_smallest(box):
    found = regions.around_true(pixels_of(box))
    assert found == (None if 0 in regions.sizes(box) else box)


def test_boxes_grow_align_and_are_clipped_within_the_image():
    box = (slice(1, 4), slice(5, 8))
    assert regions.grown(box, (2, 3), SHAPE) == (slice(0, 6), slice(2, 9))
    assert regions.aligned(box, (4, 4), SHAPE) == (slice(0, 4), slice(4, 8))
    assert regions.aligned(box, (6, 6), SHAPE) == (slice(0, 6), slice(0, 9))
    assert regions.clipped((slice(None), slice(-2, 20)), SHAPE) == (slice(0, 7), slice(7, 9))
    assert regions.clipped((slice(8, 9), slice(3, 1)), SHAPE) == (slice(7, 7), slice(3, 3))


def test_boxes_are_made_moved_and_put_together():
    assert regions.whole(SHAPE) == regions.region_of((0, 7, 0, 9))
    box = regions.shifted((slice(0, 2), slice(1, 3)), (3, 0))
    assert box == (slice(3, 5), slice(1, 3))
    assert regions.around([box, (slice(1, 2), slice(2, 9))]) == (slice(1, 5), slice(1, 9))


def test_boxes_of_another_number_of_axes_are_refused():
    with pytest.raises(ValueError, match="zip"):
        regions.shared((slice(0, 1),), regions.whole(SHAPE))
