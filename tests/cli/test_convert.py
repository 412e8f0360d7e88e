"""`napari-unet convert`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from napari_unet.cli import main
from napari_unet.files.images import LABEL_FILES, read_labels, write_labels

Pixels = Callable[..., np.ndarray]

ENDINGS = [(name, ends[0]) for name, ends in LABEL_FILES.items()]


@pytest.mark.parametrize(("name", "ending"), ENDINGS)
def test_a_file_becomes_each_format_and_the_same_labels_again(
    tmp_path: Path, cells_labels: Pixels, output, name: str, ending: str
) -> None:
    source, there, back = tmp_path / "a.tif", tmp_path / f"b{ending}", tmp_path / "back.ome.tif"
    write_labels(source, cells_labels(2, 24, 32), pixel_size_um=(2, 0.5, 0.5), notes={"model": "m"})

    assert main(["convert", str(source), "-o", str(there)]) == 0
    assert main(["convert", str(there), "-o", str(back)]) == 0

    file = read_labels(back)
    np.testing.assert_array_equal(file.array, cells_labels(2, 24, 32))
    assert (file.axes, file.pixel_size_um, file.notes) == ("ZYX", (2, 0.5, 0.5), {"model": "m"})
    lines, complaints = output.read()
    assert lines.splitlines() == [
        f"a.tif: 2 cells -> {there}",
        f"b{ending}: 2 cells -> {back}",
    ]
    assert complaints == ""
    assert main(["convert", str(source), "-o", str(tmp_path / "out"), "--format", name]) == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == [f"a{ending}"]


def test_labels_of_a_folder_go_to_a_folder_and_images_beside_them_are_left_out(
    tmp_path: Path, cells_labels: Pixels, save_image, output
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a", "b"):
        save_image(folder / f"{name}.png", cells_labels() * 50)
        write_labels(folder / f"{name}_seg.npy", cells_labels())

    assert main(["convert", str(folder), "-o", str(tmp_path / "out"), "--format", "tiff"]) == 0

    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.tif", "b.tif"]
    assert output.complaint() == "left out, as images beside their labels: a.png, b.png."


def test_the_image_tells_size_scale_and_name(
    tmp_path: Path, cells_labels: Pixels, save_image, output
) -> None:
    rois, cellpose = tmp_path / "a_rois.zip", tmp_path / "a_seg.npy"
    qupath = tmp_path / "a.geojson"
    qupath.write_text(
        '[{"type": "Feature", "geometry": {"type": "Polygon", "coordinates": '
        "[[[1, 1], [3, 1], [3, 3], [1, 3]]]}}]"
    )
    image = save_image(
        tmp_path / "a.ome.tif", cells_labels(), ome=True, photometric="minisblack",
        metadata={"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5},
    )  # fmt: skip

    assert main(["convert", str(qupath), "-o", str(rois)]) == 0
    assert "does not tell how large its image is" in output.complaint()
    assert read_labels(rois).array.shape == (3, 3)
    words = ["--image", image, "--overwrite"]
    assert main(["convert", str(qupath), "-o", str(rois), *words]) == 0
    file = read_labels(rois)
    assert (file.array.shape, file.pixel_size_um) == ((24, 32), (0.5, 0.5))
    assert main(["convert", str(rois), "-o", str(cellpose), *words]) == 0
    assert np.load(cellpose, allow_pickle=True).item()["filename"] == "a.ome.tif"
    assert output.read()[1] == ""


def test_types_go_along_in_the_file_or_beside_it(tmp_path: Path, cells_labels: Pixels) -> None:
    first, second, third = (tmp_path / name for name in ("a.geojson", "b.tif", "c_rois.zip"))
    write_labels(first, cells_labels(), types={2: "mitotic"})

    assert main(["convert", str(first), "-o", str(second)]) == 0
    assert (tmp_path / "b_types.csv").read_text().splitlines()[1:] == ["2,mitotic,"]
    assert main(["convert", str(second), "-o", str(third)]) == 0
    assert read_labels(third).types == {2: "mitotic"}
    # A table of other cells does not stay beside labels without types.
    write_labels(first, cells_labels(), overwrite=True)
    second.unlink()
    assert main(["convert", str(first), "-o", str(second)]) == 1
    assert not second.exists()
    assert main(["convert", str(first), "-o", str(second), "--overwrite"]) == 0
    assert (tmp_path / "b_types.csv").read_text().splitlines()[1:] == []


def test_cells_are_measured_for_qupath(tmp_path: Path, cells_labels: Pixels, output) -> None:
    source, out = tmp_path / "a.tif", tmp_path / "a.geojson"
    write_labels(source, cells_labels(), pixel_size_um=(0.5, 0.5))

    assert main(["convert", str(source), "-o", str(out), "--measure"]) == 0
    assert '"measurements": {"area_um2": 2.25,' in out.read_text()
    output.read()
    assert main(["convert", str(source), "-o", str(tmp_path / "a.zip"), "--measure"]) == 1
    assert "--measure goes with geojson" in output.complaint()
    write_labels(source, cells_labels(2, 24, 32), overwrite=True)
    assert main(["convert", str(source), "-o", str(out), "--measure", "--overwrite"]) == 1
    assert "is a stack, of which a cell has an outline in each plane" in output.complaint()


@pytest.mark.parametrize(
    ("out", "complaint"),
    [
        ("cells.csv", "is a table, which holds no labels; 'napari-unet measure' writes tables"),
        ("cells", "does not tell in which format to write; add --format with one of tiff, "),
        ("cells.xyz", "or name a file that ends in .tif, .ome.tif, .ome.zarr, _rois.zip, .geojson"),
    ],
)
def test_what_cannot_be_written_is_said(
    tmp_path: Path, cells_labels: Pixels, output, out: str, complaint: str
) -> None:
    write_labels(tmp_path / "a.tif", cells_labels())

    assert main(["convert", str(tmp_path / "a.tif"), "-o", str(tmp_path / out)]) == 1

    assert complaint in output.complaint()
    assert len(list(tmp_path.iterdir())) == 1


def test_nothing_is_overwritten_unless_asked_and_never_the_input(
    tmp_path: Path, cells_labels: Pixels, output
) -> None:
    source, out = tmp_path / "a.tif", tmp_path / "b.zarr"
    write_labels(source, cells_labels())
    write_labels(out, cells_labels() * 2)

    assert main(["convert", str(source), "-o", str(out)]) == 1
    assert "1 output file already exists" in output.complaint()
    assert read_labels(out).array.max() == 4
    assert main(["convert", str(source), "-o", str(out), "--overwrite"]) == 0
    assert read_labels(out).array.max() == 2
    output.read()
    assert main(["convert", str(out), "-o", str(out), "--overwrite"]) == 1
    assert "would replace an input" in output.complaint()


def test_a_picture_is_no_label_image_and_several_files_do_not_go_into_one(
    tmp_path: Path, cells_labels: Pixels, save_image, output
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (40, 40)).astype(np.uint8)
    picture, out = save_image(tmp_path / "p.png", noise), str(tmp_path / "p_rois.zip")
    assert main(["convert", picture, "-o", out]) == 1
    assert "Or go on with --no-checks." in output.complaint()
    (tmp_path / "model.zip").write_bytes(b"PK")
    assert main(["convert", str(tmp_path / "model.zip"), "-o", out]) == 1
    assert "is no image, and holds no labels as ImageJ (ROIs), " in output.complaint()
    write_labels(tmp_path / "a.tif", cells_labels())
    assert main(["convert", picture, str(tmp_path / "a.tif"), "-o", out]) == 1
    assert "2 images cannot go into the one file" in output.complaint()


def test_every_series_of_a_file_is_converted(tmp_path: Path, cells_labels: Pixels) -> None:
    import zarr

    path = tmp_path / "image.zarr"
    write_labels(path, cells_labels())
    group = zarr.open_group(path, mode="r+")
    del group.attrs["image-label"]
    for name in ("cells", "nuclei"):
        write_labels(path / "labels" / name, cells_labels())

    assert main(["convert", str(path), "-o", str(tmp_path / "out"), "--format", "tiff"]) == 0

    names = sorted(each.name for each in (tmp_path / "out").iterdir())
    assert names == ["image_cells.tif", "image_nuclei.tif"]
    flat = str(tmp_path / "out" / names[0])
    assert main(["convert", flat, "-o", str(path / "labels" / "third")]) == 0
    assert (read_labels(path, series="third").array == cells_labels()).all()
