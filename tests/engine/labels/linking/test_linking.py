import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from napari_unet.engine.base.errors import ImageShapeError, LabelsError, SettingsError
from napari_unet.engine.base.settings import SegmentationSettings
from napari_unet.engine.labels.cell_list import CellScores, ScoreMaps, Window, list_cells
from napari_unet.engine.labels.cell_types import cell_types
from napari_unet.engine.labels.linking.discs import DiscCount, KnownCells
from napari_unet.engine.labels.linking.slices import SliceLinker, link_slices


def as_stack(*rows: str) -> np.ndarray:
    """One slice of one row for each text: ". " is background, letters are cells."""
    return np.array([[[0 if mark == "." else ord(mark) for mark in row]] for row in rows])


def linked(*rows: str, overlap: float = 0.5, gaps: bool = False) -> list[str]:
    found = link_slices(as_stack(*rows), link_overlap=overlap, link_gaps=gaps)
    return ["".join("." if n == 0 else str(n) for n in plane[0]) for plane in found]


# -- the slow and obvious version --------------------------------------------------------------


def pixels_of(plane: np.ndarray) -> dict[int, set[tuple[int, ...]]]:
    """Each cell as a set of pixels, in reading order."""
    cells: dict[int, set[tuple[int, ...]]] = {}
    for place, number in np.ndenumerate(plane):
        if number > 0:
            cells.setdefault(int(number), set()).add(place)
    return cells


def best_matches(before: list[set], here: list[set], overlap: float) -> list[tuple[int, int]]:
    """Pairs of which each is the first with the highest IoU for the other, by trying all."""
    iou = [[len(a & b) / len(a | b) for b in here] for a in before]
    pairs = []
    for i in range(len(before)):
        for j in range(len(here)):
            is_best_of_i = iou[i][j] == max(iou[i]) and iou[i].index(iou[i][j]) == j
            column = [iou[k][j] for k in range(len(before))]
            is_best_of_j = iou[i][j] == max(column) and column.index(iou[i][j]) == i
            if is_best_of_i and is_best_of_j and iou[i][j] >= overlap:
                pairs.append((i, j))
    return pairs


def linked_by_brute_force(stack: np.ndarray, overlap: float, gaps: bool) -> np.ndarray:
    result = np.zeros(stack.shape, np.int64)
    highest = 0
    for z, plane in enumerate(stack):
        here = list(pixels_of(plane).values())
        numbers = [0] * len(here)
        # The cells that go on are those of the result so far, in the order of their numbers.
        if z >= 1:
            before = dict(sorted(pixels_of(result[z - 1]).items()))
            for i, j in best_matches(list(before.values()), here, overlap):
                numbers[j] = list(before)[i]
        if z >= 2 and gaps:
            ended = {
                number: cell
                for number, cell in sorted(pixels_of(result[z - 2]).items())
                if not (result[z - 1] == number).any()
            }
            free = [j for j, number in enumerate(numbers) if number == 0]
            for i, k in best_matches(list(ended.values()), [here[j] for j in free], overlap):
                numbers[free[k]] = list(ended)[i]
                for place in ended[list(ended)[i]] & here[free[k]]:
                    if result[z - 1][place] == 0:
                        result[z - 1][place] = numbers[free[k]]
        for j, cell in enumerate(here):
            if numbers[j] == 0:
                highest += 1
                numbers[j] = highest
            for place in cell:
                result[z][place] = numbers[j]
    return result


@given(
    arrays(
        np.int32,
        array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=6),
        elements=st.integers(-1, 4),
    ),
    st.sampled_from([0.01, 0.25, 1 / 3, 0.4, 0.5, 0.75, 1.0]),
    st.booleans(),
)
def test_links_are_those_of_brute_force_in_any_stack(
    stack: np.ndarray, overlap: float, gaps: bool
) -> None:
    found = link_slices(stack, link_overlap=overlap, link_gaps=gaps)

    np.testing.assert_array_equal(found, linked_by_brute_force(stack, overlap, gaps))


@given(
    arrays(
        np.int32, st.tuples(st.integers(1, 6), st.just(5), st.just(5)), elements=st.integers(0, 3)
    ),
    st.permutations(range(1, 4)),
)
def test_numbers_before_do_not_matter(stack: np.ndarray, order: list[int]) -> None:
    renamed = np.array([0, *order])[stack]

    np.testing.assert_array_equal(link_slices(stack) > 0, link_slices(renamed) > 0)
    np.testing.assert_array_equal(link_slices(stack), link_slices(renamed))


# -- by hand -----------------------------------------------------------------------------------


