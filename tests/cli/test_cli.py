"""The command line as a user meets it: files in, files out, and a sentence for every mistake."""

import errno
import json
import pickle
import pkgutil
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from napari_unet.cli import main
from napari_unet.engine.base.settings import InstanceSettings
from napari_unet.engine.models.checkpoint import load_checkpoint, save_checkpoint
from napari_unet.engine.networks.network import Network, NetworkDescription
from napari_unet.engine.networks.unet import UNet, UNetConfig
from napari_unet.engine.training.learner import Learner
from napari_unet.engine.training.report import TrainingReport
from napari_unet.engine.training.training import TrainingRun
from napari_unet.files.images import read_image, read_labels, write_labels

FAST_TRAINING = ["--batch-size", "1", "--patch-size", "16", "--validation-interval", "1"]
FAST_TRAINING += ["--precision", "float32", "--device", "cpu"]


def bright_is_cell(in_channels: int = 1, ndim: int = 2) -> Network:
    """Make a network by hand that calls pixels brighter than half the range a cell."""
    config = UNetConfig(ndim, in_channels, 2, base_width=1, depth=1, batch_norm=False)
    unet = UNet(config)
    centre = (1,) * ndim
    with torch.no_grad():
        for parameter in unet.parameters():
            parameter.zero_()
        for block in (unet.contracting[0], unet.expanding[0]):
            for convolution in (block.conv1, block.conv2):  # type: ignore[union-attr]
                convolution.weight[(0, 0, *centre)] = 1.0
        if in_channels > 1:
            unet.contracting[0].conv1.weight[(0, slice(None), *centre)] = 1 / in_channels
        unet.head.weight[:, 0] = torch.tensor([-20.0, 20.0]).reshape(2, *(1,) * ndim)
        unet.head.bias.copy_(torch.tensor([10.0, -10.0]))
    description = NetworkDescription(
        "bright", config, instances=InstanceSettings(min_size_px=2, min_seed_px=1)
    )
    return Network(unet.eval(), description)


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(save_checkpoint(bright_is_cell(), tmp_path / "bright"))


def cells_image(*shape: int, dtype: str = "uint8") -> np.ndarray:
    """Two bright squares, of 9 and 16 pixels, on black; the same in every slice."""
    image = np.zeros(shape or (24, 32), dtype)
    image[..., 3:6, 4:7] = 200
    image[..., 12:16, 20:24] = 200
    return image


def save_image(path: Path, image: np.ndarray, **options: Any) -> str:
    if path.suffix == ".png":
        Image.fromarray(image).save(path)
    else:
        tifffile.imwrite(path, image, **options)
    return str(path)


