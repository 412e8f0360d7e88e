"""Files of folders are looked at before a training, beside the window, as layers are."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from tifffile import imwrite

from napari_unet.engine.checks.finding import Finding
from napari_unet.engine.images.image import LabelImage
from napari_unet.files import pairs as file_pairs
from napari_unet.widgets.train.widget import TrainWidget


def squares(number_at: Callable[[int], int] = lambda number: number) -> np.ndarray:
    labels = np.zeros((64, 64), np.int32)
    for number, (y, x) in enumerate(np.ndindex(4, 4), start=1):
        labels[y * 16 + 3 : y * 16 + 12, x * 16 + 3 : x * 16 + 12] = number_at(number)
    return labels


class Folders:
    """Two folders, and what is put into them."""

    def __init__(self, root: Path) -> None:
        self.images, self.labels = root / "images", root / "labels"
        self.images.mkdir()
        self.labels.mkdir()

    def put(self, name: str, labels: LabelImage) -> None:
        """An image and its labels."""
        noise = np.arange(labels.size).reshape(labels.shape) % 37
        image = (100 * (labels > 0) + noise).astype(np.uint8)
        imwrite(self.images / f"{name}.tif", image)
        imwrite(self.labels / f"{name}.tif", labels)


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path)


@pytest.fixture
def looked(widget: TrainWidget, folders: Folders, qtbot: QtBot) -> Callable[[], dict[str, Finding]]:
    """Give the folders to the form if it has none, and return what it says of them."""

    def look() -> dict[str, Finding]:
        if not widget.form.pairs.folders:
            widget.form.pairs.add_folders(folders.images, folders.labels)
        qtbot.waitUntil(lambda: not widget.advice.is_busy, timeout=30_000)
        return {each.code: each for each in widget.form.findings.findings}

    return look


Look = Callable[[], dict[str, Finding]]


def test_good_files_are_counted_together(folders: Folders, looked: Look) -> None:
    folders.put("one", squares())
    folders.put("two", squares())
    found = looked()
    assert found["content"].text == "'labels' holds 32 cells in 2 images."
    assert {each.severity for each in found.values()} == {"note"}


def test_masks_in_files_are_a_warning_without_a_click(folders: Folders, looked: Look) -> None:
    folders.put("one", squares(lambda _: 1))
    folders.put("two", squares(lambda _: 1))
    mask = looked()["mask"]
    assert mask.severity == "warning"
    assert mask.text.startswith("'one.tif' is a mask: 16 separate pieces have the one number 1")
    assert "repair them there" in mask.text
    assert mask.text.endswith("There is the same in 1 other image of 'labels'.")
    assert mask.remedy == ""


def test_files_without_a_partner_are_named(folders: Folders, looked: Look) -> None:
    folders.put("one", squares())
    imwrite(folders.images / "other.tif", squares())
    assert looked()["alone-image"].text == (
        "1 image is left out, as no file goes with the name: other.tif."
    )


def test_a_file_that_cannot_be_read_and_folders_without_a_pair_are_errors(
    folders: Folders, looked: Look, widget: TrainWidget, qtbot: QtBot
) -> None:
    folders.put("one", squares())
    (folders.labels / "one.tif").write_bytes(b"no picture")
    refused = looked()["refused"]
    assert refused.severity == "error"
    assert "one.tif" in refused.text
    (folders.labels / "one.tif").unlink()
    imwrite(folders.labels / "two.tif", squares())
    widget.form.input_changed.emit()
    assert "No file in" in looked()["refused"].text


def test_regions_are_refused_for_files(
    folders: Folders, looked: Look, widget: TrainWidget, qtbot: QtBot
) -> None:
    folders.put("one", squares())
    widget.form.unlabelled.buttons["regions"].setChecked(True)
    assert looked()["refused"].text.startswith("Regions are drawn on layers")


def test_files_are_read_again_only_when_they_changed(
    folders: Folders,
    looked: Look,
    widget: TrainWidget,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folders.put("one", squares())
    folders.put("two", squares())
    read: list[str] = []
    read_pairs = file_pairs.read_pairs

    def counted(image: Path, labels: Path, **options: Any) -> Any:
        read.append(labels.name)
        return read_pairs(image, labels, **options)

    monkeypatch.setattr(file_pairs, "read_pairs", counted)
    looked()
    assert sorted(read) == ["one.tif", "two.tif"]
    folders.put("two", squares(lambda _: 1)[:48])
    widget.form.input_changed.emit()
    assert "mask" in looked()
    assert sorted(read) == ["one.tif", "two.tif", "two.tif"]
    # Of what unlabelled pixels mean the files say something else.
    widget.form.unlabelled.buttons["painted"].setChecked(True)
    looked()
    assert sorted(read[3:]) == ["one.tif", "two.tif"]


def test_another_choice_stops_the_look_at_files(
    folders: Folders, widget: TrainWidget, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        folders.put(f"{number}", squares())
    read_pairs, begun, go_on = file_pairs.read_pairs, threading.Event(), threading.Event()
    read: list[str] = []

    def held(image: Path, labels: Path, **options: Any) -> Any:
        read.append(labels.name)
        begun.set()
        assert go_on.wait(20)
        return read_pairs(image, labels, **options)

    monkeypatch.setattr(file_pairs, "read_pairs", held)
    widget.form.pairs.add_folders(folders.images, folders.labels)
    qtbot.waitUntil(begun.is_set, timeout=30_000)
    widget.form.pairs.folder_rows[0].removed.emit()
    go_on.set()
    qtbot.waitUntil(lambda: not widget.advice.is_busy, timeout=30_000)
    assert read == ["0.tif"]
    assert widget.form.findings.texts == []


def test_layers_and_files_are_judged_together(
    folders: Folders, looked: Look, widget: TrainWidget, viewer: ViewerModel
) -> None:
    folders.put("one", squares())
    image = (squares() > 0).astype(np.float32)
    viewer.add_image(image, name="picture")
    viewer.add_labels(np.zeros(image.shape, np.int32), name="picture labels")
    found = looked()
    assert "no-labels" not in found  # the files show cells
    assert "holds no cell" in found["empty"].text
