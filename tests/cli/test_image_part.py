"""One slice or channel of an image, as `napari-unet segment` is told of it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_unet.cli import main
from napari_unet.engine.models.checkpoint import save_checkpoint
from napari_unet.engine.networks.network import Network
from napari_unet.files.images import read_image, read_labels

Output = Any
"""The fixture `output`: `read()` returns both streams, `complaint()` the only line of error."""

Pixels = Callable[..., np.ndarray]


@pytest.fixture
def fading_stack(tmp_path: Path, cells_image: Pixels, save_image: Callable[..., str]) -> str:
    """Slices of which the third is so dim that the whole stack's range leaves no cell in it."""
    stack = np.stack([cells_image(), cells_image() // 2 + 20, cells_image() // 4])
    options: dict[str, Any] = {"axes": "ZYX", "unit": "um", "spacing": 3.0}
    return save_image(tmp_path / "a.tif", stack, imagej=True, resolution=(2, 2), metadata=options)


def test_one_slice_is_segmented_as_with_all_others(
    tmp_path: Path, model: str, fading_stack: str
) -> None:
    words = ["segment", fading_stack, "--model", model, "-o"]

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


def test_slice_measured_by_itself_shows_its_dim_cells(
    tmp_path: Path, model: str, fading_stack: str
) -> None:
    words = ["segment", fading_stack, "--model", model, "-o", str(tmp_path / "out.tif")]

    assert main([*words, "--slice", "3", "--intensities", "slice", "--overlay"]) == 0

    assert read_labels(tmp_path / "out.tif").array.max() == 2
    assert read_image(tmp_path / "out_overlay.png").array.shape == (24 * 4, 32 * 4, 3)


def test_slice_of_a_deep_stack_takes_a_number_for_each_axis(
    tmp_path: Path, model: str, cells_image: Pixels, save_image: Callable[..., str]
) -> None:
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
    cells_image: Pixels,
    save_image: Callable[..., str],
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


@pytest.mark.parametrize("axes", ["ZCYX", "CZYX", "ZYXC"])
def test_slice_of_a_stack_with_channels_has_the_range_of_each_of_them(
    tmp_path: Path,
    axes: str,
    cells_image: Pixels,
    save_image: Callable[..., str],
    bright_is_cell: Callable[..., Network],
) -> None:
    network = bright_is_cell(in_channels=2)
    per_channel = replace(network.description.normalization, per_channel=True)
    description = replace(network.description, normalization=per_channel)
    model = str(save_checkpoint(Network(network.unet, description), tmp_path / "two"))
    # The second channel is a hundredth as bright; the second slice half as bright as the first.
    bright = np.stack([cells_image(), cells_image() // 2]).astype(np.float32)
    stack = np.stack([bright, bright / 100], axis=1)  # ZCYX
    stack = np.transpose(stack, ["ZCYX".index(axis) for axis in axes])
    options = {"photometric": "minisblack", "metadata": {"axes": axes}}
    if axes == "ZYXC":
        image, where = save_image(tmp_path / "a.tif", stack, **options), "3"
    else:
        image, where = save_image(tmp_path / "a.tif", stack, **options), str(axes.index("C"))
    words = ["segment", image, "--model", model, "--channel-axis", where, "-o"]

    assert main([*words, str(tmp_path / "all.tif"), "--every-slice"]) == 0
    together = read_labels(tmp_path / "all.tif").array
    for number in (1, 2):
        assert main([*words, str(tmp_path / f"{number}.tif"), "--slice", str(number)]) == 0
        alone = read_labels(tmp_path / f"{number}.tif").array
        np.testing.assert_array_equal(alone > 0, together[number - 1] > 0)
    assert together[0].max() == 2
    # Measured by itself the dim slice has the range of a bright one.
    words = [*words, str(tmp_path / "own.tif"), "--slice", "2", "--intensities", "slice"]
    assert main(words) == 0
    assert (read_labels(tmp_path / "own.tif").array > 0).sum() > (together[1] > 0).sum()


def test_channels_on_a_last_axis_that_nobody_named_are_hinted_at(
    tmp_path: Path, model: str, save_image: Callable[..., str], output: Output
) -> None:
    image = np.random.default_rng(0).integers(0, 200, (60, 70, 5), np.uint8)
    source, out = save_image(tmp_path / "five.tif", image), str(tmp_path / "out.tif")
    words = ["segment", source, "-o", out, "--model", model]

    assert main(words) == 1
    assert "Its last axis is so short that it must be channels; name it (--channel-axis 2)." in (
        output.complaint()
    )
    assert main([*words, "--channel-axis", "2"]) == 1
    assert "has 5 channels; this model reads 1. Choose one channel to segment (--channel)" in (
        output.complaint()
    )
    assert main([*words, "--channel-axis", "2", "--channel", "4"]) == 0
    output.read()
    assert main([*words, "--every-slice", "--overwrite"]) == 0
    assert "The 5 planes along axis 2" in (told := output.read()[1])
    assert "(--channel 1 --channel-axis 2)" in told
