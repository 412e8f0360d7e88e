"""A cell has the type with the highest mean score in it; how many types are right."""

import numpy as np
import pytest

from napari_unet import evaluate_types
from napari_unet.engine.base.errors import ImageShapeError
from napari_unet.engine.labels.cell_types import cell_types, joined_types

ROLES = ("background", "cell: a", "cell: b")
LABELS = np.array([[7, 7, 0, 300]])
SCORES = np.array([[[0.2, 0.2, 1, 0.5]], [[0.6, 0.2, 0, 0.1]], [[0.2, 0.6, 0, 0.4]]], np.float32)
SCORES[1, 0, 1] = 0.3
SCORES[2, 0, 1] = 0.5


def test_the_type_is_that_of_the_highest_mean_score_with_its_share():
    types = cell_types(SCORES, ROLES, LABELS)

    assert types is not None
    assert types.by_label == {7: "a", 300: "b"}
    # (0.6 + 0.3) / (0.8 + 0.8) and 0.4 / 0.5
    np.testing.assert_allclose(types.probabilities, [0.5625, 0.8], rtol=1e-5)
    assert types.counts == {"a": 1, "b": 1}


def test_a_cell_where_no_type_has_a_score_is_equally_any():
    types = cell_types(np.array([[[1.0]], [[0.0]], [[0.0]]]), ROLES, np.array([[1]]))
    assert types is not None
    np.testing.assert_allclose(types.shares, [[0.5, 0.5]])


def test_an_image_without_cells_has_no_types():
    types = cell_types(SCORES, ROLES, np.zeros_like(LABELS))
    assert types is not None
    assert (types.types, types.probabilities.size) == ((), 0)


def test_classes_without_types_tell_none():
    assert cell_types(SCORES[:2], ("background", "cell"), LABELS) is None
    assert joined_types([]) is None


def test_cells_of_several_planes_are_joined_in_the_order_of_their_numbers():
    later = cell_types(SCORES, ROLES, LABELS)
    earlier = cell_types(SCORES, ROLES, np.array([[0, 0, 0, 2]]))
    assert later is not None
    assert earlier is not None
    joined = joined_types([later, earlier])
    assert joined is not None
    assert joined.by_label == {2: "b", 7: "a", 300: "b"}


def test_types_are_compared_where_cells_match_and_rare_ones_count_as_much():
    truth = np.array([[1, 1, 0, 2, 2, 0, 3, 3, 0, 4, 4]])
    found = np.array([[9, 9, 0, 8, 8, 0, 7, 7, 0, 0, 0]])

    result = evaluate_types(
        truth, {1: "a", 2: "a", 3: "b", 4: "b"}, found, {9: "a", 8: "a", 7: "a"}
    )

    assert result.counts == {("a", "a"): 2, ("b", "a"): 1}
    assert result.matched == 3
    assert result.share_right == pytest.approx(2 / 3)
    assert result.mean_share_right == 0.5


def test_as_many_tables_as_images_are_asked_for():
    with pytest.raises(ImageShapeError, match="1 true and 1 predicted label images, with 2 and 1"):
        evaluate_types([LABELS], [{}, {}], [LABELS], [{}])
