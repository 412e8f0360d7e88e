"""The click that makes cells of a mask: each connected piece gets a number of its own."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray
from qtpy.compat import isalive
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton

from napari_unet.engine.images.image import LabelImage
from napari_unet.viewer.layers import place_of
from napari_unet.viewer.worker import Job

if TYPE_CHECKING:
    from napari.components import ViewerModel


class MaskRemedy(QPushButton):
    """Hidden until a mask is found where cells were meant; the mask itself is left as it is.

    Parameters
    ----------
    viewer : napari viewer

    Attributes
    ----------
    failed : Signal
        Carries the exception.
    """

    failed = Signal(object)

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__("Number the connected pieces")
        self.setToolTip(
            "<qt>Make a new Labels layer in which each connected piece of the mask is a cell. "
            "Cells that touch stay one; part them with the eraser.</qt>"
        )
        self._viewer = viewer
        self._mask: Labels | None = None
        self._ndim = 2
        self._job = Job(self)
        self.clicked.connect(self._on_clicked)
        self.hide()

    def offer(self, mask: Labels | None, ndim: int = 2) -> None:
        """Show the button for a mask whose cells have so many axes; hide it for None."""
        self._mask, self._ndim = mask, ndim
        self.setVisible(mask is not None)
        self.setEnabled(mask is not None)

    def stop(self) -> None:
        """Let go of what is not finished."""
        self._job.stop()
        self.offer(None)

    def _on_clicked(self) -> None:
        if self._mask is None:
            return
        self.setEnabled(False)
        self._job.start(
            partial(_number, self._mask.data, self._ndim),
            on_result=partial(self._on_numbered, self._mask),
            on_error=self.failed.emit,
        )

    def _on_numbered(self, mask: Labels, pieces: NDArray[np.int32]) -> None:
        if not isalive(self) or mask not in self._viewer.layers:
            return
        self.offer(None)
        place = place_of(mask, tuple(range(mask.ndim)))
        mask.visible = False
        self._viewer.add_layer(Labels(pieces, name=f"{mask.name}: pieces", **place))


def _number(mask: LabelImage, ndim: int) -> NDArray[np.int32]:
    from napari_unet.engine.weight_map.weight_map import number_pieces

    return number_pieces(mask, axes=ndim)
