"""The loaded model written for other programs: asked for, shown while it runs, stopped, told."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QPushButton, QWidget

from napari_unet.engine.export import export
from napari_unet.engine.export.export import Export, ExportReport, export_formats
from napari_unet.engine.export.settings import ExportSettings
from napari_unet.engine.networks.network import Network
from napari_unet.session import Session
from napari_unet.viewer import worker
from napari_unet.widgets.model.export_dialog import ExportDialog
from napari_unet.widgets.model.export_job import ExportJob
from napari_unet.widgets.shared.image_layers import SelectedImage


class Exporter:
    """Stands in for the engine: two stages, between which it can be held up."""

    def __init__(self) -> None:
        self.asked: dict[str, Any] = {}
        self.go_on = threading.Event()
        self.go_on.set()

    def iterate_export(self, network: Network, path: Path, **options: Any) -> Iterator[Any]:
        self.asked = {"network": network, "path": path, **options}
        yield ExportReport("translating the network to ONNX", 0, 2)
        while not self.go_on.wait(0.01):
            torch.zeros(1)  # where a stop is noticed
        yield ExportReport("writing the file", 1, 2)
        yield ExportReport("", 2, 2, Export(path, (), ("It gives the same output.",)))


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[Exporter]:
    exporter = Exporter()
    monkeypatch.setattr(export, "iterate_export", exporter.iterate_export)
    # Whatever is installed here.
    formats = tuple(replace(each, modules=()) for each in export_formats())
    monkeypatch.setattr(export, "export_formats", lambda: formats)
    yield exporter
    exporter.go_on.set()


@pytest.fixture
def owner(qtbot: QtBot) -> QWidget:
    owner = QWidget()
    qtbot.addWidget(owner)
    return owner


@pytest.fixture
def job(viewer: ViewerModel, session: Session, owner: QWidget) -> Iterator[ExportJob]:
    button = QPushButton(owner)
    job = ExportJob(viewer, session, SelectedImage(viewer, owner), button)
    owner.show()
    yield job
    job.stop()
    assert worker.stop_all()


@pytest.fixture
def told(job: ExportJob) -> list[str]:
    told: list[str] = []
    job.told.connect(told.append)
    job.failed.connect(lambda error: told.append(f"failed: {error}"))
    return told


def click(job: ExportJob, qtbot: QtBot) -> None:
    qtbot.mouseClick(job._button, Qt.MouseButton.LeftButton)


def ask(job: ExportJob, qtbot: QtBot) -> ExportDialog:
    click(job, qtbot)
    qtbot.waitUntil(lambda: job.dialog is not None and not job.is_running, timeout=20_000)
    assert job.dialog is not None
    return job.dialog


def answer(dialog: ExportDialog, file: Path | str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Press the button and choose a file; return what the second dialog began with."""
    began: list[str] = []

    def choose(_parent: Any, _title: str, start: str, *_: str) -> tuple[str, str]:
        began.append(start)
        return str(file), ""

    monkeypatch.setattr(QFileDialog, "getSaveFileName", choose)
    dialog.save_button.click()
    return began


def choose_format(dialog: ExportDialog, name: str) -> None:
    dialog.format_box.setCurrentIndex(dialog.format_box.findData(name))


def test_the_dialog_says_for_whom_each_format_is(
    job: ExportJob, exporter: Exporter, qtbot: QtBot
) -> None:
    dialog = ask(job, qtbot)

    assert dialog.purpose.message.startswith("For Fiji")
    assert dialog.licence_box.isVisible()
    choose_format(dialog, "onnx")
    assert "without PyTorch" in dialog.purpose.message
    assert not dialog.licence_box.isVisible()


