"""The Batch widget: images are added, segmented, paused, gone on with, opened and corrected."""

import csv
import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from napari.layers import Labels
from numpy.typing import NDArray
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QPushButton

from napari_unet.batch.queue import Queue
from napari_unet.cli import main
from napari_unet.files.images import read_labels
from napari_unet.session import Session
from napari_unet.viewer import worker
from napari_unet.widgets.batch.widget import BatchWidget
from napari_unet.widgets.segment.widget import SegmentWidget

Engine = Any
"""The fixture `engine`, which waits where it is told."""


class Person:
    """Someone at the Batch widget."""

    def __init__(self, qtbot: QtBot, widget: BatchWidget) -> None:
        self.qtbot, self.widget = qtbot, widget

    def press(self, button: QPushButton) -> None:
        assert button.isEnabled()
        self.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    def wait(self, is_so: Callable[[], bool]) -> None:
        self.qtbot.waitUntil(is_so, timeout=30_000)

    def run(self) -> str:
        self.press(self.widget.panel.button)
        self.wait(lambda: not self.widget.panel.is_running)
        return str(self.widget.panel.message)

    def add_folder(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(folder))
        before = len(self.column(0))
        self.press(self.widget.form.folder_button)
        self.wait(lambda: len(self.column(0)) > before)

    def column(self, number: int) -> list[str]:
        model = self.widget.table.images
        return [model.data(model.index(row, number)) for row in range(model.rowCount())]

    def click_row(self, row: int) -> None:
        table = self.widget.table
        place = table.visualRect(table.images.index(row, 0)).center()
        self.qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)

    def open_row(self, row: int) -> None:
        self.click_row(row)
        self.wait(lambda: not self.widget.results.is_opening)


@pytest.fixture
def images(tmp_path: Path, squares: NDArray[np.uint8]) -> Path:
    """Three images of three squares each, on a ground that is not quite even."""
    folder = tmp_path / "images"
    folder.mkdir()
    uneven = squares + np.arange(squares.size, dtype=np.uint8).reshape(squares.shape) % 7
    for number in range(3):
        tifffile.imwrite(folder / f"{number}.tif", np.roll(uneven, number, axis=1))
    return folder


