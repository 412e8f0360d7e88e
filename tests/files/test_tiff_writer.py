"""Labels and scores of any axes: written, and read again as they were."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.files.images import read_image, read_labels, write_labels, write_scores

_SIZES = {"Z": 2.0, "Y": 0.25, "X": 0.5}

# Position and z, as two axes that are slices to us; T after Z; five axes; a slice along Y.
_AXES = ["YX", "ZYX", "TYX", "TZYX", "ZTYX", "ZZYX", "TZZYX", "ZTZYX", "ZZZYX", "ZX", "XY", "YXZ"]


def _shape(axes: str, *, single: bool) -> tuple[int, ...]:
    sizes = (1 if single else 2 + place for place in range(len(axes)))
    return tuple({"Y": 5, "X": 7}.get(axis, size) for axis, size in zip(axes, sizes, strict=True))


def _sizes(axes: str) -> tuple[float, ...]:
    return tuple(_SIZES[axis] for axis in "ZYX" if axis in axes)


@pytest.mark.parametrize("axes", _AXES)
@pytest.mark.parametrize("single", [False, True], ids=["several", "single"])
@pytest.mark.parametrize("highest", [200, 60_000, 2**32 - 1])
def test_labels_of_any_axes_come_back_with_axes_scale_and_interval(
    tmp_path: Path, axes: str, single: bool, highest: int
) -> None:
    labels = np.zeros(_shape(axes, single=single), np.int64)
    labels.flat[-1] = highest
    interval = 12.5 if "T" in axes else None

    write_labels(
        tmp_path / "a.tif",
        labels,
        axes=axes,
        pixel_size_um=_sizes(axes),
        frame_interval_s=interval,
    )
    file = read_labels(tmp_path / "a.tif")

    np.testing.assert_array_equal(file.array, labels)
    assert (file.axes, file.frame_interval_s) == (axes, interval)
    if "Y" in axes and "X" in axes:
        assert file.pixel_size_um == pytest.approx(_sizes(axes))


@pytest.mark.parametrize("axes", [axes for axes in _AXES if axes.endswith("YX")])
def test_scores_of_any_axes_have_their_classes_before_y(tmp_path: Path, axes: str) -> None:
    scores = np.random.default_rng(0).random((2, *_shape(axes, single=False)), np.float32)

    write_scores(tmp_path / "a.tif", scores, ("background", "cell"), axes=axes)
    file = read_image(tmp_path / "a.tif")

    assert file.axes == f"{axes[:-2]}CYX"
    np.testing.assert_array_equal(np.moveaxis(file.array, -3, 0), scores)


def test_dialect_is_the_one_that_fiji_knows_best(tmp_path: Path) -> None:
    kinds = {}
    for axes, dtype in (("TZYX", "u1"), ("ZTYX", "u1"), ("ZYX", "u4"), ("ZZYX", "u1")):
        highest = np.iinfo(dtype).max
        labels = np.full(_shape(axes, single=False), highest)
        write_labels(tmp_path / f"{axes}.tif", labels, axes=axes)
        with tifffile.TiffFile(tmp_path / f"{axes}.tif") as tiff:
            kinds[axes] = tiff.series[0].kind

    assert kinds == {"TZYX": "imagej", "ZTYX": "ome", "ZYX": "ome", "ZZYX": "shaped"}


def test_labels_of_many_axes_without_names_are_written(tmp_path: Path) -> None:
    labels = np.arange(2**7, dtype=np.uint8).reshape((2,) * 7)

    write_labels(tmp_path / "a.tif", labels)

    file = read_labels(tmp_path / "a.tif")
    assert file.axes == "ZZZTZYX"
    np.testing.assert_array_equal(file.array, labels)


@pytest.mark.parametrize("shape", [(5, 1, 1), (3, 4, 1), (3, 1, 4), (2, 3, 1, 1), (4, 1), (1, 1)])
def test_planes_one_pixel_wide_or_high_come_back(tmp_path: Path, shape: tuple[int, ...]) -> None:
    labels = np.arange(np.prod(shape)).reshape(shape)

    write_labels(tmp_path / "a.tif", labels)

    np.testing.assert_array_equal(read_labels(tmp_path / "a.tif").array, labels)


@settings(max_examples=40, deadline=None)
@given(
    axes=st.text("TZ", max_size=3).map(lambda before: f"{before}YX"),
    sides=st.lists(st.integers(1, 4), min_size=5, max_size=5),
    sizes=st.tuples(*[st.floats(1e-7, 1e7)] * 3),
    highest=st.sampled_from([1, 2**8 - 1, 2**8, 2**16 - 1, 2**16, 2**32 - 1]),
)
def test_whatever_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    axes: str,
    sides: list[int],
    sizes: tuple[float, float, float],
    highest: int,
) -> None:
    path = tmp_path_factory.mktemp("written") / "a.tif"
    # Two axes of time are slices when they are read: the letter would stand for both.
    axes = axes.replace("T", "Z") if axes.count("T") > 1 else axes
    labels = np.zeros(sides[: len(axes)], np.int64)
    labels.flat[-1] = highest
    scale = sizes if "Z" in axes else sizes[1:]

    write_labels(path, labels, axes=axes, pixel_size_um=scale)
    file = read_labels(path)

    assert file.axes == axes
    assert file.pixel_size_um == pytest.approx(scale, rel=1e-4)
    np.testing.assert_array_equal(file.array, labels)
