"""`napari-unet segment IMAGE -o OUT.ome.zarr`: the labels of the whole image, block by block."""

import errno
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from napari_unet.batch.lock import QueueLock
from napari_unet.cli import main
from napari_unet.engine.models.checkpoint import save_checkpoint
from napari_unet.engine.networks.network import Network
from napari_unet.files.images import read_labels
from napari_unet.files.stores import label_store
from napari_unet.files.stores.label_store import LabelStore

Output = Any
"""The fixture `output`: `read()` returns both streams, `complaint()` the only line of error."""


def blobs(*shape: int, seed: int = 0) -> np.ndarray:
    """Bright pieces of all sizes, many of which lie in several blocks."""
    noise = np.random.default_rng(seed).random(shape)
    for axis in range(len(shape) - 2, len(shape)):
        for _ in range(3):
            noise = noise + np.roll(noise, 1, axis)
    low, high = noise.min(), noise.max()
    return ((noise - low) / (high - low) * 255).astype(np.uint8)


def ome_zarr(path: Path, array: np.ndarray, axes: str, **told: Any) -> str:
    """An image as other programs write it: of 0.5, or of 0.4 with `zarr_format=2`."""
    group = zarr.open_group(path, mode="w", zarr_format=told.get("zarr_format", 3))
    datasets = []
    for level in range(told.get("levels", 1)):
        step = (..., slice(None, None, 2**level), slice(None, None, 2**level))
        group.create_array(str(level), data=array[step], chunks=(1,) * (array.ndim - 2) + (32, 32))
        transforms = [
            {"type": kind, kind: told[kind]} for kind in ("scale", "translation") if kind in told
        ]
        datasets.append({"path": str(level), "coordinateTransformations": transforms})
    types = {"t": "time", "c": "channel"}
    named = [
        {"name": name, "type": types.get(name, "space")}
        | ({"unit": "micrometer"} if name in "zyx" else {})
        for name in axes
    ]
    image = {"multiscales": [{"axes": named, "datasets": datasets}]}
    is_new = told.get("zarr_format", 3) == 3
    group.attrs.update({"ome": {"version": "0.5", **image}} if is_new else image)
    return str(path)


def labels_in(path: Path, level: int = 0) -> np.ndarray:
    array = zarr.open_group(path, mode="r")[str(level)]
    assert isinstance(array, zarr.Array)
    return np.asarray(array[...])


def whole(source: str, model: str, tmp_path: Path, *options: str) -> np.ndarray:
    """Labels of the same image as TIFF, in memory."""
    out = str(tmp_path / "whole.tif")
    assert main(["segment", source, "-o", out, "--model", model, *options]) == 0
    labels = np.asarray(tifffile.imread(out))
    assert labels.max() > 3
    return labels


@pytest.mark.parametrize(
    ("axes", "shape", "options", "block"),
    [
        ("yx", (90, 101), [], "37,50"),
        ("xy", (90, 101), [], "64,16"),
        ("tczyx", (1, 2, 1, 60, 70), ["--channel", "2"], "25,70"),
        ("czyx", (2, 3, 40, 50), ["--channel", "1", "--every-slice"], "30,30"),
        ("zyx", (3, 40, 50), ["--slice", "2"], "30,30"),
        ("yx", (60, 70), ["--diameter", "30"], "25,33"),
    ],
)
def test_labels_are_those_of_the_whole_image_on_its_own_grid(
    tmp_path: Path,
    bright_is_cell: Callable[..., Network],
    axes: str,
    shape: tuple[int, ...],
    options: list[str],
    block: str,
) -> None:
    network = bright_is_cell()
    if "--diameter" in options:
        described = replace(network.description, object_diameter_px=20.0)
        network = Network(network.unet, described)
    model = str(save_checkpoint(network, tmp_path / "bright"))
    image = blobs(*shape)
    source = ome_zarr(tmp_path / "image.ome.zarr", image, axes, zarr_format=2)
    out = tmp_path / "out.ome.zarr"

    words = ["segment", source, "-o", str(out), "--model", model, "--block", block, *options]
    assert main(words) == 0

    expected = whole(source, model, tmp_path, *options)
    found = labels_in(out)
    grid = [n for n, name in zip(shape, axes, strict=True) if name != "c"]
    assert list(found.shape) == (grid[1:] if "--slice" in options else grid)
    squeezed = np.squeeze(found)
    np.testing.assert_array_equal(squeezed.T if axes == "xy" else squeezed, expected)
    assert [path.name for path in tmp_path.glob("out*")] == ["out.ome.zarr"]


