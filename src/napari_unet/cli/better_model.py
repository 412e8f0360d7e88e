"""Another model for images that are unlike what a model learned from, told once in a run."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Sequence

from napari_unet.cli.model_options import model_source
from napari_unet.engine.base.errors import UNetError
from napari_unet.engine.base.settings import SegmentationSettings
from napari_unet.engine.images.image import AnyImage
from napari_unet.engine.models.suggestion import iterate_suggestion
from napari_unet.engine.networks.network import NetworkDescription
from napari_unet.versions import other_models

_MOST_IMAGES = 3
"""On which other models are tried until one fits: a folder may be full of doubtful ones."""


class BetterModel:
    """Tries other models on the first images whose results are in doubt, in whichever thread.

    Parameters
    ----------
    description : NetworkDescription
        Of the network in use.
    models : sequence of str
        What the networks in use were called on the command line.
    """

    def __init__(
        self, description: NetworkDescription, models: Sequence[str], *, device: str
    ) -> None:
        self._description, self._models, self._device = description, tuple(models), device
        self._images_left = _MOST_IMAGES
        self._lock = threading.Lock()

    def sentence(
        self, image: AnyImage, settings: SegmentationSettings, reference: AnyImage | None
    ) -> str:
        """Say which model fits an image with a doubtful result better, if that was not said yet.

        Parameters
        ----------
        reference : array, optional
            As `intensity_reference` of `segment`.
        """
        with self._lock:
            if not self._images_left:
                return ""
            self._images_left -= 1
            try:
                better = self._better(image, settings, reference)
            except UNetError as error:
                self._images_left = 0
                return f"Other models could not be tried on it: {error}"
            if not better:
                return ""
            self._images_left = 0
        learned = " and ".join(f"'{each}'" for each in self._models)
        return (
            f"This image looks unlike what {learned} learned; '{better}' fits better: "
            f"--model {shlex.quote(better)}"
        )

    def _better(
        self, image: AnyImage, settings: SegmentationSettings, reference: AnyImage | None
    ) -> str:
        used = [model_source(each) for each in self._models]
        names = {each.source: each.name for each in other_models(used)}
        *_, last = iterate_suggestion(
            image,
            self._description,
            tuple(names),
            settings=settings,
            device=self._device,
            intensity_reference=reference,
        )
        return names[str(last.suggestion.model)] if last.suggestion else ""
