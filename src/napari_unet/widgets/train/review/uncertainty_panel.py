"""Where to annotate next: leads through the places in which the network is least sure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Shapes
from numpy.typing import NDArray
from qtpy.QtWidgets import QWidget

from napari_unet.engine.base.regions import Region
from napari_unet.engine.images.image import PlaneIndex
from napari_unet.viewer.layers import place_of, shown_plane
from napari_unet.viewer.results import SCORES_KEY, move_to
from napari_unet.viewer.viewpoint import box_in_layer, look_at
from napari_unet.widgets.shared.parts import action_button, in_column, in_row, while_alive
from napari_unet.widgets.shared.texts import Sentence

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_unet.engine.labels.uncertainty import UncertainRegion

_COLOUR = "#ffd23f"
_EDGE_SHARE = 1 / 60
_NOWHERE = "The network is sure everywhere, so any new image teaches it more than this one."


class UncertaintyPanel(QWidget):
    """Goes from region to region, and outlines the one that is looked at.

    Whoever holds the panel calls `clear` before it goes, so that no outline
    is left behind.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self._regions: tuple[UncertainRegion, ...] = ()
        self._layer: Layer | None = None
        self._plane: PlaneIndex | None = None
        self._place = 0
        self._outline: Shapes | None = None
        self.sentence = Sentence()
        self.sentence.setToolTip(
            "What makes the network unsure here. Correct the cells inside the yellow frame, or "
            "paint them anew."
        )
        self.previous_button = action_button(
            "Previous", "Go back to the place before this one.", self._on_previous_clicked
        )
        self.next_button = action_button(
            "Next",
            "Go to the next place, where the network is a little surer.",
            self._on_next_clicked,
        )
        self.done_button = action_button(
            "Done", "Take the frame away; what you painted stays.", self.clear
        )
        buttons = in_row(self.previous_button, self.next_button, self.done_button)
        in_column(self.sentence, buttons, within=self)
        self.setVisible(False)
        viewer.layers.events.removed.connect(self._on_layer_removed)

    @property
    def region(self) -> UncertainRegion | None:
        """What is looked at."""
        return self._regions[self._place] if self._regions else None

    def show_regions(
        self,
        regions: Sequence[UncertainRegion],
        layer: Layer,
        *,
        plane: PlaneIndex | None = None,
    ) -> None:
        """Go to the first of these regions.

        Parameters
        ----------
        regions : sequence of UncertainRegion
            The most doubtful first.
        layer : napari layer
            In whose pixels they are: an image without an axis of channels, or
            its labels.
        plane : tuple of int or slice, optional
            The slice of the layer in which they were found; where the regions
            have fewer axes than the layer the one that is shown by default.
        """
        self.clear()
        if plane is None and regions and len(regions[0].box) < layer.ndim:
            plane = shown_plane(layer, self._viewer.dims, len(regions[0].box))
        self._regions, self._layer, self._plane = tuple(regions), layer, plane
        self.setVisible(True)
        self._show(0)

    def clear(self) -> None:
        """Take the outline away and show nothing."""
        outline, self._outline = self._outline, None
        self._regions, self._layer = (), None
        if outline is not None and outline in self._viewer.layers:
            self._viewer.layers.remove(outline)
        self.setVisible(False)

    def _show(self, place: int) -> None:
        self._place = place
        self.previous_button.setEnabled(place > 0)
        self.next_button.setEnabled(place + 1 < len(self._regions))
        region = self.region
        if region is None or self._layer is None:
            self.sentence.show_text(_NOWHERE)
            return
        self.sentence.show_text(f"{place + 1} of {len(self._regions)}: {region.reason}")
        box = box_in_layer(region.box, self._plane)
        look_at(self._viewer, self._layer, box)
        self._draw(self._layer, box)

    def _draw(self, layer: Layer, box: Region) -> None:
        flat = [axis for axis, part in enumerate(self._plane or box) if isinstance(part, slice)]
        frames = _frames(box, (flat[-2], flat[-1]))
        width = max(box[axis].stop - box[axis].start for axis in flat[-2:]) * _EDGE_SHARE
        place = place_of(layer, tuple(range(layer.ndim)))
        if self._outline is not None and self._outline in self._viewer.layers:
            self._outline.data = frames
            self._outline.edge_width = [width] * len(frames)
            move_to(self._outline, place)
            return
        self._outline = Shapes(
            frames,
            name="annotate here next",
            # With it nobody is offered the layer where regions are asked for.
            metadata={SCORES_KEY: [str(layer.unique_id), "", "doubt"]},
            edge_color=_COLOUR,
            face_color="transparent",
            edge_width=width,
            **place,
        )
        active = self._viewer.layers.selection.active
        self._viewer.add_layer(self._outline)
        # Who paints goes on painting.
        self._viewer.layers.selection.active = active

    @while_alive
    def _on_layer_removed(self, _event: Any) -> None:
        if self._layer is not None and self._layer not in self._viewer.layers:
            self.clear()

    def _on_previous_clicked(self) -> None:
        self._show(self._place - 1)

    def _on_next_clicked(self) -> None:
        self._show(self._place + 1)


def _frames(box: Region, axes: tuple[int, int]) -> list[NDArray[np.float64]]:
    """Corners of the rectangle around a box along two axes, one for each slice that it spans."""
    spans: list[Sequence[float]] = [range(part.start, part.stop) for part in box]
    for axis in axes:
        # Only the first corner: the others are as far away as the box is long.
        spans[axis] = [box[axis].start - 0.5]
    corners = np.zeros((4, len(box)))
    for axis, sides in zip(axes, ((0, 0, 1, 1), (0, 1, 1, 0)), strict=True):
        corners[:, axis] = np.array(sides) * (box[axis].stop - box[axis].start)
    return [corners + np.array(first, float) for first in product(*spans)]
