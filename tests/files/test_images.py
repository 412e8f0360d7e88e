"""Image files as users have them: scales, palettes, stacks, and files that are broken."""

import errno
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_unet.engine.base.errors import FileError, LabelsError
from napari_unet.engine.images.label_numbers import smallest_label_dtype
from napari_unet.files.finding import find_images
from napari_unet.files.image_file import image_stem
from napari_unet.files.images import (
    read_image,
    read_labels,
    write_float_image,
    write_labels,
    write_picture,
    write_scores,
)


def _ramp(*shape: int, dtype: str = "uint16") -> np.ndarray:
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


# -- finding ---------------------------------------------------------------------------------------


def test_folder_lists_its_images_in_natural_order_and_skips_the_rest(tmp_path: Path) -> None:
    for name in ("cell 10.png", "Cell 2.TIF", "cell 1.tif", "notes.txt", "._cell 1.tif"):
        (tmp_path / name).touch()
    (tmp_path / "more.tif").mkdir()

    names = [path.name for path in find_images([tmp_path])]

    assert names == ["cell 1.tif", "Cell 2.TIF", "cell 10.png"]


def test_file_named_twice_is_listed_once(tmp_path: Path) -> None:
    (tmp_path / "a.tif").touch()

    assert find_images([tmp_path, tmp_path / "a.tif"]) == [tmp_path / "a.tif"]


def test_pattern_that_the_command_line_did_not_expand_is_expanded(tmp_path: Path) -> None:
    for name in ("a1.tif", "a2.tif", "b.tif"):
        (tmp_path / name).touch()

    assert [path.name for path in find_images([tmp_path / "a*.tif"])] == ["a1.tif", "a2.tif"]


def test_named_file_that_is_no_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cells.xyz").touch()

    with pytest.raises(
        FileError, match=r"cells\.xyz' is no image file that can be read here; save"
    ):
        find_images([tmp_path / "cells.xyz"])


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        FileError, match=r"There is no file or folder '.*gone\.tif'; check its name"
    ):
        find_images([tmp_path / "gone.tif"])


def test_folder_without_images_says_what_it_should_hold(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="holds no images; it should hold TIFF, PNG or JPEG"):
        find_images([tmp_path])


def test_ome_tif_is_one_ending() -> None:
    assert image_stem(Path("a/cells.ome.tif")) == "cells"
    assert image_stem(Path("a/cells.1.tif")) == "cells.1"


# -- reading ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32", "float64", "bool"])
def test_tiff_keeps_dtype_and_pixels(tmp_path: Path, dtype: str) -> None:
    image = (_ramp(4, 5) % 2).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", image)

    file = read_image(tmp_path / "a.tif")

    assert file.array.dtype == dtype
    np.testing.assert_array_equal(file.array, image)
    assert (file.axes, file.channel_axis, file.pixel_size_um) == ("YX", None, None)


