"""Cells followed through time: who is who in the next frame, who is back, who is whose daughter."""

import sys
from collections.abc import Sequence
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_unet import TrackingSettings, track_cells
from napari_unet.engine.base.errors import LabelsError, SettingsError, TrackingError
from napari_unet.engine.labels.tracking.matching import best_pairs
from napari_unet.engine.labels.tracking.tracking import iterate_tracking
from napari_unet.engine.labels.tracking.tracks import Tracks

laptrack = pytest.importorskip("laptrack")

Place = tuple[float, float]


def film(
    *frames: dict[int, Place], radius: float = 4, shape: tuple[int, int] = (64, 80)
) -> NDArray[np.int32]:
    """Discs of some numbers at some places, frame by frame."""
    y, x = np.indices(shape)
    stack = np.zeros((len(frames), *shape), np.int32)
    for image, cells in zip(stack, frames, strict=True):
        for number, (row, column) in cells.items():
            image[np.hypot(y - row, x - column) <= radius] = number
    return stack


def by_frame(tracks: Tracks) -> list[dict[int, int]]:
    """Track of each label, frame by frame."""
    appearances = tracks.appearances
    parts = [appearances.of_frame(at) for at in range(tracks.frame_count)]
    return [
        dict(zip(appearances.labels[each].tolist(), tracks.numbers[each].tolist(), strict=True))
        for each in parts
    ]


def test_cells_that_overlap_keep_their_number_whatever_the_labels_are() -> None:
    stack = film({5: (10, 10), 2: (30, 30)}, {1: (11, 12), 9: (30, 32)}, {7: (12, 14), 3: (30, 34)})
    tracks = track_cells(stack)
    assert by_frame(tracks) == [{2: 1, 5: 2}, {1: 2, 9: 1}, {3: 1, 7: 2}]
    assert tracks.parents == {}
    assert tracks.cells_per_frame.tolist() == [2, 2, 2]
    lives = {name: column.tolist() for name, column in tracks.lives().items()}
    assert lives == {
        "track": [1, 2],
        "first_frame": [0, 0],
        "last_frame": [2, 2],
        "frames": [3, 3],
        "parent": [0, 0],
    }
    shown = np.stack(list(tracks.relabelled(stack)))
    assert shown.dtype == np.int32
    assert (shown[:, 30, 32] == 1).all()
    assert (shown[1] == 2).sum() == (stack[1] == 1).sum()


def test_a_table_has_the_centre_of_each_cell_in_each_frame() -> None:
    table = track_cells(film({3: (10, 20)}, {1: (12, 20)})).table()
    assert list(table) == ["track", "frame", "y", "x", "label", "area_px", "parent"]
    assert table["y"].tolist() == [10, 12]
    assert table["x"].tolist() == [20, 20]
    assert table["label"].tolist() == [3, 1]
    assert table["area_px"].tolist() == [49, 49]


def test_a_cell_that_overlaps_nothing_is_linked_within_the_largest_move() -> None:
    stack = film({1: (10, 10)}, {1: (10, 22)})
    assert track_cells(stack).count == 2  # a disc of 49 pixels has a diameter of 7.9
    assert track_cells(stack).largest_move_px == pytest.approx(2 * np.sqrt(49 / np.pi))
    assert track_cells(stack, TrackingSettings(largest_move_px=12)).count == 1
    assert track_cells(stack, TrackingSettings(largest_move_px=11)).count == 2


def test_an_overlap_beyond_the_largest_move_is_no_link() -> None:
    stack = film({1: (10, 10)}, {1: (10, 14)})
    assert track_cells(stack, TrackingSettings(largest_move_px=3)).count == 2
    assert track_cells(stack, TrackingSettings(largest_move_px=4)).count == 1


@given(st.data())
def test_the_best_pairs_are_those_that_trying_all_finds(data: st.DataObject) -> None:
    cells = list(product(range(3), range(3)))
    some = data.draw(st.lists(st.sampled_from(cells), unique=True))
    gains = data.draw(
        st.lists(st.floats(0.01, 1), min_size=len(some), max_size=len(some)).map(np.array)
    )
    rows, columns = np.array(some, np.int64).reshape(-1, 2).T
    chosen = best_pairs(rows, columns, gains)
    assert len(set(rows[chosen].tolist())) == len(set(columns[chosen].tolist())) == chosen.size

    def best(left: Sequence[int]) -> float:
        if not left:
            return 0.0
        first, *rest = left
        free = [e for e in rest if rows[e] != rows[first] and columns[e] != columns[first]]
        return max(best(rest), gains[first] + best(free))

    assert gains[chosen].sum() == pytest.approx(best(range(len(some))))


