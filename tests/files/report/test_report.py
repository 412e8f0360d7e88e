"""The report of an evaluation: a page that needs nothing beside it, and says what was found."""

import base64
import io
import itertools
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from known_labels import grid, with_errors
from PIL import Image
from skimage.color import deltaE_ciede2000, rgb2lab

from napari_unet.engine.base.errors import FileError
from napari_unet.engine.labels.truth.cell_errors import VERDICTS, CellError, find_errors
from napari_unet.files.report.curve import CurveLine, curve_svg
from napari_unet.files.report.page import write_report
from napari_unet.files.report.pictures import Pixels, draw_place, worst_places
from napari_unet.files.report.report import Report, ReportedImage
from napari_unet.files.report.verdicts import VERDICT_COLOURS, VERDICT_MEANINGS, VERDICT_WORDS


def written(
    path: Path, *pairs: tuple[str, np.ndarray, np.ndarray], image: np.ndarray | None = None, **given
) -> str:
    errors = [find_errors(truth, found) for _, truth, found in pairs]
    images = [ReportedImage.of(pair[0], each) for pair, each in zip(pairs, errors, strict=True)]

    def pixels(at: int) -> Pixels:
        return Pixels(pairs[at][1], pairs[at][2], errors[at].image(), image)

    write_report(path, Report("truth", "cells", images, **given), pixels)
    return path.read_text("utf-8")


class Checker(HTMLParser):
    """Holds every tag against its end, and gathers what a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [
            value or "" for name, value in attrs if name in ("src", "href", "xlink:href")
        ]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Leave what ends where it begins."""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text.append(data)


def checked(page: str) -> Checker:
    checker = Checker()
    checker.feed(page)
    assert checker.open == []
    return checker


def rows_of(page: str) -> list[list[str]]:
    rows = re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in rows]
    return [[re.sub(r"<[^>]+>", "", cell) for cell in row] for row in cells]


def test_the_page_holds_figures_errors_and_pictures_and_fetches_nothing(tmp_path: Path) -> None:
    truth = grid()
    page = written(tmp_path / "r.html", ("a.tif", truth, with_errors(truth)))

    checker = checked(page)
    assert checker.fetched
    assert all(url.startswith("data:image/png;base64,") for url in checker.fetched)
    assert "@import" not in page
    assert "url(" not in page
    text = " ".join(checker.text)
    assert "25 true cells, 25 found. At IoU 0.5, 22 of 25 found, 3 extra." in text
    told = {row[0]: row[1:4] for row in rows_of(page) if row and row[0] in VERDICT_WORDS.values()}
    assert told["right"] == ["21", "21", "21"]
    assert told["missed"] == ["1", "1", "0"]
    assert told["false"] == ["1", "0", "1"]
    assert told["merged"] == ["1", "2", "1"]
    assert told["split"] == ["1", "1", "2"]
    assert "1 true cell is in an error, and all the same overlap enough" in text
    (half,) = [row for row in rows_of(page) if row and row[0] == "0.50"]
    assert half[5:] == ["22", "3", "3"]
    # F1 is 22 of 25; Wilson's interval of it.
    assert half[2] == "0.88 0.70 to 0.96"
    assert "napari-unet-cells" in text


def test_images_are_listed_the_worst_first_and_shown_in_this_order(tmp_path: Path) -> None:
    truth = grid()
    pairs = [("good.tif", truth, truth), ("bad.tif", truth, np.where(truth > 9, 0, truth))]
    pairs.append(("fair.tif", truth, with_errors(truth)))
    page = written(tmp_path / "r.html", *pairs)

    names = [row[0] for row in rows_of(page) if row and row[0].endswith(".tif")]
    assert names == ["bad.tif", "fair.tif", "good.tif"]
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", page)
    assert [caption.split(",")[0] for caption in captions] == ["bad.tif", "fair.tif"]
    assert captions[0].endswith("16 missed")


def test_names_and_notes_are_escaped(tmp_path: Path) -> None:
    truth = grid()
    name = "<script>alert('a & b')</script>\udcff.tif"
    page = written(
        tmp_path / "r.html",
        (name, truth, with_errors(truth)),
        ("b", truth, truth),
        notes=["'<x>' is a mask"],
        settings={"<images>": "a<b"},
    )
    checked(page)
    assert "<script>" not in page
    assert "&lt;script&gt;alert(&#x27;a &amp; b&#x27;)&lt;/script&gt;?.tif" in page
    assert "&#x27;&lt;x&gt;&#x27; is a mask" in page


def test_few_cells_are_counted_and_none_at_all_is_said(tmp_path: Path) -> None:
    truth = grid(2, 2)
    few = checked(written(tmp_path / "few.html", ("a", truth, truth)))
    assert "Fewer than 20 true cells are too few for figures." in " ".join(few.text)
    assert "svg" not in (tmp_path / "few.html").read_text("utf-8")
    none = checked(written(tmp_path / "no.html", ("a", truth * 0, truth * 0)))
    assert "There are no cells, neither true nor found." in " ".join(none.text)


def test_a_report_that_exists_stays_as_it_was(tmp_path: Path) -> None:
    truth = grid()
    file = tmp_path / "r.html"
    file.write_text("mine")
    with pytest.raises(FileError, match="exists already"):
        written(file, ("a", truth, truth))
    assert file.read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]


