"""`napari-unet segment` as a user meets it: files in, files out, a sentence for every mistake."""

import errno
import pickle
import pkgutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_unet.cli import main
from napari_unet.engine.models.checkpoint import save_checkpoint
from napari_unet.engine.networks.network import Network
from napari_unet.files.images import read_image, read_labels, write_image, write_labels

Output = Any
"""The fixture `output`: `read()` returns both streams, `complaint()` the only line of error."""

Pixels = Callable[..., np.ndarray]


def test_one_image_and_a_tif_is_that_file_with_the_scale_kept(
    tmp_path: Path, model: str, output: Output, cells_image: Pixels, save_image: Callable[..., str]
) -> None:
    image = save_image(
        tmp_path / "a.tif",
        cells_image(),
        imagej=True,
        resolution=(4, 4),
        metadata={"axes": "YX", "unit": "um"},
    )

    assert main(["segment", image, "-o", str(tmp_path / "out.tif"), "--model", model]) == 0

    labels = read_labels(tmp_path / "out.tif")
    assert labels.array.dtype == np.uint8
    assert labels.pixel_size_um == pytest.approx((0.25, 0.25))
    assert np.bincount(labels.array.ravel()).tolist() == [24 * 32 - 25, 9, 16]
    out, error = output.read()
    assert "a.tif: 2 cells in " in out
    assert error == ""


@pytest.mark.parametrize(
    ("size", "words", "apart"),
    [
        ((4, 1, 1), [], "4"),
        (None, ["--voxel-size", "1,0.5,0.5"], "2"),
        ((4, 1, 1), ["--voxel-size", "1.5,0.5,0.5"], "3"),
        (None, ["--anisotropy", "5"], "5"),
    ],
)
def test_slices_of_a_volume_are_interpolated_by_its_voxel_size(
    tmp_path: Path,
    output: Output,
    cells_image: Pixels,
    bright_is_cell: Callable[..., Network],
    size: tuple[float, ...] | None,
    words: list[str],
    apart: str,
) -> None:
    network = bright_is_cell(ndim=3)
    network.description = replace(network.description, anisotropy=1.0)
    model = str(save_checkpoint(network, tmp_path / "volume"))
    write_image(tmp_path / "a.tif", cells_image(3, 24, 32), "ZYX", pixel_size_um=size)

    out = str(tmp_path / "out.tif")
    assert main(["segment", str(tmp_path / "a.tif"), "-o", out, "--model", model, *words]) == 0

    assert read_labels(tmp_path / "out.tif").array.shape == (3, 24, 32)
    assert (
        f"Slices are {apart} pixels apart and the model learned on 1, so that {apart} are "
        "computed for each of the image's."
    ) in output.read()[1]


def test_two_ways_to_say_how_large_voxels_are_are_refused_together(
    tmp_path: Path, model: str, output: Output
) -> None:
    words = ["segment", "a.tif", "-o", str(tmp_path / "o.tif"), "--model", model]
    assert main([*words, "--voxel-size", "1,1,1", "--pixel-size", "1"]) == 1
    assert "--voxel-size tells what --pixel-size and --anisotropy do" in output.complaint()


