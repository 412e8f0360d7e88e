"""`napari-unet segment` over many images: what goes on, what is told, and what is kept."""

import csv
import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch

from napari_unet.cli import main
from napari_unet.files.images import read_image, read_labels, write_labels

Output = Any
"""The fixture `output`: `read()` returns both streams, `complaint()` the only line of error."""

Pixels = Callable[..., np.ndarray]


@pytest.fixture
def folder(tmp_path: Path, cells_image: Pixels, save_image: Callable[..., str]) -> Path:
    """Five images of two cells."""
    (tmp_path / "in").mkdir()
    for number in range(5):
        save_image(tmp_path / "in" / f"{number}.png", np.roll(cells_image(), number, axis=1))
    return tmp_path / "in"


@pytest.fixture
def segment(tmp_path: Path, model: str) -> Callable[..., int]:
    """Runs the command into the folder `out`."""

    def run(*words: object) -> int:
        return main(["segment", *map(str, words), "-o", str(tmp_path / "out"), "--model", model])

    return run


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def names_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))


@pytest.mark.parametrize("jobs", ["1", "3"])
def test_every_image_has_a_line_and_a_row(
    tmp_path: Path, folder: Path, segment: Callable[..., int], output: Output, jobs: str
) -> None:
    assert segment(folder, "--jobs", jobs) == 0

    lines = sorted(output.read()[0].splitlines())
    assert [line.split(" in ")[0] for line in lines] == [f"{n}.png: 2 cells" for n in range(5)]
    rows = rows_of(tmp_path / "out" / "summary.csv")
    assert [row["output"] for row in rows] == [f"{n}.tif" for n in range(5)]
    assert {row["cells"] for row in rows} == {"2"}
    assert {row["median_area_px"] for row in rows} == {"12.5"}
    assert {row["median_area_um2"] for row in rows} == {""}
    assert all(float(row["seconds"]) >= 0 for row in rows)


def test_table_knows_square_micrometres_and_warnings(
    tmp_path: Path,
    segment: Callable[..., int],
    cells_image: Pixels,
    save_image: Callable[..., str],
) -> None:
    save_image(
        tmp_path / "a.tif",
        cells_image(),
        imagej=True,
        resolution=(2, 4),
        metadata={"axes": "YX", "unit": "um"},
    )

    assert segment(tmp_path / "a.tif", "--summary", tmp_path / "table.csv") == 0

    (row,) = rows_of(tmp_path / "table.csv")
    assert float(row["median_area_um2"]) == pytest.approx(12.5 * 0.5 * 0.25)
    assert row["output"] == "out/a.tif"
    assert not (tmp_path / "out" / "summary.csv").exists()


def test_bad_file_is_told_once_has_a_row_and_can_be_done_alone(
    tmp_path: Path,
    folder: Path,
    segment: Callable[..., int],
    output: Output,
    cells_image: Pixels,
    save_image: Callable[..., str],
) -> None:
    (folder / "2.png").write_text("no image")

    assert segment(folder) == 1
    error = output.read()[1].splitlines()
    assert len(error) == 2
    again = f"napari-unet segment --continue -o {tmp_path / 'out'}"
    assert error[1].endswith(f"failed: 2.png. To do only these again: {again}")
    row = rows_of(tmp_path / "out" / "summary.csv")[2]
    assert (row["cells"], "2.png' is" in row["error"]) == ("", True)

    save_image(folder / "2.png", cells_image())
    before = (tmp_path / "out" / "1.tif").stat().st_mtime_ns
    assert segment(folder, "--skip-existing") == 0

    out, error = output.read()
    assert [line.split(":")[0] for line in out.splitlines()] == ["2.png"]
    assert "4 images of 5 left out, with outputs that exist." in error
    assert (tmp_path / "out" / "1.tif").stat().st_mtime_ns == before
    rows = rows_of(tmp_path / "out" / "summary.csv")
    assert [(row["output"], row["cells"], row["error"]) for row in rows] == [
        (f"{n}.tif", "2", "") for n in range(5)
    ]


def test_what_is_left_out_stays_as_the_user_corrected_it_and_what_is_missing_is_added(
    tmp_path: Path, folder: Path, segment: Callable[..., int]
) -> None:
    (tmp_path / "out").mkdir()
    corrected = np.zeros((24, 32), np.uint8)
    corrected[:4, :4] = 7
    write_labels(tmp_path / "out" / "1.tif", corrected)

    assert segment(folder, "--skip-existing", "--overlay") == 0

    np.testing.assert_array_equal(read_labels(tmp_path / "out" / "1.tif").array, corrected)
    assert (tmp_path / "out" / "overlay" / "1.png").exists()
    assert segment(folder, "--skip-existing") == 0


