"""`napari-unet compare` as a user meets it."""

import json
from pathlib import Path

import numpy as np
import pytest
from known_labels import grid

from napari_unet.cli import main
from napari_unet.files.images import read_labels, write_labels


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Before, after and the truth of one image."""
    truth = np.zeros((12, 30), np.uint8)
    truth[1:5, 1:5], truth[1:5, 6:10], truth[7:11, 1:5] = 1, 2, 3
    before = np.where(truth == 3, 0, truth)
    before[1:5, 1:10] = 1  # two cells merged, one missed
    after = truth.copy()
    after[7:11, 20:28] = 9  # a cell too many
    for name, labels in (("before", before), ("after", after), ("truth", truth)):
        write_labels(tmp_path / f"{name}.tif", labels, pixel_size_um=(0.5, 0.5))
    return [str(tmp_path / f"{name}.tif") for name in ("before", "after", "truth")]


def test_changes_are_a_table(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *files[:2]]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "1 image, 1 cell before, 4 after, 0 unchanged"
    assert [line.split() for line in lines[2:]] == [
        ["changes"],
        ["gained", "2"],
        ["lost", "0"],
        ["split", "1"],
        ["merged", "0"],
        ["regrouped", "0"],
        ["reshaped", "0"],
    ]


def test_with_the_truth_changes_are_better_or_worse_and_both_results_are_scored(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before, after, truth = files
    assert main(["compare", before, after, "--truth", truth, "--list"]) == 0

    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines()]
    assert ["gained", "2", "1", "1"] in rows
    assert ["split", "1", "1", "0"] in rows
    assert ["0.50", "0", "3"] in rows
    assert "3 true cells are too few for a figure" in out
    assert "true cells merged with another: 1 before, 0 after" in out
    assert "before.tif: split 1 -> 1, 2 at (2, 5), better" in out
    assert "before.tif: gained 9 at (8, 24), worse" in out


def test_change_image_keeps_the_scale_and_names_kinds_by_number(
    files: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "changes.tif"
    assert main(["compare", *files[:2], "-o", str(out)]) == 0

    changes = read_labels(out)
    assert changes.pixel_size_um == pytest.approx((0.5, 0.5))
    assert changes.array[2, 2] == 3
    assert changes.array[8, 24] == 1
    assert changes.array[0, 0] == 0
    assert main(["compare", *files[:2], "-o", str(out)]) == 1
    assert main(["compare", *files[:2], "-o", str(out), "--overwrite"]) == 0


def test_everything_can_be_had_as_json(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before, after, truth = files
    assert main(["compare", before, after, "--truth", truth, "--json"]) == 0

    result = json.loads(capsys.readouterr().out)
    assert result["changes"]["gained"] == {"number": 2, "better": 1, "worse": 1}
    assert result["after"]["average_precision"]["0.5"] == 0.75
    assert result["after"]["true_cells"] == 3
    low, high = result["after"]["average_precision_interval_95"]["0.5"]
    assert low < 0.75 < high
    assert result["images"][0]["name"] == "before.tif"
    split = next(each for each in result["images"][0]["changes"] if each["kind"] == "split")
    assert split["after_ids"] == [1, 2]
    assert split["box"] == [[1, 5], [1, 10]]
    assert split["improvement"] > 0


def test_folders_are_paired_by_name_and_what_has_no_partner_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = np.zeros((9, 9), np.uint8)
    labels[2:5, 2:5] = 1
    for folder, names in (("a", "xyz"), ("b", "xy"), ("t", "x")):
        (tmp_path / folder).mkdir()
        for name in names:
            write_labels(tmp_path / folder / f"{name}.tif", labels)
    folders = [str(tmp_path / folder) for folder in "abt"]

    words = ["compare", *folders[:2], "--truth", folders[2], "-o", str(tmp_path / "out")]
    assert main(words) == 0

    out, error = capsys.readouterr()
    assert out.startswith("2 images, 2 cells before, 2 after, 2 unchanged")
    assert "1 label image before left out, without a label image after: z.tif." in error
    assert "1 pair compared without a truth of the same name." in error
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["x.tif", "y.tif"]


def test_overlap_from_which_cells_are_the_same_can_be_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = np.zeros((9, 19), np.uint8)
    labels[2:5, 2:6] = 1
    write_labels(tmp_path / "a.tif", labels)
    write_labels(tmp_path / "b.tif", np.roll(labels, 1, axis=1))
    words = ["compare", str(tmp_path / "a.tif"), str(tmp_path / "b.tif")]

    assert main(words) == 0
    assert "reshaped         1" in capsys.readouterr().out
    assert main([*words, "--same-iou", "0.6"]) == 0
    assert "1 unchanged" in capsys.readouterr().out
    assert main([*words, "--same-iou", "2"]) == 1
    assert "--same-iou is 2; use an overlap above 0, at most 1." in capsys.readouterr().err


def test_labels_of_another_shape_are_named(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_labels(tmp_path / "other.tif", np.zeros((3, 3), np.uint8))

    assert main(["compare", files[0], str(tmp_path / "other.tif")]) == 1

    assert "(12, 30), the others (3, 3)" in capsys.readouterr().err


def test_scores_of_enough_cells_have_their_intervals(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = grid()
    for name, labels in (("t", truth), ("a", truth), ("b", np.where(truth > 20, 0, truth))):
        write_labels(tmp_path / f"{name}.tif", labels)
    names = [str(tmp_path / f"{name}.tif") for name in "bat"]

    assert main(["compare", *names[:2], "--truth", names[2]]) == 0

    out = capsys.readouterr().out
    before, after = "0.800  0.538 - 0.932", "1.000  0.765 - 1.000"
    (line,) = [line for line in out.splitlines() if line.startswith(" 0.50")]
    assert line.split() == ["0.50", *before.split(), *after.split(), "20", "25"]
