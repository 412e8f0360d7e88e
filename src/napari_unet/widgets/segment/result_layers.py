"""The layers that a run fills, from the first tile to the last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.engine.images.image import PlaneIndex, Region
from napari_unet.viewer.layers import LayerImage, shown_plane, visible_box
from napari_unet.viewer.results import METADATA_KEY, find_result, find_scores, move_to, note_origin
from napari_unet.widgets.segment.runs import Drawn, Found, Opened, Recipe

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Layer

    from napari_unet.viewer.label_canvas import LabelCanvas


class ResultLayers:
    """Adds, fills and closes the layers of one run after the other.

    While a run fills a layer, it cannot be painted on.

    Parameters
    ----------
    viewer : napari viewer
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._labels: Labels | None = None
        self._earlier: Labels | None = None
        self._scores: list[Image] = []
        self._added_scores: tuple[Image, ...] = ()
        self._canvas: LabelCanvas | None = None
        self._follows = False
        self._fills_several = False
        self._place: dict[str, Any] = {}
        self._step: tuple[int, ...] = ()
        self.notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Of the layer that is filled."""
        return "" if self._labels is None else str(self._labels.name)

    def earlier(
        self, image: LayerImage, recipe: Recipe
    ) -> tuple[LabelCanvas | None, dict[str, Any]]:
        """Find what an earlier run on the same image left, in a form that a worker may have."""
        from napari_unet.viewer.label_canvas import LabelCanvas

        self.notes = ()
        self._canvas, self._labels = None, None
        # Slices that must be read from a disk would hold the window up.
        self._follows = image.extent == "stack" and not image.is_lazy
        self._fills_several = len(image.planes()) > 1
        self._step = tuple(self._viewer.dims.current_step)
        self._place = image.place
        self._scores, self._added_scores = [], ()
        scores: dict[str, Any] = {}
        for role in recipe.network.description.class_roles:
            layer = find_scores(self._viewer, image, recipe.model, role)
            if layer is not None:
                scores[role] = layer.data
                self._scores.append(layer)
        self._earlier = find_result(self._viewer, image, recipe.model)
        if self._earlier is None:
            return None, scores
        made = self._earlier.metadata[METADATA_KEY]
        # Kept here, too: a Stop may come before the report that it is being filled.
        self._canvas = LabelCanvas(self._earlier.data, made.get("checksums", {}))
        return self._canvas, scores

    def open(self, opened: Opened) -> None:
        """Show the layers of a run that has begun."""
        self._canvas = opened.canvas
        # The image may have been moved or scaled since.
        for layer in self._scores:
            move_to(layer, self._place)
        self._added_scores = opened.score_layers
        for layer in opened.score_layers:
            self._viewer.add_layer(layer)
            self._scores.append(layer)
        if opened.layer is None:
            self._labels = self._earlier
            if self._earlier is not None:
                move_to(self._earlier, self._place)
        else:
            self._labels = opened.layer
            note_origin(opened.layer, opened.layer.metadata[METADATA_KEY])
            self._viewer.add_layer(opened.layer)
        if opened.kept_edited and self._earlier is not None:
            kept = f"'{self._earlier.name}' was edited and is kept as it is"
            self.notes = (f"{kept}; these cells are in '{self.name}'.",)
        if self._labels is not None:
            self._labels.editable = False

    def show(self, drawn: Drawn) -> bool:
        """Show what was drawn.

        Returns
        -------
        bool
            False if someone gave the layer other data meanwhile.
        """
        if self._labels is None or self._canvas is None:
            return True
        if self._labels.data is not self._canvas.array:
            return False
        if drawn.is_whole:
            self._follow(drawn.index)
        _refresh(self._labels, whole=drawn.is_whole)
        if drawn.is_whole:
            for layer in self._scores:
                _refresh(layer, whole=True)
        return True

    def finish(self, found: Found) -> Labels | None:
        """Note how the labels came about, and let them be edited."""
        labels = self._labels
        if labels is not None:
            predicted = {} if self._canvas is None else self._canvas.predictions
            note_origin(labels, found.provenance, predicted)
            labels.editable = True
        self._canvas = self._labels = self._earlier = None
        return labels

    def close(self) -> str:
        """End a run that is not finished.

        Returns
        -------
        str
            A sentence about what is kept; empty if the layers are as they were.
        """
        labels, canvas, earlier = self._filled, self._canvas, self._earlier
        self._labels = self._canvas = self._earlier = None
        if labels is None or canvas is None:
            return ""
        was_put_back = canvas.close()
        labels.editable = True
        if not canvas.planes_finished:
            self._remove(self._added_scores)
        if labels not in self._viewer.layers or labels.data is not canvas.array:
            return ""
        name = str(labels.name)
        if canvas.is_empty and labels is not earlier:
            self._remove((labels,))
            return ""
        if not canvas.is_begun:
            return ""
        made = labels.metadata.get(METADATA_KEY, {})
        made = {**made, "checksums": canvas.checksums, "stopped": True}
        note_origin(labels, made, canvas.predictions)
        _refresh(labels, whole=True)
        if canvas.planes_finished and self._fills_several:
            if canvas.planes_finished == 1:
                return f"1 slice of '{name}' was finished and is kept."
            return f"{canvas.planes_finished} slices of '{name}' were finished and are kept."
        if was_put_back or canvas.is_empty:
            return f"'{name}' is as it was."
        return f"The cells found so far are kept in '{name}'."

    @property
    def _filled(self) -> Labels | None:
        """The layer that is filled, or will be as far as is known before the first tile."""
        return self._earlier if self._labels is None else self._labels

    def _remove(self, layers: Sequence[Layer]) -> None:
        for layer in layers:
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)

    def missing(self, image_layer: Image | None) -> str:
        """Name of a layer of this run that is no longer in the viewer; empty if all are."""
        # Before the first tile it is not known yet whether the earlier labels are filled again.
        layers: tuple[Layer | None, ...] = (image_layer, self._filled)
        for layer in layers:
            if layer is not None and layer not in self._viewer.layers:
                return str(layer.name)
        return ""

    def _follow(self, index: PlaneIndex) -> None:
        """Show the slice that was just finished, until the user goes to another one."""
        if not self._follows or self._labels is None:
            return
        dims = self._viewer.dims
        if tuple(dims.current_step) != self._step:
            self._follows = False
            return
        missing = dims.ndim - self._labels.ndim
        for axis, part in enumerate(index):
            if axis + missing not in dims.displayed and isinstance(part, int):
                dims.set_current_step(axis + missing, part)
        self._step = tuple(dims.current_step)


def _refresh(layer: Layer, *, whole: bool) -> None:
    layer.refresh(extent=False, highlight=False, thumbnail=whole)


def view_of(
    viewer: ViewerModel, labels: Labels, plane_ndim: int
) -> tuple[PlaneIndex, Region | None]:
    """Which plane of a labels layer is shown, and which part of it, for `find_again`."""
    shown = shown_plane(labels, viewer.dims, plane_ndim)
    sizes = [n for n, part in zip(labels.data.shape, shown, strict=True) if isinstance(part, slice)]
    box = visible_box(labels, tuple(range(labels.ndim)), shown, sizes)
    if box is None:
        return shown, None
    return shown, tuple(slice(*ends) for ends in np.reshape(box, (-1, 2)).tolist())
