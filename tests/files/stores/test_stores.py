"""Images in Zarr, HDF5, NumPy's files and large TIFF: opened without being read, as they lie."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from napari_unet.engine.base.errors import FileError
from napari_unet.files.finding import find_images
from napari_unet.files.images import image_series, read_image
from napari_unet.files.opened import opened_image
from napari_unet.files.stores import store_image
from napari_unet.files.tiff import large

PIXELS = np.arange(2 * 3 * 40 * 50, dtype=np.uint16).reshape(2, 3, 40, 50)


def read(path: Path, **options: Any) -> tuple[str, np.ndarray, tuple[float, ...] | None]:
    with opened_image(path, **options) as file:
        assert type(file.array) is not np.ndarray
        return file.axes, np.asarray(file.array), file.pixel_size_um


def test_ome_zarr_of_any_order_is_read_in_one_with_its_scale(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    group.create_array("full", data=np.moveaxis(PIXELS, 0, -1)[np.newaxis])
    units = {"z": "nanometer", "y": "micrometer", "x": "micrometer"}
    group.attrs["multiscales"] = [
        {
            "axes": [{"name": n, "unit": units.get(n, "")} for n in "tzyxc"],
            "datasets": [
                {
                    "path": "full",
                    "coordinateTransformations": [{"type": "scale", "scale": [1, 500, 1, 1, 1]}],
                }
            ],
            "coordinateTransformations": [{"type": "scale", "scale": [1, 2, 0.5, 0.5, 1]}],
        }
    ]

    axes, array, size = read(tmp_path / "a.zarr")

    assert (axes, size) == ("CZYX", (1.0, 0.5, 0.5))
    np.testing.assert_array_equal(array, PIXELS)
    np.testing.assert_array_equal(read_image(tmp_path / "a.zarr").array, PIXELS)


def test_without_a_scale_none_is_made_up(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    group.create_array("0", data=PIXELS[0, 0])
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    group.attrs["ome"] = {"multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}]}

    assert read(tmp_path / "a.zarr")[2] is None


@pytest.mark.parametrize(
    ("axes", "transforms", "complaint"),
    [
        ("yqx", [], r"has the axes y, q, x for pixels of shape \(3, 40, 50\); an image has Y"),
        ("yx", [], r"has the axes y, x for pixels of shape \(3, 40, 50\)"),
        ("zyx", [{"type": "scale", "scale": [1, 1]}], "has a scale of 2 numbers for 3 axes"),
    ],
)
def test_what_cannot_be_is_said(
    tmp_path: Path, axes: str, transforms: list[Any], complaint: str
) -> None:
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    group.create_array("0", data=PIXELS[0])
    datasets = [{"path": "0", "coordinateTransformations": transforms}]
    named = [{"name": name} for name in axes]
    group.attrs["ome"] = {"multiscales": [{"axes": named, "datasets": datasets}]}

    with pytest.raises(FileError, match=complaint):
        read(tmp_path / "a.zarr")


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_broken_description_is_told_of_the_folder(tmp_path: Path, zarr_format: Any) -> None:
    path = tmp_path / "a.zarr"
    zarr.open_group(path, mode="w", zarr_format=zarr_format).create_array("0", data=PIXELS[0, 0])
    (path / "0" / (".zarray" if zarr_format == 2 else "zarr.json")).write_text('{"zarr_for')

    with pytest.raises(FileError, match=r"a.zarr' is damaged or cut short; copy the whole folder"):
        read(path)


def test_a_plate_and_an_empty_group_name_what_to_do(tmp_path: Path) -> None:
    plate = zarr.open_group(tmp_path / "p.zarr", mode="w")
    plate.attrs["ome"] = {"plate": {"wells": [{"path": "B/3"}]}}
    zarr.open_group(tmp_path / "e.zarr", mode="w")

    with pytest.raises(FileError, match=r"is a plate of many images; .* such as .*p.zarr/B/3/0'"):
        read(tmp_path / "p.zarr")
    with pytest.raises(FileError, match="in which there is no image"):
        read(tmp_path / "e.zarr")


def test_each_image_of_bio_formats_is_a_series(tmp_path: Path) -> None:
    root = zarr.open_group(tmp_path / "b.zarr", mode="w", zarr_format=2)
    root.create_group("OME")
    for name in ("10", "2"):
        group = root.create_group(name)
        group.create_array("0", data=PIXELS[0, int(name) % 3])
        axes = [{"name": each} for each in "yx"]
        group.attrs["multiscales"] = [{"axes": axes, "datasets": [{"path": "0"}]}]

    found = image_series(tmp_path / "b.zarr", images_only=True)
    assert [each.name for each in found] == ["2", "10"]
    np.testing.assert_array_equal(read(tmp_path / "b.zarr", series="10")[1], PIXELS[0, 1])


def test_plain_arrays_have_the_axes_that_they_name_or_the_usual_ones(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "plain.zarr", data=PIXELS[:1])
    zarr.create_array(tmp_path / "named.zarr", data=PIXELS[0], dimension_names=["c", "y", "x"])
    np.save(tmp_path / "colours.npy", PIXELS[0, :, :, :3].astype(np.uint8))
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    np.save(tmp_path / "line.npy", PIXELS[0, 0, 0])

    axes, array, _ = read(tmp_path / "plain.zarr")
    assert axes == "ZYX"
    np.testing.assert_array_equal(array, PIXELS[0])
    assert read(tmp_path / "named.zarr")[0] == "CYX"
    zarr.create_array(tmp_path / "odd.zarr", data=PIXELS[0], dimension_names=["a", "t", "x"])
    assert read(tmp_path / "odd.zarr")[0] == "ZYX"
    axes, array, _ = read(tmp_path / "colours.npy")
    assert (axes, array.shape) == ("CYX", (3, 3, 40))
    with pytest.raises(FileError, match="holds objects of Python and no array of numbers"):
        read(tmp_path / "objects.npy")
    with pytest.raises(FileError, match=r"an array of shape \(50,\); an image has two or more"):
        read(tmp_path / "line.npy")


def test_hdf5_holds_images_by_name_with_their_scale(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("raw", data=PIXELS[0]).attrs["element_size_um"] = [2, 0.5, 0.5]
        file["more/label"] = PIXELS[1]
        file["table"] = np.arange(3)

    assert [each.name for each in image_series(tmp_path / "a.h5")] == ["more/label", "raw"]
    axes, array, size = read(tmp_path / "a.h5", series="raw")
    assert (axes, size) == ("ZYX", (2.0, 0.5, 0.5))
    np.testing.assert_array_equal(array, PIXELS[0])
    with pytest.raises(FileError, match="holds 2 images: 1 'more/label'"):
        read(tmp_path / "a.h5")


def test_hdf5_without_its_package_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(600))
    monkeypatch.setitem(sys.modules, "h5py", None)

    with pytest.raises(FileError, match=r"run \"pip install 'napari-unet-cells\[hdf5\]'\""):
        read(tmp_path / "a.h5")


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_large_tiff_is_read_in_parts_and_gives_what_a_small_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compression: str | None
) -> None:
    path = tmp_path / "a.ome.tif"
    options: dict[str, Any] = {"tile": (16, 16), "compression": compression}
    told = {"axes": "ZYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    with tifffile.TiffWriter(path, ome=True) as tiff:
        tiff.write(PIXELS[0], subifds=1, metadata=told, **options)
        tiff.write(PIXELS[0, :, ::2, ::2], subfiletype=1, **options)
    whole = read_image(path)

    monkeypatch.setattr(large, "LARGE_BYTES", 0)
    axes, array, size = read(path)

    assert (axes, size) == (whole.axes, whole.pixel_size_um)
    np.testing.assert_array_equal(array, whole.array)


def test_what_does_not_fit_into_memory_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "a.npy", PIXELS)
    monkeypatch.setattr(store_image, "free_host_bytes", lambda: 1000)

    with pytest.raises(FileError, match=r"of memory.*; segment it in blocks, with an output that"):
        read_image(tmp_path / "a.npy")


def test_stores_are_found_by_name_and_in_folders_of_their_own(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "a.zarr", data=PIXELS[0, 0])
    (tmp_path / "a_seg.npy").touch()

    assert find_images([tmp_path / "a.zarr"]) == [tmp_path / "a.zarr"]
    assert find_images([tmp_path]) == [tmp_path / "a.zarr"]
    tifffile.imwrite(tmp_path / "b.tif", PIXELS[0, 0])
    assert find_images([tmp_path]) == [tmp_path / "b.tif"]
    (tmp_path / "a.zarr" / "zarr.json").unlink()
    with pytest.raises(FileError, match=r"a.zarr' is named as Zarr, and .* missing \(zarr.json"):
        find_images([tmp_path / "a.zarr"])
    tifffile.imwrite(tmp_path / "a.zarr" / "c.tif", PIXELS[0, 0])
    assert find_images([tmp_path / "a.zarr"]) == [tmp_path / "a.zarr" / "c.tif"]
