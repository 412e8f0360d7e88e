"""The array behind a layer of cells: written in place, never over what a person painted."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from napari_unet.engine.base.settings import InstanceSettings
from napari_unet.engine.images.image import PlaneIndex, plane_key
from napari_unet.engine.segmentation.planes import PlaneScores
from napari_unet.viewer.label_canvas import LabelCanvas

ALL = slice(None)
FLAT: PlaneIndex = (ALL, ALL)
PLAIN = InstanceSettings(seed_threshold=0.5, min_size_px=0, min_seed_px=0)


def scores_of(cells: Any, wanted: tuple[slice, ...] | None = None) -> PlaneScores:
    """Scores of a plane whose cells are certain."""
    cell = (np.asarray(cells) > 0).astype(np.float32)
    box = tuple(slice(0, n) for n in cell.shape)
    return PlaneScores(
        np.stack([1 - cell, cell]), ("background", "cell"), cell.shape, cell.shape, box, wanted
    )


def write(
    canvas: LabelCanvas, index: PlaneIndex, labels: Any, *, keeps_numbers: bool = True
) -> bool:
    labels = np.asarray(labels, np.int32)
    return canvas.finish(index, scores_of(labels), labels, keeps_numbers=keeps_numbers)


def test_a_plane_gets_its_cells_and_the_others_none() -> None:
    canvas = LabelCanvas(np.zeros((3, 1, 4), np.int32))

    assert write(canvas, (1, ALL, ALL), [[1, 0, 2, 2]])

    assert canvas.array.tolist() == [[[0, 0, 0, 0]], [[1, 0, 2, 2]], [[0, 0, 0, 0]]]
    assert canvas.planes_finished == 1


def test_cells_of_another_slice_get_other_numbers() -> None:
    canvas = LabelCanvas(np.zeros((2, 1, 4), np.int32))
    write(canvas, (0, ALL, ALL), [[1, 0, 2, 2]])

    write(canvas, (1, ALL, ALL), [[1, 0, 0, 2]])

    assert canvas.array[1].tolist() == [[3, 0, 0, 4]]


def test_a_cell_found_again_keeps_its_number_and_a_new_one_gets_one_above_all() -> None:
    canvas = LabelCanvas(np.zeros((2, 1, 6), np.int32))
    write(canvas, (0, ALL, ALL), [[1, 0, 2, 2, 0, 0]])
    write(canvas, (1, ALL, ALL), [[1, 0, 0, 0, 0, 0]])

    write(canvas, (0, ALL, ALL), [[0, 0, 1, 1, 0, 2]])

    assert canvas.array[0].tolist() == [[0, 0, 2, 2, 0, 4]]
    assert canvas.array[1].tolist() == [[3, 0, 0, 0, 0, 0]]


def test_without_keeping_numbers_the_cells_have_those_of_the_engine() -> None:
    canvas = LabelCanvas(np.zeros((1, 4), np.int32))
    write(canvas, FLAT, [[0, 0, 1, 1]])

    write(canvas, FLAT, [[1, 0, 2, 2]], keeps_numbers=False)

    assert canvas.array.tolist() == [[1, 0, 2, 2]]


def test_numbers_that_go_on_from_another_slice_do_not_run_away() -> None:
    canvas = LabelCanvas(np.zeros((1, 6), np.int32))
    write(canvas, FLAT, [[1, 0, 0, 0, 0, 0]])

    write(canvas, FLAT, [[501, 0, 502, 0, 503, 0]])

    assert canvas.array.tolist() == [[1, 0, 4, 0, 5, 0]]


@settings(max_examples=50, deadline=None)
@given(
    first=arrays(np.int32, (2, 4, 4), elements=st.integers(0, 3)),
    second=arrays(np.int32, (2, 4, 4), elements=st.integers(0, 3)),
)
def test_whatever_is_found_again_cells_stay_apart_in_all_slices(
    first: NDArray[np.int32], second: NDArray[np.int32]
) -> None:
    canvas = LabelCanvas(np.zeros((2, 4, 4), np.int32))
    for number, labels in [*enumerate(first), *enumerate(second)]:
        _, gapless = np.unique(np.append(labels, 0), return_inverse=True)
        write(canvas, (number, ALL, ALL), gapless[:-1].reshape(labels.shape))

    for number, labels in enumerate(second):
        pairs = {*zip(labels.flat, canvas.array[number].flat, strict=True)}
        assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
    assert not set(canvas.array[0].flat) & set(canvas.array[1].flat) - {0}


def test_what_it_wrote_itself_is_no_edit_and_a_painted_pixel_is() -> None:
    canvas = LabelCanvas(np.zeros((2, 300, 4), np.int32))
    rows = np.zeros((300, 4), int)
    rows[5] = 1
    for number in (0, 1):
        write(canvas, (number, ALL, ALL), rows)
    assert not canvas.is_edited((0, ALL, ALL))

    canvas.array[1, 299, 0] = 7

    assert not canvas.is_edited((0, ALL, ALL))
    assert canvas.is_edited((1, ALL, ALL))


def test_a_plane_that_nothing_is_known_of_is_edited_unless_it_is_empty() -> None:
    canvas = LabelCanvas(np.array([[[0, 0]], [[0, 5]]], np.int32))

    assert not canvas.is_edited((0, ALL, ALL))
    assert canvas.is_edited((1, ALL, ALL))


def test_checksums_are_plain_values_that_a_later_run_can_use() -> None:
    first = LabelCanvas(np.zeros((2, 1, 4), np.int32))
    write(first, (1, ALL, ALL), [[1, 0, 2, 2]])

    later = LabelCanvas(first.array, json.loads(json.dumps(first.checksums)))

    assert not later.is_edited((1, ALL, ALL))
    later.array[1, 0, 0] = 2
    assert later.is_edited((1, ALL, ALL))


def test_checksums_of_an_array_of_another_height_mean_that_it_was_edited() -> None:
    small = LabelCanvas(np.zeros((10, 4), np.int32))
    write(small, FLAT, np.ones((10, 4)))

    assert LabelCanvas(np.ones((600, 4), np.int32), small.checksums).is_edited(FLAT)


def test_planes_are_named_by_the_numbers_of_their_slices() -> None:
    assert plane_key((3, ALL, ALL)) == "3,:,:"
    assert plane_key((ALL, 3, ALL)) == ":,3,:"


def test_a_preview_writes_its_area_and_a_cell_across_two_areas_is_one() -> None:
    canvas = LabelCanvas(np.zeros((1, 6), np.int32))
    plane = scores_of([[1, 0, 1, 1, 1, 0]])

    canvas.preview(FLAT, plane, (slice(0, 1), slice(0, 3)), PLAIN)
    assert canvas.array.tolist() == [[1, 0, 2, 0, 0, 0]]
    canvas.preview(FLAT, plane, (slice(0, 1), slice(3, 6)), PLAIN)

    assert canvas.array.tolist() == [[1, 0, 2, 2, 2, 0]]
    assert not canvas.is_edited(FLAT)


def test_a_preview_does_not_take_its_own_edge_for_the_images() -> None:
    canvas = LabelCanvas(np.zeros((1, 200), np.int32))
    cells = np.zeros((1, 200), int)
    cells[0, 90:170] = 1
    without_border_cells = InstanceSettings(0.5, 0.5, min_size_px=0, drop_border_cells=True)

    canvas.preview(FLAT, scores_of(cells), (slice(0, 1), slice(0, 100)), without_border_cells)

    assert np.array_equal(canvas.array[0] > 0, np.arange(200) // 10 == 9)


def test_a_preview_outside_of_what_is_wanted_writes_nothing() -> None:
    canvas = LabelCanvas(np.zeros((1, 6), np.int32))
    plane = scores_of([[1, 1, 1, 1, 1, 1]], wanted=(slice(0, 1), slice(0, 2)))

    assert canvas.preview(FLAT, plane, (slice(0, 1), slice(3, 6)), PLAIN)

    assert not canvas.array.any()


def test_close_puts_the_unfinished_plane_back_and_keeps_the_finished_one() -> None:
    earlier = np.array([[[9, 0, 0, 0]], [[0, 8, 0, 0]]], np.int32)
    known = LabelCanvas(np.zeros_like(earlier))
    for number in (0, 1):
        write(known, (number, ALL, ALL), earlier[number], keeps_numbers=False)
    canvas = LabelCanvas(earlier, known.checksums)
    for number in (0, 1):
        canvas.begin((number, ALL, ALL))
        plane = scores_of([[0, 0, 1, 1]])
        canvas.preview((number, ALL, ALL), plane, (slice(0, 1), slice(0, 4)), PLAIN)
        if number == 0:
            canvas.finish((0, ALL, ALL), plane, np.array([[0, 0, 1, 1]]), keeps_numbers=False)
    assert (earlier[1] > 0).tolist() == [[False, False, True, True]]

    assert canvas.close()

    assert earlier.tolist() == [[[0, 0, 1, 1]], [[0, 8, 0, 0]]]
    assert not any(canvas.is_edited((number, ALL, ALL)) for number in (0, 1))


def test_close_keeps_what_was_found_in_a_plane_that_was_empty() -> None:
    canvas = LabelCanvas(np.zeros((1, 4), np.int32))
    canvas.begin(FLAT)
    assert canvas.is_empty
    canvas.preview(FLAT, scores_of([[1, 1, 0, 1]]), (slice(0, 1), slice(0, 2)), PLAIN)

    assert not canvas.close()

    assert canvas.array.tolist() == [[1, 1, 0, 0]]
    assert not canvas.is_empty
    assert not canvas.is_edited(FLAT)


def test_nothing_is_written_after_close() -> None:
    canvas = LabelCanvas(np.zeros((1, 4), np.int32))
    canvas.close()

    canvas.preview(FLAT, scores_of([[1, 1, 0, 1]]), (slice(0, 1), slice(0, 2)), PLAIN)
    write(canvas, FLAT, [[1, 1, 0, 2]])

    assert not canvas.array.any()
    assert canvas.planes_finished == 0
    assert canvas.checksums == {}


def test_a_reopened_canvas_goes_on_and_the_first_one_writes_no_more() -> None:
    first = LabelCanvas(np.zeros((1, 4), np.int32))
    write(first, FLAT, [[1, 0, 2, 2]])
    second = first.reopened()

    write(first, FLAT, [[0, 0, 0, 0]])
    assert first.array.tolist() == [[1, 0, 2, 2]]
    assert not second.is_edited(FLAT)
    write(second, FLAT, [[0, 0, 1, 1]])

    assert second.array.tolist() == [[0, 0, 2, 2]]


WANTED = (slice(0, 1), slice(4, 8))
# One cell outside of what is wanted, one that reaches in, one inside.
BEFORE = [[7, 0, 5, 5, 5, 5, 0, 6, 0, 0]]


def region_canvas() -> LabelCanvas:
    first = LabelCanvas(np.zeros((1, 10), np.int32))
    write(first, FLAT, BEFORE, keeps_numbers=False)
    return LabelCanvas(first.array, first.checksums)


def test_a_region_replaces_the_cells_that_reach_into_it_and_no_other() -> None:
    canvas = region_canvas()
    found = np.array([[0, 0, 0, 1, 1, 1, 0, 0, 2, 0]], np.int32)

    canvas.finish(FLAT, scores_of(found, WANTED), found, keeps_numbers=True)

    assert canvas.array.tolist() == [[7, 0, 0, 5, 5, 5, 0, 0, 8, 0]]
    assert not canvas.is_edited(FLAT)


def test_of_a_cell_that_is_gone_from_a_region_nothing_stays_outside_of_it() -> None:
    canvas = region_canvas()
    found = np.zeros((1, 10), np.int32)
    plane = scores_of(found, WANTED)
    canvas.preview(FLAT, plane, (slice(0, 1), slice(0, 10)), PLAIN)
    assert canvas.array.tolist() == [[7, 0, 5, 5, 0, 0, 0, 0, 0, 0]]

    # A change of the settings in the meantime makes no difference.
    canvas = canvas.reopened()
    canvas.finish(FLAT, plane, found, keeps_numbers=True)

    assert canvas.array.tolist() == [[7, 0, 0, 0, 0, 0, 0, 0, 0, 0]]


@pytest.mark.parametrize("is_known", [True, False])
def test_where_someone_painted_meanwhile_nothing_is_written(is_known: bool) -> None:
    canvas = LabelCanvas(np.zeros((1, 4), np.int32))
    if is_known:
        write(canvas, FLAT, [[1, 0, 2, 2]])
    canvas.array[0, 1] = 9
    painted = canvas.array.copy()
    plane = scores_of([[1, 1, 0, 0]])

    assert not canvas.preview(FLAT, plane, (slice(0, 1), slice(0, 2)), PLAIN)
    assert not write(canvas, FLAT, [[1, 1, 0, 0]])

    assert np.array_equal(canvas.array, painted)
    assert canvas.is_edited(FLAT)


def test_close_does_not_put_back_over_what_someone_painted_meanwhile() -> None:
    first = LabelCanvas(np.zeros((1, 4), np.int32))
    write(first, FLAT, [[1, 0, 2, 2]])
    canvas = LabelCanvas(first.array, first.checksums)
    canvas.begin(FLAT)
    canvas.array[0, 1] = 9
    assert not write(canvas, FLAT, [[1, 1, 0, 0]])

    assert not canvas.close()

    assert canvas.array.tolist() == [[1, 9, 2, 2]]


def test_painting_elsewhere_does_not_keep_a_preview_from_its_own_rows() -> None:
    canvas = LabelCanvas(np.zeros((600, 4), np.int32))
    cells = np.zeros((600, 4), int)
    cells[:3] = 1
    write(canvas, FLAT, cells)
    canvas.array[599, 0] = 9

    assert canvas.preview(FLAT, scores_of(cells), (slice(0, 10), slice(0, 4)), PLAIN)

    assert canvas.is_edited(FLAT)
    assert canvas.array[599, 0] == 9
