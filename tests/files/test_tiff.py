"""TIFF as other programs write it: compressed, with palettes, several images, sets of files."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_unet.engine.base.errors import FileError, LabelsError
from napari_unet.files.image_file import SeriesError
from napari_unet.files.images import image_series, read_image, read_labels

_OME = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"'
)


def _cells(height: int = 90, width: int = 100, seed: int = 0) -> np.ndarray:
    """Bright discs on dim noise."""
    rng = np.random.default_rng(seed)
    image = rng.normal(300, 20, (height, width))
    rows, columns = np.mgrid[:height, :width]
    for row, column in rng.uniform((10, 10), (height - 10, width - 10), (8, 2)):
        image[(rows - row) ** 2 + (columns - column) ** 2 < 64] += 2000
    return image.clip(0).astype(np.uint16)


def _write_pages(path: Path, *pages: np.ndarray, **options: object) -> None:
    with tifffile.TiffWriter(path) as writer:
        for page in pages:
            writer.write(page, metadata=None, **options)


def _pixels_xml(planes: str, *, channels: int = 1, depth: int = 1, size: str = "") -> str:
    named = "".join(
        f'<Channel ID="Channel:0:{each}" SamplesPerPixel="1"/>' for each in range(channels)
    )
    return (
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" '
        f'SizeX="100" SizeY="90" SizeC="{channels}" SizeZ="{depth}" SizeT="1" {size}>'
        f"{named}{planes}</Pixels></Image>"
    )


# -- compressed ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "compression", ["lzw", "zstd", "lzma", "packbits", "deflate", "png", "lerc"]
)
def test_compressed_hyperstack_is_read_as_the_uncompressed_one(
    tmp_path: Path, compression: str
) -> None:
    stack = np.stack([_cells(), _cells(seed=1)])
    options = {"imagej": True, "resolution": (2, 2), "metadata": {"axes": "CYX", "unit": "um"}}
    tifffile.imwrite(tmp_path / "plain.tif", stack, **options)
    tifffile.imwrite(tmp_path / "packed.tif", stack, compression=compression, **options)

    plain, packed = read_image(tmp_path / "plain.tif"), read_image(tmp_path / "packed.tif")

    np.testing.assert_array_equal(packed.array, stack)
    assert (packed.axes, packed.pixel_size_um) == (plain.axes, plain.pixel_size_um)
    assert packed.axes == "CYX"
    assert packed.pixel_size_um == pytest.approx((0.5, 0.5))


def test_lzw_keeps_colours_of_16_bits_and_does_not_invert(tmp_path: Path) -> None:
    image = _cells()
    rgb = np.stack([image, image // 2, image // 3], axis=-1)
    tifffile.imwrite(
        tmp_path / "rgb.tif", rgb, photometric="rgb", compression="lzw", predictor=True
    )
    tifffile.imwrite(tmp_path / "w.tif", image, photometric="miniswhite", compression="lzw")
    tifffile.imwrite(tmp_path / "mask.tif", image > 1000, compression="lzw")

    np.testing.assert_array_equal(read_image(tmp_path / "rgb.tif").array, rgb)
    np.testing.assert_array_equal(read_image(tmp_path / "w.tif").array, image)
    np.testing.assert_array_equal(read_labels(tmp_path / "mask.tif").array, image > 1000)


def test_array_whose_last_axis_is_one_is_a_picture_and_not_planes_one_pixel_wide(
    tmp_path: Path,
) -> None:
    labels = (_cells() > 1000).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", labels[..., np.newaxis], photometric="minisblack")

    found = read_labels(tmp_path / "a.tif")
    np.testing.assert_array_equal(found.array, labels)
    assert found.axes == "YX"
    assert [each.shape for each in image_series(tmp_path / "a.tif")] == [labels.shape]


def test_fax_compression_of_a_mask_is_read(tmp_path: Path) -> None:
    mask = _cells() > 1000
    Image.fromarray(mask).save(tmp_path / "a.tif", compression="group4")

    np.testing.assert_array_equal(read_labels(tmp_path / "a.tif").array, mask)


@pytest.mark.parametrize("compression", ["jpeg", "jpegxr", "lzw", "zstd", "jpeg2000"])
@pytest.mark.parametrize("part", [0.98, 0.6])
def test_compressed_file_that_is_cut_is_damaged_and_not_filled_up(
    tmp_path: Path, compression: str, part: float
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, (_cells() // 16).astype(np.uint8), compression=compression)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])

    with pytest.raises(FileError, match="is damaged or cut short"):
        read_image(path)


@pytest.mark.parametrize("tag", ["StripOffsets", "StripByteCounts"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_file_that_lists_too_few_strips_is_damaged(
    tmp_path: Path, tag: str, compression: str | None
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, _cells(), rowsperstrip=10, compression=compression, metadata=None)
    with tifffile.TiffFile(path) as tiff:
        entry = tiff.pages.first.tags[tag].offset
    content = bytearray(path.read_bytes())
    content[entry + 4 : entry + 8] = (5).to_bytes(4, "little")  # how many values the tag has
    path.write_bytes(content)

    with pytest.raises(FileError, match="is damaged or cut short"):
        read_image(path)


_WITHOUT_IMAGECODECS = """
import sys
sys.modules["imagecodecs"] = None
from napari_unet.files.images import read_image
for path in sys.argv[1:]:
    try:
        print(read_image(path).array.sum())
    except Exception as error:
        print(type(error).__name__, error)
