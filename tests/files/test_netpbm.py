"""Netpbm pictures: the numbers as they stand, text and binary, 8 and 16 bits."""

from pathlib import Path

import numpy as np
import pytest

from napari_unet.engine.base.errors import FileError
from napari_unet.files.images import image_series, read_image, read_labels

_GREY = np.arange(12, dtype=np.uint16).reshape(3, 4)


def _content(array: np.ndarray, highest: int, *, text: bool) -> bytes:
    kind = (2 if array.ndim == 2 else 3) + (0 if text else 3)
    header = b"P%d\n# a remark\n%d %d\n%d\n" % (kind, array.shape[1], array.shape[0], highest)
    if text:
        return header + b" ".join(b"%d" % value for value in array.ravel()) + b"\n"
    return header + array.astype(">u2" if highest > 255 else "u1").tobytes()


@pytest.mark.parametrize("text", [True, False])
@pytest.mark.parametrize("highest", [14, 255, 300, 4095, 65535])
@pytest.mark.parametrize("colour", [True, False])
def test_numbers_are_read_as_they_stand_and_not_stretched(
    tmp_path: Path, text: bool, highest: int, colour: bool
) -> None:
    array = np.stack([_GREY, _GREY // 2, _GREY // 3], axis=-1) if colour else _GREY.copy()
    array.flat[-1] = highest
    path = tmp_path / "a.pnm"
    path.write_bytes(_content(array, highest, text=text))

    file = read_image(path)

    assert file.axes == ("YXC" if colour else "YX")
    assert file.array.dtype == (np.uint16 if highest > 255 else np.uint8)
    np.testing.assert_array_equal(file.array, array)
    assert image_series(path)[0].shape == array.shape


def test_labels_in_grey_colours_are_one_number_for_each_pixel(tmp_path: Path) -> None:
    (tmp_path / "a.ppm").write_bytes(_content(np.stack([_GREY] * 3, -1), 1000, text=False))

    np.testing.assert_array_equal(read_labels(tmp_path / "a.ppm").array, _GREY)


def test_several_pictures_in_a_file_are_a_stack(tmp_path: Path) -> None:
    (tmp_path / "a.pgm").write_bytes(_content(_GREY, 255, text=False) * 2)

    file = read_image(tmp_path / "a.pgm")

    assert (file.axes, file.array.shape) == ("ZYX", (2, 3, 4))


@pytest.mark.parametrize("text", [True, False])
def test_cut_picture_is_damaged(tmp_path: Path, text: bool) -> None:
    (tmp_path / "a.pgm").write_bytes(_content(_GREY, 4095, text=text)[:-4])

    with pytest.raises(FileError, match="is damaged or cut short"):
        read_image(tmp_path / "a.pgm")


def test_mask_of_one_bit_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.pbm").write_bytes(b"P1\n2 1\n1 0\n")

    # In this format 1 is black.
    assert read_image(tmp_path / "a.pbm").array.tolist() == [[False, True]]
