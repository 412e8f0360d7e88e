"""A training with types of cells: what it begins with, what it learns, and what it refuses."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from napari_unet import evaluate_types, segment
from napari_unet.engine.base.errors import SettingsError, TrainingError
from napari_unet.engine.base.settings import InstanceSettings
from napari_unet.engine.labels.cell_types import cell_types
from napari_unet.engine.networks.class_roles import as_cells, typed_roles
from napari_unet.engine.networks.graph_network import GraphNetwork
from napari_unet.engine.networks.layer_graph import GraphConfig
from napari_unet.engine.networks.layers import Convolution, Input
from napari_unet.engine.networks.network import Network, NetworkDescription, new_network
from napari_unet.engine.networks.output_meaning import OutputMeaning
from napari_unet.engine.networks.unet import UNetConfig
from napari_unet.engine.training.knowledge.bank import bank_of, read_bank, write_bank
from napari_unet.engine.training.knowledge.judging import judge
from napari_unet.engine.training.learner import weighted_cross_entropy
from napari_unet.engine.training.pairs import TrainingPair, new_description
from napari_unet.engine.training.settings import NO_AUGMENTATION, TrainingSettings
from napari_unet.engine.training.training import train
from napari_unet.engine.training.typed_start import with_types

PLAIN = ("background", "cell", "border")
TYPED = typed_roles(PLAIN, ("bright", "dim"))
CONFIG = UNetConfig(base_width=4, depth=1, classes=3)
QUICK = TrainingSettings(
    steps=2, batch_size=2, patch_size_px=32, precision="float32", augmentation=NO_AUGMENTATION
)


def plain() -> Network:
    return new_network(NetworkDescription("plain", CONFIG, PLAIN), 0)


def pair(types: dict[int, str] | None = None, **changes) -> TrainingPair:
    """Four squares; 1 and 3 are bright."""
    labels = np.zeros((48, 48), np.uint16)
    for number, (y, x) in enumerate(((4, 4), (4, 28), (28, 4), (28, 28)), start=1):
        labels[y : y + 14, x : x + 14] = number
    image = np.select([np.isin(labels, (1, 3)), labels > 0], [200.0, 120.0], 10.0)
    image += np.random.default_rng(0).normal(0, 2, labels.shape)
    return replace(TrainingPair(image, labels, types=types), **changes)


BRIGHT_AND_DIM = {1: "bright", 2: "dim", 3: "bright", 4: "dim"}


def run_of(pairs, network=None, **options):
    return train(pairs, network, settings=QUICK, device="cpu", **options)


def test_a_network_that_gets_types_finds_the_same_cells_and_is_of_two_minds_about_each():
    before = plain()
    instances = InstanceSettings(foreground_threshold=0.3, seed_threshold=0.3, min_size_px=1)

    plain_result = segment(pair().image, before, device="cpu", instances=instances)
    typed = segment(
        pair().image, with_types(before, ("bright", "dim")), device="cpu", instances=instances
    )

    assert typed.class_roles == TYPED
    assert plain_result.types is None
    assert typed.cell_count == plain_result.cell_count > 0
    assert np.array_equal(typed.labels, plain_result.labels)
    assert typed.types is not None
    assert typed.types.labels.size == typed.cell_count
    np.testing.assert_allclose(typed.types.probabilities, 0.5, atol=1e-3)


def test_a_plain_network_is_given_the_types_of_the_pairs():
    run = run_of([pair(BRIGHT_AND_DIM)], plain())
    list(run)
    assert run.network.description.class_roles == TYPED
    assert run.network.description.cell_types == ("bright", "dim")


def test_a_new_network_learns_the_types_of_its_pairs():
    assert new_description([pair(BRIGHT_AND_DIM)]).class_roles == TYPED
    assert new_description([pair()]).class_roles == PLAIN


def test_types_are_learned():
    pairs = [pair(BRIGHT_AND_DIM)]
    description = replace(new_description(pairs), architecture=replace(CONFIG, classes=4))
    settings = replace(QUICK, steps=60, learning_rate=1e-2)
    run = train(pairs, settings=settings, description=description, device="cpu")
    list(run)

    found = segment(pairs[0].image, run.network, device="cpu")

    assert found.types is not None
    types = evaluate_types(
        np.asarray(pairs[0].labels), BRIGHT_AND_DIM, found.labels, found.types.by_label
    )
    assert types.matched == 4
    assert types.share_right == 1
    start = new_network(description, 1)
    verdict = judge(start, run.network, pairs, (), (), device="cpu", should_stop=lambda: False)
    assert verdict is not None
    assert verdict.judged["after"].types == types
    assert "4 of 4 labelled cells are right, 0 before, 4 of 4 of the right type" in verdict.sentence


def test_a_cell_without_a_type_is_learned_as_any_and_a_sentence_says_so():
    run = run_of([pair({1: "bright", 2: "dim"})], plain())

    assert run.notes == ("2 of 4 cells have no type, and count as cells of any type.",)
    target, _ = run._patches.supervise(pair().checked_labels(), {1: "bright", 2: "dim"})
    assert target[10, 10] == 1
    assert target[10, 34] == 2
    assert target[34, 10] == 4


def test_the_loss_of_any_type_is_that_of_the_sum_and_types_count_by_their_weight():
    logits = torch.tensor([[[0.0], [1.0], [2.0], [-1.0]]])
    scores = functional.softmax(logits, 1)[0, :, 0]

    def loss(index: int) -> float:
        target = torch.tensor([[index]])
        losses = weighted_cross_entropy(logits, target, torch.ones(1, 1), TYPED, (1.0, 3.0))
        return float(losses)

    cell = float(scores[1] + scores[2])
    assert loss(0) == pytest.approx(-np.log(float(scores[0])), rel=1e-5)
    assert loss(4) == pytest.approx(-np.log(cell), rel=1e-5)
    assert loss(1) == pytest.approx(-np.log(float(scores[1])), rel=1e-5)
    assert loss(2) == pytest.approx(-np.log(cell) - 3 * np.log(float(scores[2]) / cell), rel=1e-5)


def test_a_type_with_fewer_pixels_counts_more():
    weights = run_of(
        [pair({1: "bright", 2: "dim", 3: "dim", 4: "dim"})], plain()
    )._patches.type_weights
    assert weights[0] / weights[1] == pytest.approx(3**0.5)


def test_patches_show_each_type_equally_often():
    run = run_of([pair({1: "bright", 2: "dim", 3: "dim", 4: "dim"})], plain())
    assert sorted(map(len, run._patches.prepared[0].foreground)) == [1, 3]
    assert run._patches.cell_count == 4


def test_a_type_that_a_typed_network_does_not_know_is_refused():
    network = with_types(plain(), ("bright", "dim"))
    with pytest.raises(
        TrainingError, match="cells of the type 'dark', and the network knows bright"
    ):
        run_of([pair({1: "bright", 2: "dark"})], network)


def test_a_typed_network_learns_from_cells_without_types_and_says_what_it_does_not_learn():
    network = with_types(plain(), ("bright", "dim"))
    run = run_of([pair()], network)
    list(run)
    assert run.network.description.class_roles == TYPED
    assert "No cell to learn from has the type 'bright', 'dim'" in run.notes[0]


def test_one_type_alone_is_refused():
    with pytest.raises(SettingsError, match="All cells with a type are 'bright'"):
        run_of([pair({1: "bright", 3: "bright"})], plain())


def test_a_network_of_scribbled_classes_cannot_be_given_types():
    classes = new_network(NetworkDescription("tissue", CONFIG, ("background", "fat", "gland")), 0)
    with pytest.raises(
        TrainingError, match="'tissue' tells background, fat, gland apart and finds no"
    ):
        run_of([pair(BRIGHT_AND_DIM)], classes)


def test_a_network_of_another_program_cannot_be_given_types():
    layers = (
        Input(),
        Convolution((0,), "fc", 1, 3, (1, 1), (1, 1), (0, 0), (1, 1)),
    )
    config = GraphConfig(2, 1, layers, (1,), OutputMeaning("softmax", PLAIN), "a course")
    foreign = Network(GraphNetwork(config), NetworkDescription("foreign", config, PLAIN))
    with pytest.raises(TrainingError, match="'foreign' was made by another program"):
        run_of([pair(BRIGHT_AND_DIM)], foreign)


def test_types_follow_their_cells_where_large_numbers_become_smaller_ones():
    labels = np.array([[0, 10_000_000, 20_000_000]])
    typed = TrainingPair(np.ones((1, 3)), labels, types={20_000_000: "b", 5: "gone"})
    assert typed.checked_types() == {int(typed.checked_labels()[0, 2]): "b"}


def test_held_out_cells_say_which_state_tells_types_best():
    held_out = pair(BRIGHT_AND_DIM)
    run = run_of([pair(BRIGHT_AND_DIM)], plain(), validation=[held_out])
    result = run.validate()
    assert result is not None
    assert result.types is not None
    assert result.types.matched <= 4
    assert result.quality == -result.loss


def test_other_types_are_another_training(tmp_path):
    run = run_of([pair(BRIGHT_AND_DIM)], plain())
    next(run)
    run.save_state(tmp_path / "state")
    same = run_of([pair(BRIGHT_AND_DIM)], plain(), resume_from=tmp_path / "state")
    swapped = {1: "dim", 2: "bright", 3: "dim", 4: "bright"}
    other = run_of([pair(swapped)], plain(), resume_from=tmp_path / "state")
    assert (same.has_other_images, other.has_other_images) == (False, True)


def test_what_a_typed_model_knows_by_example_keeps_its_types(tmp_path):
    write_bank(bank_of([pair({1: "bright", 99: "gone"})]), tmp_path / "bank.zip")
    (kept,) = read_bank(tmp_path / "bank.zip").pairs("learn")
    assert kept.types == {1: "bright"}


def test_the_last_layer_tells_types_apart_before_the_first_step():
    run = run_of([pair(BRIGHT_AND_DIM)], plain())
    labels = np.asarray(pair().labels)
    scores = segment(pair().image, run.latest, device="cpu").scores
    start = segment(pair().image, with_types(plain(), ("bright", "dim")), device="cpu").scores

    assert scores is not None
    assert start is not None
    types = cell_types(scores, TYPED, labels)
    assert types is not None
    assert types.by_label == BRIGHT_AND_DIM
    # And it finds the same cells: the sums are hardly other ones.
    cells, before = as_cells(scores, TYPED)[0], as_cells(start, TYPED)[0]
    assert np.abs(cells[1] - before[1])[labels > 0].mean() < 0.1
