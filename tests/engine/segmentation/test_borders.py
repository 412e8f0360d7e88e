"""Cells that touch, parted at waists and joined by a border test."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_unet.engine.base.border_test import BORDER_FEATURES, BorderTest
from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.base.settings import InstanceSettings
from napari_unet.engine.models.one_call import segment
from napari_unet.engine.networks.network import Network, NetworkDescription
from napari_unet.engine.networks.unet import UNet, UNetConfig
from napari_unet.engine.segmentation.borders import basins
from napari_unet.engine.segmentation.borders.borders import measure_borders
from napari_unet.engine.segmentation.foreground import Foreground
from napari_unet.engine.segmentation.instances import instances_from_scores, tune_instances
from napari_unet.engine.segmentation.rim import cut_sides
from napari_unet.engine.training.border_fitting import border_examples, fit_border_test

ROLES = ("background", "cell", "border")
NONE = BorderTest.joining_none()
ALL = replace(NONE, output_bias=100.0)
PLAIN = InstanceSettings(min_size_px=1, min_seed_px=1, seed_threshold=0.5)


def judging(test):
    return replace(PLAIN, border_test=test)


def scores_of(cell, border=None):
    cell = np.asarray(cell, np.float32)
    border = np.zeros_like(cell) if border is None else border
    return np.stack([1 - cell - border, cell, border]).astype(np.float32)


def discs(*centres, shape=(50, 80), radius=12):
    rows, columns = np.indices(shape)
    inside = [np.hypot(rows - y, columns - x) < radius for y, x in centres]
    return np.any(inside, axis=0) * 0.9 + 0.02


def blobs(seed, shape=(36, 50), sigma=2.0):
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.random(shape), sigma)
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    cell = (1 / (1 + np.exp(-18 * (smooth - 0.5)))).astype(np.float32)
    border = ((1 - cell) * rng.random(shape) * 0.5).astype(np.float32)
    return scores_of(cell, border)


def random_test(seed):
    rng = np.random.default_rng(seed)
    n = len(BORDER_FEATURES)
    hidden = tuple(map(tuple, rng.normal(size=(4, n)).tolist()))
    return BorderTest(
        (0.5,) * n, (0.5,) * n, hidden, (0.0,) * 4, tuple(rng.normal(size=4).tolist()), 0.0
    )


def test_a_waist_parts_what_has_one_seed_and_the_test_joins_it_again():
    scores = scores_of(discs((25, 25), (25, 45)))
    assert instances_from_scores(scores, ROLES, PLAIN).max() == 1

    apart = instances_from_scores(scores, ROLES, judging(NONE))

    assert apart.max() == 2
    assert apart[25, 20] != apart[25, 50]
    assert (np.abs(np.argwhere((apart[:, :-1] == 1) & (apart[:, 1:] == 2))[:, 1] - 35) <= 2).all()
    assert instances_from_scores(scores, ROLES, judging(ALL)).max() == 1
    assert (
        instances_from_scores(scores, ROLES, replace(judging(NONE), judge_borders=False)).max() == 1
    )


def test_what_has_no_waist_is_one_cell_and_a_faint_cell_stays():
    long_one = discs(*[(25, x) for x in range(15, 60, 2)])
    assert instances_from_scores(scores_of(long_one), ROLES, judging(NONE)).max() == 1
    faint = np.full((10, 10), 0.02)
    faint[3:7, 3:7] = 0.45
    lenient = replace(judging(NONE), foreground_threshold=0.4)
    assert instances_from_scores(scores_of(faint), ROLES, lenient).max() == 1


def test_no_cells_and_a_volume():
    assert instances_from_scores(scores_of(np.zeros((9, 9))), ROLES, judging(NONE)).max() == 0
    volume = np.zeros((3, 20, 20))
    volume[:, 5:9, 5:9] = volume[:, 12:16, 12:16] = 0.9
    assert instances_from_scores(scores_of(volume), ROLES, judging(NONE)).max() == 2


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.2, 0.9))
def test_depth_is_the_distance_to_what_is_no_core(seed, share):
    core = np.random.default_rng(seed).random((23, 31)) < share
    core[2:20, 3:29] |= seed % 2 == 0
    if core.all():
        core[0, 0] = False
    expected = np.minimum(ndimage.distance_transform_edt(core), 24)
    np.testing.assert_allclose(basins._depths(core), expected, rtol=1e-6)


def test_depth_without_an_edge_is_the_deepest_there_is():
    assert (basins._depths(np.ones((4, 5), bool)) == 24).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_centres_are_deeper_than_all_around(seed):
    scores = blobs(seed)
    core = scores[1] > 0.5
    depth = basins._smooth(basins._depths(core))
    found = basins._centres(depth, core)
    for y, x in np.argwhere(core):
        radius = max(1.5, 0.5 * depth[y, x])
        rows, columns = (np.arange(max(0, i - 13), i + 14) for i in (y, x))
        rows, columns = rows[rows < core.shape[0]], columns[columns < core.shape[1]]
        around = depth[np.ix_(rows, columns)]
        dy, dx = np.meshgrid(rows - y, columns - x, indexing="ij")
        is_before = (dy < 0) | ((dy == 0) & (dx < 0))
        beats = (around > depth[y, x]) | ((around == depth[y, x]) & is_before)
        is_near = np.hypot(dy, dx) <= radius
        assert found[y, x] == (depth[y, x] >= 0.6 and not (beats & is_near).any())


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 10**6))
def test_borders_are_measured_as_they_are_defined(seed):
    scores = blobs(seed)
    background, cell, border = scores
    foreground = Foreground.of(background < 0.5, cell, border)
    measured = measure_borders(foreground, PLAIN)
    labels = foreground.canvas.inner_labels
    depth = basins._smooth(basins._depths(cell > 0.5))
    smooth = basins._smooth(cell)
    near_border = ndimage.maximum_filter(border, 3)
    near_cell = ndimage.minimum_filter(cell, 3)
    faces = {}
    for (y, x), (dy, dx) in itertools.product(np.ndindex(labels.shape), ((0, 1), (1, 0))):
        if y + dy < labels.shape[0] and x + dx < labels.shape[1]:
            a, b = labels[y, x], labels[y + dy, x + dx]
            if 0 < a != b > 0:
                here, there = ((y, x), (y + dy, x + dx))[:: 1 if a < b else -1]
                faces.setdefault((min(a, b), max(a, b)), []).append((here, there))
    assert sorted(faces) == [tuple(pair) for pair in measured.pairs.tolist()]
    for pair, found in zip(measured.pairs.tolist(), measured.features, strict=True):
        ones, others = (tuple(np.transpose(side)) for side in zip(*faces[tuple(pair)], strict=True))
        n = len(ones[0])

        def mean(of, ones=ones, others=others):
            return (of[ones].mean(dtype=float) + of[others].mean(dtype=float)) / 2

        def highest(of, ones=ones, others=others):
            return np.minimum(of[ones], of[others]).max()

        sides = [labels == label for label in pair]
        areas = sorted(side.sum() for side in sides)
        peaks = sorted(depth[side].max() for side in sides)
        expected = [
            math.log(areas[1] / areas[0]),
            n / (2 * math.sqrt(areas[0] / math.pi)),
            mean(border),
            max(border[ones].max(), border[others].max()),
            mean(near_border),
            np.minimum(near_border[ones], near_border[others]).min(),
            mean(cell),
            highest(cell),
            mean(near_cell),
            highest(depth) / (peaks[0] + 1e-3),
            highest(depth) / (peaks[1] + 1e-3),
            sum(cell[side].mean(dtype=float) for side in sides),
            min(smooth[side].max() for side in sides) - highest(smooth),
            sum(np.ptp(each) for each in ones) / (n + 1),
        ]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", range(6))
def test_a_part_that_may_stand_alone_has_the_cells_of_the_whole(seed):
    rng = np.random.default_rng(seed)
    scores = blobs(seed, shape=(150, 260), sigma=(2.0, 3.0, 4.0)[seed % 3])
    wanted_settings = replace(judging(random_test(seed)), foreground_threshold=0.4)
    whole = instances_from_scores(scores, ROLES, wanted_settings)
    for _ in range(4):
        y, x = int(rng.integers(10, 140)), int(rng.integers(100, 160))
        margin = int(rng.integers(45, 100))
        rows = slice(max(0, y - margin), min(150, y + margin))
        columns = slice(max(0, x - margin), min(260, x + margin))
        part = scores[:, rows, columns]
        ends = ((rows.start > 0, rows.stop < 150), (columns.start > 0, columns.stop < 260))
        sides = [(axis, -end) for axis in (0, 1) for end in (0, 1) if ends[axis][end]]
        inside = [np.array([y - rows.start]), np.array([x - columns.start])]
        if cut_sides(part, ROLES, wanted_settings, sides=sides, wanted=inside):
            continue
        found = instances_from_scores(part, ROLES, wanted_settings)
        number = found[inside[0][0], inside[1][0]]
        if number:
            cell = np.zeros(whole.shape, bool)
            cell[rows, columns] = found == number
            np.testing.assert_array_equal(cell, whole == whole[y, x])


def test_some_parts_may_stand_alone():
    scores = scores_of(discs((90, 150), (90, 170), shape=(180, 320)))
    part = scores[:, 20:160, 60:260]
    sides = [(0, 0), (0, -1), (1, 0), (1, -1)]
    wanted = [np.array([70]), np.array([90])]
    assert cut_sides(part, ROLES, judging(NONE), sides=sides, wanted=wanted) == ()


def pictures(count, seed=0):
    """Two discs that touch: two cells where the waist is border, and one where it is not."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        shape, gap = (60, 90), int(rng.integers(17, 22))
        cell = np.clip(discs((30, 30), (30, 30 + gap), shape=shape, radius=11), 0.02, 0.9)
        truth = np.where(np.indices(shape)[1] < 30 + gap / 2, 1, 2) * (cell > 0.5)
        border = np.zeros(shape)
        if number % 2:
            truth = (truth > 0).astype(int)
        else:
            middle = 30 + gap // 2
            border[:, middle - 1 : middle + 1] = 0.3 * (cell[:, middle - 1 : middle + 1] > 0.5)
            cell = cell - border
        yield scores_of(cell, border), truth


