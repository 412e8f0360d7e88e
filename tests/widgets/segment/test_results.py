"""What a run leaves in the viewer: labels and scores filled in place, edits never overwritten."""

import re
from typing import Any

import dask.array
import numpy as np
import pytest
import zarr
from napari.components import ViewerModel
from napari.layers import Image
from napari.utils.colormaps import label_colormap
from numpy.typing import NDArray

from napari_unet import __version__

STOPPED = "Stopped. The layers are as they were."


def test_labels_lie_on_a_rotated_and_sheared_image(
    viewer: ViewerModel, person: Any, squares: NDArray[np.uint8], square_labels: NDArray[np.int32]
) -> None:
    image = viewer.add_image(
        squares,
        scale=(0.5, 0.25),
        translate=(7, -3),
        rotate=40,
        shear=[0.3],
        units=("um", "um"),
        axis_labels=("y", "x"),
    )

    person.run()

    labels = person.result
    assert np.array_equal(labels.data, square_labels)
    for corner in [(0, 0), (63, 0), (0, 79), (63, 79)]:
        assert labels.data_to_world(corner) == pytest.approx(image.data_to_world(corner))
    assert (labels.units, labels.axis_labels) == (image.units, image.axis_labels)


def test_a_colour_image_is_read_as_a_whole_or_by_one_colour(
    viewer: ViewerModel, person: Any, squares: NDArray[np.uint8], square_labels: NDArray[np.int32]
) -> None:
    image = np.zeros((*squares.shape, 3), np.uint8)
    image[..., 1] = np.where(squares > 100, 255, 0)
    image[20:30, 20:30, 2] = 255
    viewer.add_image(image, rgb=True)
    choice = person.widget.form.channel_choice
    assert choice.isVisible()
    assert [choice.itemText(i) for i in range(choice.count())] == [
        "All colours",
        "Red",
        "Green",
        "Blue",
    ]

    choice.setCurrentText("Green")
    assert person.run().startswith("3 cells")
    assert np.array_equal(person.result.data, square_labels)
    assert person.result.metadata["napari_unet"]["channel"] == 2
    choice.setCurrentText("Blue")
    assert person.run().startswith("1 cell ")
    choice.setCurrentText("All colours")
    # Green is bright, blue is not.
    assert person.run().startswith("3 cells")
    # The cells of one channel do not go over those of another.
    assert [layer.name for layer in person.results] == [
        "image: threshold, channel 2",
        "image: threshold, channel 3",
        "image: threshold",
    ]
    assert [len(person.cells_in(layer.data)) for layer in person.results] == [3, 1, 3]


def test_a_stack_that_is_channels_gives_flat_labels_where_the_channels_lie(
    viewer: ViewerModel, person: Any, squares: NDArray[np.uint8], square_labels: NDArray[np.int32]
) -> None:
    dark = np.zeros_like(squares)
    viewer.add_image(
        np.stack([dark, squares, dark]),
        scale=(1, 0.5, 0.5),
        translate=(0, 3, 4),
        units=("pixel", "um", "um"),
        axis_labels=("c", "y", "x"),
    )
    choice = person.widget.form.channel_choice
    assert [choice.itemText(i) for i in range(choice.count())] == [
        "One channel",
        "All 3 of axis 0",
        "Channel 1 of axis 0",
        "Channel 2 of axis 0",
        "Channel 3 of axis 0",
    ]
    choice.setCurrentText("Channel 2 of axis 0")
    assert person.widget.form.extent_choice.itemText(0) == "Whole image"

    assert person.run().startswith("3 cells")

    labels = person.result
    assert np.array_equal(labels.data, square_labels)
    assert (tuple(labels.scale), tuple(labels.translate)) == ((0.5, 0.5), (3, 4))
    assert labels.axis_labels == ("y", "x")
    assert [str(unit) for unit in labels.units] == ["micrometer", "micrometer"]


