"""The way out where the labels are a mask: its connected pieces become cells."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from napari_unet.engine.images.image import LabelImage
from napari_unet.viewer.layers import place_of
from napari_unet.widgets.shared.buttons import JobButton

if TYPE_CHECKING:
    from napari.components import ViewerModel


class MaskRemedy(JobButton):
    """Makes cells of a mask: each connected piece gets a number of its own.

    Hidden until a mask is found where cells were meant; the mask itself is left as it is.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__(
            "Number the connected pieces",
            "Make a new Labels layer in which each connected piece of the mask is a cell. Cells "
            "that touch stay one; part them with the eraser.",
            self._prepare,
        )
        self._viewer = viewer
        self.offer(None)

    def offer(self, mask: Labels | None, ndim: int = 2) -> None:
        """Show the button for a mask whose cells have so many axes; hide it for None."""
        self._mask, self._ndim = mask, ndim
        self.setVisible(mask is not None)

    def stop(self) -> None:
        """Let go of what is not finished."""
        super().stop()
        self.offer(None)

    def _prepare(self) -> tuple[Callable[[], Any], Callable[[Any], None]]:
        assert self._mask is not None  # noqa: S101 - hidden without one
        return partial(_number, self._mask.data, self._ndim), partial(self._show, self._mask)

    def _show(self, mask: Labels, pieces: NDArray[np.int32]) -> None:
        if mask not in self._viewer.layers:
            return
        self.offer(None)
        place = place_of(mask, tuple(range(mask.ndim)))
        mask.visible = False
        self._viewer.add_layer(Labels(pieces, name=f"{mask.name}: pieces", **place))


def _number(mask: LabelImage, ndim: int) -> NDArray[np.int32]:
    from napari_unet.engine.weight_map.weight_map import number_pieces

    return number_pieces(mask, axes=ndim)
