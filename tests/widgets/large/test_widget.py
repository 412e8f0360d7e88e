"""The Large images widget: a layer's file is segmented in blocks, here or by workers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from qtpy.QtCore import Qt

from napari_unet.cli import main
from napari_unet.engine.base.errors import ClusterError
from napari_unet.engine.blocks import growing
from napari_unet.engine.cluster import clusters
from napari_unet.engine.cluster.crew import Crew, CrewFacts
from napari_unet.engine.cluster.hands import OneProcess
from napari_unet.files.images import read_labels
from napari_unet.viewer import worker
from napari_unet.widgets.segment.widget import SegmentWidget

FACTS = CrewFacts(3, 12, 0, {"napari-unet-cells": "1.2", "torch": "2.6"}, "http://there:8787")


def test_labels_lie_beside_the_image_and_over_it(
    person: Any, image: Path, square_labels: NDArray[np.int32]
) -> None:
    layer = person.open(image)
    layer.scale, layer.translate = (0.5, 0.5), (3, 4)

    out = image.with_name("slide_labels.ome.zarr")
    assert person.run() == f"3 cells, in '{out}'."
    (labels,) = person.labels
    np.testing.assert_array_equal(labels.data, square_labels)
    np.testing.assert_array_equal(read_labels(out).array, square_labels)
    assert labels.name == "slide: threshold"
    np.testing.assert_allclose(labels.scale, layer.scale)
    np.testing.assert_allclose(labels.translate, layer.translate)
    assert labels.metadata["napari_unet"]["cells"] == 3
    assert not out.with_name(f"{out.name}.unfinished").exists()

    assert (
        "exists already; choose another name, or allow replacing it (tick 'Replace" in person.run()
    )
    person.form.replace_box.setChecked(True)
    assert person.run() == f"3 cells, in '{out}'."


def test_cells_are_seen_while_it_runs_and_a_stopped_run_goes_on(
    person: Any,
    image: Path,
    squares: NDArray[np.uint8],
    square_labels: NDArray[np.int32],
    held: Callable[[str], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(growing, "_PLANE_PX", 400)
    person.open(image)
    engine = held("labels")
    person.press()
    person.wait(lambda: engine.is_held.is_set() and bool(person.labels))

    (labels,) = person.labels
    assert labels.name == "slide: threshold (so far)"
    assert labels.multiscale
    np.testing.assert_array_equal(labels.data[1], (squares > 100)[::4, ::4])
    # Nobody is offered what is not yet whole.
    assert person.widget.form.layer_choice.offered == [person.viewer.layers["slide"]]

    person.press()
    assert not person.panel.is_running
    assert person.panel.message.startswith("Stopped.")
    engine.go_on.set()
    out = image.with_name("slide_labels.ome.zarr")
    person.wait(lambda: not any(each.has_thread for each in worker._running))
    folder = out.with_name(f"{out.name}.unfinished")
    (scores,) = (folder / "work" / "scores").glob("*.npz")
    before = scores.stat().st_mtime_ns

    engine = held("labels")
    person.press()
    person.wait(engine.is_held.is_set)
    assert scores.stat().st_mtime_ns == before
    engine.go_on.set()
    person.wait(lambda: not person.panel.is_running)
    assert person.panel.message == f"3 cells, in '{out}'."
    (labels,) = person.labels
    np.testing.assert_array_equal(labels.data, square_labels)


class Team(Crew):
    """Workers that are this process, and are lost at a stage."""

    def __init__(self, loses_at: str = "") -> None:
        self.loses_at = loses_at

    def facts(self) -> CrewFacts:
        return FACTS

    def ask(self, function: Callable[[], Any]) -> dict[str, Any]:
        return {"tcp://worker:1": function()}

    def done(self, stage: str, task: Callable[[Any], Any], items: Any) -> Any:
        if stage == self.loses_at:
            raise ClusterError("The scheduler at tcp://there:8786 has had no worker for 60 s.")
        return OneProcess().done(stage, task, items)


def test_workers_elsewhere_do_it_and_when_they_are_lost_it_goes_on_later(
    person: Any, tmp_path: Path, two_channels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teams = [Team("labels"), Team()]
    monkeypatch.setattr(clusters, "crew_at", lambda *_, **__: nullcontext(teams.pop(0)))
    person.open(two_channels)
    person.form.place_box.choose_value("elsewhere")
    person.form.address_edit.setText("tcp://there:8786")
    shown: list[str] = []
    monkeypatch.setattr(person.form, "show_crew", lambda facts: shown.append(facts.dashboard))

    assert person.run() == "The scheduler at tcp://there:8786 has had no worker for 60 s."
    assert shown == ["http://there:8787"]
    work = tmp_path / "cells_labels.ome.zarr.unfinished" / "work"
    assert len(list((work / "scores").glob("*.npz"))) == 1
    assert person.run().startswith("3 cells, in ")
    assert teams == []
    assert not work.exists()


def test_a_channel_of_an_ome_zarr_is_segmented_as_the_command_does(
    person: Any, tmp_path: Path, two_channels: Path, squares: NDArray[np.uint8]
) -> None:
    person.open(two_channels)
    person.wait(lambda: person.form.channel == 2)
    person.viewer.layers.selection.active = person.viewer.layers[0]
    person.wait(lambda: person.form.channel == 1)

    message = person.run()
    assert message.startswith("3 cells, in ")
    (labels,) = person.labels
    assert set(np.unique(labels.data[squares[::-1] < 100])) == {0}
    np.testing.assert_allclose(labels.scale, (0.5, 0.5))

    other = tmp_path / "by command.ome.zarr"
    person.form.out_edit.setText(str(other))
    words = person.copied()
    assert words[:5] == ["napari-unet", "segment", str(two_channels), "-o", str(other)]
    assert words[-2:] == ["--channel", "1"]
    assert main(words[1:]) == 0
    np.testing.assert_array_equal(read_labels(other).array, labels.data)


def test_the_segment_form_is_opened_once_however_long_its_model_loads(
    person: Any, image: Path, widget: SegmentWidget
) -> None:
    person.open(image)
    loading, opened = [True, True, True], []

    class Loading:
        @property
        def is_loading(self) -> bool:
            return bool(loading and loading.pop())

    slow = SimpleNamespace(model_choice=Loading(), batch_settings=widget.batch_settings)
    person.widget._segment_form = lambda: opened.append(1) or slow

    assert person.run().startswith("3 cells, in ")
    assert (loading, opened) == ([], [1])


def test_a_scheduler_shows_its_workers_or_one_sentence_says_that_it_does_not_answer(
    person: Any, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, float]] = []

    @contextmanager
    def crew_at(address: str, *, patience_s: float = 60, cancel: Any = None) -> Iterator[Any]:
        asked.append((address, patience_s))
        if "there" not in address:
            raise ClusterError(f"No scheduler answers at '{address}'.")
        yield SimpleNamespace(facts=lambda: FACTS)

    monkeypatch.setattr(clusters, "crew_at", crew_at)
    person.open(image)
    form = person.form
    form.place_box.choose_value("elsewhere")
    assert not form._elsewhere.isHidden()
    assert "no address of a scheduler" in person.run()

    def connect(address: str) -> None:
        form.address_edit.setText(address)
        person.qtbot.mouseClick(form.connect_button, Qt.MouseButton.LeftButton)
        person.wait(form.connect_button.isEnabled)

    connect("tcp://nowhere:1")
    assert person.panel.message == "No scheduler answers at 'tcp://nowhere:1'."
    connect("tcp://there:8786")
    assert form.crew.message == "3 workers with 12 threads; napari-unet-cells 1.2, torch 2.6."
    assert "http://there:8787" in form.dashboard.text()
    assert asked[-1] == ("tcp://there:8786", 5.0)

    assert person.copied()[-2:] == ["--scheduler", "tcp://there:8786"]
    form.place_box.choose_value("workers")
    assert person.copied()[-2:] == ["--workers", "2"]


def test_what_cannot_be_segmented_in_blocks_is_told(
    person: Any, image: Path, squares: NDArray[np.uint8]
) -> None:
    assert "no image layer" in person.run()
    person.viewer.add_image(squares, name="made here")
    assert "Layer 'made here' comes from no file" in person.run()
    person.viewer.layers.clear()

    person.open(image)
    person.form.out_edit.setText(str(image.with_name("cells.tif")))
    assert "give a name that ends in .ome.zarr" in person.run()
    person.form.out_edit.setText(str(image.with_name("cells.ome.zarr")))
    tifffile.imwrite(image, squares[:32])
    message = person.run()
    assert message.startswith(f"Layer 'slide' has 64 x 80 pixels, and its file '{image}' 32 x 80;")
    assert [each.name for each in image.parent.glob("cells*")] == []