def test_volumes_too(tmp_path: Path, bright_is_cell: Callable[..., Network]) -> None:
    model = str(save_checkpoint(bright_is_cell(ndim=3), tmp_path / "bright"))
    source, out = tmp_path / "volume.npy", tmp_path / "out.ome.zarr"
    np.save(source, blobs(20, 33, 30))

    words = ["segment", str(source), "-o", str(out), "--model", model, "--block", "9,16,30"]
    assert main(words) == 0

    array = zarr.open_array(out / "0", mode="r")
    assert (array.shards, array.chunks) == ((64, 64, 64), (64, 64, 64))
    np.testing.assert_array_equal(array[...], whole(str(source), model, tmp_path))


def test_store_has_the_place_and_as_many_sizes_as_the_image(
    tmp_path: Path, model: str, output: Output
) -> None:
    source = ome_zarr(
        tmp_path / "image.ome.zarr",
        blobs(300, 290),
        "yx",
        levels=3,
        scale=[0.5, 0.25],
        translation=[7.0, 9.0],
    )
    out = tmp_path / "out.ome.zarr"

    words = ["segment", source, "-o", str(out), "--model", model, "--block", "100,290"]
    assert main(words) == 0

    group = zarr.open_group(out, mode="r")
    told = group.attrs["ome"]
    assert told["version"] == "0.5"
    assert told["image-label"] == {}
    (image,) = told["multiscales"]
    assert [each["unit"] for each in image["axes"]] == ["micrometer", "micrometer"]
    assert [each["coordinateTransformations"] for each in image["datasets"]] == [
        [
            {"type": "scale", "scale": [0.5 * n, 0.25 * n]},
            {"type": "translation", "translation": [7, 9]},
        ]
        for n in (1, 2, 4)
    ]
    largest = labels_in(out)
    for level in (1, 2):
        step = slice(None, None, 2**level)
        np.testing.assert_array_equal(labels_in(out, level), largest[step, step])
    array = zarr.open_array(out / "0", mode="r")
    assert (array.shards, array.chunks, array.dtype) == ((256, 512), (256, 256), np.int32)
    assert group.attrs["napari_unet"]["cells"] == largest.max()
    assert read_labels(out).pixel_size_um == (0.5, 0.25)
    assert f"image.ome.zarr: {largest.max()} cells in " in output.read()[0]


def test_a_tiff_becomes_ome_zarr_with_its_scale(
    tmp_path: Path, model: str, save_image: Callable[..., str]
) -> None:
    options = {"imagej": True, "resolution": (4, 4), "metadata": {"axes": "YX", "unit": "um"}}
    source = save_image(tmp_path / "a.tif", blobs(300, 60), **options)
    out = tmp_path / "out.zarr"

    assert main(["segment", source, "-o", str(out), "--model", model]) == 0

    assert read_labels(out).pixel_size_um == (0.25, 0.25)
    assert labels_in(out, 1).shape == (150, 60)
    np.testing.assert_array_equal(labels_in(out), whole(source, model, tmp_path))


def test_labels_go_into_the_image_whose_labels_are_named(tmp_path: Path, model: str) -> None:
    source = Path(ome_zarr(tmp_path / "image.zarr", blobs(60, 70), "yx"))

    out = str(source / "labels" / "cells")
    assert main(["segment", str(source), "-o", out, "--model", model]) == 0

    assert zarr.open_group(source / "labels").attrs["ome"]["labels"] == ["cells"]
    assert read_labels(source).array.max() > 3


