"""Types of cells are classes of their own to learn, and one class wherever cells are found."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.networks.annotation import (
    labels_are_classes,
    named_classes,
    training_target,
)
from napari_unet.engine.networks.class_roles import (
    as_cells,
    some_cell,
    typed_roles,
    types_of,
)
from napari_unet.engine.training.learner import logits_as_cells, target_as_cells

PLAIN = ("background", "cell", "border")
ROLES = typed_roles(PLAIN, ("a", "b"))


def test_each_type_is_a_class_in_the_place_of_the_cells():
    assert ROLES == ("background", "cell: a", "cell: b", "border")
    assert types_of(ROLES) == ("a", "b")
    assert types_of(PLAIN) == ()
    assert not labels_are_classes(ROLES)


@pytest.mark.parametrize(
    ("types", "said"),
    [
        (("a",), "All cells with a type are 'a'"),
        (("a", "a "), "give each a name of its own"),
        (("a", ""), "give each a name of its own"),
        ([str(n) for n in range(101)], "The cells have 101 types"),
    ],
)
def test_what_is_no_choice_of_types_is_refused(types, said):
    with pytest.raises(SettingsError, match=said):
        typed_roles(PLAIN, types)


def test_a_scribbled_class_cannot_be_called_as_a_type_is():
    with pytest.raises(SettingsError, match="'cell: a' cannot be the name of a class"):
        named_classes(["cell: a"], 1)


def test_scores_of_types_add_up_to_that_of_a_cell():
    scores = np.array([[0.1], [0.2], [0.3], [0.4]], np.float32)

    summed, roles = as_cells(scores, ROLES)

    assert roles == PLAIN
    np.testing.assert_allclose(summed[:, 0], [0.1, 0.5, 0.4])


def test_scores_without_types_are_passed_on_as_they_are():
    scores = np.ones((3, 2), np.float32)
    assert as_cells(scores, PLAIN)[0] is scores


def test_logits_with_types_summed_give_the_summed_scores():
    logits = torch.randn((1, 4, 5), generator=torch.Generator().manual_seed(0))

    summed = functional.softmax(logits_as_cells(logits, ROLES), 1)

    expected, _ = as_cells(functional.softmax(logits, 1)[0].numpy(), ROLES)
    np.testing.assert_allclose(summed[0].numpy(), expected, rtol=1e-5)


def test_the_inside_of_a_cell_is_learned_as_its_type_and_its_rim_as_border():
    labels = np.zeros((7, 14), int)
    labels[1:6, 1:6] = 5
    labels[1:6, 8:13] = 9

    target = training_target(labels, ROLES, border_width_px=1, types={9: "b"})

    assert target[3, 3] == some_cell(ROLES) == 4
    assert target[3, 10] == 2
    assert target[1, 1] == target[1, 8] == 3
    assert target[0, 0] == 0
    plain = training_target(labels, PLAIN, border_width_px=1)
    assert np.array_equal(target_as_cells(torch.from_numpy(target), ROLES).numpy(), plain)