def test_folder_gives_a_folder_with_a_tif_for_each_image(
    tmp_path: Path, model: str, output: Output, cells_image: Pixels, save_image: Callable[..., str]
) -> None:
    (tmp_path / "in").mkdir()
    save_image(tmp_path / "in" / "a.png", cells_image())
    save_image(tmp_path / "in" / "b.tif", cells_image(dtype="uint16"))
    (tmp_path / "in" / "notes.txt").touch()

    status = main(["segment", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--model", model])

    assert status == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["a.tif", "b.tif", "queue.json", "summary.csv"]
    assert len(output.read()[0].splitlines()) == 2


def test_a_model_of_classes_writes_their_numbers_and_tells_their_shares(
    tmp_path: Path,
    bright_is_cell: Callable[..., Network],
    output: Output,
    cells_image: Pixels,
    save_image: Callable[..., str],
) -> None:
    network = bright_is_cell()
    described = replace(network.description, class_roles=("dark", "bright"))
    model = str(save_checkpoint(Network(network.unet, described), tmp_path / "classes"))
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png"):
        save_image(tmp_path / "in" / name, cells_image())
    words = ["segment", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--model", model]

    assert main(words) == 0

    out, error = output.read()
    assert "a.png: 97 % dark, 3 % bright in" in out
    assert error == ""
    labels = read_labels(tmp_path / "out" / "a.tif").array
    assert np.array_equal(labels, np.where(cells_image() == 200, 2, 1))
    assert main([*words, "--skip-existing"]) == 0
    table = (tmp_path / "out" / "summary.csv").read_text("utf-8").splitlines()
    assert table[1].split(",")[table[0].split(",").index("cells")] == ""


def test_scores_and_overlay_stand_beside_a_file_and_in_subfolders_of_a_folder(
    tmp_path: Path, model: str, cells_image: Pixels, save_image: Callable[..., str]
) -> None:
    image = save_image(tmp_path / "a.png", cells_image())
    words = ["segment", image, "--model", model, "--scores", "--overlay", "-o"]

    assert main([*words, str(tmp_path / "out.tif")]) == 0
    assert main([*words, str(tmp_path / "out")]) == 0

    assert read_image(tmp_path / "out_scores.tif").array.shape == (2, 24, 32)
    assert read_image(tmp_path / "out" / "scores" / "a.tif").array.dtype == np.float32
    for overlay in (tmp_path / "out_overlay.png", tmp_path / "out" / "overlay" / "a.png"):
        picture = read_image(overlay).array
        assert picture.shape == (24 * 4, 32 * 4, 3)
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) >= 4  # two outlines, black and white


def test_instance_settings_on_the_command_line_override_the_models(
    tmp_path: Path, model: str, cells_image: Pixels, save_image: Callable[..., str]
) -> None:
    image = save_image(tmp_path / "a.png", cells_image())
    words = ["segment", image, "-o", str(tmp_path / "out.tif"), "--model", model]

    assert main([*words, "--min-size", "10", "--no-separate-touching"]) == 0

    assert read_labels(tmp_path / "out.tif").array.max() == 1


def test_existing_output_is_kept_unless_overwriting_is_allowed(
    tmp_path: Path, model: str, output: Output, cells_image: Pixels, save_image: Callable[..., str]
) -> None:
    image = save_image(tmp_path / "a.png", cells_image())
    write_labels(tmp_path / "out.tif", np.array([[1, 2, 3]]))
    words = ["segment", image, "-o", str(tmp_path / "out.tif"), "--model", model]

    assert main(words) == 1
    assert "1 output file already exists" in (complaint := output.complaint())
    assert complaint.endswith("or allow replacing with --overwrite.")
    assert read_labels(tmp_path / "out.tif").array.shape == (1, 3)

    assert main([*words, "--overwrite"]) == 0
    assert read_labels(tmp_path / "out.tif").array.shape == (24, 32)


def test_output_that_is_the_input_is_refused_even_with_overwrite(
    tmp_path: Path, model: str, output: Output, cells_image: Pixels, save_image: Callable[..., str]
) -> None:
    image = save_image(tmp_path / "a.tif", cells_image())

    assert main(["segment", image, "-o", str(tmp_path), "--model", model, "--overwrite"]) == 1

    assert "would replace an input; choose another folder" in output.complaint()
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").array, cells_image())


def test_two_inputs_of_one_name_are_refused_before_any_work(
    tmp_path: Path, model: str, output: Output, cells_image: Pixels, save_image: Callable[..., str]
) -> None:
    first = save_image(tmp_path / "a.png", cells_image())
    second = save_image(tmp_path / "A.tif", cells_image())

    assert main(["segment", first, second, "-o", str(tmp_path / "out"), "--model", model]) == 1

    assert "would both be written as" in output.complaint()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("labels.tif", "2 images cannot go into the one file"),
        ("labels.png", "is a picture's name; end it in .tif"),
        ("a.txt", "is a file; name a folder, or a file that ends in .tif"),
        ("a.txt/out", "Cannot write to the folder"),
    ],
)
def test_output_names_that_make_no_sense_are_explained(
    tmp_path: Path,
    model: str,
    output: Output,
    out: str,
    message: str,
    cells_image: Pixels,
    save_image: Callable[..., str],
) -> None:
    (tmp_path / "a.txt").touch()
    images = [save_image(tmp_path / name, cells_image()) for name in ("a.png", "b.png")]

    assert main(["segment", *images, "-o", str(tmp_path / out), "--model", model]) == 1

    assert message in output.complaint()