def test_a_full_disk_and_ctrl_c_lose_nothing(
    tmp_path: Path, model: str, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = ome_zarr(tmp_path / "image.zarr", blobs(300, 70), "yx"), tmp_path / "o.ome.zarr"
    words = ["segment", source, "-o", str(out), "--model", model, "--block", "150,70"]
    expected = whole(source, model, tmp_path)
    output.read()

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as context:
        context.setattr(zarr.Array, "__setitem__", full)
        assert main(words) == 1
    text = output.complaint()
    assert text.startswith(f"The disk is full, '{out}' was not written; make room")
    assert f"kept in '{out}.unfinished'; run the same again to go on." in text
    assert not out.exists()

    def interrupted(_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(LabelStore, "write_smaller", interrupted)
        assert main(words) == 130
    assert f"done is in '{out}.unfinished'; run the same command to go on" in output.complaint()
    # All that the network computes is done, so that it is not asked again.
    monkeypatch.setattr("napari_unet.batch.images.store_job.segment_blocks", None)
    assert main(words) == 0
    np.testing.assert_array_equal(labels_in(out), expected)
    assert sorted(each.name for each in tmp_path.glob("o.*")) == ["o.ome.zarr"]


def test_other_work_is_not_gone_on_with(
    tmp_path: Path, model: str, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = ome_zarr(tmp_path / "image.zarr", blobs(300, 70), "yx"), tmp_path / "o.ome.zarr"
    other = ome_zarr(tmp_path / "other.zarr", blobs(300, 70, seed=1), "yx")

    def interrupted(_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(LabelStore, "write_smaller", interrupted)
        main(["segment", source, "-o", str(out), "--model", model])
    output.read()
    for words, name in (
        ([other], "image"),
        ([source, "--min-size", "9"], "--min-size"),
        ([source, "--block", "64,70"], "block"),
    ):
        assert main(["segment", *words, "-o", str(out), "--model", model]) == 1
        text = output.complaint()
        assert f"unfinished labels with another {name}; go on with the same" in text


def test_two_commands_do_not_work_on_one_output(tmp_path: Path, model: str, output: Output) -> None:
    source, out = ome_zarr(tmp_path / "image.zarr", blobs(60, 70), "yx"), tmp_path / "o.ome.zarr"
    folder = LabelStore(out).folder
    with QueueLock(folder, "another command"):
        assert main(["segment", source, "-o", str(out), "--model", model]) == 1
        assert "is being worked on by another command" in output.complaint()
        assert folder.exists()
    assert main(["segment", source, "-o", str(out), "--model", model]) == 0


def test_labels_that_exist_are_replaced_only_if_asked(
    tmp_path: Path, model: str, output: Output
) -> None:
    source, out = ome_zarr(tmp_path / "image.zarr", blobs(60, 70), "yx"), tmp_path / "o.ome.zarr"
    words = ["segment", source, "-o", str(out), "--model", model]
    assert main(words) == 0
    output.read()

    assert main(words) == 1
    assert "exists already; choose another name, or allow replacing it (--overwrite)" in (
        output.complaint()
    )
    assert main([*words, "--overwrite", "--min-size", "30"]) == 0
    assert np.bincount(labels_in(out).ravel())[1:].min() >= 30


def test_what_does_not_fit_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, model: str, output: Output
) -> None:
    image = blobs(3, 60, 70)
    stack = ome_zarr(tmp_path / "stack.zarr", image, "zyx")
    holed = image.astype(np.float32)
    holed[1, 40, 33] = np.nan
    nan = ome_zarr(tmp_path / "nan.zarr", holed, "tyx")
    gone = ome_zarr(tmp_path / "gone.zarr", image, "zyx")
    (tmp_path / "gone.zarr" / "0").rename(tmp_path / "0")
    plain = ome_zarr(tmp_path / "plain.zarr", image[0], "yx")
    torn = ome_zarr(tmp_path / "torn.zarr", image[0], "yx")
    (tmp_path / "torn.zarr" / "0" / "c" / "1" / "1").write_bytes(b"torn")
    out = tmp_path / "o.ome.zarr"
    for words, complaint in (
        ([stack], "this model reads 2-D images. Segment every slice (--every-slice)"),
        ([nan, "--every-slice"], "replace them first. The first is at y 40, x 33 of plane 1."),
        ([nan, "--every-slice"], f"{nan}: 1 of 12600 pixels are NaN or infinite"),
        ([gone], "names the array '0' and does not hold it; copy the whole folder again."),
        ([torn], "torn.zarr' cannot be read at ["),
        ([plain, "--block", "8,8,8"], "is 8 x 8 x 8 pixels, and the model reads 2-D images"),
        ([plain, "--block", "1,100"], "is 1 x 100 pixels, fewer than 256, so that nearly all of"),
        ([plain, stack], "Several images cannot go into the one"),
        ([plain, "--scores"], "--scores goes with labels as TIFF; leave it out"),
    ):
        assert main(["segment", *words, "-o", str(out), "--model", model, "--no-checks"]) == 1
        assert complaint in output.complaint()
        assert not list(tmp_path.glob("o.*"))
    assert main(["segment", plain, "-o", plain, "--model", model, "--overwrite"]) == 1
    assert "would replace the image" in output.complaint()
    folder = str(tmp_path / "out")
    assert main(["segment", plain, "-o", folder, "--model", model, "--block", "8,8"]) == 1
    assert "--block goes with an OUT that ends in .ome.zarr" in output.complaint()
    with pytest.raises(SystemExit):
        main(["segment", plain, "-o", str(out), "--block", "0,8"])
    assert "'0,8' is no shape; write Y,X or Z,Y,X" in output.complaint()


def test_folder_that_cannot_be_written_is_named_before_the_work(
    tmp_path: Path, model: str, output: Output
) -> None:
    source = ome_zarr(tmp_path / "image.zarr", blobs(60, 70), "yx")
    (tmp_path / "file").touch()
    out = str(tmp_path / "file" / "o.ome.zarr")

    assert main(["segment", source, "-o", out, "--model", model]) == 1

    assert f"Cannot write to the folder '{tmp_path / 'file'}' (file exists)" in output.complaint()


def test_a_need_of_the_disk_is_told_in_figures(
    tmp_path: Path, model: str, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ome_zarr(tmp_path / "image.zarr", blobs(200, 200), "yx")
    monkeypatch.setattr(
        "napari_unet.batch.images.store_job.shutil.disk_usage",
        lambda _: SimpleNamespace(free=500_000),
    )

    assert main(["segment", source, "-o", str(tmp_path / "o.zarr"), "--model", model]) == 0

    text = output.complaint()
    assert "Up to 0.001 GB are needed" in text
    assert "and 0.0005 GB are free" in text


def test_missing_chunks_are_told(tmp_path: Path, model: str, output: Output) -> None:
    source = ome_zarr(tmp_path / "image.zarr", blobs(60, 70), "yx")
    (tmp_path / "image.zarr" / "0" / "c" / "1" / "1").unlink()

    assert main(["segment", source, "-o", str(tmp_path / "o.zarr"), "--model", model]) == 0

    assert "1 of 6 chunks are not there, and their pixels count as 0" in output.complaint()


def test_discs_of_a_stack_come_with_the_way_to_whole_cells(
    tmp_path: Path, model: str, output: Output
) -> None:
    source = ome_zarr(tmp_path / "stack.zarr", blobs(3, 40, 40), "zyx")
    movie = ome_zarr(tmp_path / "movie.zarr", blobs(3, 40, 40), "tyx")

    for image, out in ((source, "o.zarr"), (movie, "m.zarr")):
        words = ["segment", image, "-o", str(tmp_path / out), "--model", model, "--every-slice"]
        assert main(words) == 0

    said = output.complaint()  # nothing of the movie
    assert "'stack.zarr' has another number in each slice that it reaches" in said
    assert "For whole cells choose --volume three_planes; slices are linked" in said
    assert said.endswith("with an output that ends in .tif.")


def test_shards_are_written_by_one_writer_each(
    tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[tuple[slice, ...]] = []
    put = label_store.StoredLabels.__setitem__

    def noted(self: Any, where: Any, labels: Any) -> None:
        written.append(where)
        put(self, where, labels)

    monkeypatch.setattr(label_store.StoredLabels, "__setitem__", noted)
    source = ome_zarr(tmp_path / "image.zarr", blobs(300, 520), "yx")

    words = ["segment", source, "-o", str(tmp_path / "o.zarr"), "--model", model]
    assert main([*words, "--block", "100,130"]) == 0

    assert [[(cut.start, cut.stop) for cut in where] for where in written] == [
        [(0, 256), (0, 256)],
        [(0, 256), (256, 512)],
        [(0, 256), (512, 520)],
        [(256, 300), (0, 256)],
        [(256, 300), (256, 512)],
        [(256, 300), (512, 520)],
    ]