def test_a_package_is_written_with_what_was_filled_in(
    job: ExportJob,
    session: Session,
    exporter: Exporter,
    told: list[str],
    tmp_path: Path,
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dialog = ask(job, qtbot)
    dialog.licence_box.setCurrentText("CC-BY-4.0")
    dialog.authors_line.setText("Ada Lovelace, Alan Turing ,")
    file = tmp_path / "mine.zip"

    began = answer(dialog, file, monkeypatch)
    qtbot.waitUntil(lambda: not job.is_running, timeout=20_000)

    assert Path(began[0]).name == "threshold.zip"
    assert exporter.asked["network"] is session.network
    assert exporter.asked["format"] == "bioimageio"
    assert exporter.asked["image"] is None
    assert exporter.asked["overwrite"] is True
    assert exporter.asked["settings"] == ExportSettings(
        "CC-BY-4.0", ("Ada Lovelace", "Alan Turing")
    )
    assert told == [
        "Exporting …",
        "Exporting: translating the network to ONNX (1 of 2) …",
        "Exporting: writing the file (2 of 2) …",
        f"Exported as '{file}'. It gives the same output.",
    ]
    assert job._button.text() == "Export…"


def test_a_part_of_the_image_goes_along_only_if_that_is_ticked(
    job: ExportJob,
    viewer: ViewerModel,
    exporter: Exporter,
    tmp_path: Path,
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = np.arange(300 * 400, dtype=np.float32).reshape(300, 400)
    viewer.add_image(image, name="cells")
    dialog = ask(job, qtbot)
    assert dialog.image_box.text() == "Show a part of 'cells' in it"
    dialog.image_box.setChecked(True)

    answer(dialog, tmp_path / "mine.zip", monkeypatch)
    qtbot.waitUntil(lambda: not job.is_running, timeout=20_000)

    assert np.array_equal(exporter.asked["image"], image[np.newaxis, 22:278, 72:328])


def test_a_name_that_is_none_is_told(
    job: ExportJob, exporter: Exporter, told: list[str], qtbot: QtBot, monkeypatch: Any
) -> None:
    dialog = ask(job, qtbot)
    dialog.citations_line.setText("a paper")

    answer(dialog, "", monkeypatch)

    assert told == [
        "failed: The citation is 'a paper'; give a DOI, such as 10.1007/978-3-319-24574-4_28."
    ]
    assert exporter.asked == {}


def test_stop_ends_it_and_says_that_nothing_was_written(
    job: ExportJob,
    exporter: Exporter,
    told: list[str],
    tmp_path: Path,
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exporter.go_on.clear()
    answer(ask(job, qtbot), tmp_path / "mine.zip", monkeypatch)
    qtbot.waitUntil(lambda: "translating" in told[-1], timeout=20_000)
    assert job._button.text() == "Stop"

    click(job, qtbot)

    assert told[-1] == "Stopped; nothing was written."
    assert job._button.text() == "Export…"


def test_leaving_either_dialog_writes_nothing(
    job: ExportJob, exporter: Exporter, told: list[str], qtbot: QtBot, monkeypatch: Any
) -> None:
    ask(job, qtbot).reject()
    answer(ask(job, qtbot), "", monkeypatch)

    assert told == []
    assert exporter.asked == {}


def test_what_is_not_installed_is_named_with_what_to_install(owner: QWidget, qtbot: QtBot) -> None:
    missing = tuple(replace(each, modules=("no_such_module",)) for each in export_formats())
    dialog = ExportDialog(missing, "", "", owner)
    qtbot.addWidget(dialog)
    dialog.show()

    assert 'pip install "napari-unet-cells[bioimageio,onnx]"' in dialog.missing.message
    assert not dialog.save_button.isEnabled()
    assert not dialog.image_box.isVisible()


def test_a_ready_made_network_is_passed_on_as_it_is(
    job: ExportJob, session: Session, ready_made_network: Network, told: list[str], qtbot: QtBot
) -> None:
    session.adopt(ready_made_network, "/models/ready.pt")

    click(job, qtbot)

    (sentence,) = told
    assert sentence.endswith("pass on the file that it came in: '/models/ready.pt'.")
    assert not job.is_running


def test_the_engine_itself_writes_the_weights_of_a_foreign_network(
    job: ExportJob,
    session: Session,
    foreign_network: Network,
    told: list[str],
    tmp_path: Path,
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session.adopt(foreign_network, "foreign.pth")
    dialog = ask(job, qtbot)
    choose_format(dialog, "state-dict")

    answer(dialog, tmp_path / "weights.pt", monkeypatch)
    qtbot.waitUntil(lambda: not job.is_running, timeout=20_000)

    assert told[-1].startswith(f"Exported as '{tmp_path / 'weights.pt'}' and 'weights.json'.")
    weights = torch.load(tmp_path / "weights.pt", weights_only=True)
    assert set(weights) == set(foreign_network.unet.author_weights())
    assert json.loads((tmp_path / "weights.json").read_text())
