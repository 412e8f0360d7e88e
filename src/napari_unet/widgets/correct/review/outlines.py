"""The cell that is looked at, and boxes around those that were chosen, as lines over the canvas."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QPointF, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QWidget
from skimage.measure import find_contours

from napari_unet.engine.base.regions import grown
from napari_unet.widgets.shared.parts import single_shot, while_alive

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari.components import ViewerModel
    from napari.layers import Labels

    from napari_unet.engine.labels.cell_list import CellList
    from napari_unet.widgets.correct.review.look_over import LookOver

_OUTLINE, _BOX, _HALO = "#ffe14d", "#ff8c1a", "#000000"
_OUTLINE_PX = 2.0
_BESIDE_PX = 2.0
"""Pixels of the screen between a cell and its box."""

_LARGEST_PX = 1 << 22
"""Of a larger cell its box is drawn."""


@dataclass(frozen=True, slots=True, eq=False)
class DrawnCells:
    """What is drawn, in the two axes of the world that are shown."""

    outlines: list[NDArray[np.float64]] = field(default_factory=list)
    """(P, 2) each."""
    boxes: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 2, 2)))
    """(M, 2, 2): two opposite corners each."""


def drawn_cells(
    viewer: ViewerModel,
    layer: Labels,
    cells: CellList,
    number: int | None,
    chosen: NDArray[np.intp],
) -> DrawnCells:
    """Find what to draw of the slice that is shown; nothing in the 3-D view.

    Parameters
    ----------
    number : int, optional
        The cell that gets an outline.
    chosen : (M,) int array
        Rows of `cells` that get a box.
    """
    missing = viewer.dims.ndim - layer.ndim
    shown = [axis - missing for axis in viewer.dims.displayed]
    if len(shown) != 2 or min(shown) < 0 or not layer.visible:
        return DrawnCells()
    place = layer.world_to_data(viewer.dims.point[missing:])
    here = {axis: round(float(place[axis])) for axis in range(layer.ndim) if axis not in shown}
    origin = np.array([float(here.get(axis, 0)) for axis in range(layer.ndim)])
    to_world = _Affine(layer, shown, origin)
    is_here = np.ones(chosen.size, np.bool_)
    for axis, at in here.items():
        is_here &= (cells.starts[chosen, axis] <= at) & (at < cells.stops[chosen, axis])
    rows = chosen[is_here]
    corners = np.stack([cells.starts[rows][:, shown] - 0.5, cells.stops[rows][:, shown] - 0.5], 1)
    boxes = to_world(corners.reshape(-1, 2)).reshape(-1, 2, 2)
    row = None if number is None else cells.row(number)
    if row is None:
        return DrawnCells([], boxes)
    box = cells.box(row)
    if not all(box[axis].start <= at < box[axis].stop for axis, at in here.items()):
        return DrawnCells([], boxes)
    wider = grown(box, [1] * layer.ndim, layer.data.shape)
    index = tuple(here.get(axis, part) for axis, part in enumerate(wider))
    part = layer.data[index]
    if part.size > _LARGEST_PX:
        return DrawnCells([], boxes)
    mask = np.pad((part == number).transpose(np.argsort(np.argsort(shown))), 1)
    corner = np.array([wider[axis].start - 1 for axis in shown], float)
    found = find_contours(mask.astype(np.float32), 0.5)
    return DrawnCells([to_world(each + corner) for each in found], boxes)


class _Affine:
    """Brings places in two axes of a layer into the two axes of the world that show them."""

    def __init__(self, layer: Labels, shown: list[int], origin: NDArray[np.float64]) -> None:
        self._start = self._world(layer, origin)[shown]
        steps = []
        for axis in shown:
            beside = origin.copy()
            beside[axis] += 1
            steps.append(self._world(layer, beside)[shown] - self._start)
        self._matrix = np.stack(steps)

    def __call__(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = self._start + places @ self._matrix
        return found

    @staticmethod
    def _world(layer: Labels, place: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(layer.data_to_world(place), float)


class CellOutlines(QWidget):
    """Lies over a canvas, follows its camera, and lets the mouse through.

    It is no layer: a list of layers is the user's, and a mask of a large image is slow to draw.
    """

    def __init__(self, canvas: QWidget, viewer: ViewerModel) -> None:
        super().__init__(canvas)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        # It moved to the scene in napari 0.9.
        self._camera = getattr(viewer, "scene", viewer).camera
        self._drawn = DrawnCells()
        self._camera.events.connect(self._on_moved)
        self.hide()

    def show_cells(self, drawn: DrawnCells) -> None:
        """Show these from now on."""
        self._drawn = drawn
        self._fit()
        self.setVisible(bool(drawn.outlines or drawn.boxes.size))
        self.update()

    def _fit(self) -> None:
        canvas = self.parentWidget()
        if canvas is not None and self.geometry() != canvas.rect():
            self.setGeometry(canvas.rect())

    @while_alive
    def _on_moved(self, _event: Any = None) -> None:
        if self.isVisible():
            self._fit()
            self.update()

    def on_canvas(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        """Bring places of the world, (..., 2) as y and x, to pixels of the canvas, x and y."""
        ways = getattr(self._camera, "orientation2d", ("down", "right"))
        signs = [1 if str(getattr(w, "value", w)) in ("down", "right") else -1 for w in ways]
        centre, middle = np.array(self._camera.center[-2:]), [self.height() / 2, self.width() / 2]
        found: NDArray[np.float64] = (places - centre) * self._camera.zoom * signs + middle
        return found[..., ::-1]

    def paintEvent(self, _event: QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        """Draw lines that are seen on dark and on bright images."""
        painter = QPainter(self)
        self._draw_boxes(painter)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for places in self._drawn.outlines:
            line = QPolygonF([QPointF(x, y) for x, y in self.on_canvas(places).tolist()])
            for colour, width in ((_HALO, 2 * _OUTLINE_PX), (_OUTLINE, _OUTLINE_PX)):
                painter.setPen(QPen(QColor(colour), width))
                painter.drawPolyline(line)
        painter.end()

    def _draw_boxes(self, painter: QPainter) -> None:
        corners = self.on_canvas(self._drawn.boxes)
        low, high = corners.min(axis=1, initial=np.inf), corners.max(axis=1, initial=-np.inf)
        size = np.array([self.width(), self.height()])
        is_seen = ((high >= 0) & (low <= size)).all(axis=1)
        low, high = low[is_seen] - _BESIDE_PX, high[is_seen] + _BESIDE_PX
        # Of one pixel: thicker ones take ten times as long, and there may be thousands.
        painter.setPen(QPen(QColor(_BOX), 1))
        for ends in np.rint(np.concatenate([low, high - low], axis=1)).astype(int).tolist():
            painter.drawRect(*ends)


class ShownOutlines(QObject):
    """Keeps the outlines in time with what is looked at, and with the slice that is shown.

    Parameters
    ----------
    canvases : callable
        Returns what napari draws on; nothing without a window.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        look_over: LookOver,
        canvases: Callable[[], Sequence[QWidget]],
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._look_over, self._canvases = viewer, look_over, canvases
        self.drawn = DrawnCells()
        self._over: CellOutlines | None = None
        self._soon = single_shot(self, self._show)
        look_over.visited.connect(self._soon.start)
        look_over.listed.connect(self._soon.start)
        dims = viewer.dims.events
        for event in (dims.point, dims.order, dims.ndisplay, dims.ndim):
            event.connect(self._on_view_changed)

    @while_alive
    def _on_view_changed(self, _event: Any = None) -> None:
        self._soon.start()

    def _show(self) -> None:
        looked = self._look_over
        layer, cells = looked.layer, looked.cells
        self.drawn = DrawnCells()
        if layer is not None and cells is not None:
            chosen = looked.chosen if looked.shows_chosen else []
            rows = np.searchsorted(cells.numbers, np.array(chosen, np.int64))
            self.drawn = drawn_cells(self._viewer, layer, cells, looked.number, rows)
        if self._over is None and (self.drawn.outlines or self.drawn.boxes.size):
            self._over = next((CellOutlines(each, self._viewer) for each in self._canvases()), None)
        if self._over is not None:
            self._over.show_cells(self.drawn)
