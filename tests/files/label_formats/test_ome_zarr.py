"""Labels as OME-Zarr."""

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from napari_unet.engine.base.errors import FileError
from napari_unet.files.image_file import SeriesError
from napari_unet.files.images import image_series, read_labels, write_labels

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


def _image_group(path: Path, *, zarr_format: Any, labels: dict[str, np.ndarray]) -> zarr.Group:
    """Make an image as other programs write it, with labels in it; five axes as they all have."""
    version = "0.4" if zarr_format == 2 else "0.5"

    def told(**attributes: Any) -> dict[str, Any]:
        return attributes if zarr_format == 2 else {"ome": {"version": version, **attributes}}

    def multiscales(scale: list[float], *, times: float = 1) -> list[dict[str, Any]]:
        units = {"t": "millisecond", "z": "nanometer", "y": "micrometer", "x": "micrometer"}
        axes = [{"name": name, "unit": units.get(name, "")} for name in "tczyx"]
        transforms = [{"type": "scale", "scale": scale}]
        levels = [{"path": "0", "coordinateTransformations": transforms}]
        more = [{"type": "scale", "scale": [1, 1, 1, times, times]}]
        return [{"axes": axes, "datasets": levels, "coordinateTransformations": more}]

    group = zarr.open_group(path, mode="w", zarr_format=zarr_format)
    group.attrs.update(told(multiscales=multiscales([500, 1, 2000, 0.25, 0.25], times=2)))
    group.create_array("0", data=np.zeros((1, 2, 3, 4, 5), np.uint16))
    within = group.create_group("labels")
    within.attrs.update(told(labels=list(labels)))
    for name, array in labels.items():
        each = within.create_group(name)
        scales = multiscales([500, 1, 2000, 0.25, 0.25], times=2)
        each.attrs.update(told(**{"multiscales": scales, "image-label": {}}))
        each.create_array("0", data=array[np.newaxis, np.newaxis])
    return group


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_labels_in_an_image_are_read_with_its_scale(tmp_path: Path, zarr_format: int) -> None:
    path = tmp_path / "image.zarr"
    cells = np.arange(60).reshape(3, 4, 5) % 4
    _image_group(path, zarr_format=zarr_format, labels={"cells": cells})

    for each in (path, path / "labels", path / "labels" / "cells"):
        file = read_labels(each)
        np.testing.assert_array_equal(file.array, cells)
        assert (file.axes, file.pixel_size_um) == ("ZYX", (2, 0.5, 0.5))


def test_several_labels_of_an_image_are_chosen_by_name(tmp_path: Path) -> None:
    path = tmp_path / "image.zarr"
    cells = np.ones((3, 4, 5), int)
    _image_group(path, zarr_format=2, labels={"cells": cells, "nuclei": cells * 2})

    assert [(each.name, each.shape) for each in image_series(path)] == [
        ("cells", (3, 4, 5)),
        ("nuclei", (3, 4, 5)),
    ]
    assert (read_labels(path, series="nuclei").array == 2).all()
    with pytest.raises(SeriesError, match="holds 2 images: 1 'cells'"):
        read_labels(path)


def test_what_holds_no_labels_is_said(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "array.zarr", data=np.ones(4))
    zarr.open_group(tmp_path / "group.zarr", mode="w")
    for name, complaint in (("array", "is a Zarr array; name"), ("group", "without an OME-Zarr")):
        with pytest.raises(FileError, match=complaint):
            read_labels(tmp_path / f"{name}.zarr")


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_labels_are_added_to_an_image_with_its_scale(tmp_path: Path, zarr_format: int) -> None:
    path = tmp_path / "image.zarr"
    cells = np.arange(60).reshape(3, 4, 5) % 4
    _image_group(path, zarr_format=zarr_format, labels={"old": cells})

    write_labels(path / "labels" / "new", cells * 2, notes={"image": "cells"})

    assert [each.name for each in image_series(path)] == ["old", "new"]
    file = read_labels(path, series="new")
    np.testing.assert_array_equal(file.array, cells * 2)
    assert (file.pixel_size_um, file.notes) == ((2, 0.5, 0.5), {"image": "cells"})
    told = zarr.open_group(path / "labels" / "new", mode="r")
    assert told.metadata.zarr_format == zarr_format
    attributes = told.attrs["ome"] if zarr_format == 3 else told.attrs
    assert attributes["image-label"]["source"] == {"image": "../../"}
    with pytest.raises(FileError, match="exists already"):
        write_labels(path / "labels" / "new", cells)
    with pytest.raises(FileError, match=r"shape \(4, 5\) \(YX\) and .*\(3, 4, 5\) \(ZYX\); add"):
        write_labels(path / "labels" / "flat", cells[0])
    assert [each.name for each in image_series(path)] == ["old", "new"]
