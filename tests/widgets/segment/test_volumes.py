"""Stacks in the form: discs, linked cells, cells from three directions, and the way between."""

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from numpy.typing import NDArray
from qtpy.QtWidgets import QPushButton

from napari_unet.engine.labels.cell_list import list_cells
from napari_unet.engine.labels.linking.slices import link_slices
from napari_unet.engine.labels.measurements import measure_cells
from napari_unet.script.segmentation import command_line, python_lines
from napari_unet.viewer.cells.cell_scores import cell_scores_of


@pytest.fixture
def boxes() -> NDArray[np.uint8]:
    """A cell in all of 6 slices, and two above each other with two slices between; 64 x 80."""
    rng = np.random.default_rng(0)
    stack = rng.integers(10, 30, (6, 64, 80), np.uint8)
    stack[:, 5:15, 5:15] = 200
    stack[:2, 40:50, 60:70] = stack[4:, 40:50, 60:70] = 200
    return stack


def whole_cells(boxes: NDArray[np.uint8]) -> NDArray[np.int32]:
    """The cells of `boxes`, linked."""
    beside = np.arange(80) > 30
    return link_slices(np.where(boxes > 100, 1 + beside, 0))


def offered(person: Any) -> list[str]:
    choice = person.widget.form.volume_choice
    return [choice.itemText(n) for n in range(choice.count())]


def choose_volume(person: Any, volume: str) -> str:
    person.widget.form.volume_choice.choose(volume)
    assert person.widget.form.volume_choice.volume == volume
    return str(person.wait_for_the_end())


def test_whole_cells_are_offered_for_every_slice_of_a_stack_alone(
    viewer: ViewerModel, person: Any, boxes: NDArray[np.uint8]
) -> None:
    choice = person.widget.form.volume_choice
    viewer.add_image(boxes, name="stack")
    assert not choice.isVisible()

    person.choose("stack")

    assert choice.isVisible()
    assert offered(person) == ["A disc in each slice", "Linked discs", "From three directions"]
    assert not person.widget.form.linking.isVisible()
    choice.choose("linked")
    assert person.widget.form.linking.isVisible()
    # Frames of a movie are not slices of a volume.
    viewer.add_image(boxes, name="movie", axis_labels=("t", "y", "x"))
    assert person.widget.form.extent_choice.extent == "stack"
    assert offered(person) == []
    assert not person.widget.form.linking.isVisible()


def test_linked_cells_have_one_number_and_are_measured_in_3d(
    viewer: ViewerModel, person: Any, boxes: NDArray[np.uint8]
) -> None:
    viewer.add_image(boxes, name="stack")
    person.choose("stack")
    choose_volume(person, "linked")

    assert person.run().startswith("3 cells in 'stack'")

    labels = person.result
    np.testing.assert_array_equal(labels.data, whole_cells(boxes))
    assert labels.metadata["napari_unet"]["settings"]["volume"] == "linked"
    assert labels.metadata["napari_unet"]["cells"] == 3
    known = cell_scores_of(labels)
    assert np.isfinite(known.known_of(list_cells(labels.data)).scores).all()
    assert list(measure_cells(labels.data)["volume_px3"]) == [600, 200, 200]


def test_discs_come_with_the_offer_and_one_click_links_them_without_the_network(
    viewer: ViewerModel, person: Any, engine: Any, boxes: NDArray[np.uint8]
) -> None:
    viewer.add_image(boxes, name="stack")
    person.choose("stack")
    assert person.run().startswith("10 cells in 'stack'")
    concerns = person.widget.form.concerns
    person.wait(lambda: any("These are 10 discs" in text for text in concerns.texts))
    assert not any("segmented by itself" in text for text in concerns.texts)
    assert any("slices overlap they are 3 cells." in text for text in concerns.texts)
    discs = person.result.data.copy()
    (button,) = [b for b in concerns.findChildren(QPushButton) if b.text() == "Link the slices"]

    button.click()

    assert person.wait_for_the_end() == "3 cells with these settings."
    assert len(engine.runs) == 1
    labels = person.result
    assert person.cells_in(labels.data) <= person.cells_in(discs)
    assert len(person.cells_in(labels.data)) == 3
    assert labels.metadata["napari_unet"]["settings"]["volume"] == "linked"
    person.wait(lambda: not any("disc" in text for text in concerns.texts))
    # And back.
    assert choose_volume(person, "slices") == "10 cells with these settings."
    assert len(person.cells_in(labels.data)) == 10