def test_bad_image_among_good_ones_is_reported_and_the_others_are_segmented(
    tmp_path: Path, model: str, output: Output, cells_image: Pixels, save_image: Callable[..., str]
) -> None:
    (tmp_path / "in").mkdir()
    save_image(tmp_path / "in" / "1.png", cells_image())
    (tmp_path / "in" / "2.png").write_text("<html>no image</html>")
    save_image(tmp_path / "in" / "3.png", cells_image())

    status = main(["segment", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--model", model])

    assert status == 1
    assert sorted(path.name for path in (tmp_path / "out").glob("*.tif")) == ["1.tif", "3.tif"]
    error = output.read()[1].splitlines()
    assert "2.png' is a web page, not an image" in error[0]
    assert error[1].startswith("napari-unet: 1 of 3 images failed: 2.png. To do only these again")


def test_stack_for_a_2d_model_offers_every_slice_and_then_does_it(
    tmp_path: Path, model: str, output: Output, cells_image: Pixels, save_image: Callable[..., str]
) -> None:
    stack = save_image(
        tmp_path / "a.tif",
        cells_image(3, 24, 32),
        imagej=True,
        resolution=(2, 2),
        metadata={"axes": "ZYX", "unit": "um", "spacing": 3.0},
    )
    words = ["segment", stack, "-o", str(tmp_path / "out.tif"), "--model", model, "--scores"]

    assert main(words) == 1
    assert "--every-slice" in output.complaint()

    assert main([*words, "--every-slice"]) == 0
    labels = read_labels(tmp_path / "out.tif")
    assert (labels.axes, labels.array.shape) == ("ZYX", (3, 24, 32))
    assert labels.pixel_size_um == pytest.approx((3.0, 0.5, 0.5))
    assert read_image(tmp_path / "out_scores.tif").axes == "ZCYX"


def test_channel_chosen_by_number_is_the_one_that_is_segmented(
    tmp_path: Path, model: str, output: Output, cells_image: Pixels, save_image: Callable[..., str]
) -> None:
    two = np.stack([np.zeros((24, 32), np.uint8), cells_image()])
    image = save_image(tmp_path / "a.tif", two, imagej=True, metadata={"axes": "CYX"})
    words = ["segment", image, "-o", str(tmp_path / "out.tif"), "--model", model]

    assert main(words) == 1
    assert "has 2 channels; this model reads 1" in output.complaint()
    assert main([*words, "--channel", "3"]) == 1
    assert "There is no channel 3, the image has 2 channels; count from 1" in output.complaint()

    assert main([*words, "--channel", "2"]) == 0
    assert read_labels(tmp_path / "out.tif").array.max() == 2


@pytest.mark.parametrize("channels", [3, 4])
def test_rgb_image_for_a_grey_model_and_grey_for_an_rgb_model_are_segmented(
    tmp_path: Path,
    model: str,
    channels: int,
    cells_image: Pixels,
    save_image: Callable[..., str],
    bright_is_cell: Callable[..., Network],
) -> None:
    colour = np.stack([cells_image()] * channels, axis=-1)
    colour[..., 1] //= 2
    if channels == 4:
        colour[..., 3] = 255
    rgb = save_image(tmp_path / "rgb.png", colour)
    grey = save_image(tmp_path / "grey.png", cells_image())
    rgb_model = str(save_checkpoint(bright_is_cell(in_channels=3), tmp_path / "rgb-model"))

    for image, which in ((rgb, model), (grey, rgb_model), (rgb, rgb_model)):
        words = ["segment", image, "-o", str(tmp_path / "out.tif"), "--model", which]
        assert main([*words, "--overwrite", "--foreground-threshold", "0.2"]) == 0
        assert read_labels(tmp_path / "out.tif").array.max() == 2


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (100, 100), (37, 53)])
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "float64"])
def test_image_of_any_size_and_type_gives_labels_of_that_size(
    tmp_path: Path, model: str, shape: tuple[int, int], dtype: str, save_image: Callable[..., str]
) -> None:
    image = save_image(tmp_path / "a.tif", np.zeros(shape, dtype), photometric="minisblack")

    assert main(["segment", image, "-o", str(tmp_path / "out.tif"), "--model", model]) == 0

    assert read_labels(tmp_path / "out.tif").array.shape == shape