def test_what_was_learned_joins_cells_with_a_waist_and_parts_those_with_a_border():
    learned = list(pictures(30))
    examples = [border_examples(scores, ROLES, PLAIN, truth) for scores, truth in learned]
    assert sum(each.is_one.sum() for each in examples) == 15
    test = fit_border_test(examples)
    assert test == fit_border_test(examples)

    for scores, truth in pictures(10, seed=1):
        assert instances_from_scores(scores, ROLES, judging(test)).max() == truth.max()


def test_borders_of_which_nobody_knows_are_no_examples():
    (scores, truth), *_ = pictures(1)
    assert border_examples(scores, ROLES, PLAIN, truth).is_one.tolist() == [False]
    assert not border_examples(scores, ROLES, PLAIN, np.where(truth == 2, -1, truth)).is_one.size


def test_one_kind_of_border_teaches_nothing():
    examples = [border_examples(s, ROLES, PLAIN, t) for s, t in list(pictures(6))[::2]]
    with pytest.raises(SettingsError, match="Of 3 borders 0 lie within a cell"):
        fit_border_test(examples)


def test_tuning_turns_it_off_where_it_does_harm():
    scores = scores_of(discs((25, 25), (25, 45)))
    one = (scores[1] > 0.5).astype(np.int32)

    def quality(truth, prediction):
        return float(truth.max() == prediction.max())

    for a_little in (False, True):
        tuned = tune_instances([(scores, one)], ROLES, quality, judging(NONE), a_little=a_little)
        assert not tuned.judge_borders
        assert tuned.border_test == NONE


def test_a_description_keeps_it_and_an_older_one_has_none():
    config = UNetConfig(2, 1, 3, base_width=1, depth=1)
    description = NetworkDescription("n", config, ROLES, instances=judging(random_test(3)))
    assert NetworkDescription.from_json(description.to_json()) == description
    older = description.to_json().replace('"judge_borders": true, ', "")
    assert NetworkDescription.from_json(older).instances.judges_borders
    plain = replace(description, instances=PLAIN)
    assert not NetworkDescription.from_json(plain.to_json()).instances.judges_borders


def test_numbers_that_do_not_fit_are_refused():
    with pytest.raises(SettingsError, match=f"do not fit {len(BORDER_FEATURES)} features"):
        replace(random_test(0), mean=(0.0,))


def test_an_image_is_segmented_with_it():
    config = UNetConfig(2, 1, 3, base_width=2, depth=1)
    network = Network(
        UNet(config).eval(), NetworkDescription("n", config, ROLES, instances=judging(NONE))
    )
    image = np.random.default_rng(0).random((64, 64)).astype(np.float32)
    assert segment(image, network).labels.shape == (64, 64)
