"""Scores to cells."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy import ndimage
from skimage.segmentation import watershed

from napari_unet.engine.base.errors import ImageShapeError, SettingsError
from napari_unet.engine.base.score_calibration import ScoreCalibration
from napari_unet.engine.base.settings import InstanceSettings
from napari_unet.engine.labels.evaluation import evaluate
from napari_unet.engine.segmentation import instances
from napari_unet.engine.segmentation.instances import (
    instances_from_scores,
    keep_numbers,
    mean_scores,
    tune_instances,
)

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


def test_what_another_way_to_split_writes_is_filled_measured_and_numbered(monkeypatch):
    def halve(foreground, _settings):
        labels = foreground.canvas.inner_labels
        right = labels[:, labels.shape[1] // 2 :]
        right[right > 0] += 1000  # more cells than the image has runs

    monkeypatch.setattr(instances, "SPLITTERS", {"watershed": halve})
    labels = instances_from_scores(scores_of(["######", "######", "##...#"]), THREE, ALL)
    assert labels.tolist() == [[1, 1, 1, 2, 2, 2], [1, 1, 1, 2, 2, 2], [1, 1, 0, 0, 0, 2]]


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
    labels = instances_from_scores(scores_of(["##+##", "##.##", "##+##"]), THREE, ALL)
    assert labels[1].tolist() == [1, 1, 0, 2, 2]


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


def test_min_score_of_calibrated_scores_is_a_probability():
    # Odds of 9 and 4 to one, squared by the slope and divided by 16: 81 / 97 and 1 / 2.
    cell = np.array([0.0, 0.9, 0.9, 0.0, 0.8, 0.8, 0.0], np.float32)
    scores = np.stack([1 - cell, cell])[:, None]
    calibration = ScoreCalibration(slope=2.0, offset=-np.log(16))

    def count(min_score):
        options = InstanceSettings(
            min_score=min_score, min_size_px=0, min_seed_px=0, score_calibration=calibration
        )
        return instances_from_scores(scores, TWO, options).max()

    assert [count(least) for least in (0.0, 0.49, 0.51, 0.83, 0.84)] == [2, 2, 1, 1, 0]


def test_mean_scores_are_those_that_min_score_is_compared_with():
    background = np.array([[0.2, 0.4, 1.0, 0.1, 0.9]], np.float32)
    scores = np.stack([background, 1 - background])
    labels = np.array([[1, 1, 0, 2, 0]])
    assert mean_scores(scores, TWO, labels) == pytest.approx([0.7, 0.9])
    assert mean_scores(scores, TWO, np.zeros_like(labels)).size == 0


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


def test_tuning_follows_what_is_made_of_all_images_together():
    def scored(score):
        cell = np.array([[0.0] + [score] * 20 + [0.0]] * 2, np.float32)
        return np.stack([1 - cell, cell])

    # One cell is seen with 0.45, of whatever it is: it is true in the first image alone.
    truth = (scored(0.45)[1] > 0).astype(int)
    images = [(scored(0.45), truth), (scored(0.45), 0 * truth), (scored(0.95), truth)]
    start = InstanceSettings(foreground_threshold=0.5, seed_threshold=0.5)

    def counted(together):
        def found(true, predicted):
            return int(true.max()), int(predicted.max())

        tuned = tune_instances(images, TWO, found, start, together=together)
        return [instances_from_scores(scores, TWO, tuned).max() for scores, _ in images]

    assert counted(lambda pairs: float(sum(predicted for _, predicted in pairs))) == [1, 1, 1]
    # In their order: the last image counts most against.
    assert counted(lambda pairs: float(pairs[0][1] - 2 * pairs[2][1])) == [0, 0, 0]


def test_impossible_settings_and_roles_are_refused():
    with pytest.raises(SettingsError, match=r"seed_threshold is 1\.5; use a score between 0 and 1"):
        InstanceSettings(seed_threshold=1.5)
    with pytest.raises(SettingsError, match="it needs 'background' and 'cell'"):
        instances_from_scores(np.zeros((2, 4, 4), np.float32), ("membrane", "inside"), ALL)


def slow_watershed(cell, markers, mask):
    """The definition: each pixel's way is that to its best neighbour and from there to it."""
    steps = np.concatenate([-np.eye(cell.ndim, dtype=int), np.eye(cell.ndim, dtype=int)])
    # Lowest score on the way, so that less is better, steps since then, and label.
    ways = {pixel: (-cell[pixel], 0, markers[pixel]) for pixel in map(tuple, np.argwhere(markers))}
    others = [pixel for pixel in map(tuple, np.argwhere(mask)) if pixel not in ways]
    changes = True
    while changes:
        changes = False
        for pixel in others:
            around = [ways[at] for at in map(tuple, np.add(pixel, steps)) if at in ways]
            if around:
                level, count, label = min(around)
                here = -cell[pixel]
                way = (here, 0, label) if here > level else (level, count + 1, label)
                changes |= ways.get(pixel) != way
                ways[pixel] = way
    labels = np.zeros_like(markers)
    for pixel, way in ways.items():
        labels[pixel] = way[2]
    return labels


