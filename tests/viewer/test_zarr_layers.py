"""OME-Zarr in napari: image and labels over each other, large labels lazily at all sizes."""

from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import zarr
from napari.components import ViewerModel

from napari_unet.engine.base.errors import FileError
from napari_unet.files.images import write_labels
from napari_unet.viewer import zarr_layers
from napari_unet.viewer.zarr_layers import get_reader


def image_with_labels(path: Path) -> str:
    """Two channels at two sizes, and labels of them."""
    group = zarr.open_group(path, mode="w")
    axes = [
        {"name": "c", "type": "channel"},
        {"name": "y", "type": "space", "unit": "micrometer"},
        {"name": "x", "type": "space", "unit": "micrometer"},
    ]
    transforms = [
        {"type": "scale", "scale": [1, 0.5, 0.25]},
        {"type": "translation", "translation": [0, 7, 9]},
    ]
    datasets = [{"path": n, "coordinateTransformations": transforms} for n in ("0", "1")]
    pixels = np.arange(2 * 40 * 50, dtype=np.uint16).reshape(2, 40, 50)
    group.create_array("0", data=pixels)
    group.create_array("1", data=pixels[:, ::2, ::2])
    group.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [{"axes": axes, "datasets": datasets}],
        "omero": {"channels": [{"label": "DAPI"}, {"label": "GFP"}]},
    }
    labels = group.create_group("labels").create_group("cells")
    labels.attrs["ome"] = {
        "image-label": {},
        "multiscales": [
            {
                "axes": axes[1:],
                "datasets": [
                    {
                        "path": each["path"],
                        "coordinateTransformations": [
                            {"type": "scale", "scale": [0.5, 0.25]},
                            {"type": "translation", "translation": [7, 9]},
                        ],
                    }
                    for each in datasets
                ],
            }
        ],
    }
    labels.create_array("0", data=np.ones((40, 50), np.int32))
    labels.create_array("1", data=np.ones((20, 25), np.int32))
    group["labels"].attrs["ome"] = {"labels": ["cells"]}
    return str(path)


def opened(path: str) -> ViewerModel:
    read = get_reader(path)
    assert read is not None
    viewer = ViewerModel()
    for data, options, kind in read(path):
        getattr(viewer, f"add_{kind}")(data, **options)
    return viewer


def test_channels_and_labels_lie_over_each_other(tmp_path: Path) -> None:
    viewer = opened(image_with_labels(tmp_path / "a.ome.zarr"))

    assert [layer.name for layer in viewer.layers] == ["a DAPI", "a GFP", "cells"]
    extents = [layer.extent.world for layer in viewer.layers]
    np.testing.assert_array_equal(extents, [[[7, 9], [26.5, 21.25]]] * 3)
    assert {str(unit) for layer in viewer.layers for unit in layer.units} == {"micrometer"}
    dapi, _, cells = viewer.layers
    assert dapi.multiscale
    assert isinstance(dapi.data[0], da.Array)
    # So small that they can be corrected.
    assert isinstance(cells.data, np.ndarray)


def test_large_labels_are_not_read_and_have_all_sizes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zarr_layers, "LAZY_BYTES", 0)

    cells = opened(image_with_labels(tmp_path / "a.zarr")).layers["cells"]

    assert cells.multiscale
    assert [level.shape for level in cells.data] == [(40, 50), (20, 25)]
    assert all(isinstance(level, da.Array) for level in cells.data)
    np.testing.assert_array_equal(cells.scale, (0.5, 0.25))


def test_labels_alone_tell_how_they_came_about(tmp_path: Path) -> None:
    write_labels(tmp_path / "c.zarr", np.eye(5, dtype=np.uint8), notes={"model": "nuclei"})

    (layer,) = opened(str(tmp_path / "c.zarr")).layers

    assert layer.name == "c"
    assert layer.metadata["napari_unet"] == {"model": "nuclei"}
    np.testing.assert_array_equal(layer.data, np.eye(5))


def test_a_plain_array_is_an_image_and_other_folders_are_left_to_others(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "plain.zarr", data=np.ones((3, 8, 9), np.uint8))

    (layer,) = opened(str(tmp_path / "plain.zarr")).layers

    assert layer.data.shape == (3, 8, 9)
    assert get_reader(str(tmp_path)) is None
    assert get_reader([str(tmp_path / "plain.zarr")] * 2) is None


def test_labels_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    path = image_with_labels(tmp_path / "a.zarr")
    zarr.open_group(f"{path}/labels/cells").create_array(
        "0", data=np.ones((40, 50), np.float32), overwrite=True
    )

    with pytest.raises(FileError, match="holds labels of float32; labels are whole numbers"):
        opened(path)
