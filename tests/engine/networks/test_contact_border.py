"""The border class of tissue that is filled with cells, and what a perfect network finds by it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from napari_unet import TrainingPair, evaluate, new_description
from napari_unet.engine.base.settings import InstanceSettings
from napari_unet.engine.networks.annotation import training_target
from napari_unet.engine.networks.contact_border import contact_border, contact_counts
from napari_unet.engine.networks.network import NetworkDescription
from napari_unet.engine.segmentation.instances import instances_from_scores
from napari_unet.engine.training.pairs import contact_share, note_of_border
from napari_unet.engine.training.prepared import description_after, prepare_pair

ROLES = ("background", "cell", "border")


def _filled(shape, cells, seed=0):
    rng = np.random.default_rng(seed)
    places = np.stack(np.indices(shape), axis=-1).reshape(-1, len(shape))
    centres = rng.uniform(0, shape, (cells, len(shape)))
    for _ in range(2):  # as regular as tissue
        owner = cKDTree(centres).query(places)[1]
        sizes = np.maximum(np.bincount(owner, minlength=cells), 1)[:, None]
        sums = [np.bincount(owner, axis, minlength=cells) for axis in places.T]
        centres = np.stack(sums, axis=-1) / sizes
    return (cKDTree(centres).query(places)[1] + 1).reshape(shape).astype(np.int32)


def _precision(labels, border_kind, threshold):
    """AP of a network that says what the target says, with the thresholds of a new model."""
    pair = TrainingPair(np.ones(labels.shape, np.float32), labels)
    new = new_description([pair], border_kind=border_kind)
    settings = description_after(new, [pair], [prepare_pair(pair, new)]).instances
    target = training_target(labels, ROLES, border_kind=border_kind)
    scores = np.stack([target == index for index in range(3)]).astype(np.float32)
    found = instances_from_scores(scores, ROLES, settings)
    return evaluate(labels, found).pooled(threshold).average_precision


def test_border_is_one_pixel_on_each_side_and_none_towards_background():
    labels = np.array([[0, 4, 4, 4, 7, 7, 7, 0, 9, 9]])
    target = training_target(labels, ROLES, border_kind="contact")
    assert target.tolist() == [[0, 1, 1, 2, 2, 1, 1, 0, 1, 1]]


def test_a_cell_that_would_lose_its_inside_gives_nothing():
    labels = np.array([[1, 1, 1, 2, 3, 3, 3]])
    assert contact_border(labels).astype(int).tolist() == [[0, 0, 1, 0, 1, 0, 0]]


def test_of_two_thin_cells_the_larger_gives_the_pixels():
    labels = np.array([[1, 1, 1], [2, 2, 0]])
    assert contact_border(labels).astype(int).tolist() == [[1, 1, 0], [0, 0, 0]]


def test_ignored_pixels_are_no_neighbour():
    labels = np.array([[3, 3, -1, 5, 5, 0]])
    assert not contact_border(labels).any()
    assert contact_counts(labels).tolist() == [0, 1]


def test_large_numbers_cost_nothing():
    labels = np.array([[2**31 - 5] * 3 + [2**31 - 6] * 3])
    target = training_target(labels, ROLES, border_kind="contact")
    assert target.tolist() == [[1, 1, 2, 2, 1, 1]]


@given(
    st.integers(0, 10_000),
    st.sampled_from([(9, 11), (5, 6, 7)]),
    st.integers(1, 30),
    st.sampled_from(["rim", "even", "contact"]),
)
def test_insides_of_two_cells_share_no_face(seed, shape, count, kind):
    labels = np.random.default_rng(seed).integers(-1, count, shape).astype(np.int32)
    is_inside = training_target(labels, ROLES, border_kind=kind) == 1
    assert contact_counts(np.where(is_inside, labels, 0))[0] == 0


@pytest.mark.parametrize("labels", [_filled((128, 128), 300), _filled((32, 40, 40), 100)])
def test_a_perfect_network_finds_nearly_every_cell_of_filled_tissue(labels):
    # What is missing in the volume are pieces at its edges, below the least size of a cell.
    assert _precision(labels, "contact", 0.7) >= 0.95
    assert _precision(labels, "rim", 0.7) < 0.8


def test_filled_tissue_is_told_by_its_outlines():
    filled, alone = _filled((32, 32), 20), np.zeros((32, 32), np.int32)
    alone[4:10, 4:10], alone[4:10, 10:16] = 1, 2
    pairs = [TrainingPair(np.ones((32, 32)), labels) for labels in (filled, alone)]
    assert [round(contact_share([pair]), 2) for pair in pairs] == [1.0, 0.25]
    kinds = [new_description([pair]).border_kind for pair in pairs]
    assert kinds == ["contact", "even"]
    assert new_description(pairs[:1], class_roles=ROLES[:2]).border_kind == "rim"
    assert new_description(pairs[:1], class_names=("a", "b")).border_kind == "rim"
    note = note_of_border(pairs[:1], new_description(pairs[:1]))
    assert "100% of the cells' outlines touches other cells" in note
    assert note_of_border(pairs[1:], new_description(pairs[1:])) is None


def test_a_model_keeps_its_border_and_older_files_read_as_before():
    pair = TrainingPair(np.ones((32, 32)), _filled((32, 32), 20))
    dense, usual = new_description([pair]), new_description([pair], border_kind="rim")
    assert NetworkDescription.from_json(dense.to_json()).border_kind == "contact"
    assert "border_kind" not in usual.to_json()
    assert NetworkDescription.from_json(usual.to_json()) == usual


def test_seeds_of_filled_volumes_are_smaller_than_the_insides_of_cells():
    labels = _filled((32, 40, 40), 300)
    pair = TrainingPair(np.ones(labels.shape, np.float32), labels)
    new = new_description([pair])
    learned = description_after(new, [pair], [prepare_pair(pair, new)]).instances
    inside = np.bincount(labels[~contact_border(labels)])[1:]
    assert InstanceSettings().min_size_px < learned.min_size_px
    assert (inside >= learned.min_seed_px).mean() > 0.95
