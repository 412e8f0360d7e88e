"""What a row says of an image."""

from dataclasses import replace
from pathlib import Path

from napari_unet.batch.file_plan import PlannedFile
from napari_unet.batch.image_entry import ImageEntry, ImageOutcome
from napari_unet.widgets.batch.rows import Row

ENTRY = ImageEntry(PlannedFile(Path("/data/a.tif"), Path("/out/a.tif"), {}, 2, "left"), "settings")


def test_a_row_tells_state_cells_seconds_and_remarks() -> None:
    title = "a.tif, series 2 'left'"
    assert Row(Path("/data/b.tif")).texts(None) == ("b.tif", "new", "", "", "")
    assert Row(entry=ENTRY).texts(None) == (title, "waiting", "", "", "")
    assert Row(entry=ENTRY).texts(0.504) == (title, "50 %", "", "", "")
    done = replace(ENTRY, state="done", outcome=ImageOutcome(cells=7, seconds=1.26))
    assert Row(entry=done).texts(None) == (title, "done", "7", "1.3", "")


def test_a_result_in_doubt_is_so_until_it_is_corrected() -> None:
    outcome = ImageOutcome(
        cells=7, doubt="It is unlike.", warnings=("It is unlike.", "Large cells.")
    )
    done = replace(ENTRY, state="done", outcome=outcome)
    assert Row(entry=done).texts(None)[1::3] == ("in doubt", "It is unlike. Large cells.")
    assert Row(entry=replace(done, is_corrected=True)).texts(None)[1] == "corrected"


def test_why_an_image_failed_is_said_without_the_path_that_the_tooltip_has() -> None:
    failed = Row(entry=replace(ENTRY, state="failed", error="'/data/a.tif' is empty (0 bytes)."))
    assert failed.texts(None)[1::3] == ("failed", "The file is empty (0 bytes).")
    assert failed.file == "/data/a.tif"
