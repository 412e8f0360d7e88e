"""The layers that a run fills, from before its first tile to its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from napari_unet.engine.base.words import count
from napari_unet.engine.images.image import PlaneIndex
from napari_unet.viewer.cells.cell_scores import keep_cell_scores
from napari_unet.viewer.cells.cell_types import given_types, show_types
from napari_unet.viewer.layers import LayerImage, full_resolution
from napari_unet.viewer.results import (
    METADATA_KEY,
    add_below,
    find_result,
    find_scores,
    move_to,
    note_origin,
)
from napari_unet.widgets.segment.recipe import Recipe
from napari_unet.widgets.segment.reports import Drawn, Found, Opened

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Layer

    from napari_unet.viewer.label_canvas import LabelCanvas


class ResultLayers:
    """Adds, fills and closes the layers of one run; while it fills one, nobody can paint on it.

    Parameters
    ----------
    layer : napari Image layer
        That is segmented.
    image : LayerImage
        What is read of it.

    Attributes
    ----------
    image : LayerImage
        What is read.
    canvas : LabelCanvas, optional
        Over the labels of an earlier run on the same image with the same model; once the run has
        begun, over those that it fills.
    scores : dict
        For each class role the array of the layer that shows its scores, as far as there is one.
    notes : tuple of str
        Sentences about a layer that is not filled again.
    """

    def __init__(
        self, viewer: ViewerModel, layer: Image, image: LayerImage, recipe: Recipe
    ) -> None:
        from napari_unet.viewer.label_canvas import LabelCanvas

        self._viewer, self._layer, self.image = viewer, layer, image
        # Slices that must be read from a disk would hold the window up.
        self._follows = image.extent == "stack" and not image.is_lazy
        self._step = self._first_step = tuple(viewer.dims.current_step)
        self._labels: Labels | None = None
        self._is_part = image.region is not None or (image.has_slices and image.extent != "stack")
        self.notes: tuple[str, ...] = ()
        of_volume = recipe.settings.volume == "three_planes"
        self._earlier = find_result(viewer, image, recipe.model, of_volume=of_volume)
        self._other_way = find_result(viewer, image, recipe.model, of_volume=not of_volume)
        if self._earlier is not None and given_types(self._earlier) and not self._is_part:
            # Cells get new numbers, and what a person said of them would be that of others.
            kept = f"Cells of '{self._earlier.name}' were given types, so it is kept as it is"
            self.notes = (f"{kept}; these cells are in a layer of their own.",)
            self._earlier = None
        self._added_scores: tuple[Image, ...] = ()
        shown = {
            role: find_scores(viewer, image, recipe.model, role)
            for role in recipe.network.description.class_roles
        }
        self._score_layers = [each for each in shown.values() if each is not None]
        self.scores = {role: each.data for role, each in shown.items() if each is not None}
        self.canvas: LabelCanvas | None = None
        if self._earlier is not None:
            # A Stop may come before the report that it is being filled.
            made = self._earlier.metadata[METADATA_KEY]
            self.canvas = LabelCanvas(self._earlier.data, made.get("checksums", {}))

    def open(self, opened: Opened) -> None:
        """Show the layers of a run that has begun."""
        self.canvas = opened.canvas
        # The image may have been moved or scaled since.
        for layer in self._score_layers:
            move_to(layer, self.image.place)
        self._labels = opened.layer or self._earlier
        if opened.layer is not None:
            note_origin(opened.layer, opened.layer.metadata[METADATA_KEY])
            self._viewer.add_layer(opened.layer)
        elif self._earlier is not None:
            move_to(self._earlier, self.image.place)
        if self._labels is not None:
            self._added_scores = opened.score_layers
            for layer in opened.score_layers:
                add_below(self._viewer, layer, self._labels)
                self._score_layers.append(layer)
            self._labels.editable = False
            if self._other_way is not None and self._other_way.visible:
                # One would show through the other, in other colours.
                self._labels.visible, self._other_way.visible = True, False
                other = f"'{self._other_way.name}', whose cells were found in another way"
                self.notes = (*self.notes, f"{other}, is kept and hidden.")
            if opened.kept_edited and self._earlier is not None:
                kept = f"'{self._earlier.name}' was edited and is kept as it is"
                self.notes = (*self.notes, f"{kept}; these cells are in '{self._labels.name}'.")

    def show(self, drawn: Drawn) -> None:
        """Show what was drawn."""
        if self._labels is None:
            return
        if drawn.is_whole:
            self._follow(drawn.index)
        _refresh(self._labels, whole=drawn.is_whole)
        if drawn.is_whole:
            for layer in self._score_layers:
                _refresh(layer, whole=True)

    def replaced(self) -> str:
        """Name of a layer that someone gave other data since; empty if all are as they were."""
        if full_resolution(self._layer) is not self.image.array:
            return str(self._layer.name)
        labels, canvas = self._labels, self.canvas
        is_ours = labels is None or canvas is None or labels.data is canvas.array
        return "" if labels is None or is_ours else str(labels.name)

    def missing(self) -> str:
        """Name of a layer of this run that is no longer in the viewer; empty if all are."""
        # Before the first tile it is not known yet whether the earlier labels are filled again.
        for layer in (self._layer, self._labels or self._earlier):
            if layer is not None and layer not in self._viewer.layers:
                return str(layer.name)
        return ""

    def finish(self, found: Found) -> Labels | None:
        """Note how the labels came about, and let them be edited."""
        if self._labels is not None and self.canvas is not None:
            note_origin(self._labels, found.provenance, self.canvas.predictions)
            keep_cell_scores(self._labels, found.cell_scores)
            if found.types is not None:
                show_types(self._labels, found.types, keeps_others=self._is_part)
            self._labels.editable = True
        self._go_back()
        return self._labels

    def close(self) -> str:
        """End a run that is not finished.

        Returns
        -------
        str
            A sentence about what is kept; empty if the layers are as they were.
        """
        self._go_back()
        labels, canvas = self._labels or self._earlier, self.canvas
        if labels is None or canvas is None:
            return ""
        was_put_back = canvas.close()
        labels.editable = True
        if not canvas.planes_finished:
            self._remove(self._added_scores)
        if labels not in self._viewer.layers or labels.data is not canvas.array:
            return ""
        if canvas.is_empty and labels is not self._earlier:
            self._remove((labels,))
            return ""
        if not canvas.is_begun:
            return ""
        made = labels.metadata.get(METADATA_KEY, {})
        made = {**made, "checksums": canvas.checksums, "stopped": True}
        note_origin(labels, made, canvas.predictions)
        _refresh(labels, whole=True)
        finished = canvas.planes_finished
        if finished and len(self.image.planes()) > 1:
            are = "was finished and is" if finished == 1 else "were finished and are"
            return f"{count(finished, 'slice')} of '{labels.name}' {are} kept."
        if was_put_back or canvas.is_empty:
            return f"'{labels.name}' is as it was."
        return f"The cells found so far are kept in '{labels.name}'."

    def _remove(self, layers: Sequence[Layer]) -> None:
        for layer in layers:
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)

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

    def _go_back(self) -> None:
        """Show the slice again that the user had chosen, unless they went to another one since."""
        dims = self._viewer.dims
        if self._follows and tuple(dims.current_step) == self._step != self._first_step:
            dims.current_step = self._first_step


def _refresh(layer: Layer, *, whole: bool) -> None:
    layer.refresh(extent=False, highlight=False, thumbnail=whole)