class Output:
    """What a command wrote to its two streams."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture

    def read(self) -> tuple[str, str]:
        captured = self._capture.readouterr()
        return captured.out, captured.err

    def complaint(self) -> str:
        """The one line of complaint; fails if there is a traceback or more than a line."""
        _, error = self.read()
        assert "Traceback" not in error
        lines = error.strip().splitlines()
        assert len(lines) == 1, error
        assert lines[0].startswith("napari-unet: ")
        return lines[0].removeprefix("napari-unet: ")


@pytest.fixture
def output(capsys: pytest.CaptureFixture[str]) -> Output:
    return Output(capsys)


# -- the program -----------------------------------------------------------------------------------


def test_help_and_version_load_no_torch() -> None:
    code = (
        "import sys\nfrom napari_unet.cli import main\n"
        "for word in ('--help', '--version'):\n"
        "    try:\n        main([word])\n"
        "    except SystemExit as leaving:\n        assert leaving.code == 0\n"
        "assert 'torch' not in sys.modules\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert result.returncode == 0, result.stderr
    assert "segment     find the cells in images" in result.stdout
    assert "napari-unet-cells 0" in result.stdout


@pytest.mark.parametrize(
    "command",
    ["segment", "train", "evaluate", "compare", "weight-map", "inspect", "export", "demo"],
)
def test_each_command_explains_itself(command: str, output: Output) -> None:
    with pytest.raises(SystemExit) as leaving:
        main([command, "--help"])

    assert leaving.value.code == 0
    assert f"usage: napari-unet {command}" in output.read()[0]


def test_settings_of_the_engine_are_options_with_their_explanation(output: Output) -> None:
    with pytest.raises(SystemExit):
        main(["segment", "--help"])

    text = " ".join(output.read()[0].split())
    assert "--min-size N Smaller cells are dropped" in text
    assert "(default: the model's own)" in text
    for option in ("--tile", "--diameter", "--every-slice", "--channel-axis", "--flips"):
        assert option in text


def test_program_starts_as_a_module_where_it_is_not_on_the_path() -> None:
    command = [sys.executable, "-m", "napari_unet.cli", "--version"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)

    assert result.stdout.startswith("napari-unet-cells 0")


def test_without_a_command_the_help_is_shown(output: Output) -> None:
    assert main([]) == 2
    assert "usage: napari-unet COMMAND" in output.read()[1]


def test_unknown_command_and_missing_argument_are_usage_errors(output: Output) -> None:
    for words in (["segmnt"], ["segment", "a.tif"], ["segment", "a.tif", "-o", "b", "--tile", "x"]):
        with pytest.raises(SystemExit) as leaving:
            main(words)
        assert leaving.value.code == 2
        assert "--help' for what is possible" in output.complaint()


def test_unexpected_error_is_one_sentence_and_debug_shows_where(
    output: Output, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    def explode(*_: object, **_options: object) -> None:
        raise ZeroDivisionError("by design")

    monkeypatch.setattr("napari_unet.cli.model_options.load_checkpoint", explode)

    assert main(["inspect", model]) == 1
    assert "unexpected went wrong (ZeroDivisionError: by design); run the" in output.complaint()
    assert main(["inspect", model, "--debug"]) == 1
    assert "Traceback" in output.read()[1]


def test_reader_that_closes_the_pipe_ends_the_program_quietly(tmp_path: Path) -> None:
    write_labels(tmp_path / "a.tif", cells_image())
    words = ["evaluate", str(tmp_path / "a.tif"), str(tmp_path / "a.tif"), "--json"]
    code = f"import sys; from napari_unet.cli import main; sys.exit(main({words!r}))"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


# -- segment ---------------------------------------------------------------------------------------


def test_one_image_and_a_tif_is_that_file_with_the_scale_kept(
    tmp_path: Path, model: str, output: Output
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


def test_folder_gives_a_folder_with_a_tif_for_each_image(
    tmp_path: Path, model: str, output: Output
) -> None:
    (tmp_path / "in").mkdir()
    save_image(tmp_path / "in" / "a.png", cells_image())
    save_image(tmp_path / "in" / "b.tif", cells_image(dtype="uint16"))
    (tmp_path / "in" / "notes.txt").touch()

    status = main(["segment", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--model", model])

    assert status == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.tif", "b.tif"]
    assert len(output.read()[0].splitlines()) == 2


def test_scores_and_overlay_stand_beside_a_file_and_in_subfolders_of_a_folder(
    tmp_path: Path, model: str
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
    tmp_path: Path, model: str
) -> None:
    image = save_image(tmp_path / "a.png", cells_image())
    words = ["segment", image, "-o", str(tmp_path / "out.tif"), "--model", model]

    assert main([*words, "--min-size", "10", "--no-separate-touching"]) == 0

    assert read_labels(tmp_path / "out.tif").array.max() == 1


def test_existing_output_is_kept_unless_overwriting_is_allowed(
    tmp_path: Path, model: str, output: Output
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
    tmp_path: Path, model: str, output: Output
) -> None:
    image = save_image(tmp_path / "a.tif", cells_image())

    assert main(["segment", image, "-o", str(tmp_path), "--model", model, "--overwrite"]) == 1

    assert "would replace an input; choose another folder" in output.complaint()
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").array, cells_image())


def test_two_inputs_of_one_name_are_refused_before_any_work(
    tmp_path: Path, model: str, output: Output
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
    tmp_path: Path, model: str, output: Output, out: str, message: str
) -> None:
    (tmp_path / "a.txt").touch()
    images = [save_image(tmp_path / name, cells_image()) for name in ("a.png", "b.png")]

    assert main(["segment", *images, "-o", str(tmp_path / out), "--model", model]) == 1

    assert message in output.complaint()


def test_bad_image_among_good_ones_is_reported_and_the_others_are_segmented(
    tmp_path: Path, model: str, output: Output
) -> None:
    (tmp_path / "in").mkdir()
    save_image(tmp_path / "in" / "1.png", cells_image())
    (tmp_path / "in" / "2.png").write_text("<html>no image</html>")
    save_image(tmp_path / "in" / "3.png", cells_image())

    status = main(["segment", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--model", model])

    assert status == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["1.tif", "3.tif"]
    error = output.read()[1].splitlines()
    assert "2.png' is a web page, not an image" in error[0]
    assert error[1] == "napari-unet: 1 of 3 images failed: 2.png."


def test_stack_for_a_2d_model_offers_every_slice_and_then_does_it(
    tmp_path: Path, model: str, output: Output
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
    tmp_path: Path, model: str, output: Output
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
    tmp_path: Path, model: str, channels: int
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
    tmp_path: Path, model: str, shape: tuple[int, int], dtype: str
) -> None:
    image = save_image(tmp_path / "a.tif", np.zeros(shape, dtype), photometric="minisblack")

    assert main(["segment", image, "-o", str(tmp_path / "out.tif"), "--model", model]) == 0

    assert read_labels(tmp_path / "out.tif").array.shape == shape


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.where(cells_image() > 0, np.nan, 1).astype(np.float32), "25 of 768 pixels are NaN"),
        (np.where(cells_image() > 0, np.inf, 1).astype(np.float32), "25 of 768 pixels are NaN or"),
        (cells_image().astype(np.complex64), "has dtype complex64; the network reads"),
    ],
)
def test_pixels_that_are_no_numbers_are_refused_by_name_of_the_file(
    tmp_path: Path, model: str, output: Output, bad: np.ndarray, message: str
) -> None:
    image = save_image(tmp_path / "a.tif", bad)

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


def test_truncated_image_gets_one_sentence(tmp_path: Path, model: str, output: Output) -> None:
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
    tmp_path: Path, output: Output
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
    tmp_path: Path, model: str, output: Output
) -> None:
    image = save_image(tmp_path / "a.png", cells_image())
    words = ["segment", image, "-o", str(tmp_path / "out.tif"), "--model", model]

    assert main([*words, "--device", "cuda:99"]) == 1

    assert "Device 'cuda:99' is not there; this machine has" in output.complaint()


def test_setting_out_of_range_is_explained(tmp_path: Path, model: str, output: Output) -> None:
    image = save_image(tmp_path / "a.png", cells_image())
    words = ["segment", image, "-o", str(tmp_path / "out.tif"), "--model", model]

    assert main([*words, "--seed-threshold", "1.5"]) == 1

    assert "seed_threshold is 1.5; use a score between 0 and 1" in output.complaint()


@pytest.mark.parametrize("when", ["segmenting", "writing"])
def test_ctrl_c_keeps_finished_images_and_leaves_no_half_file(
    tmp_path: Path, model: str, output: Output, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    images = [save_image(tmp_path / f"{name}.png", cells_image()) for name in "abc"]
    calls: list[object] = []
    place = {
        "segmenting": "napari_unet.cli.segment.iterate_segmentation",
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

    assert output.complaint() == "stopped; no file was left half-written."
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.tif"]


def test_full_disk_is_said_and_leaves_no_half_file(
    tmp_path: Path, model: str, output: Output, monkeypatch: pytest.MonkeyPatch
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
    tmp_path: Path, model: str, output: Output
) -> None:
    image = save_image(tmp_path / "a.png", cells_image())
    words = ["segment", image, "-o", str(tmp_path / "out.tif"), "--model", model, "--overwrite"]

    assert main(words) == 0
    assert output.read()[1] == ""
    assert main([*words, "--progress"]) == 0
    assert "a.png" in output.read()[1]


# -- evaluate --------------------------------------------------------------------------------------


def test_evaluation_of_one_pair_is_a_table(tmp_path: Path, output: Output) -> None:
    truth, prediction = cells_image().astype(int), cells_image().astype(int)
    truth[12:16, 20:24] = 7
    prediction[12:16, 20:24] = 0
    write_labels(tmp_path / "t.tif", truth)
    write_labels(tmp_path / "p.tif", prediction)

    assert main(["evaluate", str(tmp_path / "t.tif"), str(tmp_path / "p.tif")]) == 0

    out, _ = output.read()
    assert "1 image, 2 true cells, 1 cell found" in out
    rows = [line.split() for line in out.splitlines() if line.startswith(" 0.")]
    assert rows[0] == ["0.50", "0.500", "0.500", "0.667", "1", "1", "0"]
    assert "mean IoU of matched cells: 1.000" in out


def test_evaluation_of_folders_pools_pairs_and_names_what_has_no_partner(
    tmp_path: Path, output: Output
) -> None:
    for folder, names in (("t", ["a", "b", "c"]), ("p", ["a", "b_masks", "d"])):
        (tmp_path / folder).mkdir()
        for name in names:
            write_labels(tmp_path / folder / f"{name}.tif", cells_image() > 0)

    words = ["evaluate", str(tmp_path / "t"), str(tmp_path / "p"), "--json", "--thresholds", "0.5"]
    assert main(words) == 0

    out, error = output.read()
    result = json.loads(out)
    assert [image["name"] for image in result["images"]] == ["a.tif", "b.tif"]
    assert result["pooled"][0]["true_positives"] == 2
    assert result["mean_over_images"] == [{"threshold": 0.5, "average_precision": 1.0}]
    assert result["without_prediction"] == ["c.tif"]
    assert "1 true label image left out, without a predicted label image: c.tif." in error
    assert "1 predicted label image left out, without a true label image: d.tif." in error


def test_evaluation_of_folders_without_common_names_says_how_files_are_paired(
    tmp_path: Path, output: Output
) -> None:
    for folder, name in (("t", "a"), ("p", "b")):
        (tmp_path / folder).mkdir()
        write_labels(tmp_path / folder / f"{name}.tif", cells_image())

    assert main(["evaluate", str(tmp_path / "t"), str(tmp_path / "p")]) == 1

    assert "files belong together by their names without endings" in output.complaint()


def test_labels_of_another_shape_are_named(tmp_path: Path, output: Output) -> None:
    write_labels(tmp_path / "t.tif", cells_image())
    write_labels(tmp_path / "p.tif", cells_image()[:20])

    assert main(["evaluate", str(tmp_path / "t.tif"), str(tmp_path / "p.tif")]) == 1

    complaint = output.complaint()
    assert complaint.startswith(str(tmp_path / "p.tif"))
    assert "(24, 32), the predicted ones (20, 32)" in complaint


def test_threshold_out_of_range_is_explained(tmp_path: Path, output: Output) -> None:
    assert main(["evaluate", "t", "p", "--thresholds", "50"]) == 1

    assert "A threshold is 50; use overlaps above 0, at most 1." in output.complaint()


# -- weight-map ------------------------------------------------------------------------------------


def test_weight_map_is_a_float_tiff_heaviest_in_the_gap(tmp_path: Path) -> None:
    labels = np.zeros((9, 9), int)
    labels[:, :4], labels[:, 5:] = 1, 2
    write_labels(tmp_path / "a.tif", labels, pixel_size_um=(0.5, 0.5))
    words = ["weight-map", str(tmp_path / "a.tif"), "-o", str(tmp_path / "w.tif")]

    assert main([*words, "--no-class-balance"]) == 0

    file = read_image(tmp_path / "w.tif")
    assert file.array.dtype == np.float32
    assert file.pixel_size_um == pytest.approx((0.5, 0.5))
    # d1 = d2 = 1 in the gap: 1 + 10 exp(-(1 + 1)^2 / (2 * 25))
    np.testing.assert_allclose(file.array[:, 4], 1 + 10 * np.exp(-4 / 50), rtol=1e-5)
    np.testing.assert_array_equal(file.array[:, :4], 1)


def test_stack_of_labels_is_weighed_slice_by_slice_unless_3d_is_asked_for(tmp_path: Path) -> None:
    labels = np.zeros((2, 9, 9), int)
    labels[0, :, :4], labels[1, :, 5:] = 1, 2
    write_labels(tmp_path / "a.tif", labels, pixel_size_um=(2.0, 0.5, 0.5))
    words = ["weight-map", str(tmp_path / "a.tif"), "--no-class-balance", "-o"]

    assert main([*words, str(tmp_path / "slices.tif")]) == 0
    assert main([*words, str(tmp_path / "volume.tif"), "--3d"]) == 0

    assert read_image(tmp_path / "slices.tif").array.max() == 1  # one cell in each slice
    assert read_image(tmp_path / "volume.tif").array.max() > 2


def test_colour_picture_instead_of_labels_is_refused(tmp_path: Path, output: Output) -> None:
    image = save_image(tmp_path / "a.png", np.dstack([cells_image(), *[cells_image() // 2] * 2]))

    assert main(["weight-map", image, "-o", str(tmp_path / "w.tif")]) == 1

    assert "is a colour picture with 3 channels" in output.complaint()


# -- inspect ---------------------------------------------------------------------------------------


def test_inspect_tells_a_model_in_words_and_as_json(model: str, output: Output) -> None:
    assert main(["inspect", model]) == 0
    text = output.read()[0]
    assert "bright" in text
    assert "2-D, 1 channel" in text
    assert "background, cell" in text

    assert main(["inspect", model, "--json"]) == 0
    values = json.loads(output.read()[0])
    assert values["unet"]["depth"] == 1
    assert values["instances"]["min_size_px"] == 2


# -- train -----------------------------------------------------------------------------------------


@pytest.fixture
def training_folders(tmp_path: Path) -> list[str]:
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for index in range(3):
        save_image(tmp_path / "images" / f"{index}.png", np.roll(cells_image(), index, axis=1))
        labels = np.roll(cells_image() > 0, index, axis=1) * np.array([[1]] * 10 + [[2]] * 14)
        write_labels(tmp_path / "labels" / f"{index}_masks.tif", labels)
    return [str(tmp_path / "images"), str(tmp_path / "labels")]


def test_training_from_a_model_writes_one_that_knows_its_history(
    tmp_path: Path, model: str, training_folders: list[str], output: Output
) -> None:
    words = ["train", *training_folders, "-o", str(tmp_path / "mine"), "--from", model]
    words += [*FAST_TRAINING, "--steps", "2", "--validation-fraction", "0.34", "--licence", "CC0"]

    assert main(words) == 0

    description = load_checkpoint(tmp_path / "mine.safetensors").description
    assert (description.name, description.licence) == ("mine", "CC0")
    assert description.history[-1]["steps"] == 2
    assert description.history[-1]["started_from"] == "bright"
    assert "held-out images" in description.metrics
    out, error = output.read()
    assert "2 images with 4 cells to learn from" in out
    assert "1 image held out: " in out
    assert "step 2 of 2: loss " in out
    assert "AP 0.5 / 0.7 / 0.9: " in out
    assert error == ""
    assert not (tmp_path / "mine.resume").exists()


def test_new_model_takes_its_channels_from_the_images_and_its_shape_from_the_options(
    tmp_path: Path, training_folders: list[str]
) -> None:
    words = ["train", *training_folders, "-o", str(tmp_path / "new.safetensors"), *FAST_TRAINING]
    words += ["--steps", "1", "--base-width", "2", "--depth", "1", "--two-classes"]

    assert main(words) == 0

    config = load_checkpoint(tmp_path / "new.safetensors").description.unet
    assert (config.base_width, config.depth, config.in_channels, config.classes) == (2, 1, 1, 2)


def test_stacks_teach_a_2d_model_slice_by_slice(tmp_path: Path, model: str, output: Output) -> None:
    stack = cells_image(3, 24, 32)
    image = save_image(tmp_path / "a.tif", stack, photometric="minisblack")
    write_labels(tmp_path / "l.tif", cells_image(3, 24, 32) > 0)
    words = ["train", image, str(tmp_path / "l.tif"), "-o", str(tmp_path / "m"), "--from", model]

    assert main([*words, *FAST_TRAINING, "--steps", "1"]) == 0

    assert "3 images with 3 cells" in output.read()[0]


def history_of(path: Path) -> dict[str, Any]:
    return load_checkpoint(path).description.history[-1]


def test_going_on_from_a_model_takes_a_minute_unless_steps_are_given(
    tmp_path: Path, model: str, training_folders: list[str]
) -> None:
    words = ["train", *training_folders, *FAST_TRAINING, "--overwrite"]
    words += ["-o", str(tmp_path / "m"), "--from", model]

    assert main([*words, "--seconds", "0.5"]) == 0
    settings = history_of(tmp_path / "m.safetensors")["settings"]
    assert settings["seconds"] == 0.5
    assert settings["keep_knowledge"] > 0
    assert not settings["adapt_norms"]

    assert main([*words, "--steps", "1"]) == 0
    settings = history_of(tmp_path / "m.safetensors")["settings"]
    assert (settings["steps"], settings["seconds"]) == (1, None)


def test_seconds_alone_end_the_training_of_a_new_model(
    tmp_path: Path, training_folders: list[str], output: Output
) -> None:
    words = ["train", *training_folders, "-o", str(tmp_path / "m"), *FAST_TRAINING]

    assert main([*words, "--base-width", "2", "--depth", "1", "--seconds", "0.2"]) == 0

    settings = history_of(tmp_path / "m.safetensors")["settings"]
    assert settings["seconds"] == 0.2
    assert settings["steps"] > 1000
    assert re.search(r"step \d+ after \d s: loss", output.read()[0])


def test_unlabelled_pixels_are_ignored_where_it_is_asked_for(
    tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = (cells_image() > 0) * np.array([[1]] * 10 + [[2]] * 14)
    labels[0, 0] = 9
    image = save_image(tmp_path / "a.png", cells_image())
    write_labels(tmp_path / "l.tif", labels)
    words = ["train", image, str(tmp_path / "l.tif"), "-o", str(tmp_path / "m"), "--from", model]
    words += [*FAST_TRAINING, "--steps", "1", "--unlabelled", "ignore", "--background-label", "9"]
    learned: list[Any] = []
    original = TrainingRun.__init__

    def note(run: TrainingRun, pairs: Any, *arguments: Any, **options: Any) -> None:
        learned.extend(pairs)
        original(run, pairs, *arguments, **options)

    monkeypatch.setattr(TrainingRun, "__init__", note)

    assert main(words) == 0

    (pair,) = learned
    assert pair.labels.max() == 2
    assert pair.reviewed[0, 0]
    assert pair.reviewed[cells_image() > 0].all()
    assert not pair.reviewed[-1, -1]

    assert main([*words, "--overwrite", "--ring", "0"]) == 0

    assert np.array_equal(learned[1].reviewed, labels > 0)


def test_few_images_say_that_nothing_is_held_out(
    tmp_path: Path, model: str, training_folders: list[str], output: Output
) -> None:
    words = ["train", *training_folders, "-o", str(tmp_path / "m"), "--from", model]

    assert main([*words, *FAST_TRAINING, "--steps", "1"]) == 0

    assert "Nothing is held out, as 6 cells in 3 images are too few" in output.read()[0]


def test_memory_that_runs_out_is_noted_once(
    tmp_path: Path,
    model: str,
    training_folders: list[str],
    output: Output,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = ["train", *training_folders, "-o", str(tmp_path / "m"), "--from", model]
    original = Learner._accumulate

    def refuse_two(learner: Learner, batch: Any) -> float:
        if learner.part_size > 1:
            raise MemoryError
        return original(learner, batch)

    monkeypatch.setattr(Learner, "_accumulate", refuse_two)

    assert main([*words, *FAST_TRAINING, "--batch-size", "2", "--steps", "2"]) == 0

    assert output.complaint().startswith("Memory ran out, so a batch is computed in parts of 1;")


def test_training_that_diverges_leaves_the_last_good_model(
    tmp_path: Path,
    model: str,
    training_folders: list[str],
    output: Output,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = ["train", *training_folders, "-o", str(tmp_path / "m"), "--from", model]
    original = Learner._accumulate
    losses: list[float] = []

    def diverge(learner: Learner, batch: Any) -> float:
        losses.append(original(learner, batch))
        return losses[-1] if len(losses) < 3 else float("nan")

    monkeypatch.setattr(Learner, "_accumulate", diverge)

    assert main([*words, *FAST_TRAINING, "--steps", "4"]) == 1

    assert "The loss became nan at step 3; the best state so far is kept." in output.complaint()
    assert history_of(tmp_path / "m.safetensors")["steps"] == 2


def test_images_without_labels_are_left_out_and_named(
    tmp_path: Path, model: str, training_folders: list[str], output: Output
) -> None:
    save_image(tmp_path / "images" / "new.png", cells_image())
    words = ["train", *training_folders, "-o", str(tmp_path / "m"), "--from", model]

    assert main([*words, *FAST_TRAINING, "--steps", "1"]) == 0

    assert output.complaint() == "1 image left out, without a label image: new.png."


def test_model_that_exists_is_never_overwritten_unasked(
    model: str, training_folders: list[str], output: Output
) -> None:
    before = Path(model).read_bytes()

    assert main(["train", *training_folders, "-o", model, *FAST_TRAINING, "--steps", "1"]) == 1

    assert "bright.safetensors' exists already; choose another name" in output.complaint()
    assert Path(model).read_bytes() == before


def test_shape_of_a_model_that_is_trained_on_cannot_be_changed(
    tmp_path: Path, model: str, training_folders: list[str], output: Output
) -> None:
    words = ["train", *training_folders, "-o", str(tmp_path / "m"), "--from", model]

    assert main([*words, "--depth", "3"]) == 1

    assert "keeps its shape; leave out --from to make a new one" in output.complaint()


def stop_at_step(monkeypatch: pytest.MonkeyPatch, step: int, stop: Callable[[], None]) -> None:
    original = TrainingRun.__next__

    def stop_then_go_on(run: TrainingRun) -> TrainingReport:
        if run.step == step:
            stop()
        return original(run)

    monkeypatch.setattr(TrainingRun, "__next__", stop_then_go_on)


def weights_of(path: Path) -> Iterator[torch.Tensor]:
    return iter(load_checkpoint(path).unet.state_dict().values())


def test_ctrl_c_writes_the_best_model_and_resuming_ends_as_if_never_stopped(
    tmp_path: Path,
    model: str,
    training_folders: list[str],
    output: Output,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def words(name: str) -> list[str]:
        given = ["train", *training_folders, "-o", str(tmp_path / name), "--from", model]
        return [*given, *FAST_TRAINING, "--steps", "4"]

    assert main(words("through")) == 0
    output.read()

    with monkeypatch.context() as patch:
        stop_at_step(patch, 1, lambda: signal.raise_signal(signal.SIGINT))
        assert main(words("stopped")) == 130

    out, error = output.read()
    assert "model after 2 steps -> " in out
    assert "stopping after this step" in error
    assert "stopped after step 2; to go on: napari-unet train " in error
    assert error.strip().endswith("--resume")
    assert load_checkpoint(tmp_path / "stopped.safetensors").description.history[-1]["steps"] == 2
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    assert main(words("stopped")) == 1
    assert "is left of a stopped training; go on with it by --resume" in output.complaint()

    assert main([*words("stopped"), "--resume"]) == 0
    assert not (tmp_path / "stopped.resume").exists()
    through, resumed = tmp_path / "through.safetensors", tmp_path / "stopped.safetensors"
    assert all(map(torch.equal, weights_of(through), weights_of(resumed)))


def test_model_is_written_before_its_thresholds_are_tuned(
    tmp_path: Path, model: str, training_folders: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(TrainingRun, "tuned", interrupt)
    words = ["train", *training_folders, "-o", str(tmp_path / "m"), "--from", model, *FAST_TRAINING]

    assert main([*words, "--steps", "1", "--validation-fraction", "0.34"]) == 130

    assert load_checkpoint(tmp_path / "m.safetensors").description.name == "m"


def test_interruption_in_the_middle_of_a_step_still_writes_the_model(
    tmp_path: Path, model: str, training_folders: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    stop_at_step(monkeypatch, 1, interrupt)
    words = ["train", *training_folders, "-o", str(tmp_path / "m"), "--from", model, *FAST_TRAINING]

    assert main([*words, "--steps", "3"]) == 130

    assert load_checkpoint(tmp_path / "m.safetensors").description.history[-1]["steps"] == 1
    assert list(tmp_path.glob(".*")) == []


def test_resume_without_a_stopped_training_says_so(
    tmp_path: Path, model: str, training_folders: list[str], output: Output
) -> None:
    words = ["train", *training_folders, "-o", str(tmp_path / "m"), "--from", model, "--resume"]

    assert main(words) == 1

    assert "There is no stopped training" in output.complaint()


def test_labels_that_do_not_fit_their_image_are_named(
    tmp_path: Path, model: str, training_folders: list[str], output: Output
) -> None:
    write_labels(tmp_path / "labels" / "1_masks.tif", cells_image(20, 32) > 0, overwrite=True)
    words = ["train", *training_folders, "-o", str(tmp_path / "m"), "--from", model]

    assert main([*words, *FAST_TRAINING]) == 1

    assert "'1.png' has 24 x 32 pixels but its labels have 20 x 32" in output.complaint()
    assert not (tmp_path / "m.safetensors").exists()


# -- demo ------------------------------------------------------------------------------------------


def test_demo_without_a_window_counts_cells_and_can_be_run_again(
    tmp_path: Path, model: str, output: Output
) -> None:
    words = ["demo", "--no-window", "-o", str(tmp_path / "demo"), "--model", model]
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "fluorescence.tif").write_text("a user's own file")

    for _ in range(2):
        assert main(words) == 0
        out = output.read()[0]
        assert "cells found; a person saw 106 in this image" in out
        for name in ("unet-demo-labels.tif", "unet-demo-overlay.png"):
            assert str(tmp_path / "demo" / name) in out
            assert (tmp_path / "demo" / name).exists()
    assert (tmp_path / "demo" / "fluorescence.tif").read_text() == "a user's own file"


def test_demo_without_a_screen_writes_files(
    tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch, output: Output
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.chdir(tmp_path)

    assert main(["demo", "--model", model]) == 0

    assert (tmp_path / "napari-unet-demo" / "unet-demo-labels.tif").exists()


def test_demo_on_a_screen_that_is_gone_says_so_and_writes_files(
    tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch, output: Output
) -> None:
    monkeypatch.setenv("DISPLAY", ":4711")
    monkeypatch.setenv("QT_QPA_PLATFORM", "xcb")

    assert main(["demo", "--model", model, "-o", str(tmp_path / "demo")]) == 0

    assert output.complaint() == "napari cannot open a window here; writing files instead."
    assert (tmp_path / "demo" / "unet-demo-labels.tif").exists()


# -- part of an image ------------------------------------------------------------------------------


def fading_stack(folder: Path) -> str:
    """Slices of which the third is so dim that the whole stack's range leaves no cell in it."""
    stack = np.stack([cells_image(), cells_image() // 2 + 20, cells_image() // 8])
    options: dict[str, Any] = {"axes": "ZYX", "unit": "um", "spacing": 3.0}
    return save_image(folder / "a.tif", stack, imagej=True, resolution=(2, 2), metadata=options)


def test_one_slice_is_segmented_as_with_all_others(tmp_path: Path, model: str) -> None:
    stack = fading_stack(tmp_path)
    words = ["segment", stack, "--model", model, "-o"]

    assert main([*words, str(tmp_path / "all.tif"), "--every-slice"]) == 0
    for number in (1, 2, 3):
        assert main([*words, str(tmp_path / f"{number}.tif"), "--slice", str(number)]) == 0

    together = read_labels(tmp_path / "all.tif").array
    for number, cells in ((1, 2), (2, 2), (3, 0)):
        alone = read_labels(tmp_path / f"{number}.tif")
        assert alone.axes == "YX"
        assert alone.pixel_size_um == pytest.approx((0.5, 0.5))
        assert alone.array.max() == cells
        np.testing.assert_array_equal(alone.array > 0, together[number - 1] > 0)


def test_slice_measured_by_itself_shows_its_dim_cells(tmp_path: Path, model: str) -> None:
    words = ["segment", fading_stack(tmp_path), "--model", model, "-o", str(tmp_path / "out.tif")]

    assert main([*words, "--slice", "3", "--intensities", "slice", "--overlay"]) == 0

    assert read_labels(tmp_path / "out.tif").array.max() == 2
    assert read_image(tmp_path / "out_overlay.png").array.shape == (24 * 4, 32 * 4, 3)


def test_slice_of_a_deep_stack_takes_a_number_for_each_axis(tmp_path: Path, model: str) -> None:
    deep = np.zeros((2, 3, 24, 32), np.uint8)
    deep[1, 2] = cells_image()
    image = save_image(tmp_path / "a.tif", deep, imagej=True, metadata={"axes": "TZYX"})
    words = ["segment", image, "--model", model, "--overwrite", "-o", str(tmp_path / "out.tif")]

    for plane, cells in (("2,3", 2), ("1,3", 0), ("2,:,4", 1)):
        assert main([*words, "--slice", plane]) == 0
        assert read_labels(tmp_path / "out.tif").array.max() == cells
    # Rows 4 of all depths: a picture of 3 x 32 pixels.
    assert read_labels(tmp_path / "out.tif").array.shape == (3, 32)


@pytest.mark.parametrize(
    ("shape", "words", "message"),
    [
        ((24, 32), ["--slice", "2"], "has shape (24, 32) and no slices to choose from; leave"),
        ((3, 24, 32), ["--slice", "4"], "There is no slice 4, the image has 3 slices along axis 0"),
        ((3, 24, 32), ["--slice", "0"], "There is no slice 0, the image has 3 slices along axis 0"),
        ((3, 24, 32), ["--slice", "1,2"], "to tell one of its slices, --slice needs one number, a"),
        ((2, 3, 24, 32), ["--slice", "1"], "--slice needs 2 numbers with commas, as in 2,7."),
        ((3, 24, 32), ["--slice", "1", "--every-slice"], "Both --slice and --every-slice were giv"),
        ((3, 24, 32), ["--channel-axis", "3"], "There is no axis 3, the image has shape (3, 24, 3"),
        ((3, 24, 32), ["--channel-axis", "0", "--channel", "5"], "There is no channel 5, the imag"),
    ],
)
def test_part_that_is_not_there_is_explained(
    tmp_path: Path,
    model: str,
    output: Output,
    shape: tuple[int, ...],
    words: list[str],
    message: str,
) -> None:
    image = save_image(tmp_path / "a.tif", cells_image(*shape), photometric="minisblack")

    assert main(["segment", image, "-o", str(tmp_path / "out.tif"), "--model", model, *words]) == 1

    assert message in output.complaint()
    assert not (tmp_path / "out.tif").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--slice", "second"], "'second' is no slice; give its number, such as 3, or one for e"),
        (["--slice", "1;2"], "'1;2' is no slice"),
        (["--channel-axis", "C"], "'C' is neither a whole number nor none"),
    ],
)
def test_part_that_is_no_number_is_a_usage_error(
    output: Output, words: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(["segment", "a.tif", "-o", "out.tif", *words])

    assert leaving.value.code == 2
    assert message in output.complaint()
