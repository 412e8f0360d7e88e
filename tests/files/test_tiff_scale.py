"""Pixel sizes and frame intervals: each dialect's, in every spelling, and none that is made up."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_unet.files.images import read_image, write_labels

_IMAGE = np.zeros((8, 9), np.uint16)


def _ome_xml(
    attributes: str, *, unit: str | None = None, quote: str = '"', prefix: str = ""
) -> str:
    units = f' PhysicalSizeXUnit="{unit}" PhysicalSizeYUnit="{unit}"' if unit else ""
    colon = f"{prefix}:" if prefix else ""
    space = f"xmlns{':' if prefix else ''}{prefix}"
    xml = (
        f'<?xml version="1.0" encoding="UTF-8"?><{colon}OME {space}="http://www.openmicroscopy.org/'
        f'Schemas/OME/2016-06"><{colon}Image ID="Image:0"><{colon}Pixels ID="Pixels:0" '
        'DimensionOrder="XYCZT" Type="uint16" SizeX="9" SizeY="8" SizeC="1" SizeZ="1" SizeT="1" '
        f"{attributes}{units}><{colon}TiffData/></{colon}Pixels></{colon}Image></{colon}OME>"
    )
    return xml.replace('"', quote)


def _size_of_ome(path: Path, xml: str) -> tuple[float, ...] | None:
    tifffile.imwrite(path, _IMAGE, description=xml.encode(), metadata=None)
    return read_image(path).pixel_size_um


@pytest.mark.parametrize(
    ("unit", "size"),
    [
        *((name, 0.5) for name in ("µm", "&#181;m", "&#956;m", "um", "UM", "micron")),
        *(("nm", 500), ("pm", 500_000), ("mm", 5e-4), ("cm", 5e-5), ("m", 5e-7)),
        *(("&#197;", 5000), ("in", 0.5 / 25400), ("pt", 0.5 * 72 / 25400), ("thou", 0.5 / 25.4)),
    ],
)
def test_every_unit_of_length_of_ome_is_read(tmp_path: Path, unit: str, size: float) -> None:
    xml = _ome_xml(f'PhysicalSizeX="{size!r}" PhysicalSizeY="{2 * size!r}"', unit=unit)

    assert _size_of_ome(tmp_path / "a.ome.tif", xml) == pytest.approx((1.0, 0.5))


@pytest.mark.parametrize("unit", ["pixel", "reference frame", "furlong"])
def test_units_that_are_no_lengths_give_no_scale(tmp_path: Path, unit: str) -> None:
    xml = _ome_xml('PhysicalSizeX="0.5" PhysicalSizeY="0.5"', unit=unit)

    assert _size_of_ome(tmp_path / "a.ome.tif", xml) is None


@pytest.mark.parametrize("options", [{"quote": "'"}, {"prefix": "OME"}])
def test_ome_is_parsed_and_not_searched(tmp_path: Path, options: dict[str, str]) -> None:
    xml = _ome_xml('PhysicalSizeY="0.25"\n  PhysicalSizeX = "0.5"', **options)

    assert _size_of_ome(tmp_path / "a.ome.tif", xml) == pytest.approx((0.25, 0.5))


@pytest.mark.parametrize("size", ["0", "-0.5", "NaN", "INF", "wide"])
def test_sizes_that_are_none_give_no_scale(tmp_path: Path, size: str) -> None:
    xml = _ome_xml(f'PhysicalSizeX="0.5" PhysicalSizeY="{size}"')

    assert _size_of_ome(tmp_path / "a.ome.tif", xml) is None


@pytest.mark.parametrize(
    ("unit", "um"),
    [
        *((name, 1) for name in ("um", "micron", "microns", "\\u00B5m", "\\u03bcm", "micrometer")),
        *(("nm", 1e-3), ("mm", 1e3), ("cm", 1e4), ("inch", 25400), ("millimeters", 1e3)),
    ],
)
def test_every_spelling_of_imagej_is_read(tmp_path: Path, unit: str, um: float) -> None:
    metadata = {"unit": unit, "axes": "ZYX", "spacing": -2.0}
    stack, resolution = np.stack([_IMAGE] * 3), (um / 0.5, um / 0.25)
    tifffile.imwrite(
        tmp_path / "a.tif", stack, imagej=True, resolution=resolution, metadata=metadata
    )

    sizes = read_image(tmp_path / "a.tif").pixel_size_um

    assert sizes == pytest.approx((2 * um, 0.25, 0.5))


def test_sign_for_micro_in_an_old_encoding_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    metadata = {"unit": "?m"}
    tifffile.imwrite(path, _IMAGE, imagej=True, resolution=(2, 2), metadata=metadata)
    path.write_bytes(path.read_bytes().replace(b"unit=?m", b"unit=\xb5m"))

    assert read_image(path).pixel_size_um == pytest.approx((0.5, 0.5))


@pytest.mark.parametrize("unit", ["pixel", ""])
def test_imagej_without_a_length_has_no_scale(tmp_path: Path, unit: str) -> None:
    metadata = {"unit": unit, "spacing": 2.0, "axes": "ZYX"}
    stack = np.stack([_IMAGE] * 2)
    tifffile.imwrite(tmp_path / "a.tif", stack, imagej=True, resolution=(2, 2), metadata=metadata)

    assert read_image(tmp_path / "a.tif").pixel_size_um is None


@pytest.mark.parametrize("options", [{"imagej": True}, {"ome": True}])
def test_scale_of_the_plane_stays_where_slices_have_no_distance(
    tmp_path: Path, options: dict[str, bool]
) -> None:
    metadata = {"axes": "ZYX", "unit": "um", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25}
    tifffile.imwrite(
        tmp_path / "a.tif",
        np.stack([_IMAGE] * 3),
        resolution=(2, 4),
        metadata=metadata,
        **options,
    )

    assert read_image(tmp_path / "a.tif").pixel_size_um == pytest.approx((0.25, 0.5))


@pytest.mark.parametrize(("unit", "size"), [("mm", 0.025), ("µm", 25.0), ("nm", 25000.0)])
def test_large_pixels_that_are_stated_in_words_are_believed(
    tmp_path: Path, unit: str, size: float
) -> None:
    ome = _ome_xml(f'PhysicalSizeX="{size}" PhysicalSizeY="{size}"', unit=unit)
    metadata = {"unit": unit.replace("µ", "u")}
    tifffile.imwrite(
        tmp_path / "ij.tif", _IMAGE, imagej=True, resolution=(1 / size,) * 2, metadata=metadata
    )

    assert _size_of_ome(tmp_path / "a.ome.tif", ome) == pytest.approx((25.0, 25.0))
    assert read_image(tmp_path / "ij.tif").pixel_size_um == pytest.approx((25.0, 25.0))


def test_dots_per_inch_of_a_screen_are_no_scale_even_in_imagejs_words(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", _IMAGE, resolution=(72, 72), resolutionunit="INCH")
    tifffile.imwrite(
        tmp_path / "b.tif", _IMAGE, imagej=True, resolution=(72, 72), metadata={"unit": "inch"}
    )

    assert read_image(tmp_path / "a.tif").pixel_size_um is None
    assert read_image(tmp_path / "b.tif").pixel_size_um is None


@pytest.mark.parametrize("resolution", [(0, 0), (0, 2e4), (2e4, 0)])
def test_resolution_of_zero_is_no_scale(tmp_path: Path, resolution: tuple[float, float]) -> None:
    tifffile.imwrite(tmp_path / "a.tif", _IMAGE, resolution=resolution, resolutionunit="CENTIMETER")

    assert read_image(tmp_path / "a.tif").pixel_size_um is None


@pytest.mark.parametrize(
    ("unit", "um"), [("CENTIMETER", 1e4), ("MILLIMETER", 1e3), ("MICROMETER", 1.0)]
)
@pytest.mark.parametrize("size", [0.1, 21.0, 25.0, 40.0])
def test_large_pixels_of_a_plain_tiff_are_believed_in_units_of_science(
    tmp_path: Path, unit: str, um: float, size: float
) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", _IMAGE, resolution=(um / size, um / size), resolutionunit=unit
    )

    assert read_image(tmp_path / "a.tif").pixel_size_um == pytest.approx((size, size))


@pytest.mark.parametrize(
    ("unit", "dots"), [("INCH", 300), ("INCH", 127), ("CENTIMETER", 118), ("CENTIMETER", 72 / 2.54)]
)
def test_dots_of_a_page_are_no_scale(tmp_path: Path, unit: str, dots: float) -> None:
    tifffile.imwrite(tmp_path / "a.tif", _IMAGE, resolution=(dots, dots), resolutionunit=unit)

    assert read_image(tmp_path / "a.tif").pixel_size_um is None


def test_resolution_of_a_plain_tiff_may_differ_along_its_axes(tmp_path: Path) -> None:
    options = {"resolution": (2e4, 1e4), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(tmp_path / "a.tif", _IMAGE, metadata=None, **options)

    assert read_image(tmp_path / "a.tif").pixel_size_um == pytest.approx((1.0, 0.5))


@pytest.mark.parametrize(
    ("attributes", "seconds"),
    [('TimeIncrement="30"', 30), ('TimeIncrement="2.5" TimeIncrementUnit="min"', 150)],
)
def test_frame_interval_of_ome_is_read_in_seconds(
    tmp_path: Path, attributes: str, seconds: float
) -> None:
    xml = _ome_xml(attributes).replace('SizeT="1"', 'SizeT="3"')
    options = {"photometric": "minisblack", "metadata": None}
    tifffile.imwrite(tmp_path / "a.ome.tif", np.stack([_IMAGE] * 3), description=xml, **options)

    file = read_image(tmp_path / "a.ome.tif")

    assert (file.axes, file.frame_interval_s) == ("TYX", seconds)


@pytest.mark.parametrize(("unit", "seconds"), [(None, 30), ("sec", 30), ("min", 1800)])
def test_frame_interval_of_imagej_is_read_in_seconds(
    tmp_path: Path, unit: str | None, seconds: float
) -> None:
    metadata = {"axes": "TYX", "finterval": 30.0} | ({"tunit": unit} if unit else {})
    tifffile.imwrite(tmp_path / "a.tif", np.stack([_IMAGE] * 3), imagej=True, metadata=metadata)

    assert read_image(tmp_path / "a.tif").frame_interval_s == seconds


def test_single_frame_has_no_interval(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", _IMAGE, imagej=True, metadata={"finterval": 30.0})

    assert read_image(tmp_path / "a.tif").frame_interval_s is None


@pytest.mark.parametrize(
    "size", [(5e-5, 4e-5), (0.1625, 0.103580094900373), (25.0, 40.0), (3e6, 1)]
)
@pytest.mark.parametrize("highest", [7, 70_000])
def test_scale_that_is_written_comes_back(
    tmp_path: Path, size: tuple[float, float], highest: int
) -> None:
    labels = np.full((4, 5), highest)

    write_labels(tmp_path / "a.tif", labels, pixel_size_um=size)

    assert read_image(tmp_path / "a.tif").pixel_size_um == pytest.approx(size, rel=1e-7)
