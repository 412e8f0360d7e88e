"""Where to annotate next: the camera and the frame go from region to region."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels, Shapes
from napari.utils._proxies import PublicOnlyProxy
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt

from napari_unet.engine.labels.uncertainty import UncertainRegion
from napari_unet.widgets.shared.choices import LayerChoice
from napari_unet.widgets.train.review.uncertainty_panel import UncertaintyPanel


@pytest.fixture
def panel(viewer: ViewerModel, qtbot: QtBot) -> Iterator[UncertaintyPanel]:
    # What napari hands to a plugin.
    panel = UncertaintyPanel(PublicOnlyProxy(viewer))
    qtbot.addWidget(panel)
    yield panel
    panel.close()


@pytest.fixture
def labels(viewer: ViewerModel) -> Labels:
    return viewer.add_labels(np.zeros((100, 120), np.int32), name="cells", scale=(0.5, 0.5))


def region(*edges: tuple[int, int], reason: str = "The scores are close.") -> UncertainRegion:
    box = tuple(slice(*edge) for edge in edges)
    return UncertainRegion((0.0,) * len(box), box, 0.5, "unsure", reason)


THREE = (
    region((10, 20), (30, 50), reason="First."),
    region((40, 60), (0, 20), reason="Second."),
    region((0, 10), (0, 10), reason="Third."),
)


def click(qtbot: QtBot, button: Any) -> None:
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def frame(viewer: ViewerModel) -> Shapes:
    (shapes,) = (layer for layer in viewer.layers if isinstance(layer, Shapes))
    return shapes


def camera(viewer: ViewerModel) -> Any:
    return getattr(viewer, "scene", viewer).camera


def test_nothing_is_shown_before_there_are_regions(panel: UncertaintyPanel, qtbot: QtBot) -> None:
    assert not panel.isVisible()


def test_the_first_region_is_framed_and_looked_at(
    panel: UncertaintyPanel, viewer: ViewerModel, labels: Labels
) -> None:
    panel.show_regions(THREE, labels)

    assert panel.isVisible()
    assert panel.sentence.message == "1 of 3: First."
    assert camera(viewer).center[-2:] == pytest.approx((14.5 / 2, 39.5 / 2))
    shapes = frame(viewer)
    assert shapes.name == "annotate here next"
    assert shapes.data[0].tolist() == [[9.5, 29.5], [9.5, 49.5], [19.5, 49.5], [19.5, 29.5]]
    assert tuple(shapes.scale) == (0.5, 0.5)
    # Who paints goes on painting.
    assert viewer.layers.selection.active is labels


def test_next_and_previous_lead_through_the_regions(
    panel: UncertaintyPanel, viewer: ViewerModel, labels: Labels, qtbot: QtBot
) -> None:
    panel.show_regions(THREE, labels)
    assert panel.region == THREE[0]
    assert not panel.previous_button.isEnabled()

    click(qtbot, panel.next_button)
    assert panel.region == THREE[1]
    assert panel.sentence.message == "2 of 3: Second."
    assert frame(viewer).data[0][0].tolist() == [39.5, -0.5]
    click(qtbot, panel.next_button)
    assert panel.region == THREE[2]
    assert not panel.next_button.isEnabled()
    click(qtbot, panel.previous_button)

    assert panel.region == THREE[1]
    assert panel.sentence.message == "2 of 3: Second."
    assert len(viewer.layers) == 2


def test_done_takes_the_frame_away(
    panel: UncertaintyPanel, viewer: ViewerModel, labels: Labels, qtbot: QtBot
) -> None:
    panel.show_regions(THREE, labels)

    click(qtbot, panel.done_button)

    assert list(viewer.layers) == [labels]
    assert not panel.isVisible()
    assert panel.region is None


def test_new_regions_take_the_place_of_the_old_ones(
    panel: UncertaintyPanel, viewer: ViewerModel, labels: Labels, qtbot: QtBot
) -> None:
    panel.show_regions(THREE, labels)
    click(qtbot, panel.next_button)

    panel.show_regions(THREE[2:], labels)

    assert panel.sentence.message == "1 of 1: Third."
    assert len(viewer.layers) == 2


def test_a_frame_that_a_person_removed_comes_back_with_the_next_region(
    panel: UncertaintyPanel, viewer: ViewerModel, labels: Labels, qtbot: QtBot
) -> None:
    panel.show_regions(THREE, labels)
    viewer.layers.remove(frame(viewer))

    click(qtbot, panel.next_button)

    assert frame(viewer).data[0][0].tolist() == [39.5, -0.5]


def test_the_frame_goes_with_its_layer(
    panel: UncertaintyPanel, viewer: ViewerModel, labels: Labels
) -> None:
    panel.show_regions(THREE, labels)

    viewer.layers.remove(labels)

    assert list(viewer.layers) == []
    assert not panel.isVisible()


def test_a_network_that_is_sure_is_told(
    panel: UncertaintyPanel, viewer: ViewerModel, labels: Labels
) -> None:
    panel.show_regions([], labels)

    assert panel.sentence.message.startswith("The network is sure everywhere")
    assert not panel.previous_button.isEnabled()
    assert not panel.next_button.isEnabled()
    assert list(viewer.layers) == [labels]


def test_regions_of_a_slice_are_framed_in_that_slice(
    panel: UncertaintyPanel, viewer: ViewerModel, qtbot: QtBot
) -> None:
    stack = viewer.add_labels(np.zeros((7, 100, 120), np.int32))
    viewer.dims.set_current_step(0, 4)
    panel.show_regions(THREE, stack)
    viewer.dims.set_current_step(0, 1)

    click(qtbot, panel.next_button)

    assert viewer.dims.current_step[0] == 4
    (corners,) = frame(viewer).data
    assert corners[:, 0].tolist() == [4, 4, 4, 4]

    panel.show_regions(THREE, stack, plane=(2, slice(None), slice(None)))
    assert viewer.dims.current_step[0] == 2


def test_regions_of_a_volume_are_framed_in_each_of_their_slices(
    panel: UncertaintyPanel, viewer: ViewerModel, qtbot: QtBot
) -> None:
    stack = viewer.add_labels(np.zeros((7, 100, 120), np.int32))

    panel.show_regions([region((2, 5), (10, 20), (30, 50))], stack)

    assert viewer.dims.current_step[0] == 3
    assert [corners[0, 0] for corners in frame(viewer).data] == [2, 3, 4]

    panel.show_regions([region((2, 4), (10, 20), (30, 50)), region((0, 5), (1, 9), (1, 9))], stack)
    click(qtbot, panel.next_button)

    assert len(frame(viewer).data) == 5


def test_nobody_is_offered_the_frame_as_a_region(
    panel: UncertaintyPanel, viewer: ViewerModel, labels: Labels, qtbot: QtBot
) -> None:
    choice = LayerChoice(viewer, Shapes)
    qtbot.addWidget(choice)

    panel.show_regions(THREE, labels)

    assert choice.layer is None


def test_everything_says_what_it_does(panel: UncertaintyPanel) -> None:
    for widget in (
        panel.sentence,
        panel.previous_button,
        panel.next_button,
        panel.done_button,
    ):
        assert len(widget.toolTip()) > 30