def test_big_endian_and_bigtiff_are_read_as_native_numbers(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", _ramp(4, 5), byteorder=">", bigtiff=True)

    array = read_image(tmp_path / "a.tif").array

    assert array.dtype.isnative
    np.testing.assert_array_equal(array, _ramp(4, 5))


def test_rgb_tiff_and_planar_rgb_tiff_say_where_their_channels_are(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", _ramp(4, 5, 3, dtype="uint8"), photometric="rgb")
    planar = _ramp(3, 4, 5, dtype="uint8")
    tifffile.imwrite(tmp_path / "b.tif", planar, photometric="rgb", planarconfig="separate")

    assert (read_image(tmp_path / "a.tif").axes, read_image(tmp_path / "a.tif").channel_axis) == (
        "YXC",
        2,
    )
    assert read_image(tmp_path / "b.tif").channel_axis == 0


def test_imagej_stack_keeps_axes_and_micrometres(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif",
        _ramp(3, 2, 4, 5),
        imagej=True,
        resolution=(1 / 0.2, 1 / 0.3),
        metadata={"axes": "ZCYX", "unit": "micron", "spacing": 1.5},
    )

    file = read_image(tmp_path / "a.tif")

    assert (file.axes, file.channel_axis, file.label_axes) == ("ZCYX", 1, "ZYX")
    assert file.pixel_size_um == pytest.approx((1.5, 0.3, 0.2))


def test_png_resolution_of_a_microscope_is_a_scale_and_that_of_a_screen_is_none(
    tmp_path: Path,
) -> None:
    picture = Image.fromarray(_ramp(4, 5))
    picture.save(tmp_path / "microscope.png", dpi=(25400 / 0.5, 25400 / 0.5))
    picture.save(tmp_path / "screen.png", dpi=(96, 96))

    assert read_image(tmp_path / "microscope.png").pixel_size_um == pytest.approx((0.5, 0.5))
    assert read_image(tmp_path / "screen.png").pixel_size_um is None


def test_16_bit_png_keeps_its_16_bits(tmp_path: Path) -> None:
    Image.fromarray(_ramp(4, 5) * 3000).save(tmp_path / "a.png")

    np.testing.assert_array_equal(read_image(tmp_path / "a.png").array, _ramp(4, 5) * 3000)


def test_grey_picture_stored_as_rgb_is_read_as_grey(tmp_path: Path) -> None:
    grey = _ramp(4, 5, dtype="uint8")
    Image.fromarray(np.stack([grey] * 3, axis=-1)).save(tmp_path / "a.png")

    file = read_image(tmp_path / "a.png")

    assert file.axes == "YX"
    np.testing.assert_array_equal(file.array, grey)


def test_rgba_png_keeps_four_channels_for_the_engine_to_drop(tmp_path: Path) -> None:
    Image.fromarray(_ramp(4, 5, 4, dtype="uint8")).save(tmp_path / "a.png")

    assert read_image(tmp_path / "a.png").array.shape == (4, 5, 4)


def test_pages_written_one_by_one_are_a_stack(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for page in _ramp(3, 4, 5):
            writer.write(page, contiguous=False)

    file = read_image(tmp_path / "a.tif")

    assert file.axes == "ZYX"
    np.testing.assert_array_equal(file.array, _ramp(3, 4, 5))


# -- files that are broken -------------------------------------------------------------------------


def test_missing_image_and_folder_in_its_place_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="There is no file or folder"):
        read_image(tmp_path / "gone.tif")
    with pytest.raises(FileError, match="is a folder; name one image file"):
        read_image(tmp_path)


def test_text_file_named_tif_is_called_a_text_file(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_text("these are my notes\n")

    with pytest.raises(FileError, match=r"a\.tif' is a text file, whatever its name says"):
        read_image(tmp_path / "a.tif")


def test_web_page_named_png_is_called_a_failed_download(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("\n<!DOCTYPE html><html><body>404</body></html>")

    with pytest.raises(FileError, match="is a web page, not an image; the download went wrong"):
        read_image(tmp_path / "a.png")


def test_empty_file_is_called_empty(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()

    with pytest.raises(FileError, match="is empty \\(0 bytes\\)"):
        read_image(tmp_path / "a.png")


def test_bytes_of_no_known_kind_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(bytes(range(256)))

    with pytest.raises(FileError, match="is no image of a known kind"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("part", [0.9, 0.5, 0.1])
@pytest.mark.parametrize("kind", ["png", "plain", "zlib", "imagej"])
def test_truncated_file_is_called_damaged_and_never_half_read(
    tmp_path: Path, kind: str, part: float
) -> None:
    stack = np.random.default_rng(0).integers(0, 255, (6, 40, 50)).astype(np.uint8)
    path = tmp_path / ("a.png" if kind == "png" else "a.tif")
    if kind == "png":
        Image.fromarray(stack[0]).save(path)
    else:
        options = {"plain": {}, "zlib": {"compression": "zlib"}, "imagej": {"imagej": True}}[kind]
        tifffile.imwrite(path, stack, **options)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])

    with pytest.raises(
        FileError, match=r"a\.\w+' is damaged or cut short; copy or export it again"
    ):
        read_image(path)


def test_damage_is_not_also_printed_by_the_library(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", _ramp(6, 40, 50), imagej=True)
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[: len(content) // 2])

    with pytest.raises(FileError):
        read_image(tmp_path / "a.tif")

    assert capsys.readouterr().err == ""


# -- labels ----------------------------------------------------------------------------------------


def test_labels_stored_as_whole_floats_come_back_as_integers(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.array([[0.0, 1.0], [2.0, 70000.0]], np.float32))

    labels = read_labels(tmp_path / "a.tif").array

    assert labels.dtype.kind == "i"
    assert labels.tolist() == [[0, 1], [2, 70000]]


@pytest.mark.parametrize(
    ("dtype", "exact"), [("float16", 2048), ("float32", 2**24), ("float64", 2**40)]
)
def test_labels_stored_as_floats_are_read_as_far_as_floats_tell_them_apart(
    tmp_path: Path, dtype: str, exact: int
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.array([[0, -1, exact]], dtype))
    tifffile.imwrite(tmp_path / "b.tif", np.array([[0, 1, 2.0 ** (exact.bit_length())]], dtype))

    assert read_labels(tmp_path / "a.tif").array.tolist() == [[0, -1, exact]]
    if dtype != "float64":
        with pytest.raises(LabelsError, match=f"as {dtype}, which tells .* up to {exact}; save"):
            read_labels(tmp_path / "b.tif")


@pytest.mark.parametrize("value", [0.5, np.nan, np.inf])
def test_labels_with_other_floats_are_refused(tmp_path: Path, value: float) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.array([[0.0, value]], np.float32))

    with pytest.raises(LabelsError, match="holds numbers that are not whole, as images do; labels"):
        read_labels(tmp_path / "a.tif")


def test_complex_labels_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.ones((2, 3), np.complex64))

    with pytest.raises(LabelsError, match="holds values of dtype complex64; labels are whole"):
        read_labels(tmp_path / "a.tif")


def test_colour_picture_as_labels_is_refused(tmp_path: Path) -> None:
    Image.fromarray(_ramp(4, 5, 3, dtype="uint8")).save(tmp_path / "a.png")

    with pytest.raises(LabelsError, match="is a colour picture with 3 channels; labels need one"):
        read_labels(tmp_path / "a.png")


def test_mask_of_one_bit_is_one_label(tmp_path: Path) -> None:
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "a.png")

    assert read_labels(tmp_path / "a.png").array.tolist() == [[1, 0]]


def test_label_planes_that_imagej_calls_channels_are_slices(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", _ramp(5, 4, 6), imagej=True)

    assert read_labels(tmp_path / "a.tif").axes == "ZYX"


# -- writing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("highest", "dtype"),
    [(0, "uint8"), (255, "uint8"), (256, "uint16"), (65535, "uint16"), (65536, "uint32")],
)
@pytest.mark.parametrize(
    ("shape", "axes", "scale"),
    [
        ((4, 5), "YX", (0.3, 0.2)),
        ((3, 4, 5), "ZYX", (2.0, 0.3, 0.2)),
        ((3, 4, 5), "TYX", (0.3, 0.2)),
        ((4, 5), "YX", None),
        ((3, 4, 3), "ZYX", None),
        ((4, 4, 4), "ZYX", None),
    ],
)
def test_labels_come_back_in_the_smallest_safe_type_with_axes_and_scale(
    tmp_path: Path,
    highest: int,
    dtype: str,
    shape: tuple[int, ...],
    axes: str,
    scale: tuple[float, ...] | None,
) -> None:
    labels = np.zeros(shape, np.int64)
    labels[..., 1, 2] = highest

    write_labels(tmp_path / "a.tif", labels, axes=axes, pixel_size_um=scale)
    file = read_labels(tmp_path / "a.tif")

    assert file.array.dtype == dtype
    np.testing.assert_array_equal(file.array, labels)
    assert file.axes == axes
    assert file.pixel_size_um == (scale if scale is None else pytest.approx(scale, rel=1e-6))


def test_labels_are_compressed_and_show_in_fiji_with_contrast(tmp_path: Path) -> None:
    write_labels(tmp_path / "a.tif", np.array([[0, 7]]), pixel_size_um=(0.5, 0.5))

    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.pages.first.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        assert file.imagej_metadata is not None
        assert file.imagej_metadata["max"] == 7
        assert file.imagej_metadata["unit"] == "um"


def test_plane_scale_survives_where_the_slice_distance_is_unknown(tmp_path: Path) -> None:
    write_labels(tmp_path / "a.tif", _ramp(3, 4, 5), pixel_size_um=(0.3, 0.2))

    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.pages.first.tags.valueof("XResolution") == (5, 1)


def test_name_as_long_as_names_can_be_is_written(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 251 + ".tif")

    write_labels(path, np.array([[1]]))

    assert read_labels(path).array.tolist() == [[1]]


def test_name_that_is_too_long_is_said_to_be(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 300 + ".tif")

    with pytest.raises(FileError, match="because its name is too long; choose a shorter one"):
        write_labels(path, np.array([[1]]))
    for ask in (read_image, lambda path: find_images([path])):
        with pytest.raises(FileError, match=r"Cannot read .*name too long"):
            ask(path)


def test_negative_and_fractional_labels_are_never_written() -> None:
    with pytest.raises(LabelsError, match="Labels go down to -1"):
        smallest_label_dtype(np.array([-1, 3]))
    with pytest.raises(LabelsError, match="dtype float64; integers are needed"):
        smallest_label_dtype(np.array([1.0]))
    with pytest.raises(LabelsError, match="beyond 32 bits"):
        smallest_label_dtype(np.array([2**40]))


def test_scores_have_one_named_channel_for_each_class(tmp_path: Path) -> None:
    scores = np.random.default_rng(0).random((2, 3, 4, 5), np.float32)

    write_scores(tmp_path / "a.tif", scores, ("background", "cell"), pixel_size_um=(2, 0.5, 0.5))
    file = read_image(tmp_path / "a.tif")

    assert (file.axes, file.array.dtype) == ("ZCYX", np.float32)
    np.testing.assert_array_equal(np.moveaxis(file.array, 1, 0), scores)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert tiff.imagej_metadata is not None
        assert tiff.imagej_metadata["Labels"][:2] == ["background", "cell"]


def test_existing_file_is_replaced_only_when_allowed(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    write_labels(path, np.array([[1]]))

    with pytest.raises(FileError, match=r"a\.tif' exists already; .* \(overwrite=True\)"):
        write_labels(path, np.array([[2]]))
    assert read_labels(path).array.tolist() == [[1]]

    write_labels(path, np.array([[2]]), overwrite=True)
    assert read_labels(path).array.tolist() == [[2]]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError(errno.ENOSPC, "No space left")])
def test_interrupted_writing_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: BaseException
) -> None:
    path = tmp_path / "a.tif"
    write_labels(path, np.array([[1]]))

    def write_half(stream: object, *_: object, **__: object) -> None:
        stream.write(b"II*\0")  # type: ignore[attr-defined]
        raise stop

    monkeypatch.setattr(tifffile, "imwrite", write_half)

    with pytest.raises((KeyboardInterrupt, FileError)) as error:
        write_labels(path, np.array([[2]]), overwrite=True)

    if isinstance(stop, OSError):
        assert str(error.value).startswith("The disk is full, ")
        assert "a.tif' was not written" in str(error.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.tif"]
    assert read_labels(path).array.tolist() == [[1]]


def test_unwritable_folder_is_named_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, mode: str = "r", *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)

    with pytest.raises(FileError) as error:
        write_float_image(tmp_path / "a.tif", np.zeros((2, 2)))

    assert "permission denied); choose a folder that you may write to" in str(error.value)


def test_file_in_the_place_of_a_folder_is_explained(tmp_path: Path) -> None:
    (tmp_path / "a").touch()

    with pytest.raises(FileError, match="because a part of this path is a file"):
        write_picture(tmp_path / "a" / "b.png", np.zeros((2, 2, 3), np.uint8))