def slow_instances(scores, class_roles, options):
    """The definition, with a mask for every piece, hole and cell."""
    background, cell = (scores[class_roles.index(role)] for role in ("background", "cell"))
    foreground = background < np.float32(1 - options.foreground_threshold)
    seeds, count = ndimage.label(foreground & (cell > np.float32(options.seed_threshold)))
    for seed in range(1, count + 1):
        if np.count_nonzero(seeds == seed) < options.min_seed_px:
            seeds[seeds == seed] = 0
    pieces, piece_count = ndimage.label(foreground)
    seeds_in = [np.unique(seeds[(pieces == p) & (seeds > 0)]) for p in range(piece_count + 1)]
    crowded = [p for p in range(1, piece_count + 1) if len(seeds_in[p]) > 1]
    labels = np.where(pieces > 0, count + pieces, 0)
    if options.separate_touching and crowded:
        shared = np.isin(pieces, crowded)
        markers = np.where(shared, seeds, 0)
        labels = np.where(shared, slow_watershed(cell, markers, shared), labels)
    if options.fill_holes:
        holes, hole_count = ndimage.label(labels == 0)
        for hole in range(1, hole_count + 1):
            inside = np.pad(holes == hole, 1)
            around = ndimage.binary_dilation(inside) & ~inside
            neighbours = np.unique(np.pad(labels, 1, constant_values=-1)[around])
            if len(neighbours) == 1 and neighbours[0] > 0:
                labels[holes == hole] = neighbours[0]
    result = np.zeros(labels.shape, np.int32)
    values, first = np.unique(labels, return_index=True)
    for value in values[np.argsort(first)]:
        inside = labels == value
        border = np.pad(np.zeros([n - 2 for n in labels.shape]), 1, constant_values=1) > 0
        is_cut = options.drop_border_cells and (inside & border).any()
        size = np.count_nonzero(inside)
        # Of whole numbers, because no order of adding them matters.
        total = sum(round(2**30 * float(score)) for score in background[inside])
        is_sure = options.min_score == 0 or total <= (1 - options.min_score) * 2**30 * size
        if value > 0 and size >= options.min_size_px and is_sure and not is_cut:
            result[inside] = result.max() + 1
    return result


ANY_SETTINGS = st.builds(
    InstanceSettings,
    foreground_threshold=st.sampled_from([0.3, 0.5]),
    seed_threshold=st.sampled_from([0.4, 0.7]),
    separate_touching=st.sampled_from([True, True, True, False]),
    min_size_px=st.sampled_from([0, 3]),
    min_seed_px=st.sampled_from([0, 2]),
    min_score=st.sampled_from([0.0, 0.75]),
    fill_holes=st.booleans(),
    drop_border_cells=st.booleans(),
)
# Few different scores: many ties.
COARSE_SCORES = st.sampled_from([0.1, 0.3, 0.6, 0.7, 0.75, 0.8, 1.0])