@pytest.fixture
def person(
    viewer: ViewerModel, session: Session, widget: SegmentWidget, qtbot: QtBot
) -> Iterator[Person]:
    batch = BatchWidget(viewer, session, lambda: widget)
    qtbot.addWidget(batch)
    batch.resize(420, 800)
    batch.show()
    yield Person(qtbot, batch)
    batch.close()
    assert worker.stop_all()


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_a_folder_is_segmented_beside_itself_with_tables(
    person: Person, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    person.add_folder(images, monkeypatch)
    assert person.column(1) == ["new"] * 3
    assert person.widget.form.folder == images / "cells"

    message = person.run()

    assert message == "3 of 3 images done, 9 cells."
    assert person.column(0) == ["0.tif", "1.tif", "2.tif"]
    assert person.column(1) == ["done"] * 3
    assert person.column(2) == ["3"] * 3
    out = images / "cells"
    assert read_labels(out / "1.tif").array.max() == 3
    assert len(rows_of(out / "measurements" / "1.csv")) == 3
    assert [row["cells"] for row in rows_of(out / "summary.csv")] == ["3"] * 3
    assert person.run().startswith("Nothing waits")


def test_settings_are_those_of_the_segment_form_when_run_is_pressed(
    person: Person, widget: SegmentWidget, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    person.add_folder(images, monkeypatch)
    widget.form.common.fields["min_size_px"].setValue(500)  # type: ignore[attr-defined]

    person.run()

    assert person.column(2) == ["0"] * 3
    (settings,) = Queue.read(images / "cells").settings.values()
    assert settings.instances.min_size_px == 500
    assert settings.models[0].source == person.widget._session.source


def test_a_broken_and_a_missing_file_are_a_row_each_that_says_why(
    person: Person, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (images / "1.tif").write_text("no image")
    files = [str(images / name) for name in ("0.tif", "1.tif", "gone.tif")]
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *_: (files, ""))
    person.press(person.widget.form.files_button)
    person.wait(lambda: len(person.column(0)) == 3)

    message = person.run()

    assert message == "1 of 3 images done, 3 cells; 2 failed."
    assert person.column(1) == ["done", "failed", "failed"]
    assert person.column(5)[1].startswith("The file is a text file")
    assert "There is no file or folder" in person.column(5)[2]
    person.click_row(1)
    assert "1.tif' is a text file" in person.widget.panel.message


def test_layers_are_images_too_and_one_without_a_file_gets_one(
    person: Person, viewer: ViewerModel, tmp_path: Path, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(squares, name="my image", scale=(0.5, 0.5), units=("um", "um"))
    viewer.add_image(np.stack([squares] * 3, axis=-1), name="colours", rgb=True)
    person.widget.form.choose_folder(tmp_path / "out")
    person.press(person.widget.form.layers_button)
    assert person.column(0) == ["my image", "colours"]
    viewer.layers["my image"].name = "renamed since"
    viewer.layers.remove("colours")

    person.run()

    assert person.column(1)[0] == "done"
    file = read_labels(tmp_path / "out" / "my_image.tif")
    assert file.pixel_size_um == pytest.approx((0.5, 0.5))
    assert tifffile.imread(tmp_path / "out" / "layers" / "my_image.tif").shape == squares.shape
    assert tifffile.imread(tmp_path / "out" / "layers" / "colours.tif").shape == (64, 80, 3)


def test_stopped_at_the_worst_moment_the_command_line_goes_on_and_the_widget_sees_it(
    person: Person, images: Path, monkeypatch: pytest.MonkeyPatch, engine: Engine
) -> None:
    engine.holds_after = 1
    person.add_folder(images, monkeypatch)
    person.press(person.widget.panel.button)
    assert engine.is_held.wait(30)
    person.wait(lambda: any(text.endswith("%") for text in person.column(1)))
    out = images / "cells"
    assert main(["segment", "--continue", "-o", str(out)]) == 1  # it is in use

    person.press(person.widget.panel.button)
    assert person.widget.panel.message == "Stopped: 0 of 3 images done, 0 cells. Run goes on."
    assert worker.stop_all()
    assert person.column(1) == ["waiting"] * 3
    assert not list(out.glob("*.tif"))
    engine.holds_after = None
    assert main(["segment", "--continue", "-o", str(out)]) == 0

    person.widget.form.choose_folder(images)
    person.wait(lambda: person.column(0) == [])
    person.widget.form.choose_folder(out)
    person.wait(lambda: person.column(1) == ["done"] * 3)
    assert person.widget.panel.message == "3 of 3 images in this folder are done."


def test_what_the_command_line_began_the_widget_goes_on_with(
    person: Person, images: Path, tmp_path: Path, model_file: Path
) -> None:
    out = tmp_path / "out"
    (images / "1.tif").rename(tmp_path / "1.tif")
    (images / "1.tif").write_text("no image")
    words = ["segment", str(images), "-o", str(out), "--model", str(model_file)]
    assert main(words) == 1
    (tmp_path / "1.tif").replace(images / "1.tif")

    person.widget.form.choose_folder(out)
    person.wait(lambda: person.column(1) == ["done", "failed", "done"])
    assert "2 of 3 images in this folder are done; Run goes on" in person.widget.panel.message

    assert person.run() == "1 of 1 image done, 3 cells."
    assert person.column(1) == ["done"] * 3


def test_a_pause_finishes_what_is_in_work_and_run_goes_on(
    person: Person, images: Path, monkeypatch: pytest.MonkeyPatch, engine: Engine
) -> None:
    monkeypatch.setattr("napari_unet.batch.running.images_at_a_time", lambda _device: 1)
    for number in range(3, 9):
        tifffile.imwrite(images / f"{number}.tif", tifffile.imread(images / "0.tif"))
    engine.holds_after = 1
    person.add_folder(images, monkeypatch)
    person.press(person.widget.panel.button)
    assert engine.is_held.wait(30)
    person.press(person.widget.form.pause_button)
    assert not person.widget.form.pause_button.isEnabled()
    engine.go_on.set()
    person.wait(lambda: not person.widget.panel.is_running)

    done = person.column(1).count("done")
    assert 1 <= done < 9
    assert person.column(1).count("waiting") == 9 - done
    assert person.widget.panel.message.startswith(f"Paused: {done} of 9 images done")
    assert person.run() == f"{9 - done} of {9 - done} images done, {27 - 3 * done} cells."
    assert person.column(1) == ["done"] * 9


def test_a_row_opens_its_image_with_the_cells_and_corrections_go_back(
    person: Person, viewer: ViewerModel, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    person.add_folder(images, monkeypatch)
    person.run()
    save = person.widget.form.save_button
    assert not save.isEnabled()

    person.open_row(1)
    image, labels = viewer.layers
    assert labels.name == "1.tif: cells"
    assert image.data.shape == labels.data.shape
    assert viewer.layers.selection.active == labels
    labels.data = np.where(labels.data == 2, 0, labels.data)
    person.press(save)
    person.wait(lambda: person.column(1)[1] == "corrected")

    out = images / "cells"
    saved = read_labels(out / "1.tif")
    assert np.unique(saved.array).tolist() == [0, 1, 3]
    assert saved.notes is not None
    assert saved.notes["model"] == "threshold"
    assert person.column(2) == ["3", "2", "3"]
    assert [row["label"] for row in rows_of(out / "measurements" / "1.csv")] == ["1", "3"]
    assert [row["cells"] for row in rows_of(out / "summary.csv")] == ["3", "2", "3"]
    assert Queue.read(out).entries[1].is_corrected
    assert "2 cells of '1.tif' are saved" in person.widget.panel.message
    assert person.run().startswith("Nothing waits")
    assert np.unique(read_labels(out / "1.tif").array).tolist() == [0, 1, 3]

    person.open_row(2)
    assert [layer.name for layer in viewer.layers] == ["2", "2.tif: cells"]


def test_rows_clicked_in_quick_succession_leave_the_layers_of_the_last(
    person: Person, viewer: ViewerModel, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    person.add_folder(images, monkeypatch)
    person.run()
    for row in (0, 1):
        before = len(viewer.layers)
        person.click_row(row)
        # One of its layers has come, or one of those before has gone.
        person.wait(lambda before=before: len(viewer.layers) != before)
    person.open_row(2)
    assert [layer.name for layer in viewer.layers] == ["2", "2.tif: cells"]
    assert all(layer.visible for layer in viewer.layers)


def test_corrections_that_are_not_saved_stay_when_another_row_is_clicked(
    person: Person, viewer: ViewerModel, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    person.add_folder(images, monkeypatch)
    person.run()
    person.open_row(0)
    first = viewer.layers[1]
    assert isinstance(first, Labels)
    first.data[0, 0] = 9

    person.open_row(1)

    assert len(viewer.layers) == 4
    assert "'0.tif' has corrections that are not saved" in person.widget.panel.message
    assert first in viewer.layers


def test_a_removed_result_is_open_no_more(
    person: Person, viewer: ViewerModel, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    person.add_folder(images, monkeypatch)
    person.run()
    person.open_row(0)
    viewer.layers.remove(viewer.layers[1])
    assert not person.widget.form.save_button.isEnabled()
    person.open_row(0)
    assert len(viewer.layers) == 2


def test_results_of_others_are_not_replaced_unless_that_is_ticked(
    person: Person, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (images / "cells").mkdir()
    tifffile.imwrite(images / "cells" / "1.tif", np.zeros((64, 80), np.uint8))
    person.add_folder(images, monkeypatch)

    message = person.run()
    assert "1 output file already exists" in message
    assert message.endswith("tick 'Replace results', or choose another folder for the results.")
    assert person.column(1) == ["new"] * 3

    person.widget.form.replace_box.setChecked(True)
    assert person.run() == "3 of 3 images done, 9 cells."


def test_rows_can_be_removed_before_and_after_they_are_done(
    person: Person, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    person.add_folder(images, monkeypatch)
    person.widget.table.selectRow(1)
    person.press(person.widget.form.remove_button)
    assert person.column(0) == ["0.tif", "2.tif"]
    person.run()
    person.widget.table.selectRow(0)
    person.press(person.widget.form.remove_button)
    person.wait(lambda: len(Queue.read(images / "cells").entries) == 1)
    assert person.column(0) == ["2.tif"]
    assert (images / "cells" / "0.tif").exists()


def test_what_is_missing_is_said(person: Person, images: Path, tmp_path: Path) -> None:
    assert person.run() == "There is no folder for the results; choose one with '…'."
    person.widget.form.choose_folder(tmp_path / "out")
    assert person.run() == "There are no images; add files, a folder or the image layers."
    person.press(person.widget.form.layers_button)
    assert person.widget.panel.message.startswith("There is no image layer; open an image first")


def test_a_model_without_a_file_is_refused(
    person: Person, session: Session, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert session.network is not None
    session.adopt(session.network, "")
    person.add_folder(images, monkeypatch)
    assert person.run().startswith("The model has no file, so that nobody could go on with it")


def test_a_full_disk_ends_the_work_in_one_sentence_and_run_goes_on(
    person: Person, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    person.add_folder(images, monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(tifffile, "imwrite", fill)
        message = person.run()

    assert message.startswith("The disk is full")
    assert message.endswith("0 of 3 images are done; the others wait until you go on.")
    assert person.column(1) == ["waiting"] * 3
    assert person.run() == "3 of 3 images done, 9 cells."


def test_corrections_are_saved_while_the_queue_is_worked_on(
    person: Person,
    viewer: ViewerModel,
    images: Path,
    monkeypatch: pytest.MonkeyPatch,
    engine: Engine,
) -> None:
    person.add_folder(images, monkeypatch)
    person.run()
    person.open_row(0)
    tifffile.imwrite(images / "3.tif", tifffile.imread(images / "0.tif"))
    person.widget.job.list_files([images / "3.tif"])
    person.wait(lambda: person.column(1)[-1] == "new")
    engine.holds_after = 1
    person.press(person.widget.panel.button)
    assert engine.is_held.wait(30)

    viewer.layers[1].data = viewer.layers[1].data * 0
    person.press(person.widget.form.save_button)
    person.wait(lambda: person.column(1)[0] == "corrected")
    engine.go_on.set()
    person.wait(lambda: not person.widget.panel.is_running)

    assert person.column(1) == ["corrected", "done", "done", "done"]
    queue = Queue.read(images / "cells")
    assert [each.outcome.cells for each in queue.entries] == [0, 3, 3, 3]
    assert [row["cells"] for row in rows_of(images / "cells" / "summary.csv")] == list("0333")