"""


def test_without_imagecodecs_compression_is_one_sentence_and_the_rest_is_read(
    tmp_path: Path,
) -> None:
    image = _cells()
    kinds = {"plain": None, "zlib": "zlib", "lzw": "lzw", "zstd": "zstd"}
    paths = [tmp_path / f"{kind}.tif" for kind in kinds]
    for path, compression in zip(paths, kinds.values(), strict=True):
        tifffile.imwrite(path, image, compression=compression)
    Image.fromarray(image).save(tmp_path / "grey.png")

    run = [sys.executable, "-c", _WITHOUT_IMAGECODECS, *map(str, paths), str(tmp_path / "grey.png")]
    lines = subprocess.run(run, capture_output=True, text=True, check=True).stdout.splitlines()

    assert lines[0] == lines[1] == lines[4] == str(image.sum())
    for line in lines[2:4]:
        assert line.startswith("FileError")
        assert "needs the package imagecodecs; run 'pip install imagecodecs'" in line


# -- colours ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_palette_gives_colours_as_an_image_and_numbers_as_labels(
    tmp_path: Path, suffix: str
) -> None:
    picture = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8), mode="P")
    picture.putpalette([0, 0, 0, 250, 0, 0, 0, 250, 9])
    picture.save(tmp_path / f"a.{suffix}")

    image = read_image(tmp_path / f"a.{suffix}")

    assert (image.axes, image.array.dtype) == ("YXC", np.uint8)
    assert image.array.tolist() == [[[0, 0, 0], [250, 0, 0]], [[0, 250, 9], [250, 0, 0]]]
    assert image_series(tmp_path / f"a.{suffix}")[0].shape == (2, 2, 3)
    assert read_labels(tmp_path / f"a.{suffix}").array.tolist() == [[0, 1], [2, 1]]


@pytest.mark.parametrize(
    ("palette", "are_colours"),
    [
        ("green", False),
        ("green, inverted", False),
        ("fire", False),
        ("many hues", True),
    ],
)
def test_colours_in_which_imagej_shows_intensities_are_none_of_the_image(
    tmp_path: Path, palette: str, are_colours: bool
) -> None:
    numbers = np.arange(256, dtype=np.uint8).reshape(16, 16)
    ramp, still = np.arange(256, dtype=np.uint16) * 257, np.zeros(256, np.uint16)
    fire = [
        np.clip(3 * np.arange(256) - start, 0, 255).astype(np.uint16) * 257
        for start in (0, 255, 510)
    ]
    colormap = {
        "green": np.stack([still, ramp, still]),
        "green, inverted": np.stack([still, ramp[::-1], still]),
        "fire": np.stack(fire),
        "many hues": np.stack([ramp[np.arange(256) * step % 256] for step in (37, 101, 59)]),
    }[palette]
    tifffile.imwrite(
        tmp_path / "a.tif", numbers, imagej=True, photometric="palette", colormap=colormap
    )

    image = read_image(tmp_path / "a.tif")

    assert image.axes == ("YXC" if are_colours else "YX")
    if not are_colours:
        assert np.array_equal(image.array, numbers)


def test_grey_palette_gives_grey_and_a_deep_one_its_16_bits(tmp_path: Path) -> None:
    numbers = np.array([[0, 1, 2]], np.uint8)
    grey = np.zeros((3, 256), np.uint16)
    grey[:, 1], grey[:, 2] = 0x6464, 0xC8C8
    deep = grey.copy()
    deep[0, 1] = 12345
    for name, colormap in {"grey": grey, "deep": deep}.items():
        path = tmp_path / f"{name}.tif"
        tifffile.imwrite(path, numbers, photometric="palette", colormap=colormap)

    assert read_image(tmp_path / "grey.tif").array.tolist() == [[0, 100, 200]]
    assert read_image(tmp_path / "deep.tif").array[0, 1].tolist() == [12345, 0x6464, 0x6464]


@pytest.mark.parametrize("photometric", ["separated", "cielab", "ycbcr"])
def test_colours_that_are_no_rgb_are_refused(tmp_path: Path, photometric: str) -> None:
    channels = 4 if photometric == "separated" else 3
    colours = np.zeros((8, 9, channels), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", colours, photometric=photometric, planarconfig="contig")

    with pytest.raises(FileError, match=r"a\.tif' holds its colours as .*; save it as RGB"):
        read_image(tmp_path / "a.tif")


def test_labels_saved_as_grey_colours_are_one_number_for_each_pixel(tmp_path: Path) -> None:
    labels = np.arange(20, dtype=np.uint16).reshape(4, 5) * 3000
    colours = np.stack([labels] * 3, axis=-1)
    alpha = np.concatenate([colours, np.full_like(colours[..., :1], 65535)], axis=-1)
    tifffile.imwrite(tmp_path / "rgb.tif", colours, photometric="rgb")
    tifffile.imwrite(tmp_path / "rgba.tif", alpha, photometric="rgb", extrasamples=["unassalpha"])
    tifffile.imwrite(
        tmp_path / "planar.tif",
        np.moveaxis(colours, -1, 0),
        photometric="rgb",
        planarconfig="separate",
    )

    for path in tmp_path.iterdir():
        file = read_labels(path)
        assert file.axes == "YX"
        np.testing.assert_array_equal(file.array, labels)


def test_labels_in_colours_are_refused_and_planes_that_differ_are_slices(tmp_path: Path) -> None:
    planes = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    colours = np.ascontiguousarray(np.moveaxis(planes, 0, -1))
    tifffile.imwrite(tmp_path / "rgb.tif", colours, photometric="rgb")
    tifffile.imwrite(tmp_path / "zyx.tif", planes, photometric="rgb", planarconfig="separate")

    with pytest.raises(LabelsError, match="is a colour picture with 3 channels"):
        read_labels(tmp_path / "rgb.tif")
    assert read_labels(tmp_path / "zyx.tif").axes == "ZYX"


# -- several images in a file ----------------------------------------------------------------------


def test_pages_of_several_sizes_are_images_of_their_own(tmp_path: Path) -> None:
    pages = [_cells(), _cells(60, 70), _cells(50, 40)]
    _write_pages(tmp_path / "a.tif", *pages)

    found = image_series(tmp_path / "a.tif")

    assert [(each.number, each.label, each.shape, each.axes) for each in found] == [
        (1, "1", (90, 100), "YX"),
        (2, "2", (60, 70), "YX"),
        (3, "3", (50, 40), "YX"),
    ]
    for number, page in enumerate(pages, 1):
        file = read_image(tmp_path / "a.tif", series=number)
        np.testing.assert_array_equal(file.array, page)
        assert file.series == found[number - 1]


@pytest.mark.parametrize("read", [read_image, read_labels])
def test_several_images_are_never_read_as_one_without_a_choice(tmp_path: Path, read) -> None:
    _write_pages(tmp_path / "a.tif", _cells(), _cells(60, 70))

    with pytest.raises(SeriesError) as error:
        read(tmp_path / "a.tif")

    assert str(error.value).endswith(
        "a.tif' holds 2 images: 1 (90, 100), 2 (60, 70); choose one by its number or name."
    )
    with pytest.raises(SeriesError, match=r"has no series 3; it holds 1 \(90, 100\), 2 \(60, 70\)"):
        read(tmp_path / "a.tif", series=3)


def test_positions_of_an_ome_tiff_have_their_names_and_their_own_scales(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as writer:
        for name, size in {"Well A/1": 0.5, "well_a_1": 0.25, "007": 2.0}.items():
            sizes = {"PhysicalSizeX": size, "PhysicalSizeY": size}
            writer.write(_cells(seed=int(size * 4)), metadata={"axes": "YX", "Name": name, **sizes})

    found = image_series(path)

    assert [each.name for each in found] == ["Well A/1", "well_a_1", "007"]
    assert [each.label for each in found] == ["Well_A_1", "well_a_1_2", "3"]
    assert read_image(path, series="Well A/1").pixel_size_um == pytest.approx((0.5, 0.5))
    assert read_image(path, series="well_a_1_2").pixel_size_um == pytest.approx((0.25, 0.25))
    assert read_image(path, series="3").pixel_size_um == pytest.approx((2.0, 2.0))


def test_pages_of_one_size_are_a_stack_in_their_order_even_if_compressed_unlike(
    tmp_path: Path,
) -> None:
    pages = [_cells(seed=seed) for seed in range(3)]
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for page, compression in zip(pages, ("zlib", None, "zlib"), strict=True):
            writer.write(page, metadata=None, compression=compression)

    file = read_image(tmp_path / "a.tif")

    assert file.axes == "ZYX"
    np.testing.assert_array_equal(file.array, np.stack(pages))


def _reduced(image: np.ndarray, height: int, width: int, dtype: str = "uint16") -> np.ndarray:
    smaller = Image.fromarray(image.astype(np.float32)).resize(
        (width, height), Image.Resampling.BOX
    )
    return (np.asarray(smaller) / (1 if dtype == "uint16" else 16)).astype(dtype)


@pytest.mark.parametrize(
    ("pages", "options"),
    [
        ([_reduced(_cells(), 36, 40), _cells()], {}),
        ([_reduced(_cells(), 29, 32, "uint8"), _cells()], {}),
        ([_cells(), _cells()[::2, ::2], _cells()[::4, ::4]], {}),
        ([_cells(), _reduced(_cells(), 45, 50)], {"compression": "lzw"}),
    ],
    ids=["thumbnail first", "thumbnail of 8 bits first", "levels", "compressed level"],
)
def test_smaller_copies_without_a_flag_are_no_images(
    tmp_path: Path, pages: list[np.ndarray], options: dict[str, str]
) -> None:
    _write_pages(tmp_path / "a.tif", *pages, **options)

    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").array, _cells())
    assert len(image_series(tmp_path / "a.tif")) == 1


def test_another_image_of_half_the_size_is_an_image(tmp_path: Path) -> None:
    _write_pages(tmp_path / "a.tif", _cells(), _cells(seed=1)[::2, ::2])

    assert [each.shape for each in image_series(tmp_path / "a.tif")] == [(90, 100), (45, 50)]


@pytest.mark.parametrize("ome", [True, False])
def test_levels_in_sub_directories_and_a_flagged_thumbnail_are_no_images(
    tmp_path: Path, ome: bool
) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif", ome=ome) as writer:
        if not ome:
            writer.write(np.zeros((20, 30), np.uint16), subfiletype=1, metadata=None)
        writer.write(_cells(), subifds=1, tile=(32, 32), metadata={} if ome else None)
        writer.write(_cells()[::2, ::2], subfiletype=1, tile=(32, 32), metadata=None)

    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").array, _cells())


def test_picture_of_the_slides_label_is_no_image(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as writer:
        writer.write(_cells(40, 70, seed=2), metadata={"axes": "YX", "Name": "label image"})
        writer.write(_cells(), metadata={"axes": "YX", "Name": "Slide 1"})

    np.testing.assert_array_equal(read_image(tmp_path / "a.ome.tif").array, _cells())


# -- sets of files ---------------------------------------------------------------------------------


def _write_set(folder: Path, *, description: str = "") -> list[np.ndarray]:
    """Write two files with a channel each; the XML stands in both, or in a file of its own."""
    planes = [_cells(), _cells(seed=1)]
    data = "".join(
        f'<TiffData FirstC="{index}" IFD="0" PlaneCount="1"><UUID FileName="set_{index}.ome.tif">'
        f"urn:uuid:{index}</UUID></TiffData>"
        for index in range(2)
    )
    image = _pixels_xml(data, channels=2, size='PhysicalSizeX="500" PhysicalSizeXUnit="nm"')
    if description:
        (folder / description).write_text(f'{_OME} UUID="urn:uuid:9">{image}</OME>')
        image = f'<BinaryOnly MetadataFile="{description}" UUID="urn:uuid:9"/>'
    for index, plane in enumerate(planes):
        xml = f'{_OME} UUID="urn:uuid:{index}">{image}</OME>'
        tifffile.imwrite(folder / f"set_{index}.ome.tif", plane, description=xml, metadata=None)
    return planes


@pytest.mark.parametrize("description", ["", "set.companion.ome"])
def test_set_of_ome_files_is_read_whole_and_a_missing_file_is_named(
    tmp_path: Path, description: str
) -> None:
    planes = _write_set(tmp_path, description=description)

    file = read_image(tmp_path / "set_0.ome.tif")

    assert file.axes == "CYX"
    np.testing.assert_array_equal(file.array, planes)
    (tmp_path / "set_1.ome.tif").unlink()
    for ask in (read_image, read_labels, image_series):
        with pytest.raises(FileError) as error:
            ask(tmp_path / "set_0.ome.tif")
        assert str(error.value).endswith(
            "set_0.ome.tif' is one file of a set, of which 'set_1.ome.tif' is missing; put all "
            "files of the set into one folder under the names that they had."
        )


def test_missing_description_of_a_set_is_named(tmp_path: Path) -> None:
    _write_set(tmp_path, description="set.companion.ome")
    (tmp_path / "set.companion.ome").unlink()

    with pytest.raises(FileError, match=r"a set that 'set\.companion\.ome' describes, and that"):
        read_image(tmp_path / "set_0.ome.tif")


def test_missing_position_of_a_set_is_named(tmp_path: Path) -> None:
    images = "".join(
        _pixels_xml(
            f'<TiffData IFD="0" PlaneCount="1"><UUID FileName="p{index}.ome.tif">urn:uuid:{index}'
            "</UUID></TiffData>"
        ).replace(":0", f":{index}")
        for index in range(2)
    )
    xml = f'{_OME} UUID="urn:uuid:0">{images}</OME>'
    tifffile.imwrite(tmp_path / "p0.ome.tif", _cells(), description=xml, metadata=None)

    with pytest.raises(FileError, match=r"a set, of which 'p1\.ome\.tif' is missing"):
        read_image(tmp_path / "p0.ome.tif")


def _write_positions(folder: Path, stacks: list[np.ndarray]) -> None:
    """Write a file for each stack; the XML of all stands in each."""
    images = "".join(
        _pixels_xml(
            f'<TiffData IFD="0" PlaneCount="{len(stack)}"><UUID FileName="p{index}.ome.tif">'
            f"urn:uuid:{index}</UUID></TiffData>",
            depth=len(stack),
        ).replace(":0", f":{index}", 2)
        for index, stack in enumerate(stacks)
    )
    for index, stack in enumerate(stacks):
        xml = f'{_OME} UUID="urn:uuid:{index}">{images}</OME>'
        tifffile.imwrite(
            folder / f"p{index}.ome.tif",
            stack,
            photometric="minisblack",
            description=xml,
            metadata=None,
        )


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("planes", [1, 3])
def test_position_that_lies_in_another_file_of_the_set_is_read_from_there(
    tmp_path: Path, planes: int
) -> None:
    stacks = [np.stack([_cells(seed=s + 10 * k) for s in range(planes)]) for k in range(3)]
    _write_positions(tmp_path, stacks)

    for index in range(3):
        path = tmp_path / f"p{index}.ome.tif"
        assert [each.files for each in image_series(path)] == [
            {(tmp_path / f"p{k}.ome.tif").resolve()} for k in range(3)
        ]
        for number, stack in enumerate(stacks, 1):
            np.testing.assert_array_equal(read_image(path, series=number).array, np.squeeze(stack))


def test_planes_that_seem_to_follow_each_other_in_two_files_are_read_from_both(
    tmp_path: Path,
) -> None:
    data = "".join(
        f'<TiffData FirstC="{index}" IFD="{index}" PlaneCount="1">'
        f'<UUID FileName="c{index}.ome.tif">urn:uuid:{index}</UUID></TiffData>'
        for index in range(2)
    )
    image = _pixels_xml(data, channels=2)
    pages = [np.stack([_cells(seed=2 * k), _cells(seed=2 * k + 1)]) for k in range(2)]
    for index in range(2):
        xml = f'{_OME} UUID="urn:uuid:{index}">{image}</OME>'
        tifffile.imwrite(
            tmp_path / f"c{index}.ome.tif",
            pages[index],
            photometric="minisblack",
            description=xml,
            metadata=None,
        )

    array = read_image(tmp_path / "c0.ome.tif").array

    np.testing.assert_array_equal(array, [pages[0][0], pages[1][1]])


def test_file_whose_pixels_are_all_said_to_be_in_a_missing_one_names_it(tmp_path: Path) -> None:
    _write_positions(tmp_path, [_cells()[np.newaxis]])
    path = (tmp_path / "p0.ome.tif").rename(tmp_path / "renamed.ome.tif")
    xml = tifffile.tiffcomment(path).replace(' UUID="urn:uuid:0"', "")
    tifffile.tiffcomment(path, xml)

    with pytest.raises(FileError, match=r"a set, of which 'p0\.ome\.tif' is missing"):
        read_image(path)


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_transparency_of_grey_pixels_is_no_channel(tmp_path: Path, planar: str) -> None:
    image = _cells()
    samples = np.stack([image, np.full_like(image, 65535)], -1 if planar == "contig" else 0)
    tifffile.imwrite(
        tmp_path / "a.tif",
        samples,
        photometric="minisblack",
        planarconfig=planar,
        extrasamples=["unassalpha"],
        compression="lzw",
    )

    for read in (read_image, read_labels):
        file = read(tmp_path / "a.tif")
        assert file.axes == "YX"
        np.testing.assert_array_equal(file.array, image)
    assert image_series(tmp_path / "a.tif")[0].shape == image.shape


def test_planes_that_are_not_in_the_file_are_counted_and_not_made_zero(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    xml = f"{_OME}>{_pixels_xml('<TiffData/>', depth=3)}</OME>"
    stack = np.stack([_cells(), _cells()])
    tifffile.imwrite(tmp_path / "a.ome.tif", stack, description=xml, metadata=None)

    with pytest.raises(FileError, match=r"lacks 1 of the 3 planes that it is said to have; export"):
        read_image(tmp_path / "a.ome.tif")
    assert capsys.readouterr().err == ""


def test_ome_tiff_whose_description_is_broken_is_damaged(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", _cells(), description=f"{_OME}><Image></OME>", metadata=None
    )

    with pytest.raises(FileError, match="is damaged or cut short"):
        read_image(tmp_path / "a.tif")
