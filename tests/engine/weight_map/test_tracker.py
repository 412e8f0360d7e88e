"""A tracked weight map against the map of all labels, to the bit, after every edit."""

import dataclasses
import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt

from napari_unet.engine.base.errors import ImageShapeError, LabelsError
from napari_unet.engine.weight_map import tracker as weight_map_tracker
from napari_unet.engine.weight_map.formula import _reach
from napari_unet.engine.weight_map.settings import WeightMapSettings
from napari_unet.engine.weight_map.tracker import WeightMapTracker
from napari_unet.engine.weight_map.weight_map import boundary_weight_map, separate_touching_cells

PLAIN = WeightMapSettings(class_balance=False)
KINDS = ["paint", "erase", "fill", "undo", "redo", "new id", "whole array", "huge id"]


def brush(shape, centre, radius):
    grid = np.ogrid[tuple(slice(0, n) for n in shape)]
    return sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True)) <= radius**2


def box_of(mask):
    return tuple(slice(int(places.min()), int(places.max()) + 1) for places in np.nonzero(mask))


class Editor:
    """Edits labels as a painter does, with a history."""

    def __init__(self, labels):
        self.labels, self.done, self.undone = labels, [], []

    def edit(self, kind, rng):
        """Change the labels in place; return the box given to the tracker, None for anywhere."""
        labels = self.labels
        if kind in ("undo", "redo"):
            source, target = (
                (self.done, self.undone) if kind == "undo" else (self.undone, self.done)
            )
            if source:
                target.append(labels.copy())
                labels[:] = source.pop()
            return None
        self.done.append(labels.copy())
        self.undone.clear()
        if kind == "whole array":
            self.labels = np.roll(labels, 3, axis=-1)
            return None
        centre = [int(rng.integers(0, n)) for n in labels.shape]
        mask = brush(labels.shape, centre, rng.integers(0, 6))
        if kind == "fill":
            mask = labels == labels[tuple(centre)]
        number = {
            "paint": int(rng.integers(1, 9)),
            "erase": 0,
            "fill": int(rng.integers(0, 9)),
            "new id": int(labels.max()) + 1,
            "huge id": 2**40 + int(rng.integers(0, 3)),
        }[kind]
        labels[mask] = number
        return box_of(mask)


@settings(deadline=None, max_examples=60)
@given(
    shape=st.one_of(
        st.tuples(st.integers(1, 130), st.integers(1, 130)),
        st.tuples(st.integers(1, 14), st.integers(1, 30), st.integers(1, 30)),
    ),
    kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=8),
    seed=st.integers(0, 10**6),
    settings_=st.builds(
        WeightMapSettings,
        variant=st.sampled_from(["paper", "fiji"]),
        border_sigma_px=st.sampled_from([0.5, 1.5, 4]),
        background_sigma_px=st.sampled_from([1, 6]),
        class_balance=st.booleans(),
        separate_touching=st.booleans(),
        ignore_label=st.sampled_from([None, 3]),
    ),
    steps=st.sampled_from([(1, 1, 1), (2.5, 1, 1), (1.7, 0.6, 1.3)]),
)
def test_any_edits_leave_the_map_of_all_labels(shape, kinds, seed, settings_, steps):
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int64)
    for number in range(1, 9):
        labels[brush(shape, [rng.integers(0, n) for n in shape], 4)] = number
    spacing = steps[3 - labels.ndim :]
    editor = Editor(labels)
    tracker = WeightMapTracker(labels, settings_, spacing=spacing)
    array = tracker.weights
    before = array.copy()
    for kind in kinds:
        box = editor.edit(kind, rng)
        changed = tracker.update_from(editor.labels) if box is None else tracker.update(box)
        expected = boundary_weight_map(editor.labels, settings=settings_, spacing=spacing)
        assert tracker.weights is array
        assert np.array_equal(array, expected)
        if not (settings_.class_balance and settings_.variant == "paper"):
            outside = np.ones(shape, bool)
            if changed is not None:
                outside[changed] = False
            assert np.array_equal(array[outside], before[outside])
        before = array.copy()


def test_a_stroke_changes_the_map_within_the_reach_only():
    labels = np.zeros((300, 300), np.int32)
    labels[100:150, 100:150] = 1
    tracker = WeightMapTracker(labels, PLAIN)
    assert tracker.reach_px == (32, 32)  # 31.3 px at these settings, and 1 for the carved gap
    labels[100:150, 160:200] = 2
    assert tracker.update((slice(90, 160), slice(150, 210))) == (slice(68, 182), slice(128, 232))
    assert tracker.weights[120, 155] == pytest.approx(1 + 10 * np.exp(-121 / 50))


def test_edits_far_apart_are_found_without_being_told():
    labels = np.zeros((400, 500), np.uint16)
    labels[100:150, 100:150] = 1
    tracker = WeightMapTracker(labels, PLAIN)
    labels[10:14, 20:22], labels[390:395, 470:480] = 2, 3
    assert tracker.update_from(labels) == (slice(0, 400), slice(0, 500))
    assert np.array_equal(tracker.weights, boundary_weight_map(labels, settings=PLAIN))


