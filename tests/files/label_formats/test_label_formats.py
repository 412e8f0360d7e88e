"""Labels that go into the files of other programs and come back."""

import errno
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_unet.engine.base.errors import FileError, LabelsError
from napari_unet.files.images import (
    LABEL_FILES,
    LABEL_FORMATS,
    image_series,
    label_format_of,
    read_image,
    read_labels,
    write_labels,
)

ENDINGS = tuple(ends[0] for ends in LABEL_FILES.values())
DRAWN = ("_rois.zip", ".geojson")
SHAPES = st.lists(st.integers(1, 6), min_size=2, max_size=4).map(tuple)


@settings(max_examples=25, deadline=None)
@given(SHAPES.flatmap(lambda shape: arrays(np.int64, shape, elements=st.integers(0, 3))))
def test_the_same_labels_come_back_from_the_formats_of_other_programs(labels: np.ndarray) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for ending in (each.ending for each in LABEL_FORMATS):
            if ending == "_seg.npy" and labels.ndim > 3:
                continue
            path = Path(folder) / f"cells{ending}"
            write_labels(path, labels)
            file = read_labels(path)
            np.testing.assert_array_equal(file.array, labels, ending)
            assert file.remarks == ()


@pytest.mark.parametrize("ending", ENDINGS)
def test_axes_sizes_and_notes_come_back(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"cells{ending}"
    labels = np.zeros((2, 3, 7, 9), np.uint32)
    labels[1, 2, 3:5, 4], labels[0, :, 1, 1] = 300_000, 7
    axes, size = "TZYX", (2, 0.5, 0.25)
    if ending == "_seg.npy":
        labels, axes = labels[0], "ZYX"

    write_labels(path, labels, axes=axes, pixel_size_um=size, frame_interval_s=30,
                 notes={"image": "cells"})  # fmt: skip

    file = read_labels(path)
    np.testing.assert_array_equal(file.array, labels)
    assert (file.axes, file.pixel_size_um) == (axes, size)
    assert file.frame_interval_s == (30 if "T" in axes else None)
    assert file.notes == {"image": "cells"}
    assert [each.shape for each in image_series(path)] == [labels.shape]
    assert file.name == "cells"


@pytest.mark.parametrize("ending", ENDINGS)
def test_no_cells_are_no_cells_again(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"none{ending}"

    write_labels(path, np.zeros((4, 5), np.int32))

    np.testing.assert_array_equal(read_labels(path).array, np.zeros((4, 5)))


@pytest.mark.parametrize("ending", ENDINGS)
def test_numbers_up_to_32_bits_are_kept_and_others_refused(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"high{ending}"
    labels = np.array([[0, 2**32 - 1], [2**31 + 5, 1]])

    write_labels(path, labels)

    np.testing.assert_array_equal(read_labels(path).array, labels)
    for wrong, what in ((labels + 2**32, "beyond 32 bits"), (labels - 5, "Labels go down to")):
        with pytest.raises(LabelsError, match=what):
            write_labels(path, wrong, overwrite=True)
    np.testing.assert_array_equal(read_labels(path).array, labels)


@pytest.mark.parametrize("ending", DRAWN)
def test_types_of_cells_are_kept(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"cells{ending}"

    write_labels(path, np.array([[1, 2, 0], [1, 0, 3]]), types={1: "mitotic", 3: "other: large"})

    assert read_labels(path).types == {1: "mitotic", 3: "other: large"}


@pytest.mark.parametrize("ending", [*DRAWN, "_seg.npy", ".ome.zarr"])
def test_nothing_is_replaced_unasked_and_a_full_disk_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    path = tmp_path / f"cells{ending}"
    labels = np.eye(4, dtype=int)
    write_labels(path, labels)
    with pytest.raises(FileError, match="exists already; choose another name"):
        write_labels(path, labels * 2)
    if ending == ".ome.zarr":
        return

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(FileError, match="The disk is full"):
        write_labels(path, labels * 2, overwrite=True)
    np.testing.assert_array_equal(read_labels(path).array, labels)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("ending", DRAWN)
def test_outlines_have_planes_along_time_and_depth_alone(tmp_path: Path, ending: str) -> None:
    with pytest.raises(FileError, match=r"planes along T and Z, and .* axes Z, Z, T, Y, X"):
        write_labels(tmp_path / f"a{ending}", np.ones((1, 1, 1, 2, 2), int), axes="ZZTYX")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", [*DRAWN, "_seg.npy"])
def test_a_damaged_file_is_one_sentence(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"cells{ending}"
    write_labels(path, np.arange(400).reshape(20, 20))
    path.write_bytes(path.read_bytes()[:-200])

    with pytest.raises(FileError, match=rf"^'.*cells{ending}' .*; [^\n]*\.$"):
        read_labels(path)


def test_labels_of_other_programs_are_known_by_their_content(tmp_path: Path) -> None:
    labels, bundle, picture = np.eye(3, dtype=int), tmp_path / "model.zip", tmp_path / "a.tif"
    with zipfile.ZipFile(bundle, "w") as archive:
        archive.writestr("rdf.yaml", "type: model")
    tifffile.imwrite(picture, labels.astype(np.uint8))

    for ending in (*DRAWN, "_seg.npy", ".ome.zarr"):
        write_labels(tmp_path / f"x{ending}", labels)
        assert label_format_of(tmp_path / f"x{ending}") is not None
        with pytest.raises(FileError):
            read_image(tmp_path / f"x{ending}")
    assert [label_format_of(path) for path in (bundle, picture, tmp_path, tmp_path / "no")] == [
        None
    ] * 4