def test_thresholds_and_overlap_act_on_linked_cells_at_once(
    viewer: ViewerModel, person: Any, faint: NDArray[np.float32]
) -> None:
    viewer.add_image(np.stack([faint, faint, faint]))
    person.choose("stack")
    choose_volume(person, "linked")
    assert person.run().startswith("3 cells")

    assert person.set("foreground_threshold", 0.65) == "2 cells with these settings."
    assert person.set("foreground_threshold", 0.5) == "3 cells with these settings."

    person.result.data[0] = np.roll(person.result.data[0], 1)
    assert "were edited, so they stay" in person.set("foreground_threshold", 0.8)


def test_another_run_gives_linked_cells_numbers_of_their_own(
    viewer: ViewerModel, person: Any, boxes: NDArray[np.uint8]
) -> None:
    viewer.add_image(boxes)
    person.choose("stack")
    person.run()
    person.widget.live.forget()
    choose_volume(person, "linked")

    assert person.run().startswith("3 cells")

    assert len(person.cells_in(person.result.data)) == 3


def test_stop_keeps_linked_slices_that_are_done(
    viewer: ViewerModel, person: Any, engine: Any, boxes: NDArray[np.uint8]
) -> None:
    viewer.add_image(boxes, name="stack")
    person.choose("stack")
    choose_volume(person, "linked")
    engine.holds_after = 7
    person.click()
    person.wait(engine.is_held.is_set)
    person.wait(lambda: bool(person.results) and person.result.data[2].any())

    person.click()

    assert person.message == "Stopped. 3 slices of 'stack: threshold' were finished and are kept."
    np.testing.assert_array_equal(person.result.data[:3], whole_cells(boxes)[:3])


def test_cells_from_three_directions_are_found_in_the_volume_with_thresholds_of_its_own(
    viewer: ViewerModel, person: Any, boxes: NDArray[np.uint8]
) -> None:
    viewer.add_image(boxes, name="stack", scale=(2, 1, 1))
    person.choose("stack")
    form = person.widget.form
    own = form.instances()
    choose_volume(person, "three_planes")
    assert form.instances() == own.for_three_planes()
    assert form.settings().anisotropy == 2

    assert person.run().startswith("3 cells in 'stack'")

    labels = person.result
    np.testing.assert_array_equal(labels.data > 0, boxes > 100)
    assert labels.metadata["napari_unet"]["settings"]["anisotropy"] == 2
    # Thresholds act on the volume at once; those of slices do not.
    assert person.set("min_size_px", 80) == "1 cell with these settings."
    choose_volume(person, "slices")
    assert form.instances() == own
    assert len(person.cells_in(labels.data)) == 1
    # Slices go into a layer of their own, through which the other does not show.
    message = person.run()
    assert message.startswith("10 cells in 'stack'")
    other = "'stack: threshold', whose cells were found in another way, is kept and hidden."
    assert message.endswith(other)
    assert [each.visible for each in person.results] == [False, True]
    # Each way fills its own layer again.
    choose_volume(person, "three_planes")
    person.run()
    assert [each.visible for each in person.results] == [True, False]


def test_scripts_say_what_becomes_of_the_cells(
    viewer: ViewerModel, person: Any, boxes: NDArray[np.uint8]
) -> None:
    viewer.add_image(boxes, name="stack", scale=(2, 1, 1))
    person.choose("stack")
    choose_volume(person, "linked")
    person.widget.form.linking.fields["link_overlap"].setValue(0.3)

    recipe = person.widget._read_recipe()
    assert "segment(image, network, volume='linked', link_overlap=0.3)" in python_lines(recipe)
    assert "--volume linked --link-overlap 0.3" in command_line(recipe, for_windows=False)
    assert "every" not in python_lines(recipe) + command_line(recipe)

    choose_volume(person, "three_planes")
    recipe = person.widget._read_recipe()
    assert "volume='three_planes', anisotropy=2.0)" in python_lines(recipe)
    assert "replace(" not in python_lines(recipe)
    assert "--volume three_planes --anisotropy 2" in command_line(recipe, for_windows=False)
    assert "threshold" not in command_line(recipe).partition("--volume")[2]
    person.widget.form.common.fields["min_size_px"].setValue(30)
    own = "replace(network.description.instances.for_three_planes(), min_size_px=30)"
    assert own in python_lines(person.widget._read_recipe())


def test_many_images_are_done_as_the_form_says(
    viewer: ViewerModel, person: Any, boxes: NDArray[np.uint8]
) -> None:
    viewer.add_image(boxes)
    person.choose("stack")
    choose_volume(person, "linked")

    batch, _ = person.widget.batch_settings()

    assert batch.settings.volume == "linked"
    assert type(batch).from_json(batch.to_json()) == batch
