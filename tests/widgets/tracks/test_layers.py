"""Folders of the Cell Tracking Challenge, opened in napari."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel

from napari_unet.widgets.tracks.layers import get_reader


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A square that divides, in two frames."""
    folder = tmp_path / "01_RES"
    folder.mkdir()
    for at, numbers in enumerate(((1, 1), (2, 3))):
        mask = np.zeros((20, 30), np.uint16)
        mask[5:10, 5:10], mask[5:10, 11:16] = numbers
        tifffile.imwrite(folder / f"mask{at:03}.tif", mask)
    (folder / "res_track.txt").write_text("1 0 0 0\n2 1 1 1\n3 1 1 1\n")
    return folder


def test_a_table_of_tracks_opens_its_folder_as_labels_and_tracks(folder: Path) -> None:
    path = str(folder / "res_track.txt")
    reader = get_reader(path)
    assert reader is not None
    assert get_reader([path]) is not None
    labels, lines = reader(path)
    assert (labels[2], labels[1]["name"]) == ("labels", "01_RES")
    assert labels[0][:, 7, 13].tolist() == [1, 3]
    assert (lines[2], lines[1]["name"]) == ("tracks", "01_RES: tracks")
    assert lines[0].tolist() == [[1, 0, 7, 10], [2, 1, 7, 7], [3, 1, 7, 13]]
    assert lines[1]["graph"] == {2: [1], 3: [1]}
    viewer = ViewerModel()
    for each in (labels, lines):
        viewer._add_layer_from_data(*each)
    assert [layer.name for layer in viewer.layers] == ["01_RES", "01_RES: tracks"]


def test_a_folder_without_cells_opens_as_labels_alone(folder: Path) -> None:
    for at in range(2):
        tifffile.imwrite(folder / f"mask{at:03}.tif", np.zeros((8, 8), np.uint16))
    (folder / "res_track.txt").write_text("")
    reader = get_reader(str(folder / "res_track.txt"))
    assert reader is not None
    (labels,) = reader(str(folder / "res_track.txt"))
    assert labels[0].shape == (2, 8, 8)


@pytest.mark.parametrize("path", ["notes.txt", ["res_track.txt", "res_track.txt"]])
def test_other_files_are_left_to_others(path: str | list[str]) -> None:
    assert get_reader(path) is None
