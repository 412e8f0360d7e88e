"""What a row says of an image."""

from dataclasses import replace
from pathlib import Path

from napari_unet.batch.file_plan import PlannedFile
from napari_unet.batch.images.entry import ImageEntry, ImageOutcome
from napari_unet.batch.training.entry import TrainingEntry, TrainingOutcome
from napari_unet.batch.training.labelled_files import LabelledFiles
from napari_unet.batch.training.plan import TrainingPlan
from napari_unet.engine.training.settings import TrainingSettings
from napari_unet.widgets.batch.rows import Row

ENTRY = ImageEntry(PlannedFile(Path("/data/a.tif"), Path("/out/a.tif"), {}, 2, "left"), "settings")
TRAINING = TrainingEntry(
    Path("/out/models/mine.safetensors"), TrainingPlan(LabelledFiles(), TrainingSettings())
)


def test_a_row_tells_state_cells_doubt_seconds_and_remarks() -> None:
    title = "a.tif, series 2 'left'"
    assert Row(Path("/data/b.tif")).texts(None) == ("b.tif", "new", "", "", "", "")
    assert Row(entry=ENTRY).texts(None) == (title, "waiting", "", "", "", "")
    assert Row(entry=ENTRY).texts(0.504) == (title, "50 %", "", "", "", "")
    done = replace(
        ENTRY, state="done", outcome=ImageOutcome(cells=7, seconds=1.26, mean_doubt=0.081)
    )
    assert Row(entry=done).texts(None) == (title, "done", "7", "0.08", "1.3", "")


def test_a_result_in_doubt_is_so_until_it_is_corrected() -> None:
    outcome = ImageOutcome(
        cells=7, doubt="It is unlike.", warnings=("It is unlike.", "Large cells.")
    )
    done = replace(ENTRY, state="done", outcome=outcome)
    assert Row(entry=done).texts(None)[1::4] == ("in doubt", "It is unlike. Large cells.")
    assert Row(entry=replace(done, is_corrected=True)).texts(None)[1] == "corrected"


def test_why_an_image_failed_is_said_without_the_path_that_the_tooltip_has() -> None:
    failed = Row(entry=replace(ENTRY, state="failed", error="'/data/a.tif' is empty (0 bytes)."))
    assert failed.texts(None)[1::4] == ("failed", "The file is empty (0 bytes).")
    assert failed.file == "/data/a.tif"


def test_a_training_tells_steps_seconds_quality_verdict_and_warnings() -> None:
    title, verdict = "Train mine", "On your images 9 of 9 labelled cells are right; keep it."
    assert Row(entry=TRAINING).texts(None) == (title, "waiting", "", "", "", "")
    assert Row(entry=TRAINING).texts(0.25)[1] == "25 %"
    outcome = TrainingOutcome(
        80, 12.34, ap_before=0.5, ap_after=0.823, verdict=verdict, warnings=("Too short.",)
    )
    done = replace(TRAINING, state="done", outcome=outcome)
    remarks = f"80 steps, AP 0.5 0.50 before, 0.82 now. {verdict} Too short."
    assert Row(entry=done).texts(None) == (title, "done", "", "", "12.3", remarks)
    refused = replace(done, outcome=replace(outcome, is_refused=True))
    assert Row(entry=refused).texts(None)[1] == "not better"
    failed = replace(TRAINING, state="failed", error="There is no file 'a.tif'.")
    assert Row(entry=failed).texts(None)[1::4] == ("failed", "There is no file 'a.tif'.")
    assert Row(entry=failed).file == "/out/models/mine.safetensors"