@settings(deadline=None, max_examples=25)
@given(
    steps=st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=1, max_size=6),
    seed=st.integers(0, 99),
)
def test_moving_discs_are_followed_whatever_their_numbers(
    steps: list[tuple[int, int]], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    place = {cell: (20 + 14 * (cell // 4), 20 + 14 * (cell % 4)) for cell in range(8)}
    frames, true = [], []
    for step in [(0, 0), *steps]:
        # Each second cell goes the other way.
        place = {
            cell: (y + (-1) ** cell * step[0], x + (-1) ** cell * step[1])
            for cell, (y, x) in place.items()
        }
        # As far as they stay apart.
        place = {
            cell: (
                min(max(y, 18 + 14 * (cell // 4)), 22 + 14 * (cell // 4)),
                min(max(x, 18 + 14 * (cell % 4)), 22 + 14 * (cell % 4)),
            )
            for cell, (y, x) in place.items()
        }
        numbers = rng.permutation(8) + 1
        frames.append({int(numbers[cell]): where for cell, where in place.items()})
        true.append({int(numbers[cell]): cell for cell in place})
    found = by_frame(track_cells(film(*frames)))
    assert [
        {
            label: found[0][next(n for n, c in true[0].items() if c == cell)]
            for label, cell in t.items()
        }
        for t in true
    ] == found


def test_two_alike_cells_on_either_side_of_one_are_its_daughters() -> None:
    stack = film({1: (20, 20)}, {1: (20, 21)})
    later = film({1: (20, 17), 2: (20, 25)}, {1: (20, 16), 2: (20, 26)}, radius=3)
    tracks = track_cells(np.concatenate([stack, later]))
    assert by_frame(tracks) == [{1: 1}, {1: 1}, {1: 2, 2: 3}, {1: 2, 2: 3}]
    assert tracks.parents == {2: 1, 3: 1}
    assert tracks.division_count == 1
    assert tracks.lives()["parent"].tolist() == [0, 1, 1]
    assert tracks.lives()["last_frame"].tolist() == [1, 3, 3]

    alone = track_cells(np.concatenate([stack, later]), TrackingSettings(divisions=False))
    assert alone.parents == {}
    assert alone.count == 2


def test_a_division_in_the_last_frame_counts() -> None:
    first = film({1: (20, 20)}, {1: (20, 21)})
    last = film({1: (20, 17), 2: (20, 25)}, radius=3)
    assert track_cells(np.concatenate([first, last])).parents == {2: 1, 3: 1}


@pytest.mark.parametrize(
    "later",
    [
        pytest.param([{1: (20, 20), 2: (20, 27)}] * 2, id="on one side of it"),
        pytest.param([{1: (20, 19), 2: (20, 26)}] * 2, id="much farther than the other"),
        pytest.param([{1: (20, 17), 2: (20, 25)}, {1: (20, 21)}], id="for one frame alone"),
    ],
)
def test_what_comes_up_beside_a_cell_is_no_daughter(later: list[dict[int, Place]]) -> None:
    tracks = track_cells(
        np.concatenate([film({1: (20, 20)}, {1: (20, 20)}), film(*later, radius=3)])
    )
    assert tracks.parents == {}


def test_a_cell_that_grew_is_no_daughter() -> None:
    before = film({1: (20, 20)}, {1: (20, 20)}, radius=3)
    after = film({1: (20, 15), 2: (20, 25)}, {1: (20, 15), 2: (20, 25)}, radius=4)
    assert track_cells(np.concatenate([before, after])).parents == {}


def test_a_cell_that_leaves_and_comes_back_is_the_same_within_the_longest_gap() -> None:
    stays = {2: (40, 40)}
    stack = film({1: (10, 10), **stays}, stays, stays, {1: (11, 12), **stays}, {1: (11, 13)})
    tracks = track_cells(stack)
    assert by_frame(tracks)[3] == {1: 1, 2: 2}
    assert tracks.lives()["frames"].tolist() == [3, 4]
    assert track_cells(stack, TrackingSettings(longest_gap_frames=1)).count == 3
    assert track_cells(stack, TrackingSettings(longest_gap_frames=0)).count == 3
    assert tracks.cells_per_frame.tolist() == [2, 1, 1, 2, 1]


def test_frames_without_cells_count_none() -> None:
    stack = film({}, {1: (10, 10)}, {}, {4: (10, 11)}, {})
    tracks = track_cells(stack)
    assert by_frame(tracks) == [{}, {1: 1}, {}, {4: 1}, {}]
    assert tracks.cells_per_frame.tolist() == [0, 1, 0, 1, 0]


def test_a_series_without_cells_has_no_tracks() -> None:
    tracks = track_cells(film({}, {}))
    assert (tracks.count, tracks.division_count) == (0, 0)
    assert tracks.table()["track"].size == tracks.lives()["track"].size == 0
    assert np.isnan(tracks.largest_move_px)
    assert not np.stack(list(tracks.relabelled(film({}, {})))).any()


def test_one_frame_has_a_track_for_each_cell() -> None:
    assert by_frame(track_cells(film({4: (10, 10), 7: (30, 30)}))) == [{4: 1, 7: 2}]


@pytest.mark.parametrize("gap", [0, 2])
def test_parts_are_linked_as_laptrack_links_all_at_once(
    gap: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = np.random.default_rng(4).permutation(128 * 128)[:200].reshape(5, 40)
    stack = np.zeros((5, 128, 128), np.int32)
    for image, own in zip(stack, places, strict=True):
        image.ravel()[own] = np.arange(1, 41)
    size = np.array([np.sqrt(0.7), 1])  # so that no two distances are the same
    cutoff = 12**2 * (1 + 1e-6) ** 2
    whole = laptrack.LapTrack(
        cutoff=cutoff,
        gap_closing_cutoff=cutoff if gap else False,
        gap_closing_max_frame_count=gap + 1,
        **dict.fromkeys(("track_start_cost", "track_end_cost"), 0.525 * cutoff),
        **dict.fromkeys(("segment_start_cost", "segment_end_cost"), 1.05 * cutoff),
    ).predict([np.vstack([[9e4, 9e4], np.argwhere(image > 0) * size]) for image in stack])
    labels = [image[image > 0] for image in stack]
    expected = {
        (one[0], labels[one[0]][one[1] - 1], other[0], labels[other[0]][other[1] - 1])
        for one, other in whole.edges()
        if one[1]
    }

    monkeypatch.setattr("napari_unet.engine.labels.tracking.laptrack_links._MANY", 1)
    chosen = TrackingSettings(largest_move_px=12, longest_gap_frames=gap, divisions=False)
    reports = list(iterate_tracking(stack, chosen, pixel_size=size.tolist()))
    assert len(reports) > 14  # five frames twice, the sure ones, some parts, and the end
    assert [each.done for each in reports[:10]] == list(range(1, 11))
    assert {each.total for each in reports} == {11}
    tracks = reports[-1].tracks
    assert tracks is not None
    table = tracks.table()
    rows = list(zip(*(table[name].tolist() for name in ("track", "frame", "label")), strict=True))
    found = {(a[1], a[2], b[1], b[2]) for a, b in pairwise(rows) if a[0] == b[0]}
    assert found == expected
    assert len(found) > 50


def test_volumes_are_followed_with_the_distance_of_their_slices() -> None:
    stack = np.zeros((2, 8, 20, 20), np.int32)
    stack[0, 1:3, 5:9, 5:9] = 1
    stack[1, 4:6, 5:9, 5:9] = 3
    size = TrackingSettings(largest_move_px=4)
    assert track_cells(stack, size).count == 1
    assert track_cells(stack, size, pixel_size=(1.0, 0.5, 0.5)).count == 2
    table = track_cells(stack, size).table()
    assert table["z"].tolist() == [1.5, 4.5]
    assert table["volume_px"].tolist() == [32, 32]


def test_floats_that_are_whole_and_negative_numbers_are_read_as_labels() -> None:
    stack = film({1: (10, 10)}, {2: (10, 11)}).astype(np.float32)
    stack[:, 40:50, 40:50] = -1
    assert by_frame(track_cells(stack)) == [{1: 1}, {2: 1}]


def test_a_lazy_stack_is_followed_frame_by_frame() -> None:
    import dask.array

    stack = film({1: (10, 10)}, {2: (10, 11)})
    lazy = dask.array.from_array(stack, chunks=(1, 64, 80))
    assert by_frame(track_cells(lazy)) == by_frame(track_cells(stack))


@pytest.mark.parametrize("shape", [(20, 20), (2, 2, 2, 2, 2), (0, 20, 20)])
def test_other_axes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(LabelsError, match="a time series has frames of 2 or 3 axes"):
        track_cells(np.zeros(shape, np.int32))


def test_a_pixel_size_along_other_axes_is_refused() -> None:
    with pytest.raises(LabelsError, match="along 3 axes, and a frame has 2"):
        track_cells(film({}, {}), pixel_size=(1, 1, 1))


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(SettingsError, match="largest_move_px is 0; use 1 or more pixels"):
        TrackingSettings(largest_move_px=0)
    with pytest.raises(SettingsError, match="longest_gap_frames is -1; use 0 or more frames"):
        TrackingSettings(longest_gap_frames=-1)


def test_without_laptrack_a_sentence_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "laptrack", None)
    with pytest.raises(TrackingError, match=r"pip install 'napari-unet-cells\[tracks\]'"):
        track_cells(film({1: (10, 10)}))