@pytest.mark.parametrize(
    ("bad", "dtype", "message"),
    [
        (np.nan, "float32", "25 of 768 pixels are NaN"),
        (np.inf, "float32", "25 of 768 pixels are NaN or"),
        (200, "complex64", "has dtype complex64; the network reads"),
    ],
)
def test_pixels_that_are_no_numbers_are_refused_by_name_of_the_file(
    tmp_path: Path,
    model: str,
    output: Output,
    bad: float,
    dtype: str,
    message: str,
    cells_labels: Pixels,
    save_image: Callable[..., str],
) -> None:
    image = save_image(tmp_path / "a.tif", np.where(cells_labels() > 0, bad, 1).astype(dtype))

    assert main(["segment", image, "-o", str(tmp_path / "out.tif"), "--model", model]) == 1

    complaint = output.complaint()
    assert complaint.startswith(image)
    assert message in complaint
    assert not (tmp_path / "out.tif").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.tif", None, "There is no file or folder"),
        ("notes.tif", b"my notes", "is a text file, whatever its name says"),
        ("page.png", b"<!DOCTYPE html>", "is a web page, not an image"),
        ("empty.tif", b"", "is empty (0 bytes)"),
        ("table.csv", b"1,2", "is no image file that can be read here"),
    ],
)
def test_file_that_is_no_image_gets_one_sentence(
    tmp_path: Path, model: str, output: Output, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)

    status = main(
        ["segment", str(tmp_path / name), "-o", str(tmp_path / "out.tif"), "--model", model]
    )

    assert status == 1
    assert message in output.complaint()
    assert not (tmp_path / "out.tif").exists()


def test_truncated_image_gets_one_sentence(
    tmp_path: Path, model: str, output: Output, cells_image: Pixels, save_image: Callable[..., str]
) -> None:
    image = Path(save_image(tmp_path / "a.tif", cells_image()))
    image.write_bytes(image.read_bytes()[:-300])

    assert main(["segment", str(image), "-o", str(tmp_path / "out.tif"), "--model", model]) == 1

    assert "is damaged or cut short; copy or export it again" in output.complaint()


class Malicious:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return (Path.touch, (self.path,))


def test_model_that_is_a_pickle_is_refused_and_its_code_does_not_run(
    tmp_path: Path, output: Output, cells_image: Pixels, save_image: Callable[..., str]
) -> None:
    image = save_image(tmp_path / "a.png", cells_image())
    (tmp_path / "evil.pth").write_bytes(pickle.dumps(Malicious(tmp_path / "executed")))

    for words in (
        ["segment", image, "-o", str(tmp_path / "out.tif"), "--model"],
        ["inspect"],
    ):
        assert main([*words, str(tmp_path / "evil.pth")]) == 1
        assert "pickle" in output.complaint()
    assert not (tmp_path / "executed").exists()


def test_torn_and_missing_models_are_told_apart(tmp_path: Path, model: str, output: Output) -> None:
    Path(model).write_bytes(Path(model).read_bytes()[:-20])

    assert main(["inspect", model]) == 1
    assert "torn or damaged" in output.complaint()
    assert main(["inspect", str(tmp_path / "gone")]) == 1
    assert "There is no model" in output.complaint()


def test_unknown_device_lists_those_that_are_there(
    tmp_path: Path, model: str, output: Output, cells_image: Pixels, save_image: Callable[..., str]
) -> None:
    image = save_image(tmp_path / "a.png", cells_image())
    words = ["segment", image, "-o", str(tmp_path / "out.tif"), "--model", model]

    assert main([*words, "--device", "cuda:99"]) == 1

    assert "Device 'cuda:99' is not there; this machine has" in output.complaint()