def test_rows_of_images_that_are_done_are_there_again_without_the_old_table(
    tmp_path: Path, folder: Path, segment: Callable[..., int]
) -> None:
    assert segment(folder) == 0
    for name in ("summary.csv", "queue.json", "4.tif"):
        (tmp_path / "out" / name).unlink()

    assert segment(folder, "--skip-existing") == 0

    rows = rows_of(tmp_path / "out" / "summary.csv")
    assert [row["cells"] for row in rows] == ["2"] * 5
    assert [row["seconds"] == "" for row in rows] == [True] * 4 + [False]


def test_rows_of_other_images_stay_and_a_foreign_table_is_not_touched(
    tmp_path: Path, folder: Path, segment: Callable[..., int], output: Output
) -> None:
    assert segment(folder / "0.png", folder / "1.png") == 0
    assert segment(folder / "2.png", folder / "3.png") == 0
    rows = rows_of(tmp_path / "out" / "summary.csv")
    assert [row["output"] for row in rows] == ["0.tif", "1.tif", "2.tif", "3.tif"]

    (tmp_path / "out" / "summary.csv").write_text("my,own\n1,2\n")
    output.read()
    assert segment(folder, "--overwrite") == 1
    assert "is no summary of a batch; take it away, or name another file" in output.complaint()
    assert (tmp_path / "out" / "summary.csv").read_text() == "my,own\n1,2\n"


def test_skipping_and_overwriting_together_make_no_sense(
    folder: Path, segment: Callable[..., int], output: Output
) -> None:
    with pytest.raises(SystemExit):
        segment(folder, "--overwrite", "--skip-existing")
    assert "not allowed with argument" in output.complaint()


def test_results_of_other_settings_are_not_replaced_without_a_word(
    folder: Path, segment: Callable[..., int], output: Output
) -> None:
    assert segment(folder) == 0
    output.read()
    assert segment(folder, "--foreground-threshold", "0.4") == 1
    complaint = output.complaint()
    assert "5 output files already exist" in complaint
    assert "; go on with the queue that is there by --continue, choose another" in complaint
    assert "leave them as they are with --skip-existing, or allow replacing" in complaint


def test_what_is_no_image_among_several_is_left_out_and_said(
    tmp_path: Path, folder: Path, segment: Callable[..., int], output: Output
) -> None:
    (folder / "notes.txt").write_text("mine")
    (folder / "empty").mkdir()
    (folder / "._0.png").write_bytes(b"\0\5\x16\7")

    assert segment(*sorted(path for path in folder.iterdir() if path.name[0] != ".")) == 0
    assert "left out, because there is no image in them: " in output.complaint()
    assert segment(folder, "--overwrite") == 0
    assert output.read()[1] == ""
    np.save(folder / "volume.npy", np.zeros((4, 4)))
    assert segment(folder, "--overwrite") == 0
    assert "beside pictures it may be labels: " in output.complaint()

    assert segment(folder / "notes.txt") == 1
    assert "is no image file that can be read here" in output.complaint()
    assert segment(folder / "notes.txt", folder / "notes.txt") == 1
    assert "is no image file that can be read here" in output.complaint()
    assert segment(folder / "gone.png", folder / "0.png") == 1
    assert "There is no file or folder" in output.complaint()


def test_equal_names_in_two_folders_go_into_subfolders(
    tmp_path: Path, segment: Callable[..., int], cells_image: Pixels, save_image: Callable[..., str]
) -> None:
    for day in ("day1", "day2"):
        (tmp_path / day).mkdir()
        save_image(tmp_path / day / "a.png", cells_image())
    save_image(tmp_path / "day2" / "b.png", cells_image())

    assert segment(tmp_path / "day1", tmp_path / "day2", "--overlay") == 0

    assert names_in(tmp_path / "out") == [
        "day1/a.tif",
        "day2/a.tif",
        "day2/b.tif",
        "overlay/day1/a.png",
        "overlay/day2/a.png",
        "overlay/day2/b.png",
        "queue.json",
        "summary.csv",
    ]


