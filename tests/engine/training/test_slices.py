"""A volume of which somebody has labelled a few slices teaches, and is judged, in these alone."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from napari_unet.engine.base.errors import TrainingError
from napari_unet.engine.base.settings import InstanceSettings
from napari_unet.engine.networks.annotation import are_single_slices
from napari_unet.engine.networks.unet import UNetConfig
from napari_unet.engine.segmentation.instances import instances_from_scores
from napari_unet.engine.training.pairs import TrainingPair, annotated_pair, new_description
from napari_unet.engine.training.settings import TrainingSettings
from napari_unet.engine.training.training import train
from napari_unet.engine.training.validation import _with_least_score, evaluated
from napari_unet.engine.training.volumes.slices import ball_sizes
from napari_unet.engine.weight_map.weight_map import IGNORED

SLICES = (10, 16, 22)


def balls() -> np.ndarray:
    """Three balls of radius 7 in 32 x 40 x 40 voxels."""
    z, y, x = np.ogrid[:32, :40, :40]
    labels = np.zeros((32, 40, 40), np.uint16)
    for number, (row, column) in enumerate([(9, 9), (9, 30), (29, 20)], start=1):
        labels[(z - 16) ** 2 + (y - row) ** 2 + (x - column) ** 2 <= 49] = number
    return labels


def painted(slices: tuple[int, ...] = SLICES) -> np.ndarray:
    labels = np.zeros_like(balls())
    labels[list(slices)] = balls()[list(slices)]
    return labels


def test_no_voxel_of_a_cell_is_background_where_single_slices_were_painted():
    pair = annotated_pair(100.0 * (balls() > 0), painted(), unlabelled="ignore")
    assert pair.in_slices
    seen = pair.checked_labels()
    taught = [z for z in range(32) if (seen[z] != IGNORED).any()]
    assert taught == list(SLICES)
    assert np.count_nonzero((seen == 0) & (balls() > 0)) == 0
    assert np.count_nonzero(seen == 0) > 100


def test_around_whole_cells_the_ring_reaches_above_and_below():
    pair = annotated_pair(100.0 * (balls() > 0), balls(), unlabelled="ignore", ring_px=2)
    assert not pair.in_slices
    seen = pair.checked_labels()
    assert seen[16 - 9, 9, 9] == 0
    assert seen[16 - 10, 9, 9] == IGNORED


@pytest.mark.parametrize("chosen", [SLICES, "painted"])
def test_in_chosen_slices_what_has_no_label_is_background(chosen):
    labels = painted()
    pair = annotated_pair(100.0 * (balls() > 0), labels, slices=chosen)
    expected = np.full(labels.shape, IGNORED)
    expected[list(SLICES)] = labels[list(SLICES)]
    assert pair.in_slices
    assert np.array_equal(pair.checked_labels(), expected)
    some = annotated_pair(100.0 * (balls() > 0), balls(), slices=[16, 17])
    assert set(np.flatnonzero((some.checked_labels() != IGNORED).any((1, 2)))) == {16, 17}


@pytest.mark.parametrize(
    ("labels", "chosen", "words"),
    [
        (painted(), [10, 32], "'v' has no slice 33, counted from 1; it has 32 slices"),
        (painted(), [-1], "'v' has no slice 0"),
        (
            painted(),
            [11],
            "No label of 'v' is in the slices that were chosen; slices with labels, .*: 11",
        ),
        (painted()[16], [1], "'v' have 2 axes, and slices are of volumes"),
    ],
)
def test_slices_that_cannot_be_meant_are_refused(labels, chosen, words):
    with pytest.raises(TrainingError, match=words):
        annotated_pair(1.0 * labels, labels, slices=chosen, name="v")


def test_slices_are_single_where_none_beside_them_is_painted():
    assert are_single_slices(painted() > 0)
    assert not are_single_slices(balls() > 0)
    assert not are_single_slices(painted(slices=(15, 16, 17)) > 0)
    assert not are_single_slices(balls()[16] > 0)


def test_whole_cells_are_judged_by_the_slices_that_were_painted():
    pair = annotated_pair(100.0 * (balls() > 0), painted(), slices="painted")
    found = balls()
    found[found == 2] = 0
    evaluation = evaluated([pair], [pair.checked_labels()], [found])
    score = evaluation.pooled(0.5)
    assert (score.true_positives, score.false_negatives, score.false_positives) == (6, 3, 0)


def test_a_ball_has_the_volume_that_its_slices_tell_in_the_mean():
    radius = 10
    heights = np.arange(-radius + 0.005, radius, 0.01)
    diameters = 2 * np.sqrt(radius**2 - heights**2)
    area_of_the_mean = math.pi / 4 * diameters.mean() ** 2
    volume = 4 / 3 * math.pi * radius**3
    assert ball_sizes([area_of_the_mean])[0] == pytest.approx(volume, rel=0.001)


def test_patches_lie_around_the_slices_and_sizes_are_those_of_whole_cells():
    labels = painted(slices=(11, 14, 17, 20))
    pair = annotated_pair(100.0 * (balls() > 0), labels, slices="painted")
    description = new_description([pair], shape=UNetConfig(base_width=2, depth=1))
    settings = TrainingSettings.from_nothing(steps=2, ndim=3, patch_size_px=16)
    run = train([pair], settings=settings, description=description, device="cpu")
    for step in range(8):
        assert (run._patches.batch(step).weights.flatten(1).sum(1) > 0).all()
    assert run.network.description.object_diameter_px == pytest.approx(14, rel=0.25)
    assert [report.step for report in run] == [1, 2]
    assert run.tuned().description.instances is not None


def test_a_volume_labelled_all_over_is_in_no_slices():
    assert not TrainingPair(1.0 * balls(), balls()).in_slices
    assert not annotated_pair(1.0 * balls(), painted()).in_slices


def grid_of_cubes() -> np.ndarray:
    """64 cubes of 6 x 6 x 6 voxels; those at the end of each axis are cut to two slices."""
    labels = np.zeros((36, 36, 36), np.uint16)
    for number, (z, y, x) in enumerate(np.ndindex(4, 4, 4), start=1):
        labels[tuple(slice(10 * n + 4, 10 * n + 10) for n in (z, y, x))] = number
    return labels


def test_pieces_that_the_border_of_a_volume_leaves_are_no_specks():
    labels = grid_of_cubes()
    pair = TrainingPair(100.0 * (labels > 0), labels)
    description = new_description([pair], shape=UNetConfig(base_width=2, depth=1))
    settings = TrainingSettings.from_nothing(steps=1, ndim=3)
    instances = train([pair], settings=settings, description=description).network.description
    # 27 cubes are whole, 27 have 72 voxels, 9 have 24, one has 8: of all a tenth has 24 or fewer.
    assert instances.instances.min_size_px == 24
    # Of a cube of 24 voxels 4 are learned as its inside, and half of these make a seed.
    assert instances.instances.min_seed_px == 2


def test_in_volumes_what_is_fainter_than_nearly_all_right_cells_is_dropped():
    labels = grid_of_cubes()
    pair = TrainingPair(100.0 * (labels > 0), labels)
    cell = np.where(labels > 0, 0.9, 0.05).astype(np.float32)
    cell[labels == 1] = 0.55  # one of 64
    cell[:4, :4, :4] = 0.8  # nothing is there
    scores = np.stack([1 - cell, cell])
    plane = SimpleNamespace(
        scores=scores,
        class_roles=("background", "cell"),
        labels=lambda settings: instances_from_scores(scores, ("background", "cell"), settings),
    )
    start = InstanceSettings(seed_threshold=0.5, min_size_px=1)
    found = _with_least_score(start, [pair], [pair.checked_labels()], [plane])
    assert found == replace(start, min_score=0.9 - 0.01)
    few = TrainingPair(pair.image, np.where(labels < 20, labels, 0))
    assert _with_least_score(start, [few], [few.checked_labels()], [plane]) == start
