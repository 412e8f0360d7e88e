"""ZIP files of ImageJ's ROIs."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from roifile import ROI_TYPE, ImagejRoi, roiread, roiwrite

from napari_unet.engine.base.errors import FileError
from napari_unet.files.image_file import ImageFile
from napari_unet.files.images import read_labels, write_labels


def square(left: int, top: int, *, size: int = 2, **options: int) -> ImagejRoi:
    corners = size * np.array([(0, 0), (1, 0), (1, 1), (0, 1)])
    return ImagejRoi.frompoints(corners + np.array([left, top]), **options)


def test_a_cell_is_a_traced_roi_on_the_edges_of_its_pixels(tmp_path: Path) -> None:
    path = tmp_path / "a_rois.zip"
    labels = np.zeros((5, 6), np.uint8)
    labels[1:3, 2], labels[4, 5] = 12, 3

    write_labels(path, labels)

    small, cell = roiread(path)
    assert [small.name, cell.name] == ["3", "12"]
    assert cell.roitype == ROI_TYPE.TRACED
    assert cell.coordinates().tolist() == [[2, 1], [3, 1], [3, 3], [2, 3]]
    assert (cell.left, cell.top, cell.right, cell.bottom) == (2, 1, 3, 3)
    assert cell.position == cell.z_position == 0


def test_a_cell_with_a_hole_or_in_parts_is_a_composite(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    labels = np.ones((3, 6), np.uint8)
    labels[1, 1] = labels[:, 4] = 0

    write_labels(path, labels)

    (roi,) = roiread(path)
    assert roi.composite
    areas = [len(ring) for ring in roi.coordinates(multi=True)]
    assert areas == [5, 5, 5]  # two outlines and a hole, each closed
    np.testing.assert_array_equal(read_labels(path).array, labels)


def test_planes_are_positions_with_and_without_channels(tmp_path: Path) -> None:
    path = tmp_path / "a_rois.zip"
    labels = np.zeros((2, 3, 4, 4), np.uint8)
    labels[1, 2, 0, 0] = 1

    write_labels(path, labels)

    (roi,) = roiread(path)
    assert roi.name == "1 t2 z3"
    assert (roi.position, roi.c_position, roi.z_position, roi.t_position) == (6, 1, 3, 2)


def test_corners_beyond_16_bits_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "wide_rois.zip"
    labels = np.zeros((2, 70_000), np.uint8)
    labels[0, 69_990:69_995], labels[1, 66_000], labels[1, 40_000:40_010] = 1, 2, 3
    labels[1, 69_000:69_020:2] = 4

    write_labels(path, labels)

    np.testing.assert_array_equal(read_labels(path).array, labels)


def test_labels_come_back_as_they_were_after_fiji_has_saved_them_again(tmp_path: Path) -> None:
    path, again = tmp_path / "a_rois.zip", tmp_path / "RoiSet.zip"
    labels = np.zeros((2, 5, 6), np.uint8)
    labels[0, 1:3, 2], labels[1, 4, 5] = 12, 3
    write_labels(path, labels, types={3: "mitotic"})
    # Without our comment, with other names and one more ROI.
    rois = [*roiread(path), square(0, 0, size=1)]
    roiwrite(again, rois, name=[f"0001-000{number}" for number in range(3)])

    file = read_labels(again, image=ImageFile(path, np.zeros((2, 5, 6)), "ZYX"))

    labels[:, 0, 0] = 13
    np.testing.assert_array_equal(file.array, labels)
    assert (file.axes, file.types) == ("ZYX", {3: "mitotic"})


def test_rois_of_others_are_numbered_and_lines_left_out(tmp_path: Path) -> None:
    path = tmp_path / "RoiSet.zip"
    oval = ImagejRoi(roitype=ROI_TYPE.OVAL, left=0, top=0, right=4, bottom=4)
    rectangle = ImagejRoi(roitype=ROI_TYPE.RECT, left=5, top=1, right=7, bottom=3)
    line = ImagejRoi(roitype=ROI_TYPE.LINE, x1=0, y1=0, x2=3, y2=3)
    smooth = ImagejRoi.frompoints([(4.6, 3.4), (6.6, 3.4), (6.6, 4.6), (4.6, 4.6)])
    roiwrite(path, [oval, rectangle, line, smooth], name=list("abcd"))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("__MACOSX/._a.roi", b"of the Finder")

    file = read_labels(path)

    assert file.array.tolist() == [
        [0, 1, 1, 0, 0, 0, 0],
        [1, 1, 1, 1, 0, 2, 2],
        [1, 1, 1, 1, 0, 2, 2],
        [0, 1, 1, 0, 0, 3, 3],
        [0, 0, 0, 0, 0, 3, 3],
    ]
    assert "1 of 4 ROIs are no areas and are left out." in file.remarks


@pytest.mark.parametrize(
    ("axes", "shape", "options", "plane"),
    [
        ("ZYX", (4, 5, 5), {"position": 2}, (2,)),
        ("TYX", (4, 5, 5), {"position": 2}, (2,)),
        ("TZYX", (2, 3, 5, 5), {"position": 4}, (1, 1)),
        ("TZYX", (2, 3, 5, 5), {"t": 1, "z": 2}, (1, 2)),
        ("YX", (5, 5), {"position": 0}, ()),
    ],
)
def test_positions_of_others_are_planes_of_their_image(
    tmp_path: Path, axes: str, shape: tuple[int, ...], options: dict[str, int], plane: tuple
) -> None:
    path = tmp_path / "RoiSet.zip"
    roiwrite(path, [square(1, 1, **options)])

    labels = read_labels(path, image=ImageFile(path, np.zeros(shape), axes)).array

    expected = np.zeros(shape)
    expected[(*plane, slice(1, 3), slice(1, 3))] = 1
    np.testing.assert_array_equal(labels, expected)


def test_a_roi_beyond_the_image_is_cut_there_and_said(tmp_path: Path) -> None:
    path = tmp_path / "RoiSet.zip"
    roiwrite(path, [square(3, 3), square(0, 0, position=7)], name=["a", "b"])

    file = read_labels(path, image=ImageFile(path, np.zeros((2, 4, 4)), "ZYX"))

    assert np.argwhere(file.array).tolist() == [[0, 3, 3], [1, 3, 3]]
    assert file.remarks == ("2 of 2 cells reach beyond the image, and are cut there.",)


def test_a_file_that_unpacks_to_no_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "RoiSet.zip"
    roiwrite(path, [square(0, 0)])
    monkeypatch.setattr("napari_unet.files.label_formats.imagej_rois._LARGEST_ROI_BYTES", 10)

    with pytest.raises(FileError, match=r"has a ROI of .* bytes; export it again"):
        read_labels(path)
