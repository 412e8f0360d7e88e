"""Cells follow the thresholds at once, without the network and never over an edit."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from numpy.typing import NDArray

from napari_unet.engine.base.settings import InstanceSettings
from napari_unet.engine.labels.cell_list import list_cells
from napari_unet.engine.segmentation.planes import PlaneScores
from napari_unet.viewer.cells.cell_scores import cell_scores_of
from napari_unet.widgets.segment import runs


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Whoever asks the network from now on fails."""

    def forbid() -> None:
        def refuse(*_: Any, **__: Any) -> None:
            raise AssertionError("the network was asked")

        monkeypatch.setattr("napari_unet.engine.segmentation.segmentation.iterate_planes", refuse)
        monkeypatch.setattr("napari_unet.engine.segmentation.predictor.predict_tiles", refuse)
        monkeypatch.setattr("napari_unet.engine.segmentation.bands.BandedUNet.__call__", refuse)

    return forbid


def test_thresholds_change_the_labels_without_the_network_and_the_count_follows(
    viewer: ViewerModel, person: Any, faint: NDArray[np.float32], no_network: Any
) -> None:
    viewer.add_image(faint)
    assert person.run().startswith("3 cells")
    labels = person.result
    bright, middle = labels.data[6, 6], labels.data[6, 31]
    no_network()

    assert person.set("foreground_threshold", 0.65) == "2 cells with these settings."
    assert person.cells_in(labels.data) == {bright, middle}
    assert person.set("foreground_threshold", 0.8) == "1 cell with these settings."
    assert person.cells_in(labels.data) == {bright}

    assert person.set("foreground_threshold", 0.5) == "3 cells with these settings."

    assert labels.data[6, 6] == bright
    assert np.array_equal(labels.data > 0, faint > 0.5)
    assert not {labels.data[6, 31], labels.data[41, 61]} & {bright}
    made = labels.metadata["napari_unet"]
    assert (made["cells"], made["instances"]["foreground_threshold"]) == (3, 0.5)


def test_score_and_doubt_of_each_cell_are_kept_and_follow_the_thresholds(
    viewer: ViewerModel, person: Any, faint: NDArray[np.float32]
) -> None:
    viewer.add_image(np.stack([faint, faint]))
    person.choose("stack")
    person.run()
    labels = person.result
    cells = list_cells(labels.data)
    known = cell_scores_of(labels)
    assert known is not None
    assert known.numbers.tolist() == cells.numbers.tolist()
    planes = [plane for _, plane in person.widget.live.kept.planes]
    background = np.stack([p.scores[p.class_roles.index("background")] for p in planes])
    wanted = [1 - float(background[labels.data == number].mean()) for number in cells.numbers]
    assert known.columns_of(cells)["score"] == pytest.approx(wanted)

    person.set("foreground_threshold", 0.65)
    now = list_cells(labels.data)
    assert now.numbers.size < cells.numbers.size
    known = cell_scores_of(labels)
    assert known is not None
    assert not np.isnan(known.columns_of(now)["score"]).any()

    labels.data_setitem(tuple(np.array([n]) for n in np.argwhere(labels.data > 0)[0]), 0)
    changed = known.columns_of(list_cells(labels.data))["score"]
    assert np.isnan(changed).sum() == 1


def test_a_cell_that_grows_beyond_the_part_that_was_segmented_is_told(
    viewer: ViewerModel, person: Any
) -> None:
    image = np.zeros((64, 640), np.float32)
    image[20:40, 10:30] = 1
    image[20:40, 30:600] = 0.49  # of which the network's score is 0.4
    viewer.add_image(image)
    person.choose("view")
    person.look_at((15, 5), (45, 35))
    assert person.run().startswith("1 cell ")

    assert person.set("foreground_threshold", 0.6) == "1 cell with these settings."
    assert person.set("foreground_threshold", 0.3) == (
        "1 cell with these settings. Some go on beyond the part that was segmented; Run again to "
        "have them whole."
    )


