"""Vendors' files: read through bioio; one sentence where it or one of its readers is missing."""

import sys
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest

from napari_unet.engine.base.errors import FileError
from napari_unet.files import vendor
from napari_unet.files.finding import find_images
from napari_unet.files.image_file import SeriesError
from napari_unet.files.images import image_series, read_image, read_labels


class PhysicalPixelSizes(NamedTuple):
    """As bioio has it."""

    Z: float | None
    Y: float | None
    X: float | None


def _write_czi(path: Path) -> np.ndarray:
    """Write two channels of three slices, and give them: (C, Z, Y, X)."""
    czi = pytest.importorskip("pylibCZIrw.czi")
    pytest.importorskip("bioio_czi")
    image = np.random.default_rng(0).integers(0, 65535, (2, 3, 20, 30)).astype(np.uint16)
    with czi.create_czi(str(path)) as file:
        for channel, depth in np.ndindex(2, 3):
            file.write(data=image[channel, depth], plane={"T": 0, "C": channel, "Z": depth})
        file.write_metadata(scale_x=0.5e-6, scale_y=0.25e-6, scale_z=2e-6)
    return image


class _Dims:
    def __init__(self, order: str, shape: tuple[int, ...]) -> None:
        self.order, self.shape = order, shape


class _Scenes:
    """What bioio gives of a file with two scenes: T, C, Z, Y, X, even where there is one."""

    scenes = ("a-0", "Well: 7")
    physical_pixel_sizes = PhysicalPixelSizes(None, 0.25, 0.5)
    time_interval = timedelta(seconds=30)

    def __init__(self, further: str = "") -> None:
        self.arrays = [np.full((2, 1, 1, 4, 5), 1), np.full((1, 3, 1, 6, 7), 2)]
        self.further = further

    def set_scene(self, scene: int | str) -> None:
        index = scene if isinstance(scene, int) else self.scenes.index(scene)
        self.data = self.arrays[index]
        self.dims = _Dims("TCZYX", self.data.shape)
        further = (2,) * len(self.further)
        self.reader = SimpleNamespace(
            dims=_Dims(f"{self.further}TCZYX", (*further, *self.data.shape))
        )


def _opens_as(image: _Scenes, path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path.write_bytes(b"ZISRAWFILE" + bytes(100))
    monkeypatch.setattr(vendor, "_opened", lambda _: nullcontext(image))
    return path


def test_czi_is_read_with_axes_and_micrometres(tmp_path: Path) -> None:
    image = _write_czi(tmp_path / "a.czi")

    file = read_image(tmp_path / "a.czi")

    assert (file.axes, file.series) == ("CZYX", None)
    np.testing.assert_array_equal(file.array, image)
    assert file.pixel_size_um == pytest.approx((2.0, 0.25, 0.5))


def test_scenes_are_series_with_the_axes_that_each_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _opens_as(_Scenes(), tmp_path / "a.czi", monkeypatch)

    found = image_series(path)
    first, second = read_image(path, series=1), read_image(path, series="Well: 7")

    assert [(each.label, each.shape, each.axes) for each in found] == [
        ("1", (2, 4, 5), "TYX"),
        ("Well_7", (3, 6, 7), "CYX"),
    ]
    assert (first.axes, first.frame_interval_s, first.pixel_size_um) == ("TYX", 30, (0.25, 0.5))
    assert (second.axes, second.frame_interval_s, second.array.max()) == ("CYX", None, 2)
    with pytest.raises(
        SeriesError, match=r"holds 2 images: 1 '0' \(2, 4, 5\), 2 'Well: 7' \(3, 6, 7\)"
    ):
        read_labels(path)


def test_axis_that_bioio_would_drop_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _opens_as(_Scenes("H"), tmp_path / "a.czi", monkeypatch)

    with pytest.raises(FileError, match="has an axis H with 2 positions, which is not read here"):
        read_image(path)


def test_cut_czi_is_damaged(tmp_path: Path) -> None:
    _write_czi(tmp_path / "a.czi")
    content = (tmp_path / "a.czi").read_bytes()
    (tmp_path / "a.czi").write_bytes(content[: len(content) // 3])

    with pytest.raises(FileError, match="is damaged or cut short"):
        read_image(tmp_path / "a.czi")


def test_without_bioio_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.czi").write_bytes(b"ZISRAWFILE" + bytes(100))
    monkeypatch.setitem(sys.modules, "bioio", None)

    with pytest.raises(FileError) as error:
        read_image(tmp_path / "a.czi")

    assert str(error.value).endswith(
        "a.czi' is a microscope's own file, read through the package bioio; run "
        "\"pip install 'napari-unet-cells[bioio]'\", or save the image as TIFF."
    )


def test_file_for_which_bioio_has_no_reader_here_is_said_to_need_one(tmp_path: Path) -> None:
    pytest.importorskip("bioio")
    (tmp_path / "a.oib").write_bytes(bytes(100))

    with pytest.raises(
        FileError, match=r"needs a reader .* look for bioio's reader of \.oib files"
    ):
        read_image(tmp_path / "a.oib")


def test_other_files_with_a_vendors_ending_are_called_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "notes.czi").write_text("these are my notes\n")
    (tmp_path / "empty.nd2").touch()

    with pytest.raises(FileError, match="is a text file, whatever its name says"):
        read_image(tmp_path / "notes.czi")
    with pytest.raises(FileError, match="is empty"):
        read_image(tmp_path / "empty.nd2")
    assert [path.name for path in find_images([tmp_path])] == ["empty.nd2", "notes.czi"]
