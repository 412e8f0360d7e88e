"""A model that fits the image better than the one whose result is in doubt, looked for beside."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from qtpy.QtCore import QObject, Signal

from napari_unet.versions import Version, other_models
from napari_unet.viewer.layers import LayerImage
from napari_unet.viewer.worker import Job
from napari_unet.widgets.segment.recipe import Recipe


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