@pytest.mark.parametrize(
    ("name", "value", "cells"),
    [
        ("min_size_px", 101, 0),
        ("min_size_px", 100, 3),
        ("min_score", 0.9, 1),
        ("min_score", 0.65, 2),
        ("drop_border_cells", True, 3),
    ],
)
def test_each_setting_of_the_cells_is_followed(
    viewer: ViewerModel,
    person: Any,
    faint: NDArray[np.float32],
    no_network: Any,
    name: str,
    value: Any,
    cells: int,
) -> None:
    viewer.add_image(faint)
    person.run()
    no_network()

    person.set(name, value)

    assert len(person.cells_in(person.result.data)) == cells


def test_separation_of_touching_cells_and_holes_are_followed(
    viewer: ViewerModel, person: Any, no_network: Any
) -> None:
    image = np.zeros((32, 32), np.float32)
    image[5:15, 5:25] = 1
    image[5:15, 14:16] = 0.51
    image[9:11, 8:10] = 0
    viewer.add_image(image)
    person.set("seed_threshold", 0.9)
    assert person.run().startswith("2 cells")
    labels = person.result.data
    assert labels[9, 9]
    no_network()

    assert person.set("separate_touching", False) == "1 cell with these settings."
    person.set("fill_holes", False)
    assert not labels[9, 9]


def test_cells_of_a_whole_stack_follow(
    viewer: ViewerModel, person: Any, faint: NDArray[np.float32], no_network: Any
) -> None:
    viewer.add_image(np.stack([faint, faint, faint]))
    person.choose("stack")
    assert person.run().startswith("9 cells")
    before = person.result.data.copy()
    no_network()

    assert person.set("foreground_threshold", 0.65) == "6 cells with these settings."

    after = person.result.data
    assert np.array_equal(after, np.where(np.stack([faint] * 3) > 0.515, before, 0))


def test_a_slider_leaves_edited_labels_alone_and_says_so(
    viewer: ViewerModel, person: Any, faint: NDArray[np.float32], edit: Any
) -> None:
    viewer.add_image(faint)
    person.run()
    labels = person.result
    edit(labels)
    kept = labels.data.copy()

    message = person.set("foreground_threshold", 0.65)

    assert message == (
        "The labels were edited, so they stay as they are; Run puts the cells with these "
        "settings into a new layer."
    )
    assert np.array_equal(labels.data, kept)
    person.run()
    first, second = person.results
    assert np.array_equal(first.data, kept)
    assert len(person.cells_in(second.data)) == 2


def test_of_a_stack_a_slider_leaves_the_edited_slices_alone(
    viewer: ViewerModel, person: Any, faint: NDArray[np.float32]
) -> None:
    viewer.add_image(np.stack([faint, faint, faint]))
    person.choose("stack")
    person.run()
    labels = person.result
    labels.data[1, 30, 20] = 99
    kept = labels.data[1].copy()

    message = person.set("foreground_threshold", 0.65)

    # Two and two, and the four of the slice with the painted dot.
    assert message == "8 cells with these settings. 1 slice was edited and left alone."
    assert np.array_equal(labels.data[1], kept)
    assert [len(person.cells_in(plane)) for plane in labels.data] == [2, 4, 2]


