"""Whatever layout a library can write is read as the array that was written, or in one sentence."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from napari_unet.files.images import image_series, read_image

_DTYPES = [
    *("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"),
    *("float16", "float32", "float64", "bool"),
]
_LOSSLESS = [
    *(None, "lzw", "zlib", "zstd", "lzma", "packbits", "deflate", "png", "lerc", "jpegxl"),
    *("jpeg2000", "jpegxr", "webp"),
]
_QUIET = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def _array(data: st.DataObject, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers over the whole range of a type, from a seed: hypothesis need not see each."""
    rng = np.random.default_rng(data.draw(st.integers(0, 99), label="seed"))
    if dtype == "bool":
        return rng.random(shape) > 0.5
    if dtype.startswith("float"):
        return (rng.random(shape) * 1000).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)


def _write(path: Path, array: np.ndarray, **options: Any) -> None:
    """Write, or give up where the library itself cannot."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tifffile.imwrite(path, array, **options)
        except Exception:  # its encoders raise errors of their own
            assume(False)


def _read_as(path: Path, array: np.ndarray, axes: str) -> None:
    """See that a file holds the array with these axes."""
    file = read_image(path)
    np.testing.assert_array_equal(file.array, array)
    assert (file.axes, file.array.dtype) == (axes, array.dtype)
    info = image_series(path)[0]
    assert (info.shape, info.axes) == (file.array.shape, axes)


@_QUIET
@given(data=st.data())
def test_tiff_in_any_layout_is_what_was_written(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "a.tif"
    dtype = data.draw(st.sampled_from(_DTYPES), label="dtype")
    side = st.integers(2, 40)
    shape = (data.draw(side, label="height"), data.draw(side, label="width"))
    colour = data.draw(st.sampled_from(["grey", "white is 0", "rgb", "planar", "rgba"]))
    options: dict[str, Any] = {
        "grey": {"photometric": "minisblack"},
        "white is 0": {"photometric": "miniswhite"},
        "rgb": {"photometric": "rgb"},
        "planar": {"photometric": "rgb", "planarconfig": "separate"},
        "rgba": {"photometric": "rgb", "extrasamples": ["unassalpha"]},
    }[colour]
    options["compression"] = data.draw(st.sampled_from(_LOSSLESS), label="compression")
    options["predictor"] = data.draw(st.booleans(), label="predictor") or None
    options["byteorder"] = data.draw(st.sampled_from("<>"), label="byte order")
    options["bigtiff"] = data.draw(st.booleans(), label="BigTIFF")
    if data.draw(st.booleans(), label="tiled"):
        options["tile"] = (16, 32)
    else:
        options["rowsperstrip"] = data.draw(st.integers(1, 40), label="rows of a strip")
    shape, axes = {
        "rgb": ((*shape, 3), "YXC"),
        "planar": ((3, *shape), "CYX"),
        "rgba": ((*shape, 4), "YXC"),
    }.get(colour, (shape, "YX"))
    if data.draw(st.booleans(), label="stack"):
        shape, axes = (3, *shape), f"Z{axes}"
        options["metadata"] = {"axes": axes.replace("C", "S")}
    if options["compression"] in ("jpegxl", "jpeg2000", "jpegxr", "webp"):
        options["compressionargs"] = {
            "jpegxl": {"lossless": True},
            "jpeg2000": {"reversible": True, "level": 0},
            "jpegxr": {"level": 1.0},
            "webp": {"lossless": True, "level": 100, "exact": True},
        }[options["compression"]]
    # What does not come back from tifffile itself: JPEG 2000 and XR keep these types alone, its
    # JPEG 2000 forgets the order of bytes, and colours of one bit each were not equal.
    assume(dtype in ("uint8", "uint16") or options["compression"] not in ("jpegxr", "jpeg2000"))
    assume(options["compression"] != "jpeg2000" or options["byteorder"] == "<")
    assume(dtype != "bool" or "C" not in axes)
    array = _array(data, dtype, shape)

    _write(path, array, **options)

    _read_as(path, array, axes)


@_QUIET
@given(data=st.data())
def test_axes_of_imagej_and_ome_are_what_was_written(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "a.tif"
    dialect = data.draw(st.sampled_from(["imagej", "ome"]))
    more = data.draw(st.lists(st.sampled_from("TZC"), unique=True), label="axes")
    axes = "".join(sorted(more, key="TZC".index) if dialect == "imagej" else more) + "YX"
    sizes = [data.draw(st.integers(2, 4)) for _ in more]
    dtypes = ["uint8", "uint16", "float32"] + (["int32", "float64"] if dialect == "ome" else [])
    array = _array(data, data.draw(st.sampled_from(dtypes)), (*sizes, 9, 11))
    compression = data.draw(st.sampled_from(_LOSSLESS[:6]), label="compression")

    _write(
        path,
        array,
        metadata={"axes": axes},
        compression=compression,
        photometric="minisblack",
        **{dialect: True},
    )

    _read_as(path, array, axes)


@_QUIET
@given(data=st.data())
def test_pyramid_is_its_largest_level(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "a.tif"
    dtype = data.draw(st.sampled_from(["uint8", "uint16", "float32"]))
    shape = (data.draw(st.integers(32, 70)), data.draw(st.integers(32, 70)))
    array = _array(data, dtype, shape)
    levels = data.draw(st.integers(1, 3), label="levels")
    where = data.draw(st.sampled_from(["sub-directories", "flagged pages", "pages"]))
    options = {"compression": data.draw(st.sampled_from(_LOSSLESS[:6])), "metadata": None}
    ome = where == "sub-directories" and data.draw(st.booleans(), label="OME")

    with tifffile.TiffWriter(path, ome=ome) as writer:
        subifds = levels if where == "sub-directories" else 0
        writer.write(array, subifds=subifds, **(options | ({"metadata": {}} if ome else {})))
        for level in range(1, levels + 1):
            flag = 0 if where == "pages" else 1
            writer.write(array[:: 2**level, :: 2**level], subfiletype=flag, **options)

    _read_as(path, array, "YX")


_PILLOW = {
    "L": ["png", "bmp", "gif", "webp", "jp2", "pgm", "tif"],
    "RGB": ["png", "bmp", "webp", "jp2", "ppm", "tif"],
    "RGBA": ["png", "webp", "jp2", "tif"],
    "I;16": ["png", "jp2", "tif"],
    "1": ["png", "bmp", "tif"],
    "F": ["tif"],
    "P": ["png", "gif", "bmp", "tif"],
}


@_QUIET
@given(data=st.data())
def test_picture_of_pillow_is_what_was_written(tmp_path: Path, data: st.DataObject) -> None:
    mode = data.draw(st.sampled_from(list(_PILLOW)))
    suffix = data.draw(st.sampled_from(_PILLOW[mode]))
    shape = (data.draw(st.integers(2, 30)), data.draw(st.integers(2, 30)))
    channels = {"RGB": (3,), "RGBA": (4,)}.get(mode, ())
    dtype = {"I;16": "uint16", "1": "bool", "F": "float32"}.get(mode, "uint8")
    array = _array(data, dtype, shape + channels)
    picture = Image.fromarray(array)
    if mode == "P":
        colours = _array(data, "uint8", (256, 3))
        picture.putpalette(colours.tobytes())
        array = colours[array]
    path = tmp_path / f"a.{suffix}"
    options: dict[str, Any] = {"webp": {"lossless": True, "exact": True}}.get(suffix, {})
    options |= {"irreversible": False} if suffix == "jp2" else {}

    picture.save(path, **options)

    file = read_image(path)
    assume(mode != "1" or suffix != "bmp")  # read as grey, 0 and 255
    if suffix == "webp" and mode == "L":
        assert file.axes == "YX"
    np.testing.assert_array_equal(file.array, array)
    assert file.array.dtype == array.dtype


@pytest.mark.parametrize("compression", ["tiff_lzw", "group3", "group4", "tiff_adobe_deflate"])
def test_bits_of_libtiff_are_what_was_written(tmp_path: Path, compression: str) -> None:
    mask = np.random.default_rng(0).random((33, 47)) > 0.5
    Image.fromarray(mask).save(tmp_path / "a.tif", compression=compression)

    _read_as(tmp_path / "a.tif", mask, "YX")
