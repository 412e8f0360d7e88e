"""The camera moves to a part of a layer, wherever that lies in the world."""

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils._proxies import PublicOnlyProxy

from napari_unet.viewer.viewpoint import box_in_layer, look_at


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


def camera(viewer: ViewerModel) -> Any:
    return getattr(viewer, "scene", viewer).camera


def box(*edges: tuple[int, int]) -> tuple[slice, ...]:
    return tuple(slice(*edge) for edge in edges)


def test_the_middle_of_the_box_is_in_the_middle_of_the_view(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((100, 200)), scale=(0.5, 2), translate=(10, 20))

    look_at(PublicOnlyProxy(viewer), layer, box((20, 30), (100, 110)))

    # Pixels 20 to 29 are around 24.5.
    assert camera(viewer).center[-2:] == pytest.approx((10 + 24.5 * 0.5, 20 + 104.5 * 2))


def test_the_zoom_stays_while_the_box_is_neither_tiny_nor_cut_off(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((1000, 1000)))
    canvas_px = min(viewer.canvas.size) if hasattr(viewer, "canvas") else 600
    zooms = []
    for side in (canvas_px // 5, canvas_px // 100, canvas_px * 2):
        camera(viewer).zoom = 1.0
        look_at(viewer, layer, box((0, side), (0, side // 2)))
        zooms.append(camera(viewer).zoom * side / canvas_px)

    assert zooms == pytest.approx([0.2, 0.3, 0.3], abs=0.02)


def test_the_slice_of_the_box_is_shown(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((9, 50, 60)), scale=(3, 1, 1))
    viewer.dims.set_current_step(0, 1)

    look_at(viewer, layer, box((5, 6), (10, 20), (30, 40)))

    assert viewer.dims.current_step[0] == 5
    assert camera(viewer).center[-2:] == pytest.approx((14.5, 34.5))


def test_a_box_of_the_plane_leaves_the_slice_as_it_is(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((9, 50, 60)))
    viewer.dims.set_current_step(0, 4)

    look_at(viewer, layer, box((10, 20), (30, 40)))

    assert viewer.dims.current_step[0] == 4
    assert camera(viewer).center[-2:] == pytest.approx((14.5, 34.5))


def test_a_box_over_slices_shows_the_middle_one(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((9, 50, 60)))

    look_at(viewer, layer, box((2, 7), (10, 20), (30, 40)))

    assert viewer.dims.current_step[0] == 4


def test_a_flat_layer_in_a_viewer_of_stacks_is_found(viewer: ViewerModel) -> None:
    viewer.add_image(np.zeros((9, 50, 60)))
    layer = viewer.add_labels(np.zeros((50, 60), np.int32))
    viewer.dims.set_current_step(0, 3)

    look_at(viewer, layer, box((10, 20), (30, 40)))

    assert viewer.dims.current_step[0] == 3
    assert camera(viewer).center[-2:] == pytest.approx((14.5, 34.5))


def test_axes_in_another_order_are_followed(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((9, 50, 60)))
    viewer.dims.order = (1, 0, 2)

    look_at(viewer, layer, box((2, 3), (10, 20), (30, 40)))

    assert viewer.dims.current_step[1] == 14
    assert camera(viewer).center[-2:] == pytest.approx((2, 34.5))


def test_all_three_axes_are_in_the_middle_of_a_volume(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((9, 50, 60)))
    viewer.dims.ndisplay = 3

    look_at(viewer, layer, box((2, 7), (10, 20), (30, 40)))

    assert camera(viewer).center == pytest.approx((4, 14.5, 34.5))


def test_a_mirrored_layer_is_found(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((50, 60)), scale=(-1, 1))

    look_at(viewer, layer, box((10, 20), (30, 40)))

    assert camera(viewer).center[-2:] == pytest.approx((-14.5, 34.5))
    assert camera(viewer).zoom > 0


def test_a_box_of_a_plane_is_one_of_its_stack() -> None:
    whole = slice(None)
    flat = box((10, 20), (30, 40))

    assert box_in_layer(flat, None) == flat
    assert box_in_layer(flat, (4, whole, whole)) == box((4, 5), (10, 20), (30, 40))
    assert box_in_layer(flat, (whole, 4, whole)) == box((10, 20), (4, 5), (30, 40))