def test_a_stroke_in_the_middle_of_a_change_is_kept(
    viewer: ViewerModel,
    person: Any,
    faint: NDArray[np.float32],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from napari_unet.engine.segmentation.planes import PlaneScores

    viewer.add_image(faint)
    person.run()
    labels = person.result
    compute = PlaneScores.labels

    def paint_meanwhile(plane: Any, instances: InstanceSettings) -> Any:
        labels.data[30, 20] = 99
        return compute(plane, instances)

    monkeypatch.setattr(PlaneScores, "labels", paint_meanwhile)

    message = person.set("foreground_threshold", 0.65)

    assert message.startswith("The labels were edited, so they stay as they are;")
    assert labels.data[30, 20] == 99
    assert len(person.cells_in(labels.data)) == 4


def test_a_slider_moved_while_it_runs_counts_at_the_end(
    viewer: ViewerModel, person: Any, engine: Any, faint: NDArray[np.float32]
) -> None:
    viewer.add_image(faint)
    engine.holds_after = 1
    person.click()
    person.wait(engine.is_held.is_set)

    person.widget.form.common.fields["foreground_threshold"].setValue(0.65)
    engine.go_on.set()
    person.wait(lambda: person.message == "2 cells with these settings.")

    assert len(person.cells_in(person.result.data)) == 2


@pytest.fixture
def slow_changes(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let the cells of each slice take a while from now on, on however fast a machine."""
    made = PlaneScores.labels

    def labels(plane: PlaneScores, instances: InstanceSettings) -> NDArray[np.int32]:
        time.sleep(0.1)
        return made(plane, instances)

    return lambda: monkeypatch.setattr(PlaneScores, "labels", labels)


def test_a_run_while_a_change_is_under_way_goes_into_the_same_layer(
    viewer: ViewerModel,
    person: Any,
    faint: NDArray[np.float32],
    slow_changes: Callable[[], None],
) -> None:
    viewer.add_image(np.stack([faint] * 8))
    person.choose("stack")
    person.run()
    slow_changes()
    labels = person.result
    done: list[Any] = []
    labels.events.set_data.connect(lambda _: done.append(None))

    person.widget.form.common.fields["foreground_threshold"].setValue(0.65)
    person.wait(lambda: bool(done))
    assert person.widget.live.is_busy
    assert person.run().startswith("16 cells")

    assert person.result is labels


def test_a_change_cut_short_is_noted_in_the_layer(
    viewer: ViewerModel,
    person: Any,
    faint: NDArray[np.float32],
    slow_changes: Callable[[], None],
) -> None:
    viewer.add_image(np.stack([faint] * 8))
    person.choose("stack")
    person.run()
    slow_changes()
    labels = person.result
    done: list[Any] = []
    labels.events.set_data.connect(lambda _: done.append(None))
    person.widget.form.common.fields["foreground_threshold"].setValue(0.65)
    person.wait(lambda: bool(done))

    person.widget.close()

    assert labels.metadata["napari_unet"]["stopped"]


def test_of_many_changes_in_a_row_the_last_one_counts(
    viewer: ViewerModel, person: Any, faint: NDArray[np.float32]
) -> None:
    viewer.add_image(faint)
    person.run()
    slider = person.widget.form.common.fields["foreground_threshold"]

    for value in (0.9, 0.55, 0.8, 0.65, 0.9, 0.65):
        slider.setValue(value)

    assert person.wait_for_the_end() == "2 cells with these settings."
    assert np.array_equal(person.result.data > 0, faint > 0.515)


def test_another_model_ends_it(
    viewer: ViewerModel, person: Any, session: Any, stack_network: Any, faint: NDArray[np.float32]
) -> None:
    viewer.add_image(faint)
    person.run()
    kept = person.result.data.copy()

    session.adopt(stack_network, "")

    # Nothing is told of other cells, and the message was about the model before.
    assert person.set("foreground_threshold", 0.9) == ""
    assert np.array_equal(person.result.data, kept)


def test_another_model_that_comes_while_it_runs_does_not_change_its_cells(
    viewer: ViewerModel,
    person: Any,
    engine: Any,
    session: Any,
    stack_network: Any,
    faint: NDArray[np.float32],
) -> None:
    viewer.add_image(faint)
    person.set("foreground_threshold", 0.65)
    engine.holds_after = 1
    person.click()
    person.wait(engine.is_held.is_set)

    session.adopt(stack_network, "")
    engine.go_on.set()
    message = person.wait_for_the_end()

    assert message.startswith("2 cells in")
    assert person.set("foreground_threshold", 0.9) == message
    assert len(person.cells_in(person.result.data)) == 2


def test_scores_that_take_too_much_memory_are_not_kept_and_it_says_so(
    viewer: ViewerModel,
    person: Any,
    faint: NDArray[np.float32],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runs, "MEMORY_SHARE_OF_SCORES", 0.0)
    viewer.add_image(faint)

    message = person.run()

    assert message.endswith(
        "The scores take too much memory to be kept, so changed thresholds need another Run."
    )
    assert person.set("foreground_threshold", 0.65) == message
    assert len(person.cells_in(person.result.data)) == 3
