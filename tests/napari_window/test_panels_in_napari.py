"""What stands beside a training, in a real napari window: places are shown where they are."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from napari.utils._proxies import PublicOnlyProxy
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt

from napari_unet import preflight
from napari_unet.engine.labels.comparison import change_image, compare_cells
from napari_unet.engine.labels.uncertainty import UncertainRegion
from napari_unet.viewer import worker
from napari_unet.viewer.viewpoint import look_at
from napari_unet.widgets.train.curves.curves import TrainingCurves
from napari_unet.widgets.train.repair_job import RepairJob
from napari_unet.widgets.train.review.change_layer import CHANGE_COLOURS, show_changes
from napari_unet.widgets.train.review.uncertainty_panel import UncertaintyPanel

pytestmark = pytest.mark.viewer


def middle_of_the_canvas(viewer: Any) -> Any:
    pixels = viewer.screenshot(flash=False)
    return pixels[pixels.shape[0] // 2, pixels.shape[1] // 2, :3].astype(int)


def sees(layer: Any, box: tuple[slice, ...]) -> bool:
    """Whether what the canvas shows of a layer contains the box, with some room."""
    corners = layer.corner_pixels[:, -2:]
    return all(
        corners[0, axis] < part.start and part.stop < corners[1, axis]
        for axis, part in enumerate(box)
    )


def test_a_change_is_in_the_middle_of_the_canvas_in_its_colour(
    make_napari_viewer: Callable[[], Any], qtbot: QtBot
) -> None:
    viewer = make_napari_viewer(show=True)
    image = viewer.add_image(np.zeros((3, 400, 500), np.uint8), name="cells", scale=(1, 0.5, 0.5))
    viewer.dims.set_current_step(0, 1)
    before, after = np.zeros((2, 400, 500), np.int32)
    after[300:320, 440:460] = 1
    comparison = compare_cells(before, after)
    proxy = PublicOnlyProxy(viewer)

    layer = show_changes(
        proxy, image, change_image(comparison), plane=(1, slice(None), slice(None))
    )
    layer.opacity = 1
    look_at(proxy, image, comparison.changes[0].box)
    qtbot.waitUntil(lambda: sees(image, comparison.changes[0].box), timeout=10_000)

    colour = [int(CHANGE_COLOURS["gained"][place : place + 2], 16) for place in (1, 3, 5)]
    assert np.abs(middle_of_the_canvas(viewer) - colour).max() < 12


def test_a_doubtful_region_is_in_the_middle_of_the_canvas(
    make_napari_viewer: Callable[[], Any], qtbot: QtBot
) -> None:
    viewer = make_napari_viewer(show=True)
    labels = viewer.add_labels(np.zeros((600, 800), np.int32))
    panel = UncertaintyPanel(PublicOnlyProxy(viewer))
    viewer.window.add_dock_widget(panel)
    boxes = [
        (slice(20, 60), slice(20, 60)),
        (slice(500, 540), slice(700, 740)),
    ]
    panel.show_regions(
        [UncertainRegion((0, 0), box, 0.5, "unsure", "Close scores.") for box in boxes], labels
    )
    qtbot.waitUntil(lambda: sees(labels, boxes[0]), timeout=10_000)
    dark = viewer.screenshot(flash=False)[..., :3].max()

    qtbot.mouseClick(panel.next_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: sees(labels, boxes[1]), timeout=10_000)

    assert not sees(labels, boxes[0])
    assert dark > 100  # the frame
    qtbot.mouseClick(panel.done_button, Qt.MouseButton.LeftButton)
    assert list(viewer.layers) == [labels]


def test_a_repair_is_seen_at_once_and_undo_takes_it_back(
    make_napari_viewer: Callable[[], Any], qtbot: QtBot
) -> None:
    viewer = make_napari_viewer(show=True)
    array = np.zeros((100, 100), np.int32)
    array[10:90, 10:90] = 1
    array[49:52, 49:52] = 0
    labels = viewer.add_labels(array.copy())
    labels.opacity = 1
    assert middle_of_the_canvas(viewer).max() < 10
    (hole,) = (finding for finding in preflight(array) if finding.code == "holes")

    job = RepairJob()
    with qtbot.waitSignal(job.repaired, timeout=60_000):
        job.start(labels, hole)
    assert middle_of_the_canvas(viewer).max() > 30

    labels.undo()
    assert middle_of_the_canvas(viewer).max() < 10
    assert np.array_equal(labels.data, array)


def test_curves_grow_in_a_dock_and_take_the_theme_over(
    make_napari_viewer: Callable[[], Any], qtbot: QtBot
) -> None:
    viewer = make_napari_viewer(show=True)
    curves = TrainingCurves()
    viewer.window.add_dock_widget(curves)
    curves.add_steps(range(100), np.linspace(1, 0.1, 100).tolist())
    curves.add_validation(99, 0.2, 0.9, 0.8)
    qtbot.waitUntil(lambda: curves.is_drawn, timeout=60_000)
    assert curves.quality_legend.isVisible()

    legends = []
    for theme in ("light", "dark"):
        viewer.theme = theme
        qtbot.waitUntil(lambda: curves.loss_legend.text() not in legends, timeout=10_000)
        legends.append(curves.loss_legend.text())

    assert "#0072b2" in legends[0]
    assert "#56b4e9" in legends[1]
    assert worker.stop_all()
