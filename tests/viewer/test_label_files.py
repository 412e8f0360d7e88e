"""Labels layers saved from napari and opened in it again."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from napari.errors import MultipleReaderError
from napari.layers import Labels
from napari.plugins import _initialize_plugins
from napari.settings import get_settings
from napari.utils.notifications import notification_manager
from npe2 import PluginManifest
from roifile import ImagejRoi, roiwrite

from napari_unet.engine.base.errors import FileError
from napari_unet.engine.labels.cell_list import CellScores, list_cells
from napari_unet.engine.labels.cell_types import CellTypes
from napari_unet.files.images import read_labels, write_labels
from napari_unet.files.label_notes import CELL_SCORES, noted_scores
from napari_unet.viewer.cells.cell_scores import cell_scores_of, keep_cell_scores
from napari_unet.viewer.cells.cell_types import give_type, given_types, show_types, types_of_layer
from napari_unet.viewer.cells.marks import marks_of_layer
from napari_unet.viewer.commands import PLUGIN
from napari_unet.viewer.label_files import (
    LABEL_PATTERNS,
    OTHER_PATTERNS,
    get_reader,
    read_layers,
    saved_labels,
    write_layer,
)
from napari_unet.viewer.results import METADATA_KEY

LABELS = np.zeros((3, 20, 30), np.int32)
LABELS[:, 4:9, 5:9], LABELS[1, 12:15, 20:28] = 7, 300


@pytest.fixture(autouse=True)
def preferences() -> Iterator[dict[str, str]]:
    _initialize_plugins()  # as a window does
    plugins = get_settings().plugins
    before = plugins.extension2reader
    plugins.extension2reader = {}
    yield plugins.extension2reader
    plugins.extension2reader = before


def _reopened(viewer: ViewerModel, path: Path) -> Any:
    # As the menu, a drop or `napari FILE` open it: without a plugin that is named.
    (layer,) = viewer.open(str(path), plugin=None)
    return layer


def test_saved_labels_open_as_labels_with_their_place_and_provenance(
    viewer: ViewerModel, tmp_path: Path
) -> None:
    path = tmp_path / "cells.labels.ome.tif"
    saved = viewer.add_labels(
        LABELS,
        name="cells",
        scale=(2.0, 0.5, 0.25),
        translate=(0, 40, 3),
        rotate=(0, 0, 20),
        affine=np.diag([1, 2, 2, 1]),
        units=("um", "um", "um"),
        axis_labels=("z", "y", "x"),
        metadata={METADATA_KEY: {"image": "raw", "cells": 2, "layer_id": "of this session"}},
    )

    saved.save(str(path))
    layer = _reopened(viewer, path)

    assert layer._type_string == "labels"
    np.testing.assert_array_equal(layer.data, LABELS)
    assert layer.data.dtype == np.int32  # our own runs paint into it
    for name in ("scale", "translate", "rotate", "shear"):
        np.testing.assert_allclose(getattr(layer, name), getattr(saved, name))
    np.testing.assert_allclose(layer.affine.affine_matrix, saved.affine.affine_matrix)
    assert layer.units == saved.units
    assert layer.axis_labels == ("z", "y", "x")
    assert layer.metadata == {METADATA_KEY: {"image": "raw", "cells": 2}}


def test_other_programs_find_the_pixel_size_and_the_frame_interval(
    viewer: ViewerModel, tmp_path: Path
) -> None:
    path = tmp_path / "cells.ome.tif"
    layer = viewer.add_labels(LABELS, scale=(30, 0.5, 0.25), units=("s", "um", "um"))

    layer.save(str(path))

    file = read_labels(path)
    assert (file.axes, file.pixel_size_um, file.frame_interval_s) == ("TYX", (0.5, 0.25), 30)
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_ome


def test_napari_prefers_us_for_such_names_once_one_was_saved_and_no_other_choice_stands(
    viewer: ViewerModel, tmp_path: Path, preferences: dict[str, str]
) -> None:
    layer = viewer.add_labels(LABELS)

    layer.save(str(tmp_path / "a.ome.tif"))
    assert get_settings().plugins.extension2reader == {}
    layer.save(str(tmp_path / "a.labels.ome.tif"))
    assert get_settings().plugins.extension2reader == {"*.labels.ome.tif": PLUGIN}

    get_settings().plugins.extension2reader = {"*.tif": "napari"}
    layer.save(str(tmp_path / "b.labels.ome.tif"))
    assert get_settings().plugins.extension2reader == {"*.tif": "napari"}


def test_folders_open_without_a_question_once_napari_was_told(
    viewer: ViewerModel, tmp_path: Path
) -> None:
    viewer.add_labels(LABELS).save(str(tmp_path / "a.ome.zarr"))
    (tmp_path / "images").mkdir()
    for name in ("1.tif", "2.tif"):
        tifffile.imwrite(tmp_path / "images" / name, np.zeros((8, 9), np.uint8))
    folders = (tmp_path / "a.ome.zarr", tmp_path / "images")
    for folder in folders:
        with pytest.raises(MultipleReaderError):
            _reopened(viewer, folder)

    # As docs/label-files.md has it.
    get_settings().plugins.extension2reader = {"*.zarr/": PLUGIN, "*/": "napari"}
    labels, images = (_reopened(viewer, folder) for folder in folders)
    assert isinstance(labels, Labels)
    np.testing.assert_array_equal(labels.data, LABELS)
    assert images.data.shape == (2, 8, 9)


def test_labels_of_the_command_line_open_with_their_scale(
    viewer: ViewerModel, tmp_path: Path
) -> None:
    path = tmp_path / "cells_labels.tif"
    write_labels(
        path, LABELS, axes="ZYX", pixel_size_um=(2, 0.5, 0.5), notes={"image": "cells", "cells": 2}
    )
    get_settings().plugins.extension2reader = {"*_labels.tif": PLUGIN}

    layer = _reopened(viewer, path)

    np.testing.assert_allclose(layer.scale, (2, 0.5, 0.5))
    assert {str(unit) for unit in layer.units} == {"micrometer"}
    assert layer.metadata[METADATA_KEY] == {"image": "cells", "cells": 2}


def test_masks_of_others_are_labels_by_their_name_and_scores_of_such_a_name_an_image(
    tmp_path: Path,
) -> None:
    masks, scores = tmp_path / "x_masks.tif", tmp_path / "y_masks.tif"
    tifffile.imwrite(masks, LABELS[0].astype(np.uint16))
    tifffile.imwrite(scores, np.full((4, 5), 0.5, np.float32))

    ((array, options, kind),) = read_layers(str(masks))
    assert (kind, array.dtype, options["name"]) == ("labels", np.int32, "x_masks")
    assert "metadata" not in options
    assert [layer[2] for layer in read_layers([str(scores)])] == ["image"]


def test_any_other_image_opens_too_when_we_are_asked(viewer: ViewerModel, tmp_path: Path) -> None:
    grey, colour = tmp_path / "grey.tif", tmp_path / "colour.tif"
    tifffile.imwrite(
        grey, LABELS.astype(np.uint8), metadata={"axes": "TYX", "PhysicalSizeX": 0.5,
        "PhysicalSizeY": 0.5}, ome=True,
    )  # fmt: skip
    tifffile.imwrite(colour, np.random.default_rng(0).integers(0, 9, (6, 5, 3)).astype(np.uint8))

    for path in (grey, colour):
        viewer._add_layer_from_data(*read_layers(str(path))[0])

    first, second = viewer.layers
    np.testing.assert_allclose(first.scale, (1, 0.5, 0.5))
    assert first._type_string == second._type_string == "image"
    assert second.rgb


def test_every_image_of_a_file_with_several_is_a_layer(tmp_path: Path) -> None:
    path = tmp_path / "two_labels.tif"
    with tifffile.TiffWriter(path, ome=True) as writer:
        for number, size in enumerate((10, 14), 1):
            writer.write(np.full((size, size), number, np.uint8), metadata={"Name": f"f{number}"})

    layers = read_layers(str(path))

    assert [(kind, options["name"]) for _, options, kind in layers] == [
        ("labels", "two_labels f1"),
        ("labels", "two_labels f2"),
    ]


def test_several_files_at_once_are_left_to_other_readers(tmp_path: Path) -> None:
    assert get_reader(["a_labels.tif", "b_labels.tif"]) is None


def test_file_of_labels_beyond_32_bits_of_napari_keeps_its_numbers(tmp_path: Path) -> None:
    path = tmp_path / "high_labels.tif"
    tifffile.imwrite(path, np.full((4, 4), 2**32 - 1, np.uint32))

    array = read_layers(str(path))[0][0]

    assert (array == 2**32 - 1).all()


def test_the_manifest_has_the_same_names() -> None:
    manifest = PluginManifest.from_distribution(PLUGIN)
    readers = {each.command: each for each in manifest.contributions.readers}

    assert sorted(readers[f"{PLUGIN}.open_labels"].filename_patterns) == sorted(
        [*LABEL_PATTERNS, *OTHER_PATTERNS]
    )


def test_types_of_cells_are_kept_in_a_table_beside_the_labels(tmp_path: Path) -> None:
    layer = Labels(np.array([[0, 1, 2, 3]]))
    show_types(layer, CellTypes(np.array([1, 2]), ("a", "b"), np.eye(2)), keeps_others=False)
    give_type(layer, 2, "a")
    give_type(layer, 9, "gone")
    path, table = tmp_path / "cells.labels.ome.tif", tmp_path / "cells.labels_types.csv"

    assert write_layer(str(path), *layer.as_layer_data_tuple()[:2]) == [str(path), str(table)]

    ((data, options, _),) = read_layers(str(path))
    opened = Labels(data, **options)
    assert types_of_layer(opened) == {1: "a", 2: "a"}
    assert given_types(opened) == {2: "a"}


def test_types_that_were_taken_away_do_not_come_back(tmp_path: Path) -> None:
    path = str(tmp_path / "cells.labels.ome.tif")
    layer = Labels(np.array([[0, 1]]))
    give_type(layer, 1, "a")
    write_layer(path, *layer.as_layer_data_tuple()[:2])
    give_type(layer, 1, "")
    write_layer(path, *layer.as_layer_data_tuple()[:2])

    ((_, options, _),) = read_layers(str(path))
    assert "features" not in options


def test_labels_open_beside_a_table_of_other_cells_with_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "cells.labels.ome.tif"
    write_labels(path, np.array([[0, 1]], np.int32))
    (tmp_path / "cells.labels_types.csv").write_text("label,type\n7,a\n")
    notification_manager.records.clear()

    ((_, options, kind),) = read_layers(str(path))

    assert (kind, "features" in options) == ("labels", False)
    (notification,) = notification_manager.records
    assert "tells the type of label 7, which is not in the label image" in notification.message


@pytest.mark.parametrize("name", ["cells_rois.zip", "cells.geojson", "cells_seg.npy"])
def test_cells_saved_for_other_programs_open_as_they_were(
    viewer: ViewerModel, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    saved = viewer.add_labels(
        LABELS, scale=(2.0, 0.5, 0.25), translate=(0, 40, 3), units=("um", "um", "um"),
        axis_labels=("z", "y", "x"), metadata={METADATA_KEY: {"image": "raw", "cells": 2}},
    )  # fmt: skip
    give_type(saved, 7, "mitotic")
    saved.save(str(path))
    if name.endswith(".npy"):
        assert get_settings().plugins.extension2reader == {"*_seg.npy": PLUGIN}

    layer = _reopened(viewer, path)

    assert layer._type_string == "labels"
    np.testing.assert_array_equal(layer.data, LABELS)
    np.testing.assert_allclose(layer.scale, saved.scale)
    np.testing.assert_allclose(layer.translate, saved.translate)
    assert (layer.units, layer.axis_labels) == (saved.units, ("z", "y", "x"))
    assert layer.metadata[METADATA_KEY] == {"image": "raw", "cells": 2}
    assert types_of_layer(layer) == {7: "mitotic"}
    has_table = (tmp_path / "cells_types.csv").exists()
    assert has_table == name.endswith(".npy")


def test_measurements_in_the_features_go_to_qupath(tmp_path: Path) -> None:
    path = str(tmp_path / "cells.geojson")
    features = {"index": [0, 1, 2], "area_um2": [np.nan, 2.5, 4], "kind": ["", "a", "b"]}
    layer = Labels(np.array([[0, 1, 2]]), features=features)

    write_layer(path, *layer.as_layer_data_tuple()[:2])

    assert Path(path).read_text().count('"measurements": {"area_um2": ') == 2
    assert '"measurements": {"area_um2": 2.5}' in Path(path).read_text()


def test_a_name_for_cellpose_gets_its_ending_and_replaces_nothing_unasked(tmp_path: Path) -> None:
    layer = Labels(np.array([[0, 1]]))
    written = write_layer(str(tmp_path / "cells.npy"), *layer.as_layer_data_tuple()[:2])

    assert written == [str(tmp_path / "cells_seg.npy")]
    with pytest.raises(FileError, match=r"cells_seg.npy' exists already"):
        write_layer(str(tmp_path / "cells.npy"), *layer.as_layer_data_tuple()[:2])
    assert write_layer(written[0], *layer.as_layer_data_tuple()[:2]) == written


def test_zip_files_and_arrays_of_others_are_left_to_other_readers(tmp_path: Path) -> None:
    model, rois = tmp_path / "model.zip", tmp_path / "RoiSet.zip"
    with zipfile.ZipFile(model, "w") as archive:
        archive.writestr("rdf.yaml", "")
    roiwrite(rois, [ImagejRoi.frompoints([[0, 0], [2, 0], [2, 2]])])
    notification_manager.records.clear()

    assert get_reader(str(model)) is None
    ((data, _, kind),) = get_reader(str(rois))(str(rois))

    assert (kind, data.tolist()) == ("labels", [[1, 1], [0, 1]])
    (notification,) = notification_manager.records
    assert notification.message.startswith("RoiSet.zip: The file does not tell how large its image")


def test_rois_of_fiji_open_on_the_grid_of_the_image_in_view(
    viewer: ViewerModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "RoiSet.zip"
    roiwrite(path, [ImagejRoi.frompoints([[0, 0], [2, 0], [2, 2], [0, 2]], position=1)])
    monkeypatch.setattr("napari_unet.viewer.label_files.current_viewer", lambda: viewer)
    viewer.add_image(np.zeros((3, 5, 6)), scale=(2, 0.5, 0.5), units=("um", "um", "um"))
    notification_manager.records.clear()

    layer = _reopened(viewer, path)

    assert np.argwhere(layer.data).tolist() == [[1, 0, 0], [1, 0, 1], [1, 1, 0], [1, 1, 1]]
    assert layer.data.shape == (3, 5, 6)
    assert (layer.scale.tolist(), layer.units) == ([2, 0.5, 0.5], viewer.layers[0].units)
    assert not notification_manager.records
    viewer.layers.clear()
    viewer.add_image(np.zeros((5, 6)))
    assert _reopened(viewer, path).data.shape == (2, 2, 2)


@pytest.mark.parametrize("ending", [".ome.tif", ".ome.zarr"])
def test_marks_of_cells_that_were_looked_over_go_along_and_come_back(tmp_path, ending: str) -> None:
    labels = np.zeros((8, 9), np.int32)
    labels[1:3, 1:3], labels[5:7, 4:8] = 3, 7
    path = str(tmp_path / f"cells{ending}")
    marks = {"index": [3, 5, 7], "looked over": ["right", "wrong", "look again"]}
    layer = Labels(labels, features={**marks, "type": ["a", "", "b"]})
    told: list[Any] = []
    saved_labels.saved.connect(lambda file, data: told.append((file, data is labels)))
    write_layer(path, *layer.as_layer_data_tuple()[:2])
    assert told == [(Path(path), True)]
    ((data, options, kind),) = read_layers(path)
    assert kind == "labels"
    opened = Labels(data, **options)
    # 5 is not there any more.
    assert marks_of_layer(opened) == {3: "right", 7: "look again"}
    assert types_of_layer(opened) == {3: "a", 7: "b"}


@pytest.mark.parametrize("ending", [".zip", ".geojson"])
def test_marks_are_no_measurement_for_other_programs(tmp_path, ending: str) -> None:
    labels = np.zeros((8, 9), np.int32)
    labels[1:5, 1:5] = 3
    layer = Labels(labels, features={"index": [3], "looked over": ["right"]})
    path = str(tmp_path / f"cells{ending}")
    assert write_layer(path, *layer.as_layer_data_tuple()[:2]) == [path]


@pytest.mark.parametrize("ending", [".ome.tif", ".ome.zarr"])
def test_scores_of_cells_go_along_and_are_those_of_cells_that_are_as_they_were(
    tmp_path, ending: str
) -> None:
    path = str(tmp_path / f"cells{ending}")
    layer = Labels(LABELS.copy())
    cells = list_cells(LABELS)
    known = CellScores(cells.numbers, cells.prints, np.array([0.91234, 0.5]), np.array([0.1, 0.4]))
    keep_cell_scores(layer, known)
    layer.data[1, 12, 20] = 0
    write_layer(path, *layer.as_layer_data_tuple()[:2])
    ((data, options, _),) = read_layers(path)
    opened = Labels(data, **options)
    found = cell_scores_of(opened)
    assert found is not None
    columns = found.columns_of(list_cells(opened.data))
    assert np.array_equal(columns["score"], [0.9123, np.nan], equal_nan=True)
    assert np.array_equal(columns["doubt"], [0.1, np.nan], equal_nan=True)


@pytest.mark.parametrize(
    "notes",
    [
        None,
        {},
        {CELL_SCORES: 5},
        {CELL_SCORES: {"labels": [1], "prints": "?", "scores": [1], "doubts": [1]}},
        {CELL_SCORES: {"labels": [1], "prints": "", "scores": [1.0], "doubts": [1.0]}},
        {CELL_SCORES: {"labels": [1 << 70], "prints": "", "scores": [], "doubts": []}},
    ],
)
def test_scores_in_notes_that_somebody_else_wrote_are_none(notes: Any) -> None:
    assert noted_scores(notes) is None
