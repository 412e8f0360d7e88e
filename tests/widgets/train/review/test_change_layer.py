"""The layer of changes: on the grid of its image, in fixed colours, and only one of it."""

import subprocess
import sys

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels
from napari.utils._proxies import PublicOnlyProxy

from napari_unet.engine.labels.comparison import CHANGE_KINDS
from napari_unet.widgets.shared.choices import LayerChoice
from napari_unet.widgets.train.review.change_layer import (
    CHANGE_COLOURS,
    remove_changes,
    show_changes,
)

ALL = slice(None)


def image_of(*values: int) -> np.ndarray:
    """Row of pixels with these values."""
    return np.array([values], np.uint8)


def test_each_kind_has_a_colour_and_they_are_in_the_order_of_their_numbers() -> None:
    assert tuple(CHANGE_COLOURS) == CHANGE_KINDS
    assert len(set(CHANGE_COLOURS.values())) == len(CHANGE_KINDS)


def test_the_layer_lies_on_the_image_and_leaves_the_selection_alone(viewer: ViewerModel) -> None:
    image = viewer.add_image(np.zeros((1, 4)), name="cells", scale=(0.5, 2), translate=(3, 4))

    layer = show_changes(viewer, image, image_of(0, 1, 2, 6))

    assert layer.name == "cells: changes"
    assert layer in viewer.layers
    assert viewer.layers.selection.active is image
    assert tuple(layer.scale) == (0.5, 2)
    assert tuple(layer.translate) == (3, 4)
    assert layer.data.tolist() == [[0, 1, 2, 6]]
    assert not layer.editable


def test_the_colours_are_those_of_the_kinds_and_the_status_bar_names_them(
    viewer: ViewerModel,
) -> None:
    layer = show_changes(viewer, viewer.add_image(np.zeros((1, 4))), image_of(0, 1, 2, 6))

    colours = np.asarray(layer.get_color([0, 1, 2]))
    assert colours[0][3] == 0
    assert np.allclose(colours[1] * 255, [0x00, 0xA8, 0x78, 255], atol=1)
    assert np.allclose(colours[2] * 255, [0xE0, 0x3A, 0x1E, 255], atol=1)
    assert list(layer.features["change"]) == ["none", *CHANGE_KINDS]


def test_a_second_comparison_is_shown_in_the_same_layer(viewer: ViewerModel) -> None:
    image = viewer.add_image(np.zeros((1, 4)), name="cells")
    proxy = PublicOnlyProxy(viewer)
    first = show_changes(proxy, image, image_of(0, 1, 2, 6))
    first.visible = False
    image.scale = (3, 3)

    second = show_changes(proxy, proxy.layers[0], image_of(5, 0, 0, 0), name="other")

    assert second == first
    assert len(viewer.layers) == 2
    assert first.data.tolist() == [[5, 0, 0, 0]]
    assert first.visible
    assert tuple(first.scale) == (3, 3)


def test_each_image_has_its_own_layer(viewer: ViewerModel) -> None:
    for name in ("one", "other"):
        image = viewer.add_image(np.zeros((1, 4)), name=name)
        show_changes(viewer, image, image_of(0, 1, 2, 6))

    assert [layer.name for layer in viewer.layers] == [
        *("one", "one: changes"),
        *("other", "other: changes"),
    ]


def test_the_changes_of_one_slice_leave_the_others_alone(viewer: ViewerModel) -> None:
    stack = viewer.add_image(np.zeros((3, 1, 4)), name="stack")

    show_changes(viewer, stack, image_of(1, 1, 1, 1), plane=(0, ALL, ALL))
    layer = show_changes(viewer, stack, image_of(2, 2, 2, 2), plane=(2, ALL, ALL))

    assert layer.data[:, 0, 0].tolist() == [1, 0, 2]


def test_an_image_with_colours_has_changes_without(viewer: ViewerModel) -> None:
    image = viewer.add_image(np.zeros((1, 4, 3)), rgb=True)

    assert show_changes(viewer, image, image_of(0, 1, 2, 6)).data.shape == (1, 4)


def test_nobody_is_offered_changes_for_cells_and_they_can_go(viewer: ViewerModel, qtbot) -> None:
    image = viewer.add_image(np.zeros((1, 4)))
    show_changes(viewer, image, image_of(0, 1, 2, 6))
    choice = LayerChoice(viewer, Labels)
    qtbot.addWidget(choice)
    assert choice.count() == 0

    remove_changes(viewer, image)
    remove_changes(viewer, image)

    assert list(viewer.layers) == [image]


_COUNTING = """
import numpy as np
from napari.components import ViewerModel
from numba.core import event
from napari_unet.widgets.train.review.change_layer import show_changes

with event.install_recorder("numba:compile") as compiled:
    viewer = ViewerModel()
    show_changes(viewer, viewer.add_image(np.zeros((1, 4))), np.array([[0, 1, 2, 6]], np.uint8))
print([e.data["dispatcher"].py_func.__name__ for _, e in compiled.buffer])
"""


def test_the_first_one_is_shown_without_anything_to_compile() -> None:
    # In a process of its own, where nothing is compiled yet.
    command = [sys.executable, "-c", _COUNTING]

    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)

    assert ended.stdout.strip() == "[]"
