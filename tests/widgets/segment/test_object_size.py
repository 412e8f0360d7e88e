"""How large a cell is: as the image is, in pixels, in micrometres, or drawn by hand."""

import math
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Shapes
from numpy.typing import NDArray
from pytestqt.qtbot import QtBot

from napari_unet.engine.base.errors import SettingsError
from napari_unet.viewer.drawn_regions import drawn_diameter
from napari_unet.widgets.segment.object_size import ObjectSizeChoice

BOX = np.array([[2.0, 3.0], [2.0, 13.0], [12.0, 13.0], [12.0, 3.0]])


@pytest.fixture
def choice(viewer: ViewerModel, qtbot: QtBot) -> ObjectSizeChoice:
    choice = ObjectSizeChoice(viewer)
    qtbot.addWidget(choice)
    choice.show()
    return choice


def test_as_it_is_asks_for_no_number(choice: ObjectSizeChoice) -> None:
    assert choice.mode_box.currentText() == "as it is"
    assert not choice.box.isVisible()
    assert choice.diameter_px(0.5) is None
    assert choice.diameter_px(None) is None


def test_the_first_number_of_pixels_is_what_the_model_knows(choice: ObjectSizeChoice) -> None:
    choice.show_trained(17.0)

    choice.mode_box.setCurrentText("px")

    assert choice.box.isVisible()
    assert choice.diameter_px(None) == 17.0
    assert "(17 pixels)" in choice.mode_box.toolTip()
    choice.box.setValue(20.0)
    choice.mode_box.setCurrentText("as it is")
    choice.mode_box.setCurrentText("px")
    assert choice.diameter_px(None) == 20.0


def test_micrometres_are_brought_to_pixels_by_the_layers_scale(choice: ObjectSizeChoice) -> None:
    choice.mode_box.setCurrentText("µm")
    choice.box.setValue(12.0)

    assert choice.diameter_px(0.5) == 24.0
    with pytest.raises(SettingsError) as error:
        choice.diameter_px(None)
    assert str(error.value) == (
        "The cell size is in micrometres, but the layer's units are no lengths; set the layer's "
        "scale and units, or give the size in pixels."
    )


def test_every_change_is_told_once(choice: ObjectSizeChoice) -> None:
    told: list[None] = []
    choice.changed.connect(lambda: told.append(None))

    choice.set_diameter_px(12.0)
    assert len(told) == 1
    assert (choice.mode_box.currentText(), choice.diameter_px(None)) == ("px", 12.0)
    choice.box.setValue(13.0)
    assert len(told) == 2
    choice.set_diameter_px(None)
    assert len(told) == 3
    assert choice.diameter_px(None) is None


@pytest.mark.parametrize(
    ("corners", "kind", "expected"),
    [
        (BOX, "ellipse", 10.0),
        (BOX * [2, 0.5], "ellipse", 10.0),
        ([[0, 0], [3, 4]], "line", 5.0),
        ([[0, 0], [3, 4], [3, 5]], "path", 6.0),
        (BOX, "rectangle", 20 / math.sqrt(math.pi)),
        (BOX[::-1], "polygon", 20 / math.sqrt(math.pi)),
    ],
)
def test_a_drawing_stands_for_the_circle_that_is_as_large(
    corners: Any, kind: str, expected: float
) -> None:
    assert drawn_diameter(np.asarray(corners, float), kind) == pytest.approx(expected)


def test_a_circle_drawn_as_a_polygon_has_its_own_diameter() -> None:
    angles = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    circle = 7 * np.stack([np.sin(angles), np.cos(angles)], axis=1) + 50

    assert drawn_diameter(circle, "polygon") == pytest.approx(14, rel=1e-3)


def test_there_is_nothing_to_draw_on_without_an_image(choice: ObjectSizeChoice) -> None:
    assert not choice.draw_button.isEnabled()


def start_drawing(viewer: ViewerModel, choice: ObjectSizeChoice, **place: Any) -> Shapes:
    image = viewer.add_image(np.zeros(place.pop("shape", (40, 50))), name="cells", **place)
    choice.show_image(image)
    choice.draw_button.click()
    drawing = viewer.layers[-1]
    assert isinstance(drawing, Shapes)
    assert viewer.layers.selection.active is drawing
    return drawing