@settings(deadline=None, max_examples=200)
@given(
    npst.arrays(
        np.float32,
        st.one_of(
            st.tuples(st.just(2), st.integers(2, 20), st.integers(2, 20)),
            st.tuples(st.just(2), st.integers(2, 5), st.integers(2, 7), st.integers(2, 7)),
        ),
        elements=COARSE_SCORES,
    ),
    ANY_SETTINGS,
)
def test_cells_are_those_of_the_slow_version_to_the_last_tie(scores, options):
    expected = slow_instances(scores, TWO, options)
    assert np.array_equal(instances_from_scores(scores, TWO, options), expected)


def smooth_scores(shape, levels=None):
    rng = np.random.default_rng(0)
    noise = ndimage.gaussian_filter(rng.normal(size=(3, *shape)), (0, *[1.5] * len(shape)))
    raw = np.exp(3 * noise / noise.std())
    scores = (raw / raw.sum(axis=0)).astype(np.float32)
    return scores if levels is None else np.round(scores * levels) / np.float32(levels)


@pytest.mark.parametrize("levels", [None, 12])
@pytest.mark.parametrize("shape", [(100, 90), (12, 30, 31)])
def test_cells_of_a_crowded_image_are_those_of_the_slow_version(shape, levels):
    scores = smooth_scores(shape, levels)
    options = InstanceSettings(seed_threshold=0.8, min_score=0.75, min_size_px=5)
    expected = slow_instances(scores, THREE, options)
    assert np.array_equal(instances_from_scores(scores, THREE, options), expected)
    assert expected.max() > 10


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (1, 5, 6), (0, 5), (5, 0)])
def test_thin_and_empty_images_have_their_cells_too(shape):
    scores = np.stack([np.full(shape, 0.1), np.full(shape, 0.9)]).astype(np.float32)
    labels = instances_from_scores(scores, TWO, ALL)
    assert labels.shape == shape
    assert (labels == 1).all()


def test_memory_layout_of_the_scores_does_not_matter():
    scores = smooth_scores((40, 50))
    options = InstanceSettings(seed_threshold=0.7)
    expected = instances_from_scores(scores, THREE, options)
    wide = np.repeat(scores, 2, axis=2)[:, :, ::2]
    read_only = scores.copy()
    read_only.flags.writeable = False
    for other in (wide, read_only, np.asfortranarray(scores), scores.astype(np.float64)):
        assert np.array_equal(instances_from_scores(other, THREE, options), expected)


@pytest.mark.parametrize("shape", [(60, 50), (20, 40, 36)])
def test_shortcuts_change_nothing_of_a_watershed_of_everything(shape):
    scores = smooth_scores(shape)
    foreground = scores[0] < 0.5
    seeds, count = ndimage.label(scores[1] > 0.85)
    expected = watershed(-scores[1], seeds, mask=foreground)
    faint, _ = ndimage.label(foreground & (expected == 0))
    expected = np.where(faint > 0, faint + count, expected)

    options = InstanceSettings(seed_threshold=0.85, min_seed_px=0, min_size_px=0, fill_holes=False)
    found = instances_from_scores(scores, THREE, options)

    # The same cells, numbered in another order.
    pairs = np.unique(np.stack([found.reshape(-1), expected.reshape(-1)]), axis=1)
    assert len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1] > 5


def test_cells_keep_the_number_of_the_cell_they_lie_on():
    before = np.array([[7, 7, 7, 0, 3, 3, 0, 9]])
    labels = np.array([[0, 1, 1, 1, 0, 2, 3, 0]])
    assert keep_numbers(labels, before).tolist() == [[0, 7, 7, 7, 0, 3, 10, 0]]


def test_of_two_parts_of_a_cell_the_larger_keeps_its_number():
    before = np.array([[4, 4, 4, 4, 4, 0]])
    labels = np.array([[1, 1, 2, 2, 2, 2]])
    assert keep_numbers(labels, before).tolist() == [[5, 5, 4, 4, 4, 4]]


def test_a_cell_made_of_two_keeps_the_number_of_the_larger():
    before = np.array([[1, 1, 2, 2, 2, 0]])
    labels = np.array([[1, 1, 1, 1, 1, 2]])
    assert keep_numbers(labels, before).tolist() == [[2, 2, 2, 2, 2, 3]]


