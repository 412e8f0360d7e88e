"""The list of cells: of parts as of the whole, and with what a network said of them."""

import numpy as np

from napari_unet.engine.labels.cell_list import CellScores, Window, joined_scores, list_cells
from napari_unet.engine.labels.look_over import chosen_cells, in_order


def stack() -> np.ndarray:
    labels = np.zeros((3, 5, 6), np.int32)
    labels[0, 1:3, 1:4], labels[1, 0, 5], labels[2, 2:5, 0:2] = 4, 9, 2
    return labels


def test_cells_of_a_plane_and_of_a_part_are_listed_as_those_of_the_whole() -> None:
    labels = stack()
    whole = list_cells(labels)
    for z, number in ((0, 4), (1, 9), (2, 2)):
        plane = list_cells(labels[z], window=Window.of_plane((z,), labels.shape))
        assert plane.numbers.tolist() == [number]
        assert plane.prints[0] == whole.prints[whole.row(number)]
    part = list_cells(labels[1:, :, :3], window=Window((1, 0, 0), labels.shape))
    assert part.numbers.tolist() == [2]
    assert part.box(0) == whole.box(0)
    assert part.prints[0] == whole.prints[0]


def test_what_has_changed_is_told_by_number() -> None:
    labels = stack()
    before = list_cells(labels)
    labels[1, 0, 5] = 0
    labels[0, 1, 1] = 0
    labels[0, 0, 0] = 12
    assert list_cells(labels).changed_since(before).tolist() == [4, 9, 12]
    assert before.changed_since(before).size == 0


def scores(labels: np.ndarray, value: float) -> CellScores:
    cells = list_cells(labels)
    values = np.full(cells.numbers.size, value)
    return CellScores(cells.numbers, cells.prints, values, 1 - values)


def test_a_cell_that_was_changed_has_no_score_until_that_is_undone() -> None:
    labels = stack()
    known = scores(labels, 0.75)
    labels[0, 1, 1] = 0
    cells = known.known_of(list_cells(labels))
    assert np.array_equal(cells.scores, [0.75, np.nan, 0.75], equal_nan=True)
    assert np.array_equal(cells.doubts, [0.25, np.nan, 0.25], equal_nan=True)
    assert in_order(cells, "doubt")[-1] == 4
    assert chosen_cells(cells, "low score").tolist() == [True, False, True]
    labels[0, 1, 1] = 4
    assert known.columns_of(list_cells(labels))["score"].tolist() == [0.75] * 3
    assert np.isnan(scores(np.zeros((2, 2), int), 1).columns_of(cells)["doubt"]).all()


def test_of_a_cell_that_several_tell_of_the_last_counts() -> None:
    labels = stack()
    first, second = scores(labels, 0.5), scores(labels[:2], 0.9)
    joined = joined_scores([None, first, second])
    assert joined is not None
    assert joined.numbers.tolist() == [2, 4, 9]
    assert joined.scores.tolist() == [0.5, 0.9, 0.9]
    assert joined_scores([None]) is None
