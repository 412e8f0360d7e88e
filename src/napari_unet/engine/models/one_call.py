"""A segmentation in one call, by a network or by the name of one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from napari_unet.engine.base.settings import InstanceSettings, SegmentationSettings
from napari_unet.engine.images.image import AnyImage
from napari_unet.engine.models.checkpoint import as_network
from napari_unet.engine.networks.network import Network
from napari_unet.engine.segmentation.segmentation import Segmentation, iterate_segmentation

AnyNetwork: TypeAlias = Network | str | os.PathLike[str]


def segment(
    image: AnyImage,
    network: AnyNetwork | Sequence[AnyNetwork],
    *,
    settings: SegmentationSettings | None = None,
    instances: InstanceSettings | None = None,
    device: str = "auto",
    intensity_reference: AnyImage | None = None,
    keep_scores: bool = True,
    **options: Any,
) -> Segmentation:
    """Find the cells in an image.

    Parameters
    ----------
    image : array
        (H, W), (Z, H, W), or either with one channel axis; any real dtype,
        any size.
    network : Network, str or path, or a sequence of these
        From `load_checkpoint`, or what it takes: a bundled model's name or a
        model file. The scores of several with the same classes and axes are
        averaged, on the first one's grid; its thresholds hold. Each is given
        the image at the scale that it was trained at.
    settings : SegmentationSettings, optional
    instances : InstanceSettings, optional
        How cells are told apart; the model's own if left out.
    device : str
        "auto", "cpu", "cuda", "cuda:1" or "mps".
    intensity_reference : array, optional
        Measure intensities on this image, so that a crop of it is segmented
        as the whole. A stack of which the image is a slice has its channels in
        front, (C, Z, H, W).
    keep_scores : bool
        Whether to return the scores, which take 4 bytes for each pixel and
        class.
    **options
        Fields of `SegmentationSettings`, given one by one.

    Returns
    -------
    Segmentation
        With `labels` and `scores`.

    Raises
    ------
    UNetError
        If the image, a setting or the device does not fit; the message says
        what to do.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_unet import segment
    >>> result = segment(np.zeros((64, 64)), "nuclei")
    >>> result.cell_count
    0
    """
    settings = replace(settings or SegmentationSettings(), **options)
    reports = iterate_segmentation(
        image,
        as_networks(network),
        settings=settings,
        instances=instances,
        device=device,
        intensity_reference=intensity_reference,
        keep_scores=keep_scores,
    )
    results = [report.result for report in reports if report.result is not None]
    return results[-1]


def as_networks(given: AnyNetwork | Sequence[AnyNetwork]) -> list[Network]:
    """Return networks that are given themselves, or by what `load_checkpoint` takes."""
    several = [given] if isinstance(given, Network | str | os.PathLike) else given
    return [as_network(each) for each in several]
