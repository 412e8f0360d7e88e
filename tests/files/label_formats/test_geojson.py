"""Cells of QuPath."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_unet.engine.base.errors import FileError
from napari_unet.files.image_file import ImageFile
from napari_unet.files.images import read_labels, write_labels

SQUARE = [[[1, 1], [3, 1], [3, 3], [1, 3], [1, 1]]]


def feature(geometry: dict[str, Any], **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def polygon(coordinates: Any = SQUARE, **more: Any) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": coordinates, **more}


def saved(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_a_cell_is_a_detection_with_its_class_and_measurements(tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    labels = np.zeros((1, 3, 4), np.uint8)
    labels[0, 1, 2] = 7
    measured = {"label": [7], "area_px2": [1], "mean": [np.nan], "kind": ["text"]}

    write_labels(path, labels, types={7: "mitotic"}, measurements=measured)

    content = json.loads(path.read_text())
    assert content["type"] == "FeatureCollection"
    assert content["features"] == [
        {
            "type": "Feature",
            "geometry": {
                "type": "Polygon",
                "coordinates": [[[2, 1], [3, 1], [3, 2], [2, 2], [2, 1]]],
                "plane": {"c": -1, "z": 0, "t": 0},
            },
            "properties": {
                "objectType": "detection",
                "name": "7",
                "classification": {"name": "mitotic"},
                "measurements": {"area_px2": 1.0, "mean": "NaN"},
                "metadata": {"label": "7"},
            },
        }
    ]


def test_objects_of_qupath_are_numbered_and_what_is_no_area_is_said(tmp_path: Path) -> None:
    child = feature(polygon([[[4, 0], [6, 0], [6, 1]]]))
    objects = [
        feature(polygon(), classification={"names": ["Tumor", "Positive"]}, childObjects=[child]),
        feature({"type": "Point", "coordinates": [1, 1]}),
        feature(
            {"type": "MultiPolygon", "coordinates": [SQUARE, [[[5, 3], [6, 3], [6, 4], [5, 4]]]]},
            metadata={"label": "40"},
        ),
    ]
    path = saved(tmp_path / "q.geojson", {"type": "FeatureCollection", "features": objects})

    file = read_labels(path)

    assert file.array.tolist() == [
        [0, 0, 0, 0, 0, 42],
        [0, 41, 41, 0, 0, 0],
        [0, 41, 41, 0, 0, 0],
        [0, 0, 0, 0, 0, 40],
    ]
    assert file.types == {41: "Tumor: Positive"}
    assert [remark.split(";")[0] for remark in file.remarks] == [
        "The file does not tell how large its image is, so that the labels end with the last cell",
        "1 of 3 cells overlap others",
        "1 of 4 objects are no areas and are left out.",
    ]


def test_annotations_around_detections_are_no_cells(tmp_path: Path) -> None:
    region = feature(polygon([[[0, 0], [4, 0], [4, 4], [0, 4]]]), objectType="annotation")
    path = tmp_path / "q.geojson"

    file = read_labels(saved(path, [region, feature(polygon(), objectType="cell")]))
    assert (file.array > 0).sum() == 4
    assert file.remarks[1:] == ("1 of 2 objects are no detections and are left out.",)
    assert (read_labels(saved(path, [region])).array > 0).sum() == 16


def test_a_whole_slide_is_too_large_for_one_label_image(tmp_path: Path) -> None:
    corner = [[[1e5, 1e5], [1e5 + 2, 1e5], [1e5 + 2, 1e5 + 2]]]

    with pytest.raises(FileError, match="100002 x 100002 pixels, which is too large for one"):
        read_labels(saved(tmp_path / "q.geojson", [feature(polygon(corner))]))


def test_the_image_tells_how_large_it_is_and_of_which_pixels(tmp_path: Path) -> None:
    path = saved(tmp_path / "q.json", [feature(polygon(plane={"c": -1, "z": 2, "t": 0}))])
    image = ImageFile(tmp_path / "i.tif", np.zeros((3, 2, 5, 6)), "ZCYX", (2, 0.5, 0.5))

    file = read_labels(path, image=image)

    assert (file.array.shape, file.axes, file.pixel_size_um) == ((3, 5, 6), "ZYX", (2, 0.5, 0.5))
    assert np.argwhere(file.array).tolist() == [[2, 1, 1], [2, 1, 2], [2, 2, 1], [2, 2, 2]]
    assert file.remarks == ()
    assert read_labels(path).array.shape == (3, 3, 3)
    flat = ImageFile(tmp_path / "i.tif", np.zeros((5, 6)), "YX")
    with pytest.raises(FileError, match="has a cell in slice 3, and its image has no slices"):
        read_labels(path, image=flat)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"a": 1}, "is JSON without the features of GeoJSON"),
        ([feature(polygon([[[1, 1], [2, 2]]]))], "a polygon whose corners are no points"),
        ([feature(polygon([[[1, "x"], [2, 2], [3, 3]]]))], "whose corners are no points"),
        ([feature(polygon([[[1, 1e999], [2, 2], [3, 3]]]))], "whose corners are no points"),
        ([feature(polygon("no"))], "whose corners are no points"),
        ({"features": [], "napari_unet": {"shape": [0, 4], "axes": "YX"}}, "its labels are"),
        ({"features": [], "napari_unet": {"shape": "no", "axes": "YX"}}, "its labels are no"),
    ],
)
def test_what_is_no_geojson_of_cells_is_said(tmp_path: Path, content: Any, complaint: str) -> None:
    with pytest.raises(FileError, match=complaint):
        read_labels(saved(tmp_path / "x.geojson", content))
