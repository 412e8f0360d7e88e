"""Pictures at their full depth: 16-bit colours, JPEG 2000, palettes, transparency, animations."""

import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from napari_unet.engine.base.errors import FileError
from napari_unet.files.image_file import SeriesError
from napari_unet.files.images import image_series, read_image, read_labels

_GREY = np.arange(30, dtype=np.uint16).reshape(5, 6) * 13 + 1


def _chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def _write_png(path: Path, array: np.ndarray, colours: int, *, extra: bytes = b"") -> None:
    """Write 16 bits for a channel; `colours` is the PNG's number for what the channels are."""
    rows = b"".join(b"\0" + row.tobytes() for row in array.astype(">u2"))
    header = struct.pack(">IIBBBBB", array.shape[1], array.shape[0], 16, colours, 0, 0, 0)
    body = extra + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + body)


def test_png_of_16_bits_keeps_them_in_every_kind_of_colours(tmp_path: Path) -> None:
    opaque = np.full_like(_GREY, 65535)
    colours = np.stack([_GREY, _GREY * 2, _GREY * 3], axis=-1)
    with_alpha = np.concatenate([colours, opaque[..., np.newaxis]], axis=-1)
    _write_png(tmp_path / "grey.png", _GREY, 0)
    _write_png(tmp_path / "rgb.png", colours, 2)
    _write_png(
        tmp_path / "rgb_key.png", colours, 2, extra=_chunk(b"tRNS", struct.pack(">HHH", 1, 2, 3))
    )
    _write_png(tmp_path / "rgb_grey.png", np.stack([_GREY] * 3, -1), 2)
    _write_png(tmp_path / "grey_alpha.png", np.stack([_GREY, opaque], -1), 4)
    _write_png(tmp_path / "rgba.png", with_alpha, 6)

    read = {path.stem: read_image(path) for path in tmp_path.iterdir()}

    for name in ("grey", "rgb_grey", "grey_alpha"):
        assert (read[name].axes, read[name].array.dtype) == ("YX", np.uint16)
        np.testing.assert_array_equal(read[name].array, _GREY)
    for name in ("rgb", "rgb_key"):
        np.testing.assert_array_equal(read[name].array, colours)
    np.testing.assert_array_equal(read["rgba"].array, with_alpha)


@pytest.mark.parametrize("kind", ["grey", "grey with alpha", "grey colours", "colours with alpha"])
def test_label_png_of_16_bits_keeps_all_numbers(tmp_path: Path, kind: str) -> None:
    labels, opaque = _GREY * 50, np.full_like(_GREY, 65535)
    stacks = {
        "grey": ([labels], 0),
        "grey with alpha": ([labels, opaque], 4),
        "grey colours": ([labels] * 3, 2),
        "colours with alpha": ([labels] * 3 + [opaque], 6),
    }
    channels, colours = stacks[kind]
    _write_png(tmp_path / "a.png", np.stack(channels, axis=-1), colours)

    file = read_labels(tmp_path / "a.png")

    assert file.axes == "YX"
    np.testing.assert_array_equal(file.array, labels)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_label_png_of_few_bits_keeps_its_numbers(tmp_path: Path, bits: int) -> None:
    numbers = np.arange(2**bits, dtype=np.uint8)[np.newaxis]
    packed = np.packbits(np.unpackbits(numbers[..., np.newaxis], axis=-1)[..., -bits:].ravel())
    header = struct.pack(">IIBBBBB", numbers.size, 1, bits, 0, 0, 0, 0)
    body = _chunk(b"IDAT", zlib.compress(b"\0" + packed.tobytes())) + _chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + body)

    np.testing.assert_array_equal(read_labels(tmp_path / "a.png").array, numbers)


def test_animation_of_16_bit_colours_is_refused(tmp_path: Path) -> None:
    control = _chunk(b"acTL", struct.pack(">II", 2, 0))
    _write_png(tmp_path / "a.png", np.stack([_GREY] * 3, -1), 2, extra=control)

    with pytest.raises(FileError, match="is an animation with 16 bits for a colour, which is not"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_jpeg_2000_keeps_its_numbers(tmp_path: Path, channels: int, bits: int) -> None:
    rng = np.random.default_rng(0)
    shape = (20, 30) if channels == 1 else (20, 30, channels)
    image = rng.integers(0, 2**bits, shape).astype(np.uint8 if bits == 8 else np.uint16)
    content = imagecodecs.jpeg2k_encode(image, level=0, reversible=True, bitspersample=bits)
    (tmp_path / "a.jp2").write_bytes(content)

    np.testing.assert_array_equal(read_image(tmp_path / "a.jp2").array, image)


def test_jpeg_of_more_than_8_bits_is_refused_as_such(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(imagecodecs.jpeg8_encode(_GREY, bitspersample=12))

    with pytest.raises(FileError, match="is a JPEG of a kind that is not read here"):
        read_image(tmp_path / "a.jpg")


@pytest.mark.parametrize("suffix", ["png", "gif", "webp"])
def test_animation_is_a_stack(tmp_path: Path, suffix: str) -> None:
    frames = [Image.fromarray(np.full((4, 5), value, np.uint8)) for value in (0, 255)]
    options = {"save_all": True, "append_images": frames[1:], "lossless": True}
    frames[0].save(tmp_path / f"a.{suffix}", **options)

    file = read_image(tmp_path / f"a.{suffix}")

    assert file.axes == "ZYX"
    assert file.array[:, 0, 0].tolist() == [0, 255]
    assert image_series(tmp_path / f"a.{suffix}")[0].shape[0] == 2


def test_picture_has_one_image_and_says_so(tmp_path: Path) -> None:
    Image.fromarray(_GREY).save(tmp_path / "a.png")

    assert [each.number for each in image_series(tmp_path / "a.png")] == [1]
    assert read_image(tmp_path / "a.png", series=1).series is None
    with pytest.raises(SeriesError, match=r"has no series 2; it holds 1 \(5, 6\)"):
        read_image(tmp_path / "a.png", series=2)


def test_picture_beyond_what_is_safe_to_unpack_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write_png(tmp_path / "a.png", np.stack([_GREY] * 3, -1), 2)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)

    with pytest.raises(FileError, match="is too large for a picture format; save it as TIFF"):
        read_image(tmp_path / "a.png")