def test_names_that_no_file_system_takes_are_refused_before_the_work(
    tmp_path: Path,
    segment: Callable[..., int],
    model: str,
    output: Output,
    cells_image: Pixels,
    save_image: Callable[..., str],
) -> None:
    image = save_image(tmp_path / f"{'é' * 123}.tif", cells_image())

    assert main(["segment", image, "-o", str(tmp_path / ("x" * 252 + ".tif"))]) == 1
    assert "takes 256 bytes; file systems allow 255. Rename" in output.complaint()
    assert main(["segment", image, "-o", str(tmp_path / ("x" * 250 + ".tif")), "--scores"]) == 1
    assert "takes 261 bytes" in output.complaint()
    assert segment(image) == 0


def series_file(path: Path, pixels: list[np.ndarray], names: list[str]) -> Path:
    with tifffile.TiffWriter(path, ome=True) as tiff:
        for each, name in zip(pixels, names, strict=True):
            tiff.write(each, metadata={"axes": "YX", "Name": name})
    return path


def test_each_series_of_a_file_is_an_image(
    tmp_path: Path, segment: Callable[..., int], output: Output, cells_image: Pixels
) -> None:
    empty = np.arange(20 * 26, dtype=np.uint8).reshape(20, 26) % 3
    path = series_file(
        tmp_path / "plate.ome.tif", [cells_image(), empty, cells_image()[:, ::-1]], ["A/1", "", "B"]
    )

    assert segment(path) == 0
    assert len(output.read()[0].splitlines()) == 3
    labels = sorted((tmp_path / "out").glob("*.tif"))
    assert len(labels) == 3
    assert labels[0].name == "plate_2.tif"
    assert read_labels(labels[0]).array.shape == (20, 26)
    rows = rows_of(tmp_path / "out" / "summary.csv")
    assert [row["series"] for row in rows] == ["1", "2", "3"]

    words = [path, "--overwrite", "--series", "3"]
    assert segment(*words) == 0
    assert "plate.ome.tif, series 3 'B': 2 cells" in output.read()[0]
    assert segment(*words, "--series", "A/1") == 0
    assert len(output.read()[0].splitlines()) == 2
    assert segment(path, "--overwrite", "--series", "9") == 1
    assert "has no series '9'; it holds 1 'A/1'" in output.complaint()


def test_set_of_files_is_segmented_once_under_the_name_of_the_first(
    tmp_path: Path, segment: Callable[..., int], output: Output, cells_image: Pixels
) -> None:
    image = cells_image()
    height, width = image.shape
    data = "".join(
        f'<TiffData FirstZ="{z}" IFD="0" PlaneCount="1"><UUID FileName="z{z}.ome.tif">urn:uuid:{z}'
        "</UUID></TiffData>"
        for z in range(3)
    )
    folder = tmp_path / "set"
    folder.mkdir()
    for z in range(3):
        xml = (
            '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="urn:uuid:{z}"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" '
            f'Type="{image.dtype}" SizeX="{width}" SizeY="{height}" SizeZ="3" SizeC="1" SizeT="1">'
            f"{data}</Pixels></Image></OME>"
        )
        tifffile.imwrite(folder / f"z{z}.ome.tif", image, description=xml, metadata=None)
    tifffile.imwrite(folder / "a.tif", image)

    assert segment(folder, "--every-slice") == 0

    assert names_in(tmp_path / "out") == ["a.tif", "queue.json", "summary.csv", "z0.tif"]
    assert read_labels(tmp_path / "out" / "z0.tif").array.shape == (3, height, width)
    _, told = output.read()
    assert (
        "z0.ome.tif: the files of this set are segmented together, under this name, and not again "
        "for z1.ome.tif, z2.ome.tif." in told
    )
    assert "These are 6 discs in the 3 slices of 'z0.ome.tif'" in told


def test_several_series_do_not_go_into_one_file(
    tmp_path: Path, model: str, output: Output, cells_image: Pixels
) -> None:
    path = series_file(tmp_path / "two.ome.tif", [cells_image(), cells_image()[:12]], ["", ""])
    words = ["segment", str(path), "-o", str(tmp_path / "out.tif"), "--model", model]

    assert main(words) == 1
    assert "or choose one of the series in it with --series." in output.complaint()
    assert main([*words, "--series", "2"]) == 0
    assert read_labels(tmp_path / "out.tif").array.shape == (12, 32)


