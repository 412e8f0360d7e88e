"""`napari-unet evaluate` as a user meets it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from known_labels import grid

from napari_unet.cli import main
from napari_unet.files.images import write_labels

Output = Any
"""The fixture `output`: `read()` returns both streams, `complaint()` the only line of error."""

Pixels = Callable[..., np.ndarray]


def test_evaluation_of_one_pair_is_a_table(
    tmp_path: Path, output: Output, cells_labels: Pixels
) -> None:
    truth, prediction = cells_labels(), cells_labels()
    truth[12:16, 20:24] = 7
    prediction[12:16, 20:24] = 0
    write_labels(tmp_path / "t.tif", truth)
    write_labels(tmp_path / "p.tif", prediction)

    assert main(["evaluate", str(tmp_path / "t.tif"), str(tmp_path / "p.tif")]) == 0

    out, _ = output.read()
    assert "1 image, 2 true cells, 1 cell found" in out
    rows = [line.split() for line in out.splitlines() if line.startswith(" 0.")]
    assert rows[0] == ["0.50", "1", "1", "0"]
    assert "2 true cells are too few for a figure; give 20 or more for AP, F1 and IoU." in out
    assert out.splitlines()[-1] == "errors: 1 missed"


def test_enough_cells_have_a_score_with_its_interval(tmp_path: Path, output: Output) -> None:
    truth = grid()
    write_labels(tmp_path / "t.tif", truth)
    write_labels(tmp_path / "p.tif", np.where(truth > 20, 0, truth))
    words = ["evaluate", str(tmp_path / "t.tif"), str(tmp_path / "p.tif")]

    assert main([*words, "--per-image"]) == 0

    out, _ = output.read()
    rows = [line.split() for line in out.splitlines()]
    # F1 is 20 of 22.5; Wilson's interval of it, 0.699 to 0.965, brought over by f / (2 - f).
    expected = ["0.50", "0.800", "0.538", "-", "0.932", "0.800", "0.889", "20", "5", "0"]
    assert expected in rows
    assert ["t.tif", "25", "20", "0.800", "0.800", "0.800"] in rows

    assert main([*words, "--json"]) == 0
    result = json.loads(output.read()[0])
    assert result["true_cells"] == 25
    missed = result["cells"][1]
    assert (missed["verdict"], missed["true_cells"], missed["share"]) == ("missed", 5, 0.2)
    low, high = result["pooled"][0]["average_precision_interval_95"]
    assert (round(low, 3), round(high, 3)) == (0.538, 0.932)


def test_few_cells_of_an_image_are_counted(
    tmp_path: Path, output: Output, cells_labels: Pixels
) -> None:
    write_labels(tmp_path / "t.tif", cells_labels())
    words = ["evaluate", str(tmp_path / "t.tif"), str(tmp_path / "copy.tif"), "--per-image"]
    write_labels(tmp_path / "copy.tif", cells_labels())

    assert main(words) == 0

    (line,) = [line for line in output.read()[0].splitlines() if line.startswith("t.tif")]
    assert line.split()[3:6] == [line.split()[1], "of", line.split()[1]]


def test_evaluation_of_folders_pools_pairs_and_names_what_has_no_partner(
    tmp_path: Path, output: Output, cells_labels: Pixels
) -> None:
    for folder, names in (("t", ["a", "b", "c"]), ("p", ["a", "b_masks", "d"])):
        (tmp_path / folder).mkdir()
        for name in names:
            write_labels(tmp_path / folder / f"{name}.tif", cells_labels() == 1)

    words = ["evaluate", str(tmp_path / "t"), str(tmp_path / "p"), "--json", "--thresholds", "0.5"]
    assert main(words) == 0

    out, error = output.read()
    result = json.loads(out)
    assert [image["name"] for image in result["images"]] == ["a.tif", "b.tif"]
    assert result["pooled"][0]["true_positives"] == 2
    assert result["mean_over_images"] == [{"threshold": 0.5, "average_precision": 1.0}]
    assert result["without_prediction"] == ["c.tif"]
    assert "1 true label image left out, without a predicted label image: c.tif." in error
    assert "1 predicted label image left out, without a true label image: d.tif." in error


def test_evaluation_of_folders_without_common_names_says_how_files_are_paired(
    tmp_path: Path, output: Output, cells_labels: Pixels
) -> None:
    for folder, name in (("t", "a"), ("p", "b")):
        (tmp_path / folder).mkdir()
        write_labels(tmp_path / folder / f"{name}.tif", cells_labels())

    assert main(["evaluate", str(tmp_path / "t"), str(tmp_path / "p")]) == 1

    assert "files belong together by their names without endings" in output.complaint()


def test_labels_of_another_shape_are_named(
    tmp_path: Path, output: Output, cells_labels: Pixels
) -> None:
    write_labels(tmp_path / "t.tif", cells_labels())
    write_labels(tmp_path / "p.tif", cells_labels()[:20])

    assert main(["evaluate", str(tmp_path / "t.tif"), str(tmp_path / "p.tif")]) == 1

    complaint = output.complaint()
    assert complaint.startswith(str(tmp_path / "p.tif"))
    assert "(24, 32), the predicted ones (20, 32)" in complaint


def test_threshold_out_of_range_is_explained(tmp_path: Path, output: Output) -> None:
    assert main(["evaluate", "t", "p", "--thresholds", "50"]) == 1

    assert "A threshold is 50; use overlaps above 0, at most 1." in output.complaint()


def _many(rows: int = 5) -> np.ndarray:
    truth = np.zeros((10 * rows, 50), np.int32)
    for number, (y, x) in enumerate(np.ndindex(rows, 5), start=1):
        truth[y * 10 + 1 : y * 10 + 7, x * 10 + 1 : x * 10 + 7] = number
    return truth


def test_the_report_of_folders_is_one_page_with_the_images_below_the_outlines(
    tmp_path: Path, output: Output
) -> None:
    truth = _many()
    for folder in ("t", "p", "i"):
        (tmp_path / folder).mkdir()
    for name, wrong in (("a", 0), ("b", 9)):
        write_labels(tmp_path / "t" / f"{name}_masks.tif", truth)
        write_labels(tmp_path / "p" / f"{name}_masks.tif", np.where(truth > wrong, truth, 0))
        write_labels(tmp_path / "i" / f"{name}.tif", truth)
    words = ["evaluate", str(tmp_path / "t"), str(tmp_path / "p"), "--json"]
    words += ["--report", str(tmp_path / "out" / "r.html"), "--images", str(tmp_path / "i")]

    assert main(words) == 0

    out, error = output.read()
    assert json.loads(out)["pooled"][0]["false_negatives"] == 9
    assert error == f"napari-unet: report -> {tmp_path / 'out' / 'r.html'}\n"
    page = (tmp_path / "out" / "r.html").read_text("utf-8")
    assert "50 true cells in 2 images, 41 found" in page
    assert page.index("b_masks.tif") < page.index("a_masks.tif")
    assert page.count("<img") == 1
    assert f"<dd>{tmp_path / 'i'}</dd>" in page

    assert main(words) == 1
    assert "r.html' exists already" in output.complaint()
    assert main([*words, "--overwrite"]) == 0


def test_slices_are_images_of_their_own_only_where_that_is_asked_for(
    tmp_path: Path, output: Output
) -> None:
    truth = np.stack([_many(), _many()])
    write_labels(tmp_path / "t.tif", truth)
    write_labels(tmp_path / "p.tif", truth * np.array([1, 0])[:, np.newaxis, np.newaxis])
    words = ["evaluate", str(tmp_path / "t.tif"), str(tmp_path / "p.tif"), "--per-image"]

    assert main([*words, "--report", str(tmp_path / "r.html")]) == 0
    out, _ = output.read()
    assert "1 image, 25 true cells, 25 cells found" in out
    assert f"report -> {tmp_path / 'r.html'}" in out

    words += ["--slices", "--report", str(tmp_path / "s.html")]
    assert main(words) == 0
    out, _ = output.read()
    assert "2 images, 50 true cells, 25 cells found" in out
    assert ["t.tif,", "slice", "2", "25", "0"] in [line.split()[:5] for line in out.splitlines()]
    page = (tmp_path / "s.html").read_text("utf-8")
    assert "t.tif, slice 2, from y 0, x 0: 25 missed" in page
    assert "each slice is an image of its own" in page

    write_labels(tmp_path / "flat.tif", _many())
    flat = str(tmp_path / "flat.tif")
    assert main(["evaluate", flat, str(tmp_path / "p.tif"), "--slices"]) == 1
    assert "'flat.tif' has no slices" in output.complaint().replace(f"{tmp_path}/", "")


def test_what_is_wrong_with_a_report_is_said_before_the_work(
    tmp_path: Path, output: Output
) -> None:
    for name in ("t.tif", "p.tif"):
        write_labels(tmp_path / name, _many())
    words = ["evaluate", str(tmp_path / "t.tif"), str(tmp_path / "p.tif")]

    assert main([*words, "--images", str(tmp_path / "t.tif")]) == 1
    assert "--images are for the report; add --report OUT.html." in output.complaint()
    assert main([*words, "--report", str(tmp_path / "t.tif"), "--overwrite"]) == 1
    assert "is a page; give it a name that ends in .html." in output.complaint()
    (tmp_path / "x.html").mkdir()
    assert main([*words, "--report", str(tmp_path / "x.html"), "--overwrite"]) == 1
    assert "is a folder; name a file to write." in output.complaint()
    (tmp_path / "none").mkdir()
    write_labels(tmp_path / "none" / "other.tif", _many())
    pair = [str(tmp_path / "t"), str(tmp_path / "p")]
    for folder in pair:
        Path(folder).mkdir()
        write_labels(Path(folder) / "a.tif", _many())
    words = ["evaluate", *pair, "--report", str(tmp_path / "r.html")]
    assert main([*words, "--images", str(tmp_path / "none")]) == 1
    assert "has the name of a true label image (such as 'a.tif')" in output.complaint()
    assert not (tmp_path / "r.html").exists()


def test_an_image_of_another_grid_is_told_and_the_report_is_written_without_it(
    tmp_path: Path, output: Output
) -> None:
    truth = _many()
    write_labels(tmp_path / "t.tif", truth)
    write_labels(tmp_path / "p.tif", np.where(truth > 3, truth, 0))
    write_labels(tmp_path / "i.tif", truth[:20])
    words = ["evaluate", str(tmp_path / "t.tif"), str(tmp_path / "p.tif")]
    words += ["--report", str(tmp_path / "r.html"), "--images", str(tmp_path / "i.tif")]

    assert main(words) == 0

    _, error = output.read()
    assert "it is 20 x 50 and its labels are 50 x 50; the report shows their outlines" in error
    assert "<img" in (tmp_path / "r.html").read_text("utf-8")
