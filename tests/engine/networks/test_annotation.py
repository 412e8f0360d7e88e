"""Labels to classes, and the loss that weighs them."""

import numpy as np
import pytest
import torch

from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.networks.annotation import named_classes, training_target
from napari_unet.engine.training.learner import weighted_cross_entropy

TWO = ("background", "cell")
THREE = ("background", "cell", "border")


def test_two_classes_have_background_between_touching_cells():
    labels = np.array([[0, 5, 5, 9, 9, 0]])
    assert training_target(labels, TWO).tolist() == [[0, 1, 1, 0, 1, 0]]


def test_border_is_the_rim_of_each_cell():
    labels = np.zeros((7, 7), int)
    labels[1:6, 1:6] = 4
    expected = np.zeros((7, 7), int)
    expected[1:6, 1:6] = 2
    expected[2:5, 2:5] = 1
    assert np.array_equal(training_target(labels, THREE, border_width_px=1), expected)


def test_gap_between_touching_cells_is_border():
    labels = np.zeros((5, 12), int)
    labels[:, :6], labels[:, 6:] = 1, 2
    target = training_target(labels, THREE, border_width_px=1)
    # Only the carved pixel and one rim pixel on each side; the image's edge is no border.
    assert target[2].tolist() == [1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1]


@pytest.mark.parametrize("numbers", [(1, 2), (2, 1)])
def test_even_border_lies_on_both_sides_of_where_cells_touch(numbers):
    labels = np.zeros((5, 12), int)
    labels[:, :6], labels[:, 6:] = numbers
    target = training_target(labels, THREE, border_kind="even")
    assert target[2].tolist() == [1, 1, 1, 1, 2, 2, 2, 2, 1, 1, 1, 1]


def test_even_border_of_a_cell_alone_is_its_rim():
    labels = np.zeros((9, 12), int)
    labels[1:7, 2:11] = 4
    expected = training_target(labels, THREE)
    assert np.array_equal(training_target(labels, THREE, border_kind="even"), expected)


def test_small_cell_keeps_an_inside():
    labels = np.zeros((5, 5), int)
    labels[1:4, 1:4] = 1
    target = training_target(labels, THREE, border_width_px=10)
    assert target[2, 2] == 1
    assert (target[1:4, 1:4] > 0).all()


def test_large_cell_numbers_cost_nothing():
    labels = np.zeros((7, 7), np.int64)
    labels[1:6, 1:6] = 2**31 - 5
    assert training_target(labels, THREE)[3, 3] == 1


def test_unknown_roles_are_refused():
    with pytest.raises(SettingsError, match="classes are membrane, inside; instances can train"):
        training_target(np.zeros((3, 3), int), ("membrane", "inside"))


def test_loss_is_the_weighted_sum_worked_out_by_hand():
    logits = torch.tensor([[[[0.0, 2.0]], [[0.0, 0.0]]]])  # (1, 2, 1, 2)
    target = torch.tensor([[[0, 1]]])
    first, second = np.log(2), np.log(1 + np.exp(2.0))
    weights = torch.tensor([[[1.0, 3.0]]])
    found = weighted_cross_entropy(logits, target, weights)
    assert found.tolist() == [pytest.approx(first + 3 * second)]


def test_pixels_of_weight_zero_teach_nothing():
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    weights = torch.zeros(1, 4, 4)
    weights[0, 0, 0] = 2
    weighted_cross_entropy(logits, torch.zeros(1, 4, 4, dtype=torch.long), weights).sum().backward()
    assert logits.grad[..., 0, 0].abs().sum() > 0
    logits.grad[..., 0, 0] = 0
    assert not logits.grad.any()


def test_batch_without_any_weight_has_no_loss():
    logits = torch.randn(1, 2, 3, 3)
    target = torch.zeros(1, 3, 3, dtype=torch.long)
    assert float(weighted_cross_entropy(logits, target, torch.zeros(1, 3, 3))) == 0


def test_classes_without_a_name_are_numbered():
    assert named_classes((), 3) == ("class 1", "class 2", "class 3")
    assert named_classes(("gland", " ", "fat"), 2) == ("gland", "class 2", "fat")


@pytest.mark.parametrize(
    ("names", "count", "told"),
    [
        (("gland", "cell"), 2, "'cell' cannot be the name of a class"),
        (("gland", "gland"), 2, "Two classes are called 'gland'"),
        (("class 2",), 2, "Two classes are called 'class 2'"),
        ((), 256, "hold the number 256, and a network learns 255 classes at most"),
    ],
)
def test_names_that_make_no_classes_are_refused(names, count, told):
    with pytest.raises(SettingsError, match=told):
        named_classes(names, count)