def test_setting_out_of_range_is_explained(
    tmp_path: Path, model: str, output: Output, cells_image: Pixels, save_image: Callable[..., str]
) -> None:
    image = save_image(tmp_path / "a.png", cells_image())
    words = ["segment", image, "-o", str(tmp_path / "out.tif"), "--model", model]

    assert main([*words, "--seed-threshold", "1.5"]) == 1

    assert "--seed-threshold is 1.5; use a score between 0 and 1" in output.complaint()


@pytest.mark.parametrize("when", ["segmenting", "writing"])
def test_ctrl_c_keeps_finished_images_and_leaves_no_half_file(
    tmp_path: Path,
    model: str,
    output: Output,
    monkeypatch: pytest.MonkeyPatch,
    when: str,
    cells_image: Pixels,
    save_image: Callable[..., str],
) -> None:
    images = [save_image(tmp_path / f"{name}.png", cells_image()) for name in "abc"]
    calls: list[object] = []
    place = {
        "segmenting": "napari_unet.batch.images.job.iterate_segmentation",
        "writing": "tifffile.imwrite",
    }[when]
    original = pkgutil.resolve_name(place)

    def interrupt_second(*arguments: Any, **options: Any) -> Any:
        calls.append(None)
        if len(calls) == 2:
            if when == "writing":
                arguments[0].write(b"half")
            raise KeyboardInterrupt
        return original(*arguments, **options)

    monkeypatch.setattr(place, interrupt_second)

    assert main(["segment", *images, "-o", str(tmp_path / "out"), "--model", model]) == 130

    complaint = output.complaint()
    assert complaint.startswith("stopped; no file was left half-written.")
    assert " of 3 images are done; to go on: napari-unet segment --continue -o " in complaint
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert "summary.csv" in names
    assert names < {"a.tif", "b.tif", "c.tif", "queue.json", "summary.csv"}


def test_full_disk_is_said_and_leaves_no_half_file(
    tmp_path: Path,
    model: str,
    output: Output,
    monkeypatch: pytest.MonkeyPatch,
    cells_image: Pixels,
    save_image: Callable[..., str],
) -> None:
    image = save_image(tmp_path / "a.png", cells_image())

    def fill(stream: Any, *_: object, **__: object) -> None:
        stream.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tifffile, "imwrite", fill)

    assert main(["segment", image, "-o", str(tmp_path / "out"), "--model", model]) == 1

    assert "The disk is full" in output.complaint()
    assert list((tmp_path / "out").iterdir()) == []


def test_progress_bar_shows_only_when_asked_for_off_a_terminal(
    tmp_path: Path, model: str, output: Output, cells_image: Pixels, save_image: Callable[..., str]
) -> None:
    image = save_image(tmp_path / "a.png", cells_image())
    words = ["segment", image, "-o", str(tmp_path / "out.tif"), "--model", model, "--overwrite"]

    assert main(words) == 0
    assert output.read()[1] == ""
    assert main([*words, "--progress"]) == 0
    assert "a.png" in output.read()[1]


def test_table_has_the_sentences_of_the_terminal_and_each_series_is_named(
    tmp_path: Path, model: str, output: Output
) -> None:
    stack = np.zeros((2, 9, 9), np.uint8)
    with tifffile.TiffWriter(tmp_path / "two.ome.tif", ome=True) as file:
        file.write(stack, metadata={"axes": "ZYX", "Name": "left"})
        file.write(stack[:, :8], metadata={"axes": "ZYX", "Name": "right"})
    words = ["segment", str(tmp_path / "two.ome.tif"), "-o", str(tmp_path / "out")]

    assert main([*words, "--model", model]) == 1

    error = output.read()[1]
    assert "two.ome.tif, series 1 'left': The image has shape" in error
    assert "two.ome.tif, series 2 'right': The image has shape" in error
    table = (tmp_path / "out" / "summary.csv").read_text("utf-8")
    assert "--every-slice" in table
    assert "every_slice" not in table