def test_the_picture_shows_image_outlines_and_errors_in_their_colours() -> None:
    truth = grid()
    found = with_errors(truth)
    result = find_errors(truth, found)
    grey = np.full(truth.shape, 100, np.uint8)
    grey[::7] = 200
    for image in (None, grey, np.stack([grey] * 3, axis=-1)):
        pixels = Pixels(truth, found, result.image(), image)
        (place,) = worst_places(result.errors, truth.shape, most=4)
        assert place.counts == {"missed": 1, "false": 1, "merged": 1, "split": 1}
        picture = draw_place(pixels, place)
        factor = picture.shape[0] // truth.shape[0]
        assert picture.shape == (*(factor * n for n in truth.shape), 3)
        colours = {tuple(colour) for colour in picture.reshape(-1, 3).tolist()}
        assert (255, 255, 255) in colours
        for verdict in ("right", "merged", "split", "false"):
            assert tuple(bytes.fromhex(VERDICT_COLOURS[verdict][1:])) in colours, verdict
        red, green, _ = picture[factor * 4, factor * 4].tolist()  # inside of the missed cell
        assert red > green
        at_right = picture[factor * 14, factor * 4]  # inside of a right one nothing is filled
        assert len(set(at_right.tolist())) == 1


def test_the_worst_plane_of_a_volume_is_shown() -> None:
    truth = np.zeros((5, 40, 40), int)
    truth[1:4, 5:15, 5:15], truth[0, 30:35, 30:35] = 1, 2
    truth[3, 20:24, 20:24] = 3
    found = np.where(truth == 1, 1, 0)
    result = find_errors(truth, found)
    places = list(worst_places(result.errors, truth.shape, most=3))
    assert [place.plane for place in places] == [(3,), (0,)]
    picture = draw_place(Pixels(truth, found, result.image()), places[0])
    assert (picture == 255).all(axis=-1).any()

    nothing = find_errors(truth, np.zeros_like(truth))
    places = list(worst_places(nothing.errors, truth.shape, most=3))
    # Two of the three errors reach into plane 3 alone.
    assert [place.plane for place in places] == [(3,), (0,)]
    assert places[0].counts == {"missed": 2}


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 499), st.integers(0, 299)),
        min_size=1,
        max_size=30,
    )
)
def test_places_hold_the_errors_that_they_tell_and_overlap_little(
    centres: list[tuple[int, int, int]],
) -> None:
    errors = [
        CellError(
            *("missed", (n,), (), 0.0),
            tuple(slice(at, at + 1) for at in centre),
            tuple(map(float, centre)),
            *(1, 0),
        )
        for n, centre in enumerate(centres)
    ]
    places = list(worst_places(errors, (3, 500, 300), most=len(errors)))
    masks = [np.zeros((3, 500, 300), bool) for _ in places]
    for place, inside in zip(places, masks, strict=True):
        inside[(*place.plane, *place.part)] = True
        assert inside.sum() == 96 * 96
        assert place.counts["missed"] == sum(inside[centre] for centre in centres) > 0
    for one, other in itertools.combinations(masks, 2):
        assert (one & other).sum() <= 96 * 96 / 3


def test_a_small_image_is_shown_whole_and_once() -> None:
    truth = np.pad(grid(12, 12), 5)
    result = find_errors(truth, np.zeros_like(truth))
    (place,) = worst_places(result.errors, truth.shape, most=6)
    assert place.part == (slice(0, 130), slice(0, 130))
    assert place.counts == {"missed": 144}


def test_large_cells_are_shown_whole_and_the_picture_stays_small() -> None:
    truth = np.zeros((1600, 1600), int)
    truth[100:800, 100:800] = 1
    result = find_errors(truth, np.zeros_like(truth))
    (place,) = worst_places(result.errors, truth.shape, most=1)
    assert [part.stop - part.start for part in place.part] == [1024, 1024]
    picture = draw_place(Pixels(truth, np.zeros_like(truth), result.image()), place)
    assert max(picture.shape) == 560


def test_a_line_of_the_curve_goes_through_its_values() -> None:
    svg = curve_svg([0.5, 0.75, 1.0], [CurveLine("AP", [1, 0.5, 0], "ap", [(0.9, 1)] * 3)])
    (points,) = re.findall(r'<polyline class="line ap" points="([^"]+)"', svg)
    places = [tuple(map(float, point.split(","))) for point in points.split()]
    (x0, y0), (x1, y1), (x2, y2) = places
    assert x1 - x0 == pytest.approx(x2 - x1)
    assert y1 - y0 == pytest.approx(y2 - y1)
    assert y0 < y2
    checked(svg)


def test_each_verdict_has_a_word_a_meaning_and_a_colour_of_its_own() -> None:
    for table in (VERDICT_WORDS, VERDICT_MEANINGS, VERDICT_COLOURS):
        assert tuple(table) == VERDICTS
        assert len(set(table.values())) == len(VERDICTS)


COLOUR_BLIND = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
    "none": np.eye(3).tolist(),
}
"""How linear RGB is seen (Machado et al., 2009, https://doi.org/10.1109/TVCG.2009.113)."""


@pytest.mark.parametrize("kind", COLOUR_BLIND)
def test_colours_of_verdicts_are_told_apart_by_everyone(kind: str) -> None:
    rgb = np.array([list(bytes.fromhex(each[1:])) for each in VERDICT_COLOURS.values()]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = (linear @ np.transpose(COLOUR_BLIND[kind])).clip(0, 1)
    again = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
    lab = rgb2lab(again[np.newaxis])[0]
    pairs = itertools.combinations(lab, 2)
    assert min(float(deltaE_ciede2000(one, other)) for one, other in pairs) > 14.5


def test_pictures_are_whole_png_files(tmp_path: Path) -> None:
    truth = grid()
    page = written(tmp_path / "r.html", ("a", truth, with_errors(truth)))
    packed: Callable[[str], bytes] = base64.b64decode
    (url,) = checked(page).fetched
    with Image.open(io.BytesIO(packed(url.partition(",")[2]))) as picture:
        picture.load()
        assert picture.format == "PNG"