def test_labels_that_cannot_be_written_are_kept_elsewhere(
    tmp_path: Path,
    folder: Path,
    segment: Callable[..., int],
    output: Output,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = tifffile.imwrite

    def refuse(stream: Any, *arguments: Any, **options: Any) -> None:
        if "/out/" in str(getattr(stream, "name", "")):
            raise PermissionError(errno.EACCES, "Permission denied")
        original(stream, *arguments, **options)

    monkeypatch.setattr(tifffile, "imwrite", refuse)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    assert segment(folder / "0.png", "--overlay") == 1

    complaint = output.complaint()
    assert "Cannot write" in complaint
    kept = Path(complaint.split("The labels are kept in '")[1].removesuffix("'."))
    assert read_labels(kept).array.max() == 2
    assert (tmp_path / "out" / "overlay" / "0.png").exists()


def test_extra_that_cannot_be_written_does_not_cost_the_labels(
    tmp_path: Path,
    folder: Path,
    segment: Callable[..., int],
    output: Output,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object, **_options: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("PIL.Image.Image.save", refuse)

    assert segment(folder, "--overlay") == 1

    lines = output.read()[1].splitlines()
    assert len(lines) == 6
    assert "(input/output error)" in lines[0]
    assert lines[0].endswith("The labels are written.")
    assert len(list((tmp_path / "out").glob("*.tif"))) == 5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_batch_keeps_what_is_done_and_goes_on(
    tmp_path: Path, model: str, number: signal.Signals, cells_image: Pixels
) -> None:
    (tmp_path / "in").mkdir()
    for index in range(60):
        tifffile.imwrite(tmp_path / "in" / f"{index}.tif", np.tile(cells_image(), (20, 20)))
    words = ["segment", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--model", model]
    code = (
        # Behind `nohup ... &` a process is started with SIGINT ignored, and Python leaves it so.
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        f"from napari_unet.cli import main; sys.exit(main({words!r}))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.send_signal(number)
        error = process.stderr.read()
        assert process.wait(60) == 130

    assert f"are done; to go on: napari-unet segment --continue -o {tmp_path / 'out'}" in error
    done = sorted(path.name for path in (tmp_path / "out").iterdir() if path.suffix == ".tif")
    assert 1 <= len(done) < 60
    left = {path.name for path in (tmp_path / "out").iterdir()} - {
        *done,
        "queue.json",
        "summary.csv",
    }
    assert left == set()
    told = {row["output"] for row in rows_of(tmp_path / "out" / "summary.csv")}
    assert told <= set(done)

    assert main(words if number == signal.SIGINT else ["segment", "--continue", *words[2:4]]) == 0
    assert len(rows_of(tmp_path / "out" / "summary.csv")) == 60
    assert {row["cells"] for row in rows_of(tmp_path / "out" / "summary.csv")} == {"800"}


def test_threads_of_the_network_are_given_back(folder: Path, segment: Callable[..., int]) -> None:
    before = torch.get_num_threads()
    assert segment(folder, "--jobs", "2") == 0
    assert torch.get_num_threads() == before


def test_no_jobs_is_refused(folder: Path, segment: Callable[..., int], output: Output) -> None:
    assert segment(folder, "--jobs", "0") == 1
    assert output.complaint() == "--jobs is 0; use 1 or more."


def test_stacks_of_any_axes_are_written(
    tmp_path: Path, segment: Callable[..., int], cells_image: Pixels
) -> None:
    stack = np.stack([cells_image(3, 24, 32)] * 2)
    for axes in ("TZYX", "CZYX"):
        tifffile.imwrite(tmp_path / f"{axes}.ome.tif", stack, ome=True, metadata={"axes": axes})
    words = ["--every-slice", "--channel-axis", "none"]

    assert segment(tmp_path / "TZYX.ome.tif", tmp_path / "CZYX.ome.tif", *words) == 0

    for path in sorted((tmp_path / "out").glob("*.tif")):
        assert read_image(path).array.shape == (2, 3, 24, 32)


def test_the_table_of_an_earlier_version_gets_the_new_columns(
    tmp_path: Path, model: str, cells_image: Pixels, save_image: Callable[..., str]
) -> None:
    image = save_image(tmp_path / "a.tif", cells_image())
    table = tmp_path / "table.csv"
    table.write_text("image,series,output,cells,warnings,error\nb.tif,,b.tif,4,,\n")

    words = ["segment", image, "-o", str(tmp_path / "out"), "--model", model]
    assert main([*words, "--summary", str(table)]) == 0

    with table.open(newline="") as stream:
        old, new = csv.DictReader(stream)
    assert (old["output"], old["cells"], old["mean_doubt"]) == ("b.tif", "4", "")
    assert (new["output"], new["cells"]) == ("out/a.tif", "2")
    assert 0 <= float(new["mean_doubt"]) <= 1
