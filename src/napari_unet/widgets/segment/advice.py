"""Looks at the chosen image before a run, and at the cells after it, and says what may be wrong."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from qtpy.QtCore import QObject, Signal

from napari_unet.engine.base.errors import UNetError
from napari_unet.engine.base.host_memory import free_host_bytes
from napari_unet.engine.base.settings import SegmentationSettings, scale_settings, slice_factor
from napari_unet.engine.checks.finding import RUN, Finding
from napari_unet.engine.checks.image_case import Choices
from napari_unet.engine.checks.image_facts import ImageFacts
from napari_unet.engine.checks.image_rules import doubtful, image_findings, with_better_model
from napari_unet.engine.checks.size_rules import found_size_finding
from napari_unet.engine.checks.volume_rules import discs
from napari_unet.engine.segmentation.memory import segmentation_memory
from napari_unet.session import Session
from napari_unet.versions import Version, other_models
from napari_unet.viewer.commands import open_widget
from napari_unet.viewer.layers import LayerImage, shown_plane, spatial_ndim, visible_box
from napari_unet.viewer.worker import Job
from napari_unet.widgets.segment.form import SegmentForm
from napari_unet.widgets.segment.recipe import Recipe
from napari_unet.widgets.segment.reports import Found
from napari_unet.widgets.segment.runs import MEMORY_SHARE_OF_SCORES
from napari_unet.widgets.shared.image_layers import ImageLook
from napari_unet.widgets.shared.parts import single_shot

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_unet.engine.networks.network import NetworkDescription


class Advice(QObject):
    """Keeps the concerns of the form up to date."""

    run_wanted = Signal()
    """The form says what a remedy has changed, and is to run."""

    def __init__(self, viewer: ViewerModel, session: Session, form: SegmentForm) -> None:
        super().__init__(form)
        self._viewer = viewer
        self._session = session
        self._form = form
        self._image_look = ImageLook(self)
        self._image_look.looked.connect(self._show)
        self._search = BetterModelSearch(self)
        self._search.found.connect(self._on_better_model)
        self._found: tuple[Finding, ...] = ()
        self._labels: Labels | None = None
        form.concerns.remedy_chosen.connect(self._on_remedy_chosen)
        # Several fields change at once when another layer is chosen.
        self._soon = single_shot(self, self._look)

    def refresh(self) -> None:
        """Look at the image that is chosen now."""
        self._found = ()
        self.stop_search()
        self._soon.start()

    def show_found(self, found: Found, labels: Labels | None) -> None:
        """Look at the cells that were found: their size, and what their scores say.

        Parameters
        ----------
        labels : napari Labels layer, optional
            That holds them.
        """
        self._labels = labels
        network = self._session.network
        if network is None:
            return
        settings = found.provenance["settings"]
        zoom = _zoom(network.description, settings["diameter_px"], settings["pixel_size_um"])
        apart = settings.get("anisotropy") or 1.0
        # Of a volume a ball as wide as the cell is in a slice.
        across = None if found.diameter_px is None else found.diameter_px * math.cbrt(apart)
        size = found_size_finding(across, network.description, zoom)
        doubt = doubtful(found.doubt, network.description) if found.doubt else None
        offer = self._offer_of_linking(found)
        self._found = tuple(each for each in (offer, doubt, size) if each is not None)
        self._show()
        if doubt is not None:
            self._search.start(found.image, found.recipe)

    def _offer_of_linking(self, found: Found) -> Finding | None:
        if found.linked is None or self._form.is_movie:
            return None
        slices = len(found.image.planes())
        offer = discs(found.image.name, found=found.cells, linked=found.linked, slices=slices)
        if offer is None or found.kept is not None:
            return offer
        # Without scores they are linked by another run.
        return replace(offer, changes={**offer.changes, **RUN})

    @property
    def is_searching(self) -> bool:
        """Whether other models are being tried."""
        return self._search.is_running

    def stop_search(self) -> None:
        """Look no more for a model that fits better."""
        self._search.stop()

    def stop(self) -> None:
        """Drop a look that takes long."""
        self._soon.stop()
        self._image_look.stop()
        self.stop_search()

    def _on_better_model(self, better: BetterModel) -> None:
        # The size of what the other model took for cells is of no use.
        (doubt,) = (each for each in self._found if each.code == "doubtful")
        name, source = better.model.name, better.model.source
        doubt = with_better_model(doubt, name, source=source, certainty=better.certainty)
        others = [each for each in self._found if each.code == "discs"]
        self._found = (*others, doubt)
        self._show()

    def _on_remedy_chosen(self, changes: dict[str, Any]) -> None:
        if changes.keys() >= RUN.keys():
            self.run_wanted.emit()
        if "widget" not in changes or getattr(self._viewer, "window", None) is None:
            return
        open_widget(self._viewer, changes["widget"])
        # Forms take the layers that are selected.
        for layer in (self._form.layer, self._labels):
            if layer is not None and layer in self._viewer.layers:
                self._viewer.layers.selection.active = layer

    def _look(self) -> None:
        layer, choice = self._form.layer, self._form.channel_choice
        if layer is None or self._session.network is None:
            self._image_look.stop()
            self._form.concerns.show_findings(())
            return
        self._image_look.start(
            layer, self._viewer, channel_axis=choice.channel_axis, channel=choice.channel
        )

    def _show(self) -> None:
        network, layer = self._session.network, self._form.layer
        facts = self._image_look.facts
        if network is None or layer is None or facts is None:
            return
        choices = self._choices(layer, facts, network.description)
        before = image_findings(facts, network.description, choices)
        if any(each.code == "discs" for each in self._found):
            before = tuple(each for each in before if each.code != "slices-apart")
        self._form.concerns.show_findings((*self._found, *before))

    def _choices(self, layer: Image, facts: ImageFacts, description: NetworkDescription) -> Choices:
        extent = self._form.extent_choice.extent
        size_in_um = False
        try:
            diameter_px = self._form.settings().diameter_px
        except UNetError:
            diameter_px, size_in_um = None, True
        axis, ndim = self._form.channel_choice.channel_axis, description.architecture.ndim
        if spatial_ndim(layer, axis) < ndim:
            return Choices(extent, (), diameter_px, size_in_um)
        volume, is_movie = self._form.volume_choice.volume, self._form.is_movie
        plane = shown_plane(layer, self._viewer.dims, ndim, without=axis)
        shape = facts.shape
        if extent != "stack":
            shape = tuple(n for n, at in zip(shape, plane, strict=True) if isinstance(at, slice))
        if extent == "view":
            kept = tuple(each for each in range(layer.ndim) if each != axis)
            box = visible_box(layer, kept, plane, list(shape))
            if box is not None:
                shape = tuple(np.subtract(box[1::2], box[::2]).tolist())
        sizes = (diameter_px, facts.pixel_size_um)
        zoom = _zoom(description, *sizes)
        if description.spacing is not None and facts.spacing is not None:
            given = scale_settings(facts.spacing)["anisotropy"]
            zoom *= math.cbrt(slice_factor(given, description.anisotropy))
        free = free_host_bytes()
        scores = 4 * description.architecture.classes * math.prod(shape) * zoom**ndim
        keeps_scores = scores <= MEMORY_SHARE_OF_SCORES * free
        needed = segmentation_memory(
            shape,
            description,
            kept_scores=keeps_scores,
            zoom=zoom,
            other_zooms=self._other_zooms(description, *sizes),
            is_volume=volume == "three_planes",
        )
        return Choices(
            *(extent, plane, diameter_px, size_in_um, needed, free, keeps_scores),
            volume=volume,
            is_movie=is_movie,
        )

    def _other_zooms(
        self, description: NetworkDescription, diameter_px: float | None, size_um: float | None
    ) -> list[float]:
        """Factor by which the image is resized for a second model, if there is one."""
        from napari_unet.engine.segmentation.ensemble import zooms_of

        second = self._form.better.second
        if second is None:
            return []
        settings = SegmentationSettings(diameter_px=diameter_px, pixel_size_um=size_um)
        try:
            return list(zooms_of([description, second.network.description], settings)[1:])
        except UNetError:
            return []  # a run will say why


def _zoom(
    description: NetworkDescription, diameter_px: float | None, size_um: float | None
) -> float:
    """Factor by which the engine resizes the image."""
    if diameter_px is not None and description.object_diameter_px is not None:
        return description.object_diameter_px / diameter_px
    if size_um is not None and description.pixel_size_um is not None:
        return size_um / description.pixel_size_um
    return 1.0


@dataclass(frozen=True, slots=True)
class BetterModel:
    """A model that fits better."""

    model: Version
    certainty: float
    """Mean score of not being background in what it sees as cells."""


class BetterModelSearch(QObject):
    """Tries other models in a worker, after the cells are shown."""

    found = Signal(object)
    """Carries the `BetterModel`, if there is one."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._job = Job(self)

    @property
    def is_running(self) -> bool:
        """Whether models are being tried."""
        return self._job.is_running

    def start(self, image: LayerImage, recipe: Recipe) -> None:
        """Look for a model for an image that was segmented in this way; drop an earlier search."""
        self._job.start(partial(find_better_model, image, recipe), on_result=self._on_result)

    def stop(self) -> None:
        """Drop a search."""
        self._job.stop()

    def _on_result(self, best: BetterModel | None) -> None:
        if best is not None:
            self.found.emit(best)


def find_better_model(image: LayerImage, recipe: Recipe) -> Iterator[BetterModel | None]:
    """Try the models that the list offers on what a run has segmented.

    Yields
    ------
    BetterModel or None
        The best so far.
    """
    from napari_unet.engine.models.suggestion import iterate_suggestion

    others = {each.source: each for each in other_models(recipe.sources)}
    pixels, channel_axis = image.pixels()
    for report in iterate_suggestion(
        pixels,
        recipe.network.description,
        tuple(others),
        settings=recipe.settings_for(image, channel_axis),
        device=recipe.device,
        intensity_reference=image.intensity_reference(),
    ):
        best = report.suggestion
        yield None if best is None else BetterModel(others[str(best.model)], best.certainty)
