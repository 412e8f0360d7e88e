"""Tracks as files of the Cell Tracking Challenge, and back."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from napari_unet import track_cells
from napari_unet.engine.base.errors import FileError
from napari_unet.engine.labels.tracking.tracks import Tracks
from napari_unet.files import tracking_challenge
from napari_unet.files.tracking_challenge import read_challenge, write_challenge

pytest.importorskip("laptrack")


def squares(*frames: dict[int, tuple[int, int]], side: int = 6) -> NDArray[np.int32]:
    stack = np.zeros((len(frames), 32, 48), np.int32)
    for image, cells in zip(stack, frames, strict=True):
        for number, (y, x) in cells.items():
            image[y : y + side, x : x + side] = number
    return stack


@pytest.fixture
def stack() -> NDArray[np.int32]:
    """Cell 7 is missing in frame 1; cell 3 divides after frame 1; frame 4 is empty."""
    gone_and_dividing = squares({7: (2, 2), 3: (20, 20)}, {1: (20, 20)})
    divided = squares({2: (3, 3), 5: (20, 17), 6: (20, 24)}, {1: (20, 17), 2: (20, 24)}, {}, side=5)
    return np.concatenate([gone_and_dividing, divided])


def write(folder: Path, stack: NDArray[np.int32]) -> Tracks:
    tracks = track_cells(stack)
    assert list(write_challenge(folder, tracks, stack)) == list(range(1, len(stack) + 1))
    return tracks


def test_masks_of_16_bit_and_a_table_hold_the_tracks(tmp_path: Path, stack: NDArray) -> None:
    write(tmp_path / "RES", stack)
    names = sorted(path.name for path in (tmp_path / "RES").iterdir())
    assert names == [*(f"mask00{at}.tif" for at in range(5)), "res_track.txt"]
    # The cell that was missing, 2, goes on as 5.
    lines = (tmp_path / "RES" / "res_track.txt").read_text().splitlines()
    assert lines == ["1 0 1 0", "2 0 0 0", "3 2 3 1", "4 2 3 1", "5 2 2 2"]
    masks = [tifffile.imread(tmp_path / "RES" / name) for name in names[:5]]
    assert {mask.dtype for mask in masks} == {np.dtype(np.uint16)}
    assert [np.unique(mask).tolist() for mask in masks] == [
        *([0, 1, 2], [0, 1], [0, 3, 4, 5], [0, 3, 4], [0])
    ]
    np.testing.assert_array_equal(masks[0] == 2, stack[0] == 7)
    assert list(tmp_path.iterdir()) == [tmp_path / "RES"]


def test_what_was_written_is_read_as_it_was(tmp_path: Path, stack: NDArray) -> None:
    tracks = write(tmp_path / "RES", stack)
    read = read_challenge(tmp_path / "RES")
    np.testing.assert_array_equal(read.labels, np.stack(list(tracks.relabelled(stack))))
    assert read.tracks.parents == tracks.parents == {3: 1, 4: 1}
    for name, column in read.tracks.lives().items():
        np.testing.assert_array_equal(column, tracks.lives()[name], err_msg=name)
    for name in ("track", "frame", "y", "x", "area_px", "parent"):
        np.testing.assert_allclose(read.tracks.table()[name], tracks.table()[name])


@settings(deadline=None, max_examples=30)
@given(
    arrays(
        np.int32, st.tuples(st.integers(1, 6), st.just(4), st.just(9)), elements=st.integers(0, 4)
    )
)
def test_whatever_was_tracked_comes_back(stack: NDArray[np.int32]) -> None:
    with TemporaryDirectory() as folder:
        tracks = write(Path(folder, "RES"), stack)
        read = read_challenge(Path(folder, "RES"))
    np.testing.assert_array_equal(read.labels, np.stack(list(tracks.relabelled(stack))))
    assert read.tracks.parents == tracks.parents
    for name, column in read.tracks.lives().items():
        np.testing.assert_array_equal(column, tracks.lives()[name], err_msg=name)


def test_volumes_are_written_as_stacks_of_pages(tmp_path: Path) -> None:
    stack = np.zeros((2, 3, 16, 16), np.int32)
    stack[:, 1:, 4:8, 4:8] = [[[[4]]], [[[9]]]]
    write(tmp_path / "RES", stack)
    assert tifffile.imread(tmp_path / "RES" / "mask001.tif").shape == (3, 16, 16)
    read = read_challenge(tmp_path / "RES")
    np.testing.assert_array_equal(read.labels, stack > 0)
    assert read.tracks.count == 1


def test_a_truth_is_read_with_its_own_numbers_in_order(tmp_path: Path) -> None:
    for at, image in enumerate(squares({12: (2, 2), 5: (20, 20)}, {12: (2, 3)})):
        tifffile.imwrite(tmp_path / f"man_track{at:03}.tif", image.astype(np.uint16))
    (tmp_path / "man_track.txt").write_text("12 0 1 0\n5 0 0 0\n\n")
    read = read_challenge(tmp_path)
    assert read.labels[:, 3, 4].tolist() == [2, 2]
    assert read.labels[0, 21, 21] == 1
    assert read.tracks.lives()["frames"].tolist() == [1, 2]


def test_an_only_daughter_in_the_next_frame_stays_one(tmp_path: Path) -> None:
    for at, image in enumerate(squares({1: (2, 2)}, {2: (2, 3)})):
        tifffile.imwrite(tmp_path / f"mask{at:03}.tif", image.astype(np.uint16))
    (tmp_path / "res_track.txt").write_text("1 0 0 0\n2 1 1 1\n")
    assert read_challenge(tmp_path).tracks.parents == {2: 1}


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path, stack: NDArray) -> None:
    tracks = track_cells(stack)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(FileError, match="is not empty; name a new one"):
        list(write_challenge(tmp_path, tracks, stack))
    with pytest.raises(FileError, match="is a file; name a folder"):
        list(write_challenge(tmp_path / "notes.txt", tracks, stack))
    assert list(tmp_path.iterdir()) == [tmp_path / "notes.txt"]


def test_an_empty_folder_is_filled(tmp_path: Path, stack: NDArray) -> None:
    (tmp_path / "RES").mkdir()
    write(tmp_path / "RES", stack)
    assert (tmp_path / "RES" / "res_track.txt").exists()


def test_writing_that_is_stopped_leaves_nothing(tmp_path: Path, stack: NDArray) -> None:
    writing = write_challenge(tmp_path / "RES", track_cells(stack), stack)
    assert next(writing) == 1
    writing.close()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing(
    tmp_path: Path, stack: NDArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tracking_challenge.tifffile, "imwrite", fail)
    with pytest.raises(FileError, match="The disk is full"):
        list(write_challenge(tmp_path / "RES", track_cells(stack), stack))
    assert list(tmp_path.iterdir()) == []


def test_more_tracks_than_16_bits_hold_are_refused(
    tmp_path: Path, stack: NDArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = np.zeros((1, 2, 2 * 65_536), np.int32)
    wide[0, 0, ::2] = np.arange(1, 65_537)
    tracks = track_cells(wide)
    with pytest.raises(FileError, match=r"up to number 65,536, .* hold 65,535; track a part"):
        list(write_challenge(tmp_path / "RES", tracks, wide))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("1 0 0\n", r"Line 1 of '.*' is '1 0 0'; it should have four whole numbers"),
        ("1 0 1 4\n", "names 4 as the parent of 1, and has no track 4"),
        ("1 0 0 0\n", "Frame 1 in '.*' holds a cell 1, which is not there according to res_track"),
        ("1 0 1 0\n2 0 1 0\n", "has a track 2, and no frame holds such a cell"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(tmp_path: Path, table: str, told: str) -> None:
    for at in range(2):
        tifffile.imwrite(tmp_path / f"mask{at:03}.tif", np.ones((4, 4), np.uint16))
    (tmp_path / "res_track.txt").write_text(table)
    with pytest.raises(FileError, match=told):
        read_challenge(tmp_path)


def test_folders_without_all_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="Cannot look into the folder"):
        read_challenge(tmp_path / "nowhere")
    with pytest.raises(FileError, match=r"holds no res_track.txt and no man_track.txt"):
        read_challenge(tmp_path)
    (tmp_path / "res_track.txt").write_text("1 0 1 0\n")
    with pytest.raises(FileError, match=r"has no mask000.tif"):
        read_challenge(tmp_path)
    for at, side in ((0, 4), (2, 4)):
        tifffile.imwrite(tmp_path / f"mask{at:03}.tif", np.ones((side, side), np.uint16))
    with pytest.raises(FileError, match=r"has no mask001.tif"):
        read_challenge(tmp_path)
    tifffile.imwrite(tmp_path / "mask001.tif", np.ones((5, 4), np.uint16))
    with pytest.raises(FileError, match=r"mask001.tif' has shape \(5, 4\), and the first frame"):
        read_challenge(tmp_path)