def test_all_channels_go_to_a_network_that_reads_one_as_grey(
    viewer: ViewerModel, person: Any, squares: NDArray[np.uint8], square_labels: NDArray[np.int32]
) -> None:
    viewer.add_image(np.stack([squares, squares, squares]))
    person.widget.form.channel_choice.setCurrentText("All 3 of axis 0")

    person.run()

    assert np.array_equal(person.result.data, square_labels)


def test_a_multiscale_image_is_segmented_at_full_resolution(
    viewer: ViewerModel, person: Any, squares: NDArray[np.uint8], square_labels: NDArray[np.int32]
) -> None:
    # The coarse level has no cells at all.
    viewer.add_image([squares, np.zeros((32, 40), np.uint8)], multiscale=True)

    person.run()

    assert np.array_equal(person.result.data, square_labels)


class CountingArray:
    """An array that is read in parts, and notes the largest one."""

    def __init__(self, array: NDArray[Any]) -> None:
        self._array = array
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim
        self.largest = 0
        self.reads = 0

    def __getitem__(self, key: Any) -> NDArray[Any]:
        part = self._array[key]
        self.largest = max(self.largest, part.size)
        self.reads += 1
        return part


def test_a_dask_image_is_read_tile_by_tile_and_never_whole(
    viewer: ViewerModel, person: Any, engine: Any, squares: NDArray[np.uint8]
) -> None:
    image = np.tile(squares, (8, 8))
    source = CountingArray(image)
    lazy = dask.array.from_array(source, chunks=(64, 80))
    viewer.add_image(lazy, contrast_limits=(0, 255), name="lazy")
    engine.tile_px = 64
    source.reads = source.largest = 0

    assert person.run().startswith("192 cells in 'lazy'")

    assert source.largest == 64 * 80
    # Each chunk once for the intensities, and for the tiles that it lies under or beside.
    assert source.reads >= 2 * 64
    assert np.array_equal(person.result.data > 0, image > 100)


def test_of_a_lazy_stack_other_slices_are_not_read_for_the_one_that_is_shown(
    viewer: ViewerModel, person: Any, squares: NDArray[np.uint8], square_labels: NDArray[np.int32]
) -> None:
    seen: set[int] = set()

    def plane(block_info: Any = None) -> NDArray[np.uint8]:
        seen.add(block_info[None]["chunk-location"][0])
        return squares[np.newaxis]

    lazy = dask.array.map_blocks(
        plane, chunks=((1,) * 5, *((n,) for n in squares.shape)), dtype=np.uint8
    )
    viewer.add_image(lazy, contrast_limits=(0, 255))
    viewer.dims.set_current_step(0, 3)
    seen.clear()

    person.run()

    # The one in the middle is looked at for what the form says before a run.
    assert seen <= {2, 3}
    assert np.array_equal(person.result.data[3], square_labels)


