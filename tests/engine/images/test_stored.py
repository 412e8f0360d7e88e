"""Arrays in files as what another process can open."""

import errno
import pickle
import re

import numpy as np
import pytest
import zarr

from napari_unet.engine.base.errors import FileError, ImageValueError, SettingsError
from napari_unet.engine.images.lazy import LazyView, viewable
from napari_unet.engine.images.normalization import Percentiles, Raw, ZeroMean
from napari_unet.engine.images.stored import StoredArray, stored


def kept(folder, values):
    array = zarr.create_array(folder / "a.zarr", shape=values.shape, chunks=(2, 3), dtype="u2")
    array[...] = values
    return array


def sent(array):
    """As it comes out of a message to another process, and how long that was."""
    message = pickle.dumps(array)
    return pickle.loads(message), len(message)  # noqa: S301


VALUES = np.arange(30_000, dtype=np.uint16).reshape(150, 200)


def test_an_array_in_files_is_sent_by_its_name(tmp_path, monkeypatch):
    np.save(tmp_path / "m.npy", VALUES)
    mapped = np.load(tmp_path / "m.npy", mmap_mode="r")
    turned = np.memmap(tmp_path / "t.raw", "<u2", "w+", 6, VALUES.shape, order="F")
    turned[...] = VALUES
    monkeypatch.chdir(tmp_path)
    kept(tmp_path, VALUES)
    named_from_here = zarr.open_array("a.zarr", mode="r")
    for array in (named_from_here, mapped, turned):
        described = stored(array)
        described[0, 0]
        monkeypatch.chdir("/")
        found, length = sent(described)
        assert length < 2000
        assert (found.shape, found.dtype) == (VALUES.shape, VALUES.dtype)
        np.testing.assert_array_equal(found[20:140, 7:60], VALUES[20:140, 7:60])
        monkeypatch.chdir(tmp_path)
    assert stored(named_from_here).chunks == (2, 3)
    assert stored(mapped).chunks is None


def test_a_view_of_an_array_in_files_is_sent_with_it(tmp_path):
    view = viewable(kept(tmp_path, VALUES))[3, 10:60][np.newaxis]
    found, length = sent(stored(view))
    assert length < 2000
    np.testing.assert_array_equal(np.asarray(found), VALUES[np.newaxis, 3, 10:60])


def test_labels_are_written_where_all_see_them(tmp_path):
    array = kept(tmp_path, VALUES)
    found, _ = sent(stored(array, written=True))
    found[4:6, 3:6] = 7
    assert array[4:6, 3:6].tolist() == [[7, 7, 7], [7, 7, 7]]


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda folder: VALUES, "The image is an array in memory, which workers"),
        (
            lambda folder: np.memmap(folder / "m", "u2", "w+", shape=(6, 6))[2:],
            "The image is a part of a numpy.memmap, which workers",
        ),
        (lambda folder: zarr.array(VALUES), "The image is an array of zarr in memory, which"),
    ],
)
def test_what_others_cannot_open_is_refused(tmp_path, make, what):
    with pytest.raises(SettingsError, match=re.escape(what)):
        stored(make(tmp_path))


def test_labels_that_several_cannot_write_are_refused(tmp_path):
    whole = np.memmap(tmp_path / "m", "u2", "w+", shape=(6, 6))
    for array in (VALUES, whole):
        with pytest.raises(SettingsError, match="several workers cannot write to that; give an"):
            stored(array, written=True)


def test_a_part_that_cannot_be_read_is_named(tmp_path):
    array = kept(tmp_path, VALUES)
    (tmp_path / "a.zarr" / "c" / "1" / "0").write_bytes(b"torn")
    described = stored(array)
    np.testing.assert_array_equal(described[0:2, 0:3], VALUES[0:2, 0:3])
    with pytest.raises(FileError, match=r"Part \[2:4, 0:3\] of '.*a\.zarr' cannot be read \("):
        described[2:4, 0:3]


def test_a_full_disk_is_told(tmp_path):
    class Full:
        shape, dtype = (2,), np.dtype("i4")

        def __setitem__(self, where, values):
            raise OSError(errno.ENOSPC, "No space left on device")

    described = StoredArray(Full, str(tmp_path / "out"), Full())
    with pytest.raises(FileError, match=r"The disk is full, '.*out' was not written; make room"):
        described[0:1] = 3


def look_elsewhere(see, parts):
    """As workers do: what they are to do is sent to them."""
    for part in parts:
        found, length = sent(see)
        assert length < 4000
        yield pickle.loads(pickle.dumps(found(part)))  # noqa: S301


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
@pytest.mark.parametrize("normalization", [Percentiles(), ZeroMean(), Raw()])
def test_intensities_are_the_same_whoever_looks_at_the_parts(tmp_path, dtype, normalization):
    # More than 2^20 pixels that begin with the same bits, so that several passes are made.
    values = np.random.default_rng(1).normal(100, 9, (1100, 1300)).astype(dtype)
    array = zarr.create_array(tmp_path / "i", shape=values.shape, chunks=(300, 1300), dtype=dtype)
    array[...] = values
    seen = LazyView(stored(array)).by(look_elsewhere)
    assert normalization.measure(seen) == normalization.measure(viewable(array))
    assert normalization.measure(seen[None]) == normalization.measure(array[...][None])


def test_a_pixel_that_is_no_number_is_told_whoever_finds_it(tmp_path):
    array = zarr.create_array(tmp_path / "i", shape=(9, 9), chunks=(3, 9), dtype="f4")
    array[...] = 1
    array[7, 2] = np.nan
    seen = LazyView(stored(array)).by(look_elsewhere)
    for each in (seen, viewable(array)):
        with pytest.raises(ImageValueError, match=r"1 of 81 pixels .* The first is at y 7, x 2\."):
            Percentiles().measure(each)