def test_numbers_are_kept_from_labels_of_any_dtype_and_size():
    labels = np.array([[1, 1, 0, 2]])
    largest = np.iinfo(np.int32).max
    kept = keep_numbers(labels, np.array([[5, 5, 0, largest]]))
    assert kept.tolist() == [[5, 5, 0, 6]]  # no number is left above the largest
    assert kept.dtype == np.int32
    assert keep_numbers(labels, np.array([[5, 5, 0, 2**40]])).tolist() == [[5, 5, 0, 6]]
    assert keep_numbers(labels, np.array([[9, 0, 0, 8]], np.uint8)).tolist() == [[9, 9, 0, 8]]
    assert keep_numbers(labels, np.array([[-1, 0, 0, -1]])).tolist() == [[3, 3, 0, 4]]
    assert keep_numbers(np.zeros((0, 3), int), np.zeros((0, 3), int)).shape == (0, 3)


def test_new_numbers_are_above_those_elsewhere():
    before, labels = np.array([[7, 7, 0, 0]]), np.array([[1, 1, 0, 2]])
    assert keep_numbers(labels, before, above=30).tolist() == [[7, 7, 0, 31]]
    assert keep_numbers(labels, before, above=3).tolist() == [[7, 7, 0, 8]]
    assert keep_numbers(labels, before, above=2**31 - 1).max() > 7


def test_earlier_labels_of_another_shape_are_refused():
    with pytest.raises(ImageShapeError, match="give label images of the same shape"):
        keep_numbers(np.zeros((2, 3), int), np.zeros((3, 2), int))


def slow_keep_numbers(labels, before):
    """Pairs by shared pixels, then by where they meet first."""
    met = list(zip(labels.ravel().tolist(), before.ravel().tolist(), strict=True))
    pairs = [pair for pair in dict.fromkeys(met) if min(pair) > 0]
    numbers = {0: 0}
    for cell, earlier in sorted(pairs, key=lambda pair: -met.count(pair)):
        if cell not in numbers and earlier not in numbers.values():
            numbers[cell] = earlier
    new = itertools.count(max(labels.max(), before.max()) + 1)
    for cell in range(1, labels.max() + 1):
        if cell not in numbers:
            numbers[cell] = next(new)
    return np.vectorize(numbers.get)(labels)


@settings(deadline=None, max_examples=150)
@given(
    st.tuples(st.integers(1, 8), st.integers(1, 8)).flatmap(
        lambda shape: st.tuples(
            npst.arrays(np.int32, shape, elements=st.integers(0, 6)),
            npst.arrays(np.int32, shape, elements=st.integers(0, 12)),
        )
    )
)
def test_kept_numbers_are_those_of_the_slow_version_and_none_is_given_twice(images):
    labels, before = images
    _, labels = np.unique(np.append(labels, 0), return_inverse=True)
    labels = labels[:-1].reshape(before.shape)
    kept = keep_numbers(labels, before)
    assert np.array_equal(kept, slow_keep_numbers(labels, before))
    assert len(np.unique(kept[labels > 0])) == labels.max()


def test_kept_numbers_are_their_own():
    labels = slow_instances(smooth_scores((60, 50)), THREE, ALL)
    assert np.array_equal(keep_numbers(labels, labels), labels)


def test_preparing_compiles_all_that_an_image_needs():
    # In a process of its own, where nothing is compiled yet.
    code = """
import numpy as np
from napari_unet.engine.segmentation import foreground, instances, watershed
from napari_unet.engine.labels import components
functions = [f for m in (foreground, watershed, instances, components) for f in vars(m).values()
             if hasattr(f, "signatures")]
compiled = lambda: [len(f.signatures) for f in functions]
at_first = compiled()
instances.prepare_instances()
prepared = compiled()
for shape in ((2, 40, 50), (2, 6, 20, 20)):
    scores = np.random.default_rng(0).random(shape, dtype=np.float32)
    settings = instances.InstanceSettings(min_seed_px=1, drop_border_cells=True)
    labels = instances.instances_from_scores(scores, ("background", "cell"), settings)
    instances.keep_numbers(labels, labels)
assert sum(at_first) == 0 < sum(prepared), (at_first, prepared)
assert compiled() == prepared, (prepared, compiled())
"""
    subprocess.run([sys.executable, "-c", code], check=True)