def test_a_zarr_image_is_read_in_parts(
    viewer: ViewerModel,
    person: Any,
    engine: Any,
    squares: NDArray[np.uint8],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = np.tile(squares, (4, 4))
    stored = zarr.create_array({}, shape=image.shape, chunks=(64, 80), dtype=image.dtype)
    stored[:] = image
    viewer.add_image(stored, contrast_limits=(0, 255), name="stored")
    engine.tile_px = 64
    sizes = []
    read = type(stored).__getitem__

    def counted(self: Any, key: Any) -> Any:
        part = read(self, key)
        sizes.append(np.size(part))
        return part

    monkeypatch.setattr(type(stored), "__getitem__", counted)

    assert person.run().startswith("48 cells in 'stored'")

    assert max(sizes) <= 64 * 80
    assert np.array_equal(person.result.data > 0, image > 100)


def test_in_the_field_of_view_only_cells_that_reach_into_it_are_found(
    viewer: ViewerModel, person: Any, squares: NDArray[np.uint8], square_labels: NDArray[np.int32]
) -> None:
    viewer.add_image(squares, name="squares")
    person.choose("view")
    person.look_at((0, 10), (30, 30))

    message = person.run()

    assert message.startswith("2 cells in 'squares'")
    assert np.array_equal(person.result.data > 0, (square_labels == 1) | (square_labels == 2))
    made = person.result.metadata["napari_unet"]
    assert made["extent"] == "view"
    assert made["settings"]["region"] == (0, 31, 10, 31)


def test_the_next_field_of_view_leaves_the_cells_of_the_first_alone(
    viewer: ViewerModel, person: Any, squares: NDArray[np.uint8], square_labels: NDArray[np.int32]
) -> None:
    viewer.add_image(squares)
    person.choose("view")
    person.look_at((0, 0), (30, 20))
    person.run()
    labels = person.result
    (first,) = person.cells_in(labels.data)

    person.look_at((30, 50), (63, 79))
    assert person.run().startswith("1 cell ")

    assert person.result is labels
    assert np.array_equal(labels.data == first, square_labels == 1)
    assert np.array_equal(labels.data > 0, (square_labels == 1) | (square_labels == 3))


def test_the_field_of_view_of_a_slice_of_a_stack(
    viewer: ViewerModel, person: Any, squares: NDArray[np.uint8], square_labels: NDArray[np.int32]
) -> None:
    viewer.add_image(np.stack([squares, squares]))
    viewer.dims.set_current_step(0, 1)
    person.choose("view")
    person.look_at((0, 0, 0), (0, 30, 79))

    person.run()

    assert not person.result.data[0].any()
    assert np.array_equal(person.result.data[1] > 0, (square_labels == 1) | (square_labels == 2))


def test_a_key_segments_the_view_from_whatever_the_form_says(
    viewer: ViewerModel, person: Any, engine: Any, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(squares)
    engine.holds_after = 1
    person.click()
    person.wait(engine.is_held.is_set)
    person.look_at((0, 0), (30, 20))
    engine.holds_after = None

    person.widget.run_view()

    assert person.wait_for_the_end().startswith("1 cell ")
    assert [run["settings"].region for run in engine.runs] == [None, (0, 31, 0, 21)]
    keys = {str(key) for key in viewer.keymap}
    assert "Shift+U" in keys


def test_of_a_cell_on_the_edge_of_the_view_nothing_stays_when_it_is_dropped(
    viewer: ViewerModel, person: Any
) -> None:
    image = np.zeros((200, 200), np.float32)
    image[20:30, 20:30] = image[95:105, 60:70] = 1
    image[150:160, 150:160] = 1
    image[20:25, 50:55] = 1
    viewer.add_image(image)
    person.choose("view")
    person.look_at((0, 0), (99, 99))
    assert person.run().startswith("3 cells")
    assert person.result.data[104, 65]
    # The view of the labels is the same, and small beside the plane.
    person.result.corner_pixels = np.array([(0, 0), (99, 99)])

    assert person.set("min_size_px", 101) == "0 cells with these settings."

    assert not person.result.data.any()


def test_cells_appear_tile_by_tile(
    viewer: ViewerModel, person: Any, engine: Any, squares: NDArray[np.uint8]
) -> None:
    image = np.tile(squares, (4, 4))
    viewer.add_image(image, name="large")
    person.look_at((200, 240), (255, 319))
    engine.tile_px, engine.holds_after = 64, 3

    person.click()

    person.wait(lambda: bool(person.results) and person.result.data.any())
    labels = person.result
    shown = labels.data.copy()
    # From the middle of the view outwards, and right where it is there at all.
    assert 0 < np.count_nonzero(shown) < np.count_nonzero(image > 100)
    assert np.array_equal(np.nonzero(shown), np.nonzero((image > 100) & (shown > 0)))
    assert shown[228, 280 - 20 :].any() or shown[192 + 40 : 192 + 50, 240 + 60 : 240 + 70].any()
    assert not shown[:64].any()
    assert not labels.editable
    engine.go_on.set()
    assert person.wait_for_the_end().startswith("48 cells")
    assert np.array_equal(labels.data > 0, image > 100)
    assert person.cells_in(labels.data) == set(range(1, 49))


def test_while_it_is_filled_the_layer_cannot_be_painted_on(
    viewer: ViewerModel, person: Any, engine: Any, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(squares)
    person.run()
    labels = person.result
    labels.mode = "paint"
    engine.holds_after = 1

    person.click()
    person.wait(lambda: not labels.editable)

    assert labels.mode == "pan_zoom"
    engine.go_on.set()
    person.wait_for_the_end()
    assert labels.editable


def test_a_rerun_goes_into_the_same_layer_and_keeps_its_looks(
    viewer: ViewerModel, person: Any, squares: NDArray[np.uint8], square_labels: NDArray[np.int32]
) -> None:
    image = viewer.add_image(squares)
    person.run()
    labels = person.result
    labels.opacity, labels.visible, labels.contour, labels.name = 0.3, False, 2, "mine"
    labels.colormap = label_colormap(7, seed=0.9)
    colormap = labels.colormap
    labels.data[:] = labels.data
    image.name = "renamed meanwhile"
    viewer.layers.move(1, 0)

    person.set("min_size_px", 3)
    person.run()

    assert person.result is labels
    assert np.array_equal(labels.data, square_labels)
    assert (labels.opacity, labels.visible, labels.contour) == (0.3, False, 2)
    assert (labels.name, labels.colormap) == ("mine", colormap)
    assert labels.metadata["napari_unet"]["instances"]["min_size_px"] == 3


def test_a_rerun_over_edited_labels_makes_a_new_layer_and_says_so(
    viewer: ViewerModel,
    person: Any,
    edit: Any,
    squares: NDArray[np.uint8],
    square_labels: NDArray[np.int32],
) -> None:
    viewer.add_image(squares, name="squares")
    person.run()
    edited = person.result
    edit(edited)
    kept = edited.data.copy()

    message = person.run()

    first, second = person.results
    assert first is edited
    assert np.array_equal(edited.data, kept)
    assert edited.data[30, 20] == 99
    assert np.array_equal(second.data, square_labels)
    assert message.endswith(
        "'squares: threshold' was edited and is kept as it is; these cells are in "
        "'squares: threshold [1]'."
    )
    # The next one goes on with the new layer.
    person.run()
    assert person.results == [first, second]


def test_a_rerun_puts_the_layer_where_the_image_is_now(
    viewer: ViewerModel, person: Any, squares: NDArray[np.uint8]
) -> None:
    image = viewer.add_image(squares)
    person.widget.form.scores_box.setChecked(True)
    person.run()
    labels = person.result
    image.scale, image.translate, image.rotate, image.shear = (0.5, 0.25), (3, 4), 20, [0.1]
    image.units, image.axis_labels = ("um", "um"), ("y", "x")

    person.run()

    assert person.result is labels
    for layer in viewer.layers[1:]:
        for corner in [(0, 0), (63, 0), (0, 79)]:
            assert layer.data_to_world(corner) == pytest.approx(image.data_to_world(corner))
        assert (layer.units, layer.axis_labels) == (image.units, ("y", "x"))


def test_a_stroke_that_was_undone_is_no_edit(
    viewer: ViewerModel, person: Any, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(squares)
    person.run()
    labels = person.result
    labels.brush_size = 1
    labels.paint((30, 20), 99)
    labels.undo()

    person.run()

    assert person.result is labels


def test_labels_edited_in_one_slice_do_not_hinder_a_run_in_another(
    viewer: ViewerModel, person: Any, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(np.stack([squares, squares]))
    person.run()
    labels = person.result
    labels.data[0, 30, 20] = 99

    viewer.dims.set_current_step(0, 1)
    person.run()

    assert person.result is labels
    assert labels.data[0, 30, 20] == 99
    assert len(person.cells_in(labels.data[1])) == 3
    # But all slices at once would go over it.
    person.choose("stack")
    person.run()
    assert len(person.results) == 2


def test_another_model_makes_a_layer_of_its_own(
    viewer: ViewerModel, person: Any, session: Any, stack_network: Any
) -> None:
    image = np.zeros((4, 16, 16), np.float32)
    image[1:3, 2:7, 2:7] = 1
    viewer.add_image(image, name="stack")
    person.run()

    session.adopt(stack_network, "")
    person.run()

    assert [layer.name for layer in person.results] == ["stack: threshold", "stack: threshold-3d"]


def test_the_result_of_a_deleted_layer_is_a_new_layer(
    viewer: ViewerModel, person: Any, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(squares)
    person.run()
    first = person.result
    viewer.layers.remove(first)

    person.run()

    assert person.result is not first


def scores_layers(viewer: ViewerModel) -> list[Image]:
    return [layer for layer in viewer.layers if "napari_unet_scores" in layer.metadata]


def test_scores_are_shown_on_request_and_no_image_to_choose(
    viewer: ViewerModel, person: Any, faint: NDArray[np.float32]
) -> None:
    viewer.add_image(faint, name="faint", scale=(2, 2))
    person.run()
    assert scores_layers(viewer) == []
    person.widget.form.scores_box.setChecked(True)
    person.wait(lambda: len(scores_layers(viewer)) == 1)

    person.run()

    (scores,) = scores_layers(viewer)
    assert scores.name == "faint: threshold, cell score"
    assert tuple(scores.scale) == (2, 2)
    for at, expected in [((6, 6), 1.0), ((6, 31), 0.69), ((41, 61), 0.6), ((0, 0), 0.0)]:
        assert scores.data[at] == pytest.approx(expected, abs=0.03)
    choice = person.widget.layer_choice
    assert [choice.itemText(i) for i in range(choice.count())] == ["faint"]
    assert choice.currentText() == "faint"


def test_scores_lie_under_the_cells_and_come_and_go_with_one_tick(
    viewer: ViewerModel, person: Any, faint: NDArray[np.float32]
) -> None:
    image = viewer.add_image(faint, name="faint")
    person.widget.form.scores_box.setChecked(True)
    person.run()
    (scores,), cells = scores_layers(viewer), person.result
    first = scores.data.copy()
    assert list(viewer.layers) == [image, scores, cells]

    person.widget.form.scores_box.setChecked(False)
    assert list(viewer.layers) == [image, cells]

    # From the scores that the run has left, not by another run.
    viewer.layers.selection.active = cells
    person.widget.form.scores_box.setChecked(True)
    person.wait(lambda: len(scores_layers(viewer)) == 1)
    assert [layer.name for layer in viewer.layers] == ["faint", scores.name, cells.name]
    assert np.array_equal(scores_layers(viewer)[0].data, first)
    assert viewer.layers.selection.active is cells


def test_scores_that_a_second_run_adds_lie_under_the_cells_too(
    viewer: ViewerModel, person: Any, faint: NDArray[np.float32]
) -> None:
    viewer.add_image(faint)
    person.run()
    viewer.layers.remove(person.result)
    person.run()
    person.widget.form.scores_box.setChecked(True)
    person.wait(lambda: len(scores_layers(viewer)) == 1)
    person.run()

    assert viewer.layers.index(scores_layers(viewer)[0]) < viewer.layers.index(person.result)


def test_a_rerun_updates_the_scores_in_place(
    viewer: ViewerModel, person: Any, faint: NDArray[np.float32]
) -> None:
    layer = viewer.add_image(faint)
    person.widget.form.scores_box.setChecked(True)
    person.run()
    (scores,) = scores_layers(viewer)
    scores.colormap, scores.name = "red", "mine"
    layer.data = faint[::-1].copy()

    person.run()

    assert scores_layers(viewer) == [scores]
    assert (scores.colormap.name, scores.name) == ("red", "mine")
    assert scores.data[63 - 6, 6] == pytest.approx(1, abs=0.01)
    assert scores.data[6, 6] == pytest.approx(0, abs=0.01)


def test_scores_of_a_view_are_there_where_they_were_computed(
    viewer: ViewerModel, person: Any
) -> None:
    image = np.zeros((200, 200), np.float32)
    image[20:30, 20:30] = image[150:160, 150:160] = 1
    viewer.add_image(image)
    person.choose("view")
    person.look_at((0, 0), (50, 50))
    person.widget.form.scores_box.setChecked(True)

    person.run()

    (scores,) = scores_layers(viewer)
    assert scores.data[25, 25] == pytest.approx(1)
    assert scores.data[155, 155] == 0


def test_scores_of_a_stack_come_slice_by_slice(
    viewer: ViewerModel, person: Any, engine: Any, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(np.stack([squares] * 3))
    person.choose("stack")
    person.widget.form.scores_box.setChecked(True)
    engine.holds_after = 2 + 1
    person.click()
    person.wait(lambda: person.widget.panel.bar.format().startswith("slice 2 of 3"))

    person.click()

    (scores,) = scores_layers(viewer)
    assert scores.data[0].max() > 0.9
    assert not scores.data[1:].any()


def test_labels_tell_how_they_came_about(
    viewer: ViewerModel, person: Any, session: Any, squares: NDArray[np.uint8]
) -> None:
    session.adopt(session.network, session.source, file_hash="0123abc")
    image = viewer.add_image(squares, name="squares", scale=(0.5, 0.5), units=("um", "um"))
    person.widget.form.size_choice.set_diameter_px(10.0)

    person.run()

    made = person.result.metadata["napari_unet"]
    assert made["image"] == "squares"
    assert made["image_id"] == str(image.unique_id)
    assert (made["extent"], made["channel"], made["cells"]) == ("slice", None, 3)
    assert (made["model"], made["model_source"]) == ("threshold", session.source)
    assert made["model_sha256"] == "0123abc"
    assert made["settings"]["diameter_px"] == 10.0
    assert made["settings"]["pixel_size_um"] == pytest.approx(0.5)
    assert made["instances"]["seed_threshold"] == 0.5
    assert made["version"] == __version__
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", made["date"])


def test_after_every_slice_the_one_is_shown_again_where_the_user_was(
    viewer: ViewerModel, person: Any, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(np.stack([squares] * 4), name="stack")
    viewer.dims.set_current_step(0, 2)
    shown: set[int] = set()
    viewer.dims.events.current_step.connect(lambda: shown.add(viewer.dims.current_step[0]))
    person.choose("stack")

    person.run()

    assert viewer.dims.current_step[0] == 2
    assert shown >= {0, 1, 3}
    assert person.message.startswith("12 cells in 'stack'")
    assert person.message.endswith("s), each counted in every slice that it reaches.")


def test_who_goes_to_another_slice_meanwhile_stays_there(
    viewer: ViewerModel, person: Any, engine: Any, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(np.stack([squares] * 4))
    viewer.dims.set_current_step(0, 2)
    person.choose("stack")
    engine.holds_after = 2 + 1
    person.click()
    person.wait(lambda: person.widget.panel.bar.format().startswith("slice 2 of 4"))
    viewer.dims.set_current_step(0, 3)

    person.click()

    assert viewer.dims.current_step[0] == 3


def test_a_stop_brings_back_the_slice_where_the_user_was(
    viewer: ViewerModel, person: Any, engine: Any, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(np.stack([squares] * 4))
    viewer.dims.set_current_step(0, 2)
    person.choose("stack")
    engine.holds_after = 2 + 1
    person.click()
    person.wait(lambda: viewer.dims.current_step[0] == 0)

    person.click()

    assert viewer.dims.current_step[0] == 2
