"""Regions drawn in a Shapes layer mark the right pixels of the labels."""

import numpy as np
from napari.layers import Labels, Shapes

from napari_unet.viewer.drawn_regions import drawn_regions, region_mask

WHOLE = slice(None)


def test_a_rectangle_marks_its_pixels() -> None:
    labels = Labels(np.zeros((6, 8), int))
    shapes = Shapes([np.array([[1, 2], [1, 4], [3, 4], [3, 2]])], shape_type="rectangle")

    mask = region_mask(drawn_regions(shapes, labels), (WHOLE, WHOLE), (6, 8))

    expected = np.zeros((6, 8), bool)
    expected[1:4, 2:5] = True
    assert np.array_equal(mask, expected)


def test_layers_of_other_scales_meet_in_the_world() -> None:
    labels = Labels(np.zeros((6, 8), int), scale=(0.5, 0.5), translate=(10, 20))
    shapes = Shapes(
        [np.array([[10.5, 21], [10.5, 22], [11.5, 22], [11.5, 21]])], shape_type="polygon"
    )

    mask = region_mask(drawn_regions(shapes, labels), (WHOLE, WHOLE), (6, 8))

    expected = np.zeros((6, 8), bool)
    expected[1:4, 2:5] = True
    assert np.array_equal(mask, expected)


def test_an_ellipse_has_no_corners_and_a_line_encloses_nothing() -> None:
    labels = Labels(np.zeros((21, 21), int))
    box = np.array([[0, 0], [0, 20], [20, 20], [20, 0]])
    shapes = Shapes([box], shape_type="ellipse")
    shapes.add(np.array([[0, 0], [20, 20]]), shape_type="line")

    mask = region_mask(drawn_regions(shapes, labels), (WHOLE, WHOLE), (21, 21))

    assert mask[10, 0]
    assert mask[0, 10]
    assert not mask[0, 0]
    assert abs(int(mask.sum()) - np.pi * 10.5**2) < 25


def test_a_region_of_a_stack_counts_in_its_slice_and_a_flat_one_in_all() -> None:
    labels = Labels(np.zeros((3, 6, 8), int))
    square = np.array([[1, 1], [1, 3], [3, 3], [3, 1]])
    in_slice = Shapes([np.insert(square, 0, 2, axis=1)], shape_type="polygon")
    flat = Shapes([square], shape_type="polygon")

    for layer, expected in ((in_slice, [False, False, True]), (flat, [True, True, True])):
        regions = drawn_regions(layer, labels)
        found = [region_mask(regions, (z, WHOLE, WHOLE), (3, 6, 8)).any() for z in range(3)]
        assert found == expected
        volume = region_mask(regions, (WHOLE, WHOLE, WHOLE), (3, 6, 8))
        assert volume.any(axis=(1, 2)).tolist() == expected
