"""Scores to cells."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy import ndimage
from skimage.segmentation import watershed

from napari_unet.engine.errors import SettingsError
from napari_unet.engine.evaluation import evaluate
from napari_unet.engine.instances import instances_from_scores, tune_instances
from napari_unet.engine.settings import InstanceSettings

THREE = ("background", "cell", "border")
TWO = ("background", "cell")
ALL = InstanceSettings(min_size_px=0, min_seed_px=0)


def scores_of(picture: list[str]) -> np.ndarray:
    """'.' background, '#' cell, '+' border: one certain class per pixel."""
    classes = np.array([[".#+".index(c) for c in row] for row in picture])
    return np.stack([(classes == role) * 0.98 + 0.01 for role in range(3)]).astype(np.float32)


def test_touching_cells_with_separate_seeds_become_two():
    labels = instances_from_scores(scores_of([".##+##.", ".##+##."]), THREE, ALL)
    assert labels.max() == 2
    assert labels[0, 1] == 1
    assert labels[0, 5] == 2
    assert (labels[:, 3] > 0).all()  # the rim is given to one of them
    assert (labels[:, [0, 6]] == 0).all()


def test_without_separation_a_connected_piece_is_one_cell():
    together = InstanceSettings(separate_touching=False, min_size_px=0)
    assert instances_from_scores(scores_of([".##+##."]), THREE, together).max() == 1


def test_faint_cell_without_a_seed_is_kept():
    labels = instances_from_scores(scores_of(["##...++"]), THREE, ALL)
    assert labels.tolist() == [[1, 1, 0, 0, 0, 2, 2]]


def test_two_class_network_separates_by_its_seed_threshold():
    cell = np.array([[0.1, 0.95, 0.7, 0.95, 0.1]], np.float32)
    scores = np.stack([1 - cell, cell])
    strict = InstanceSettings(seed_threshold=0.9, min_size_px=0, min_seed_px=0)
    lenient = InstanceSettings(seed_threshold=0.6, min_size_px=0, min_seed_px=0)
    assert instances_from_scores(scores, TWO, strict).max() == 2
    assert instances_from_scores(scores, TWO, lenient).max() == 1


def test_hole_inside_a_cell_is_filled_and_a_bay_is_not():
    picture = ["#####", "#.#.#", "###.#"]
    labels = instances_from_scores(scores_of(picture), THREE, ALL)
    assert labels[1, 1] == 1
    assert labels[1, 3] == 0
    unfilled = InstanceSettings(fill_holes=False, min_size_px=0, min_seed_px=0)
    assert instances_from_scores(scores_of(picture), THREE, unfilled)[1, 1] == 0


def test_hole_between_two_cells_belongs_to_neither():
    labels = np.array([[1, 1, 1, 1], [1, 0, 0, 1], [2, 0, 0, 2], [2, 2, 2, 2]])
    from napari_unet.engine.instances import _fill_holes

    assert np.array_equal(_fill_holes(labels.astype(np.int32)), labels)


def test_small_cells_and_cells_on_the_border_are_dropped_when_asked():
    picture = ["##....", "##.#..", "....##", "....##"]
    only_large = InstanceSettings(min_size_px=3, min_seed_px=0)
    assert instances_from_scores(scores_of(picture), THREE, only_large).max() == 2
    inner = InstanceSettings(min_size_px=0, min_seed_px=0, drop_border_cells=True)
    labels = instances_from_scores(scores_of(picture), THREE, inner)
    assert np.argwhere(labels).tolist() == [[1, 3]]


def test_doubtful_cell_is_dropped_by_its_mean_score():
    sure = np.array([0.0, 0.9, 0.9, 0.0, 0.6, 0.7, 0.0], np.float32)
    scores = np.stack([1 - sure, sure])[:, None]
    kept = InstanceSettings(min_score=0.64, min_size_px=0, min_seed_px=0)
    dropped = InstanceSettings(min_score=0.66, min_size_px=0, min_seed_px=0)
    assert instances_from_scores(scores, TWO, kept).tolist() == [[0, 1, 1, 0, 2, 2, 0]]
    assert instances_from_scores(scores, TWO, dropped).tolist() == [[0, 1, 1, 0, 0, 0, 0]]


@settings(deadline=None, max_examples=60)
@given(
    npst.arrays(
        np.float32,
        st.tuples(st.just(3), st.integers(1, 12), st.integers(1, 12)),
        elements=st.floats(0.015625, 1, width=32),
    ),
    st.sampled_from(
        [
            ALL,
            InstanceSettings(),
            InstanceSettings(separate_touching=False),
            InstanceSettings(min_score=0.7),
        ]
    ),
)
def test_cells_are_numbered_without_gaps_in_reading_order(raw, options):
    scores = raw / raw.sum(0)
    labels = instances_from_scores(scores, THREE, options)
    assert labels.dtype == np.int32
    found = labels[labels > 0]
    values, first = np.unique(found, return_index=True)
    assert values.tolist() == list(range(1, len(values) + 1))
    assert (np.diff(first) > 0).all()


def test_stack_is_segmented_in_3d():
    scores = np.stack([scores_of([".##+##."] * 2)] * 3, axis=1)
    labels = instances_from_scores(scores, THREE, ALL)
    assert labels.shape == (3, 2, 7)
    assert labels.max() == 2


def test_tuning_finds_thresholds_that_separate():
    cell = np.array([[0.1, 0.8, 0.65, 0.8, 0.1]] * 20, np.float32)
    scores = np.stack([1 - cell, cell])
    truth = np.array([[0, 1, 1, 2, 0]] * 20)

    def quality(true, predicted):
        return evaluate(true, predicted).mean_ap(0.5)

    start = InstanceSettings(seed_threshold=0.5)
    tuned = tune_instances([(scores, truth)], TWO, quality, start)
    assert quality(truth, instances_from_scores(scores, TWO, start)) < 1
    assert quality(truth, instances_from_scores(scores, TWO, tuned)) == 1


def test_impossible_settings_and_roles_are_refused():
    with pytest.raises(SettingsError, match=r"seed_threshold is 1\.5; use a score between 0 and 1"):
        InstanceSettings(seed_threshold=1.5)
    with pytest.raises(SettingsError, match="it needs 'background' and 'cell'"):
        instances_from_scores(np.zeros((2, 4, 4), np.float32), ("membrane", "inside"), ALL)


@pytest.mark.parametrize("shape", [(60, 50), (20, 40, 36)])
def test_shortcuts_change_nothing_of_a_watershed_of_everything(shape):
    rng = np.random.default_rng(0)
    noise = ndimage.gaussian_filter(rng.normal(size=(2, *shape)), (0, *[1.5] * len(shape)))
    raw = np.exp(3 * noise / noise.std())
    scores = (raw / raw.sum(axis=0)).astype(np.float32)
    foreground = scores[0] < 0.5
    seeds, count = ndimage.label(scores[1] > 0.85)
    expected = watershed(-scores[1], seeds, mask=foreground)
    faint, _ = ndimage.label(foreground & (expected == 0))
    expected = np.where(faint > 0, faint + count, expected)

    options = InstanceSettings(seed_threshold=0.85, min_seed_px=0, min_size_px=0, fill_holes=False)
    found = instances_from_scores(scores, ("background", "cell"), options)

    # The same cells, numbered in another order.
    pairs = np.unique(np.stack([found.reshape(-1), expected.reshape(-1)]), axis=1)
    assert len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1] > 5