def test_unchanged_labels_change_nothing():
    labels = np.eye(20, dtype=int)
    tracker = WeightMapTracker(labels)
    assert tracker.update((slice(0, 20), slice(0, 20))) is None
    assert tracker.update_from(labels) is None
    # A box beyond the image, as a brush at its edge may have, is cut.
    labels[19, 0] = 4
    assert tracker.update((slice(15, 40), slice(0, 9))) is not None


def test_labels_that_are_replaced_are_followed_from_then_on():
    tracker = WeightMapTracker(np.zeros((50, 60), np.uint8), PLAIN)
    other = np.zeros((50, 60), np.int64)
    other[5:9, 5:9] = 2**40
    tracker.update_from(other)
    other[5:9, 12:20] = 2**41
    tracker.update((slice(5, 9), slice(12, 20)))
    assert np.array_equal(tracker.weights, boundary_weight_map(other, settings=PLAIN))


def test_the_copy_that_is_kept_hides_edits_until_they_are_told():
    labels = np.zeros((50, 60), int)
    labels[5:9, 5:9] = 1
    tracker = WeightMapTracker(labels, PLAIN)
    labels[5:9, 12:20] = 2
    labels[40:45, 5:9] = 3
    before = boundary_weight_map(np.where(labels == 1, 1, 0), settings=PLAIN)
    assert np.array_equal(tracker.weights, before)
    tracker.update((slice(5, 9), slice(12, 20)))
    assert np.array_equal(
        tracker.weights, boundary_weight_map(np.where(labels == 3, 0, labels), settings=PLAIN)
    )


def test_other_settings_are_taken_up_in_the_same_array():
    labels = np.zeros((50, 60), int)
    labels[5:9, 5:9], labels[5:9, 12:20] = 1, 2
    tracker = WeightMapTracker(labels, PLAIN)
    array = tracker.weights
    for changed in (
        dataclasses.replace(PLAIN, border_sigma_px=2),
        WeightMapSettings(),
        WeightMapSettings.of("fiji"),
        PLAIN,
    ):
        tracker.change_settings(changed)
        labels[30:33, 30] += 1
        tracker.update((slice(30, 33), slice(30, 31)))
        assert tracker.weights is array
        assert np.array_equal(array, boundary_weight_map(labels, settings=changed))


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    spacing=st.sampled_from([(1, 1), (2, 0.7)]),
    settings_=st.sampled_from([PLAIN, WeightMapSettings(), WeightMapSettings(border_sigma_px=2)]),
)
def test_distances_at_a_pixel_are_those_of_the_definition(seed, spacing, settings_):
    rng = np.random.default_rng(seed)
    labels = np.zeros((60, 50), int)
    for number in range(1, rng.integers(2, 5)):
        labels[brush(labels.shape, rng.integers(0, 50, 2), 5)] = number
    tracker = WeightMapTracker(labels, settings_, spacing=spacing)
    point = tuple(int(rng.integers(0, n)) for n in labels.shape)
    found = tracker.distances_at(point)
    cells = separate_touching_cells(labels)
    distances = sorted(
        distance_transform_edt(cells != number, sampling=spacing)[point]
        for number in np.unique(cells[cells > 0])
    )
    reach = _reach(settings_.w0, settings_.border_sigma_px)  # farther away the term counts nothing
    distances = [distance if distance <= reach else np.inf for distance in distances]
    near, far = (*distances, np.inf, np.inf)[:2]
    assert (found.near, found.far) == pytest.approx((near, far))
    assert found.weight == boundary_weight_map(labels, settings=settings_, spacing=spacing)[point]


def test_distances_in_a_stack_go_through_the_slices():
    labels = np.zeros((9, 20, 20), int)
    labels[0, 10, 10], labels[6, 10, 10] = 1, 2
    tracker = WeightMapTracker(labels, PLAIN, spacing=(2, 1, 1))
    found = tracker.distances_at((2, 10, 10))
    assert (found.near, found.far) == (4, 8)
    assert found.weight == pytest.approx(1 + 10 * np.exp(-144 / 50))
    assert tracker.distances_at((2, 10, 20)) is None
    assert tracker.distances_at((-1, 10, 10)) is None


def test_an_image_without_pixels_can_be_tracked():
    tracker = WeightMapTracker(np.zeros((0, 5), int))
    assert tracker.weights.shape == (0, 5)
    assert tracker.update((slice(0, 5), slice(0, 5))) is None
    assert tracker.update_from(np.zeros((0, 5), int)) is None


def test_bad_edits_are_refused_and_change_nothing():
    labels = np.zeros((30, 30), int)
    labels[2:5, 2:5], labels[2:5, 8:12] = 1, 2
    tracker = WeightMapTracker(labels)
    before = tracker.weights.copy()
    with pytest.raises(ImageShapeError, match=r"now have shape \(30, 31\) instead of \(30, 30\)"):
        tracker.update_from(np.zeros((30, 31), int))
    with pytest.raises(LabelsError, match="numbers that are not whole"):
        tracker.update_from(labels / 2)
    assert np.array_equal(tracker.weights, before)
    labels[20, 20] = -1  # no cell
    tracker.update((slice(20, 21), slice(20, 21)))
    assert np.array_equal(tracker.weights, before)
    labels[20, 20] = 3
    tracker.update_from(labels)
    assert np.array_equal(tracker.weights, boundary_weight_map(labels))


def test_the_example_runs_as_printed():
    result = doctest.testmod(weight_map_tracker)
    assert result.attempted > 0
    assert result.failed == 0