def test_cells_that_overlap_enough_are_one() -> None:
    assert linked("aaa..", ".bbb.", "..ccc") == ["111..", ".111.", "..111"]
    assert linked("aaa..", ".bbb.", "..ccc", overlap=0.6) == ["111..", ".222.", "..333"]


def test_of_the_parts_of_a_split_cell_the_better_one_goes_on() -> None:
    assert linked("aaaaaa", "bbbbcc") == ["111111", "111122"]


def test_of_equal_ones_the_first_goes_on() -> None:
    assert linked("aaaa", "bbcc") == ["1111", "1122"]


def test_a_cell_that_is_better_matched_elsewhere_is_left() -> None:
    # b is the best match of both, but a is the better one for b.
    assert linked("aaaac", "bbbbb", overlap=0.1) == ["11112", "11111"]


def test_a_gap_of_one_slice_is_bridged_and_filled_where_both_neighbours_are() -> None:
    assert linked("aaa.", "....", ".bbb", gaps=True) == ["111.", ".11.", ".111"]
    assert linked("aaa.", "....", ".bbb", gaps=False) == ["111.", "....", ".222"]


def test_a_gap_of_two_slices_is_none() -> None:
    assert linked("aa", "..", "..", "bb", gaps=True) == ["11", "..", "..", "22"]


def test_other_cells_in_a_gap_stay() -> None:
    assert linked("aaaa", "c...", "aaaa", gaps=True) == ["1111", "2111", "1111"]


def test_numbers_follow_the_first_pixel() -> None:
    assert linked("..b", "a..", "a.c") == ["..1", "2..", "2.3"]


def test_axes_before_z_are_not_linked() -> None:
    movie = np.ones((2, 3, 4, 4), int)

    found = link_slices(movie)

    assert np.unique(found[0]).tolist() == [1]
    assert np.unique(found[1]).tolist() == [2]


def test_an_empty_stack_stays_empty() -> None:
    assert link_slices(np.zeros((0, 3, 3), int)).shape == (0, 3, 3)
    assert not link_slices(np.zeros((3, 3, 3), int)).any()


def test_a_plane_is_refused() -> None:
    with pytest.raises(LabelsError, match=r"shape \(4, 4\); to link slices give three axes"):
        link_slices(np.zeros((4, 4), int))


def test_an_overlap_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(SettingsError, match="link_overlap is 0; use a number above 0"):
        link_slices(np.zeros((2, 4, 4), int), link_overlap=0)


def test_slices_of_several_shapes_are_refused() -> None:
    linker = SliceLinker(SegmentationSettings())
    linker.add(np.zeros((4, 4), int))

    with pytest.raises(ImageShapeError, match="give slices of the same shape"):
        linker.add(np.zeros((4, 5), int))


# -- what is known of discs --------------------------------------------------------------------


def test_discs_are_counted_and_what_they_are_if_linked() -> None:
    count = DiscCount(SegmentationSettings(link_gaps=False), 2)
    for plane in as_stack("aa.b", "aa.b", "aa.b", "...b"):
        count.add(plane)

    # The last two slices are another stack.
    assert (count.discs, count.linked) == (7, 4)


def test_scores_of_linked_cells_are_those_of_the_whole_cells() -> None:
    stack = link_slices(as_stack("aa.b", "aaab", "a..b"))
    maps = np.random.default_rng(0).random((2, *stack.shape), np.float32)
    known = KnownCells(linked=True)
    for z, plane in enumerate(stack):
        window = Window.of_plane((z,), stack.shape)
        cells = list_cells(plane, ScoreMaps(maps[0, z], maps[1, z]), window=window)
        known.add(plane, CellScores.of(cells), None)

    whole = list_cells(stack, ScoreMaps(*maps))

    assert known.scores is not None
    assert known.scores.prints.tolist() == whole.prints.tolist()
    np.testing.assert_allclose(known.scores.scores, whole.scores)
    np.testing.assert_allclose(known.scores.doubts, whole.doubts)


def test_types_of_linked_cells_are_those_of_most_of_them() -> None:
    stack = link_slices(as_stack("aaaa", "a...", "...."), link_overlap=0.2)
    scores = np.zeros((3, *stack.shape), np.float32)
    scores[1, 0], scores[2, 1] = 1, 1  # the large disc is mitotic
    known = KnownCells(linked=True)
    for z, plane in enumerate(stack):
        types = cell_types(scores[:, z], ("background", "cell: mitotic", "cell: other"), plane)
        known.add(plane, None, types)

    assert known.types is not None
    assert known.types.by_label == {1: "mitotic"}
    np.testing.assert_allclose(known.types.shares, [[0.8, 0.2]])