@pytest.mark.parametrize(
    ("corners", "kind", "expected"),
    [
        (BOX, "ellipse", 10.0),
        ([[1, 1], [1, 9]], "line", 8.0),
        (BOX, "polygon", 11.3),
        (BOX, "rectangle", 11.3),
    ],
)
def test_one_drawn_cell_gives_the_size_and_the_drawing_goes(
    viewer: ViewerModel,
    choice: ObjectSizeChoice,
    qtbot: QtBot,
    corners: Any,
    kind: str,
    expected: float,
) -> None:
    drawing = start_drawing(viewer, choice)
    assert drawing.mode == "add_ellipse"

    drawing.add(np.asarray(corners, float), shape_type=kind)

    qtbot.waitUntil(lambda: drawing not in viewer.layers, timeout=5000)
    assert choice.diameter_px(None) == expected
    assert not choice.draw_button.isChecked()
    assert viewer.layers.selection.active is viewer.layers["cells"]


def test_the_drawing_is_measured_in_pixels_of_the_image_whatever_its_place(
    viewer: ViewerModel, choice: ObjectSizeChoice, qtbot: QtBot
) -> None:
    drawing = start_drawing(
        viewer,
        choice,
        shape=(3, 40, 50),
        scale=(5, 0.25, 0.25),
        translate=(0, 10, 10),
        units=("um", "um", "um"),
    )
    viewer.dims.set_current_step(0, 2)
    assert drawing.data_to_world((1, 2, 3)) == viewer.layers["cells"].data_to_world((1, 2, 3))

    drawing.add(np.insert(BOX, 0, 2, axis=1), shape_type="ellipse")

    qtbot.waitUntil(lambda: drawing not in viewer.layers, timeout=5000)
    assert choice.diameter_px(0.25) == 10.0


def test_a_stray_click_is_no_cell(
    viewer: ViewerModel, choice: ObjectSizeChoice, qtbot: QtBot
) -> None:
    drawing = start_drawing(viewer, choice)

    drawing.add(BOX[0] + np.array([[0, 0], [0, 0.1], [0.1, 0.1], [0.1, 0]]), shape_type="ellipse")

    qtbot.waitUntil(lambda: drawing not in viewer.layers, timeout=5000)
    assert choice.diameter_px(None) is None


def test_pressing_draw_again_takes_it_back(viewer: ViewerModel, choice: ObjectSizeChoice) -> None:
    start_drawing(viewer, choice)

    choice.draw_button.click()

    assert [layer.name for layer in viewer.layers] == ["cells"]
    assert choice.diameter_px(None) is None


def test_removing_the_drawing_takes_it_back(viewer: ViewerModel, choice: ObjectSizeChoice) -> None:
    drawing = start_drawing(viewer, choice)

    viewer.layers.remove(drawing)

    assert not choice.draw_button.isChecked()


def test_a_run_takes_the_drawing_away(
    viewer: ViewerModel, person: Any, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(squares, name="squares")
    person.widget.form.size_choice.draw_button.click()
    assert len(viewer.layers) == 2
    assert person.widget.layer_choice.currentText() == "squares"

    assert person.run().startswith("3 cells in 'squares'")

    assert [layer.name for layer in viewer.layers] == ["squares", "squares: threshold"]


def test_closing_the_widget_takes_the_drawing_away(
    viewer: ViewerModel, person: Any, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(squares, name="squares")
    person.widget.form.size_choice.draw_button.click()

    person.widget.close()

    assert [layer.name for layer in viewer.layers] == ["squares"]


def test_a_cell_size_resizes_the_image_to_what_the_model_knows(
    viewer: ViewerModel, person: Any, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(squares.repeat(2, axis=0).repeat(2, axis=1))
    person.widget.form.size_choice.set_diameter_px(20.0)

    assert person.run().startswith("3 cells")

    labels = person.result
    assert labels.metadata["napari_unet"]["settings"]["diameter_px"] == 20.0
    assert labels.data.shape == (128, 160)
    assert labels.data.max() == 3


def test_a_cell_size_in_micrometres_goes_by_the_scale_of_the_layer(
    viewer: ViewerModel, person: Any, engine: Any, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(squares, scale=(0.25, 0.25), units=("um", "um"))
    size = person.widget.form.size_choice
    size.mode_box.setCurrentText("µm")
    size.box.setValue(2.5)

    person.run()

    assert engine.runs[0]["settings"].diameter_px == 10.0


def test_a_drawn_cell_is_the_size_of_the_next_run(
    viewer: ViewerModel, person: Any, engine: Any, qtbot: QtBot, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(squares)
    person.widget.form.size_choice.draw_button.click()
    drawing = viewer.layers[-1]

    drawing.add(BOX, shape_type="ellipse")
    qtbot.waitUntil(lambda: drawing not in viewer.layers, timeout=5000)
    person.run()

    assert engine.runs[0]["settings"].diameter_px == 10.0
