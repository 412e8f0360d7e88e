"""What the forms have done in a worker's thread; torch is imported there, not by the window."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_unet.engine.errors import CheckpointError
from napari_unet.layers import EarlierResult, LayerImage, LayerLabels, place_labels

if TYPE_CHECKING:
    from napari_unet.engine.network import Network
    from napari_unet.engine.segmentation import SegmentationReport

PREFERRED_MODEL = "nuclei"


@dataclass(frozen=True, slots=True)
class Machine:
    """What there is to choose from.

    Parameters
    ----------
    models : tuple of str
        Names of the bundled ones.
    devices : tuple of str
    source : str
        Bundled name or file of the model that is loaded next.
    """

    models: tuple[str, ...]
    devices: tuple[str, ...]
    source: str


def load_network(source: str, *, is_loaded: bool) -> Iterator[Machine | Network]:
    """Report what there is to choose from, then the network.

    Parameters
    ----------
    source : str
        Bundled name or file; empty for the preferred model.
    is_loaded : bool
        The session has it already.
    """
    from napari_unet.engine.checkpoint import bundled_models, load_checkpoint
    from napari_unet.engine.device import device_names

    models = tuple(bundled_models())
    if not source and models:
        source = PREFERRED_MODEL if PREFERRED_MODEL in models else models[0]
    yield Machine(models, tuple(device_names()), source)
    if not source:
        raise CheckpointError("No model came with this installation; choose a model file with '…'.")
    if not is_loaded:
        yield load_checkpoint(source)


def segment_layer(
    image: LayerImage,
    network: Network,
    earlier: EarlierResult | None,
    *,
    device: str,
    diameter_px: float | None,
) -> Iterator[SegmentationReport | LayerLabels]:
    """Report progress, then labels that are ready for the viewer.

    Parameters
    ----------
    image : LayerImage
    network : Network
    earlier : EarlierResult, optional
        Of the last run on this layer.
    device : str
        As `segment` takes it.
    diameter_px : float, optional
        Of a typical cell; without it the pixel size decides, where it is known.
    """
    from napari_unet.engine.segmentation import iterate_segmentation
    from napari_unet.engine.settings import SegmentationSettings

    settings = SegmentationSettings(
        diameter_px=diameter_px,
        pixel_size_um=image.pixel_size_um,
        every_slice=image.every_slice,
        channel_axis=-1 if image.is_rgb else None,
    )
    reports = iterate_segmentation(
        image.pixels, network, settings=settings, device=device, keep_scores=False
    )
    for report in reports:
        yield report
        if report.result is not None:
            yield place_labels(report.result, image, earlier, network.description.name)
