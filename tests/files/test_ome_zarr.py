"""Labels as OME-Zarr."""

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from napari_unet.engine.base.errors import FileError
from napari_unet.files.images import write_labels

LABELS = np.arange(2 * 6 * 8).reshape(2, 6, 8) % 5


def test_group_says_axes_scale_and_that_it_holds_labels(tmp_path: Path) -> None:
    path = tmp_path / "cells.ome.zarr"

    write_labels(
        path, LABELS, axes="TYX", pixel_size_um=(0.5, 0.25), frame_interval_s=30,
        notes={"image": "cells"},
    )  # fmt: skip

    group = zarr.open_group(path, mode="r")
    (image,) = group.attrs["multiscales"]
    assert image["axes"] == [
        {"name": "t", "type": "time", "unit": "second"},
        {"name": "y", "type": "space", "unit": "micrometer"},
        {"name": "x", "type": "space", "unit": "micrometer"},
    ]
    (level,) = image["datasets"]
    assert level["coordinateTransformations"] == [{"type": "scale", "scale": [30, 0.5, 0.25]}]
    assert group.attrs["image-label"] == {"version": "0.4"}
    assert group.attrs["napari_unet"] == {"image": "cells"}
    np.testing.assert_array_equal(group["0"][...], LABELS)
    assert [each.name for each in tmp_path.iterdir()] == ["cells.ome.zarr"]


def test_slices_of_unknown_distance_have_no_unit(tmp_path: Path) -> None:
    path = tmp_path / "cells.zarr"

    write_labels(path, LABELS, axes="ZYX", pixel_size_um=(0.5, 0.5))

    (image,) = zarr.open_group(path, mode="r").attrs["multiscales"]
    assert image["axes"][0] == {"name": "z", "type": "space"}
    assert image["datasets"][0]["coordinateTransformations"][0]["scale"] == [1, 0.5, 0.5]


def test_large_labels_have_smaller_copies_with_whole_numbers(tmp_path: Path) -> None:
    labels = np.zeros((1500, 40), np.int32)
    labels[700:, ::2] = 9

    write_labels(tmp_path / "large.zarr", labels, pixel_size_um=(0.5, 0.5))

    group = zarr.open_group(tmp_path / "large.zarr", mode="r")
    np.testing.assert_array_equal(group["1"][...], labels[::2, ::2])
    scales = [
        each["coordinateTransformations"][0]["scale"]
        for each in group.attrs["multiscales"][0]["datasets"]
    ]
    assert scales == [[0.5, 0.5], [1, 1]]


def test_group_is_replaced_only_if_asked_and_nothing_else_ever(tmp_path: Path) -> None:
    group, folder = tmp_path / "cells.zarr", tmp_path / "folder.zarr"
    folder.mkdir()
    (folder / "thesis.txt").write_text("mine")
    write_labels(group, LABELS)

    with pytest.raises(FileError, match="exists already; choose another name"):
        write_labels(group, LABELS[:1])
    write_labels(group, LABELS[:1], overwrite=True)
    assert zarr.open_group(group, mode="r")["0"].shape == (1, 6, 8)
    with pytest.raises(FileError, match="is no Zarr group, so it is not replaced"):
        write_labels(folder, LABELS, overwrite=True)
    assert (folder / "thesis.txt").read_text() == "mine"


def test_axes_that_ome_zarr_does_not_know_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"in this order.* have Z, T, Y, X; save them as TIFF"):
        write_labels(tmp_path / "a.zarr", LABELS[:, np.newaxis], axes="ZTYX")

    assert not list(tmp_path.iterdir())


def test_full_disk_is_told_and_leaves_the_older_group_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cells.zarr"
    write_labels(path, LABELS)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(zarr.Array, "__setitem__", full)
    with pytest.raises(FileError, match="The disk is full"):
        write_labels(path, LABELS[:1], overwrite=True)

    assert zarr.open_group(path, mode="r")["0"].shape == LABELS.shape
    assert [each.name for each in tmp_path.iterdir()] == ["cells.zarr"]
