"""Stop at every stage: what is finished is kept, what was there before is put back."""

from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image
from numpy.typing import NDArray

from napari_unet.engine.base.settings import SegmentationSettings
from napari_unet.viewer.layers import read_layer
from napari_unet.widgets.segment.recipe import Recipe
from napari_unet.widgets.segment.reports import Drawn
from napari_unet.widgets.segment.result_layers import ResultLayers
from napari_unet.widgets.segment.runs import find_cells

STOPPED = "Stopped. The layers are as they were."


def test_stop_before_the_first_tile_leaves_nothing_behind(
    viewer: ViewerModel, person: Any, engine: Any, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(squares)
    person.widget.form.scores_box.setChecked(True)
    engine.holds_after = 0
    person.click()
    person.wait(engine.is_held.is_set)
    assert person.widget.panel.button.text() == "Stop"

    person.click()

    assert person.widget.panel.button.text() == "Run"
    assert person.message == STOPPED
    assert [type(layer) for layer in viewer.layers] == [Image]


def test_stop_before_the_first_cell_leaves_nothing_behind(
    viewer: ViewerModel, person: Any, engine: Any
) -> None:
    image = np.zeros((256, 320), np.uint8)
    image[200:210, 300:310] = 200
    viewer.add_image(image)
    person.look_at((0, 0), (63, 79))
    person.widget.form.scores_box.setChecked(True)
    engine.tile_px, engine.holds_after = 64, 1
    person.click()
    person.wait(lambda: len(viewer.layers) == 3)

    person.click()

    assert person.message == STOPPED
    assert len(viewer.layers) == 1


def test_stop_keeps_the_cells_found_so_far(
    viewer: ViewerModel, person: Any, engine: Any, squares: NDArray[np.uint8]
) -> None:
    image = np.tile(squares, (4, 4))
    viewer.add_image(image, name="large")
    engine.tile_px, engine.holds_after = 64, 3
    person.click()
    person.wait(lambda: bool(person.results) and person.result.data.any())

    person.click()

    labels = person.result
    assert person.message == ("Stopped. The cells found so far are kept in 'large: threshold'.")
    assert 0 < np.count_nonzero(labels.data) < np.count_nonzero(image > 100)
    assert labels.metadata["napari_unet"]["stopped"]
    assert labels.editable
    # The next run goes on in the same layer, and tells it as finished.
    engine.holds_after = None
    assert person.run().startswith("48 cells")
    assert person.result is labels
    assert "stopped" not in labels.metadata["napari_unet"]


def test_stop_puts_back_what_was_there_before(
    viewer: ViewerModel, person: Any, engine: Any, squares: NDArray[np.uint8]
) -> None:
    image = np.tile(squares, (4, 4))
    layer = viewer.add_image(image, name="large")
    person.run()
    before = person.result.data.copy()
    layer.data = image[::-1].copy()
    engine.tile_px, engine.holds_after = 64, 3
    person.click()
    person.wait(lambda: not np.array_equal(person.result.data, before))

    person.click()

    assert person.message == "Stopped. 'large: threshold' is as it was."
    assert np.array_equal(person.result.data, before)
    # And it is no edit.
    engine.holds_after = None
    person.run()
    assert np.array_equal(person.result.data > 0, layer.data > 100)


def test_stop_keeps_finished_slices(
    viewer: ViewerModel, person: Any, engine: Any, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(np.stack([squares] * 4), name="stack")
    person.choose("stack")
    engine.holds_after = 2 * 2 + 1
    person.click()
    person.wait(lambda: person.widget.panel.bar.format().startswith("slice 3 of 4"))

    person.click()

    assert person.message == ("Stopped. 2 slices of 'stack: threshold' were finished and are kept.")
    assert [len(person.cells_in(plane)) for plane in person.result.data] == [3, 3, 0, 0]


def test_one_finished_slice_is_told_as_one(
    viewer: ViewerModel, person: Any, engine: Any, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(np.stack([squares] * 4), name="stack")
    person.choose("stack")
    engine.holds_after = 2 + 1
    person.click()
    person.wait(lambda: person.widget.panel.bar.format().startswith("slice 2 of 4"))

    person.click()

    assert person.message == "Stopped. 1 slice of 'stack: threshold' was finished and is kept."


def test_a_rerun_stopped_in_the_middle_gives_no_number_to_two_cells(
    viewer: ViewerModel, person: Any, engine: Any, squares: NDArray[np.uint8]
) -> None:
    fewer = squares.copy()
    fewer[5:15, 5:15] = 20
    image = np.stack([fewer, fewer, squares, squares])
    layer = viewer.add_image(image)
    person.choose("stack")
    person.run()
    layer.data = np.stack([squares] * 4)
    engine.holds_after = 2 * 2 + 1
    person.click()
    person.wait(lambda: person.widget.panel.bar.format().startswith("slice 3 of 4"))

    person.click()

    planes = [person.cells_in(plane) for plane in person.result.data]
    assert [len(cells) for cells in planes] == [3, 3, 3, 3]
    assert len(set.union(*planes)) == 12


def test_stop_when_all_cells_are_found_keeps_them(
    viewer: ViewerModel, person: Any, engine: Any, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(squares, name="squares")
    engine.holds_after = 2
    person.click()
    person.wait(lambda: bool(person.results) and person.result.data.any())

    person.click()

    assert person.message == ("Stopped. The cells found so far are kept in 'squares: threshold'.")
    assert len(person.cells_in(person.result.data)) == 3


def test_a_run_after_a_stop_works(
    viewer: ViewerModel, person: Any, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(squares)
    person.click()
    person.click()
    assert person.message == STOPPED

    assert person.run().startswith("3 cells")
    assert len(person.results) == 1


def test_stop_before_the_window_knows_that_the_layer_is_filled_again_puts_it_back(
    viewer: ViewerModel, person: Any, session: Any, squares: NDArray[np.uint8]
) -> None:
    layer = viewer.add_image(np.tile(squares, (4, 4)), name="large")
    person.run()
    before = person.result.data.copy()
    layer.data = layer.data[::-1].copy()
    settings = SegmentationSettings(tile_px=64)
    instances = session.network.description.instances
    recipe = Recipe(session.network, "", "", settings, instances)
    image = read_layer(layer, viewer.dims, network_ndim=2, extent="slice")
    results = ResultLayers(viewer, layer, image, recipe)

    # The reports wait to be taken.
    for report in find_cells(image, recipe, results.canvas, results.scores):
        if isinstance(report, Drawn):
            break
    assert not np.array_equal(person.result.data, before)

    assert results.close() == "'large: threshold' is as it was."
    assert np.array_equal(person.result.data, before)
    person.run()
    assert len(person.results) == 1
