"""`napari-unet weight-map` as a user meets it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_unet import boundary_weight_map
from napari_unet.cli import main
from napari_unet.engine.weight_map.weight_map import number_pieces
from napari_unet.files.images import read_image, write_labels

Output = Any
"""The fixture `output`: `read()` returns both streams, `complaint()` the only line of error."""

Pixels = Callable[..., np.ndarray]


@pytest.fixture
def labels() -> np.ndarray:
    """Two cells three pixels apart, two that touch, and one far away; numbers with gaps."""
    labels = np.zeros((40, 60), np.uint16)
    labels[4:12, 4:12], labels[4:12, 15:20] = 7, 300
    labels[20:30, 4:12], labels[20:30, 12:20] = 9, 1000
    labels[30:36, 50:56] = 2
    return labels


def draw(folder: Path, labels: np.ndarray, *words: str, **layout: object) -> np.ndarray:
    """What the command writes for labels in a file."""
    write_labels(folder / "labels.tif", labels, overwrite=True, **layout)
    command = ["weight-map", str(folder / "labels.tif"), "-o", str(folder / "out.tif")]
    assert main([*command, "--overwrite", *words]) == 0
    file = tifffile.imread(folder / "out.tif")
    assert file.dtype == np.float32
    return file


def test_file_holds_the_map_at_the_papers_numbers(tmp_path: Path, labels: np.ndarray) -> None:
    expected = boundary_weight_map(labels, w0=10, border_sigma_px=5)
    assert np.array_equal(draw(tmp_path, labels), expected)


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (["--w0", "3", "--sigma", "2.5"], {"w0": 3, "border_sigma_px": 2.5}),
        (["--variant", "fiji"], {"variant": "fiji", "w0": 50, "border_sigma_px": 6}),
        (["--variant", "fiji", "--w0", "4"], {"variant": "fiji", "w0": 4}),
        (
            ["--variant", "fiji", "--background-weight", "0.3", "--background-sigma", "4"],
            {"variant": "fiji", "background_weight": 0.3, "background_sigma_px": 4},
        ),
        (["--no-class-balance"], {"class_balance": False}),
        (["--no-separate-touching"], {"separate_touching": False}),
        (["--ignore-label", "2"], {"ignore_label": 2}),
    ],
)
def test_every_setting_is_an_option(
    tmp_path: Path, labels: np.ndarray, words: list[str], options: dict[str, object]
) -> None:
    drawn = draw(tmp_path, labels, *words)
    assert np.array_equal(drawn, boundary_weight_map(labels, **options))
    assert not np.array_equal(drawn, boundary_weight_map(labels))


def test_stacks_are_drawn_slice_by_slice_or_through_the_slices(
    tmp_path: Path, labels: np.ndarray
) -> None:
    stack = np.stack([labels, np.roll(labels, 5, 1), np.zeros_like(labels)])
    slices = draw(tmp_path, stack, pixel_size_um=(1.0, 0.25, 0.25))
    assert np.array_equal(slices, [boundary_weight_map(plane) for plane in stack])
    volume = draw(tmp_path, stack, "--3d", pixel_size_um=(1.0, 0.25, 0.25))
    assert np.array_equal(volume, boundary_weight_map(stack, spacing=(4, 1, 1)))


def test_every_stack_of_a_series_is_drawn_on_its_own(tmp_path: Path, labels: np.ndarray) -> None:
    series = np.stack([[labels, labels], [np.roll(labels, 5, 1), labels]])
    volumes = draw(tmp_path, series, "--3d")
    assert np.array_equal(volumes, [boundary_weight_map(stack) for stack in series])


def test_a_mask_is_drawn_with_a_word_about_touching_cells(
    tmp_path: Path, labels: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    mask = np.where(labels > 0, 255, 0).astype(np.uint8)
    assert draw(tmp_path, mask, "--no-class-balance").max() == 1
    error = capsys.readouterr().err
    assert "every cell has the number 255, so that all are one object" in error
    assert "which takes cells that touch for one (--pieces does that)." in error
    drawn = draw(tmp_path, mask, "--pieces")
    assert capsys.readouterr().err == ""
    assert np.array_equal(drawn, boundary_weight_map(number_pieces(mask)))


def test_ignored_pixels_are_no_pieces(tmp_path: Path) -> None:
    mask = np.array([[1, 0, 1, 2, 2, 0, 0, 1]] * 3, np.uint8)
    drawn = draw(tmp_path, mask, "--pieces", "--ignore-label", "2")
    pieces = np.array([[1, 0, 2, -1, -1, 0, 0, 3]] * 3)
    assert np.array_equal(drawn, boundary_weight_map(pieces, ignore_label=-1))
    assert not drawn[:, 3:5].any()


@pytest.mark.parametrize(
    ("cells", "sentence"),
    [(0, "The labels hold no cell, so the border term"), (1, "The labels hold one cell; a gap")],
)
def test_labels_without_a_gap_get_a_flat_map_and_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], cells: int, sentence: str
) -> None:
    labels = np.zeros((9, 9), np.uint8)
    labels[2:4, 2:4] = cells
    assert draw(tmp_path, labels, "--no-class-balance").max() == 1
    error = capsys.readouterr().err.strip()
    assert error.startswith(f"napari-unet: {tmp_path / 'labels.tif'}: {sentence}")
    assert error.endswith("zero everywhere.")


@pytest.mark.parametrize(
    ("labels", "words", "sentence"),
    [
        (np.full((9, 9), 0.5, np.float32), [], "holds numbers that are not whole"),
        (np.ones((9, 9), np.uint8), ["--w0", "0"], "w0 is 0; use a positive weight"),
        (np.ones((9, 9), np.uint8), ["--sigma", "-1"], "--sigma is -1; use a positive"),
        (np.ones((9, 9), np.uint8), ["--background-weight", "2"], "use a weight from 0 to 1"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    labels: np.ndarray,
    words: list[str],
    sentence: str,
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", labels)
    assert main(["weight-map", str(tmp_path / "a.tif"), "-o", str(tmp_path / "w.tif"), *words]) == 1
    error = capsys.readouterr().err.strip()
    assert sentence in error
    assert error.count("\n") == 0
    assert not (tmp_path / "w.tif").exists()


def test_the_scale_of_the_labels_is_kept(tmp_path: Path, labels: np.ndarray) -> None:
    draw(tmp_path, labels, pixel_size_um=(0.5, 0.5))
    assert read_image(tmp_path / "out.tif").pixel_size_um == pytest.approx((0.5, 0.5))


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


def test_colour_picture_instead_of_labels_is_refused(
    tmp_path: Path, output: Output, cells_image: Pixels, save_image: Callable[..., str]
) -> None:
    image = save_image(tmp_path / "a.png", np.dstack([cells_image(), *[cells_image() // 2] * 2]))

    assert main(["weight-map", image, "-o", str(tmp_path / "w.tif")]) == 1

    assert "is a colour picture with 3 channels" in output.complaint()
