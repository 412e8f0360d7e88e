"""Another model for an image that is unlike what a model learned from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from napari_unet.engine.base.errors import CheckpointError, SettingsError
from napari_unet.engine.base.regions import region_of
from napari_unet.engine.base.settings import SegmentationSettings
from napari_unet.engine.images.image import AnyImage, channels_first, channels_fit, without_alpha
from napari_unet.engine.images.windows import windows_of
from napari_unet.engine.models.checkpoint import as_network
from napari_unet.engine.models.one_call import AnyNetwork
from napari_unet.engine.networks.bundled import BUNDLED_MODELS
from napari_unet.engine.networks.network import Network, NetworkDescription
from napari_unet.engine.segmentation.ensemble import zoom_of
from napari_unet.engine.segmentation.judgement import Judgement, is_judged
from napari_unet.engine.segmentation.segmentation import iterate_planes, stack_shape

_SIDE_PX = 512
"""Of the part of the image that is tried, at the scale of the model."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A model that fits an image better.

    Parameters
    ----------
    model : Network, str or path
        As it was given among the candidates.
    certainty : float
        Mean score of not being background, 0 to 1, in what it sees as cells.
    """

    model: AnyNetwork
    certainty: float


@dataclass(frozen=True, slots=True)
class SuggestionReport:
    """How far the trial of other models is.

    Parameters
    ----------
    tried, candidates : int
        Models that are done, and all.
    suggestion : Suggestion, optional
        The best of those that are done; None if none of them fits.
    """

    tried: int
    candidates: int
    suggestion: Suggestion | None = None


def suggest_model(
    image: AnyImage,
    network: AnyNetwork,
    candidates: Sequence[AnyNetwork] | None = None,
    *,
    settings: SegmentationSettings | None = None,
    device: str = "auto",
    intensity_reference: AnyImage | None = None,
    **options: Any,
) -> Suggestion | None:
    """Return the model that fits an image better than the one whose result is in doubt.

    Each candidate segments one part of the image, where there is most to see:
    512 x 512 pixels at the scale of the model. Its scores are judged as those
    of any result; of the models in whose result nothing is in doubt the one
    that is surest is returned. One that reads other axes or channels, tells
    other classes apart, or was not trained in this program is left out.

    Parameters
    ----------
    image : array
        As in `segment`.
    network : Network, str or path
        With which `segment` gave a result with a `doubt`.
    candidates : sequence of Network, str or path, optional
        The other bundled models by default.
    settings, device, intensity_reference
        As in `segment`.
    **options
        Fields of `SegmentationSettings`, given one by one.

    Returns
    -------
    Suggestion or None
        None if no candidate fits.

    Raises
    ------
    UNetError
        If the image, a setting or the device does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_unet import segment, suggest_model
    >>> image = np.zeros((64, 64))
    >>> result = segment(image, "nuclei")
    >>> suggest_model(image, "nuclei") if result.doubt else "no doubt"
    'no doubt'
    """
    settings = replace(settings or SegmentationSettings(), **options)
    description = as_network(network).description
    if candidates is None:
        candidates = [
            row.name for row in BUNDLED_MODELS if row.name not in (network, description.name)
        ]
    *_, last = iterate_suggestion(
        image,
        description,
        candidates,
        settings=settings,
        device=device,
        intensity_reference=intensity_reference,
    )
    return last.suggestion


def iterate_suggestion(
    image: AnyImage,
    description: NetworkDescription,
    candidates: Sequence[AnyNetwork],
    *,
    settings: SegmentationSettings,
    device: str = "auto",
    intensity_reference: AnyImage | None = None,
) -> Iterator[SuggestionReport]:
    """Try other models on an image, with a report after each tile; to stop, no longer iterate.

    Parameters and errors are those of `suggest_model`.

    Parameters
    ----------
    description : NetworkDescription
        Of the network whose result is in doubt.

    Yields
    ------
    SuggestionReport
        The last one says which model to take.
    """
    total, best = len(candidates), None
    yield SuggestionReport(0, total)
    part = _Part.of(image, description, settings, intensity_reference) if candidates else None
    for number, candidate in enumerate(candidates):
        network = _opened(candidate)
        if part is not None and network is not None and part.fits(network.description, description):
            judgement = Judgement()
            for _ in part.judged(network, judgement, device):
                yield SuggestionReport(number, total, best)
            is_trusted = judgement.has_cells and not judgement.doubt(network.description)
            if is_trusted and (best is None or judgement.certainty > best.certainty):
                best = Suggestion(candidate, judgement.certainty)
        yield SuggestionReport(number + 1, total, best)


def _opened(candidate: AnyNetwork) -> Network | None:
    """Return the network; None if it cannot be had: nobody has asked for this one."""
    try:
        return as_network(candidate)
    except CheckpointError:
        return None


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Where other models are tried."""

    channels: AnyImage
    """(C, *stack, H, W): what is segmented of the image."""
    reference: AnyImage
    """On which intensities are measured; channels in front, and few enough pixels."""
    settings: SegmentationSettings

    @classmethod
    def of(
        cls,
        image: AnyImage,
        description: NetworkDescription,
        settings: SegmentationSettings,
        intensity_reference: AnyImage | None,
    ) -> _Part:
        stack = stack_shape(image, description, settings)
        axes = description.architecture.ndim + len(stack)
        channels = channels_first(image, ndim=axes, channel_axis=settings.channel_axis)
        reference = channels if intensity_reference is None else intensity_reference
        if reference.ndim == image.ndim and intensity_reference is not None:
            reference = channels_first(reference, ndim=axes, channel_axis=settings.channel_axis)
        if settings.region is not None:
            front = (slice(None),) * (1 + len(stack))
            channels = channels[(*front, *region_of(settings.region))]
        plain = replace(
            settings,
            volume="slices",
            every_slice=False,
            channel_axis=0,
            region=None,
            averaging="none",
        )
        return cls(channels, windows_of(reference, _SIDE_PX).samples, plain)

    def fits(self, candidate: NetworkDescription, description: NetworkDescription) -> bool:
        """Whether a model can take the place of another one, and be judged."""
        reads = candidate.architecture.in_channels
        has_channels = channels_fit(len(self.channels), reads)
        is_alike = candidate.class_roles == description.class_roles
        return is_alike and has_channels and is_judged(candidate)

    def judged(self, network: Network, judgement: Judgement, device: str) -> Iterator[None]:
        """Segment the part and judge the result; a pause after each tile."""
        try:
            zoom = zoom_of(network.description, self.settings)
        except SettingsError:
            return  # it does not know the size of its cells, and so cannot be run as asked
        reads = network.description.architecture.in_channels
        *front, rows, columns = windows_of(self.channels, max(1, round(_SIDE_PX / zoom))).richest
        crop = self.channels[(slice(None), *(each.start for each in front), rows, columns)]
        for report in iterate_planes(
            crop,
            network,
            settings=self.settings,
            instances=network.description.instances,
            device=device,
            # Alpha carries no signal.
            intensity_reference=without_alpha(self.reference) if reads < 4 else self.reference,
        ):
            if report.plane is not None and report.labels is not None:
                judgement.add(report.plane, report.labels)
            yield
