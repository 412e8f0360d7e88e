"""After a doubtful run another model is offered that fits the image better, with one click."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QPushButton

from napari_unet.engine.models import suggestion
from napari_unet.engine.models.checkpoint import save_checkpoint
from napari_unet.engine.networks.network import Network
from napari_unet.session import Session
from napari_unet.versions import kept_versions
from napari_unet.widgets.segment.widget import SegmentWidget

DIM = "dim cells"
Make = Callable[..., Network]


@pytest.fixture
def session(sure_above: Make, tmp_path: Path) -> Session:
    """Its model doubts what it finds in dim squares; two versions are kept, one of which fits."""
    kept_versions().keep(sure_above(0.25), name=DIM)
    kept_versions().keep(sure_above(0.51), name="no better")
    bright = sure_above(0.5, "bright")
    session = Session()
    session.adopt(bright, str(save_checkpoint(bright, tmp_path / "bright")))
    return session


class Trials:
    """Notes when other models are tried, and holds them up if it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.ended, self.is_held = 0, 0, False
        engine = suggestion.iterate_suggestion

        def reports(*arguments: Any, **options: Any) -> Any:
            self.begun += 1
            try:
                for report in engine(*arguments, **options):
                    yield report
                    while self.is_held:
                        yield report
            finally:
                self.ended += 1

        monkeypatch.setattr(suggestion, "iterate_suggestion", reports)


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> Trials:
    return Trials(monkeypatch)


def doubts(widget: SegmentWidget) -> list[Any]:
    return [each for each in widget.form.concerns.findings if each.code == "doubtful"]


def buttons(widget: SegmentWidget) -> dict[str, QPushButton]:
    found = widget.form.concerns.findChildren(QPushButton)
    return {each.text(): each for each in found if each.isVisible()}


def test_what_fits_better_is_said_and_one_click_chooses_it_and_runs(
    viewer: ViewerModel, person: Any, trials: Trials, dim_squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(dim_squares, name="dim")
    person.run()
    person.wait(lambda: f"Run with {DIM}" in buttons(person.widget))
    (doubt,) = doubts(person.widget)
    assert doubt.text.startswith("Judged by its own scores, this result is not to be trusted")
    assert doubt.text.endswith(f" '{DIM}' fits better: on a part of this image it is 100 % sure.")
    # What size the cells have is not said of things that the model took for cells.
    assert list(buttons(person.widget)) == [f"Run with {DIM}", "Correct cells and train"]
    assert buttons(person.widget)[f"Run with {DIM}"].toolTip().endswith("and run.")

    person.qtbot.mouseClick(buttons(person.widget)[f"Run with {DIM}"], Qt.MouseButton.LeftButton)
    person.wait(lambda: len(person.results) == 2 and not person.widget.panel.is_running)

    assert person.widget.model_choice.box.currentText().startswith(DIM)
    assert [layer.name for layer in person.results] == ["dim: bright", f"dim: {DIM}"]
    assert person.cells_in(person.results[1].data) == {1, 2, 3, 4}
    assert doubts(person.widget) == []
    assert (trials.begun, trials.ended) == (1, 1)


def test_nothing_is_tried_before_a_run_and_after_one_without_doubt(
    viewer: ViewerModel, person: Any, trials: Trials, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(squares)

    person.run()

    assert person.cells_in(person.result.data) == {1, 2, 3}
    assert doubts(person.widget) == []
    assert trials.begun == 0


def test_the_cells_are_there_before_other_models_are_tried(
    viewer: ViewerModel, person: Any, trials: Trials, dim_squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(dim_squares)
    trials.is_held = True

    person.run()
    person.wait(lambda: trials.begun == 1)

    assert person.cells_in(person.result.data) == {1, 2, 3, 4}
    assert person.result.editable
    assert person.widget.panel.button.text() == "Run"
    assert list(buttons(person.widget)) == ["Correct cells and train"]


@pytest.mark.parametrize(
    "act",
    [
        lambda person: person.click(),
        lambda person: person.widget.stop(),
        lambda person: person.viewer.add_image(np.zeros((8, 8)), name="another"),
        lambda person: person.widget.close(),
    ],
    ids=["Run", "stop", "another image", "close"],
)
def test_a_trial_ends_with_what_it_was_for(
    viewer: ViewerModel,
    person: Any,
    trials: Trials,
    dim_squares: NDArray[np.uint8],
    act: Callable[[Any], Any],
) -> None:
    viewer.add_image(dim_squares)
    trials.is_held = True
    person.run()
    person.wait(lambda: trials.begun == 1)

    act(person)

    person.wait(lambda: trials.ended >= 1)
    assert not any(text.startswith("Run with") for text in buttons(person.widget))


def test_without_a_model_that_fits_the_way_to_training_stays(
    viewer: ViewerModel, person: Any, trials: Trials, dim_squares: NDArray[np.uint8]
) -> None:
    for version in kept_versions().versions():
        if version.name == DIM:
            kept_versions().delete(version)
    viewer.add_image(dim_squares)

    person.run()
    person.wait(lambda: trials.ended == 1)

    person.wait(lambda: not person.widget.advice.is_searching)
    assert "fits better" not in doubts(person.widget)[0].text
    assert list(buttons(person.widget)) == ["Correct cells and train"]


def test_a_second_model_is_left_out_by_the_click(
    viewer: ViewerModel, person: Any, dim_squares: NDArray[np.uint8], sure_above: Make
) -> None:
    other = kept_versions().keep(sure_above(0.51), name="second")
    viewer.add_image(dim_squares, name="dim")
    better = person.widget.form.better
    better.choose_second(other.source)
    person.wait(lambda: better.second is not None)
    person.run()
    person.wait(lambda: f"Run with {DIM}" in buttons(person.widget))

    person.qtbot.mouseClick(buttons(person.widget)[f"Run with {DIM}"], Qt.MouseButton.LeftButton)
    person.wait(lambda: len(person.results) == 2 and not person.widget.panel.is_running)

    assert better.second is None
    assert person.results[1].name == f"dim: {DIM}"


def test_the_size_of_what_the_other_model_took_for_cells_is_told_no_more(
    viewer: ViewerModel,
    person: Any,
    session: Session,
    trials: Trials,
    dim_squares: NDArray[np.uint8],
    sure_above: Make,
) -> None:
    session.adopt(sure_above(0.5, object_diameter_px=60.0), "")
    viewer.add_image(dim_squares)
    trials.is_held = True
    person.run()
    person.wait(lambda: trials.begun == 1)
    size = "the model learned on 60"
    assert [text for text in person.widget.form.concerns.texts if size in text]

    trials.is_held = False

    person.wait(lambda: f"Run with {DIM}" in buttons(person.widget))
    assert not [text for text in person.widget.form.concerns.texts if size in text]
