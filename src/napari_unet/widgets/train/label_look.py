"""A look at the labels of a form, off the Qt thread: what may spoil a training with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.engine.checks.finding import Finding
from napari_unet.engine.images.image import LabelImage, PlaneIndex
from napari_unet.widgets.train.plan import PairSource

if TYPE_CHECKING:
    from napari_unet.engine.networks.network import NetworkDescription

UNTOUCHED = "untouched"
"""Code of the finding that nobody has changed what a model found."""

_LEAD = "Show me where to correct"


@dataclass(frozen=True, slots=True, eq=False)
class Looked:
    """Findings, and which slice of which pair each name means."""

    findings: tuple[Finding, ...]
    places: dict[str, tuple[int, PlaneIndex]]


def refused(sentence: str) -> Looked:
    """Say why there is nothing to look at."""
    return Looked((Finding("error", sentence, code="refused"),), {})


def _beside(labels: LabelImage, index: PlaneIndex) -> tuple[LabelImage, ...]:
    """Return the slices before and after one of a stack, along its axis of slices."""
    axis = max((n for n, part in enumerate(index) if not isinstance(part, slice)), default=-1)
    at = index[axis]
    if axis < 0 or isinstance(at, slice):
        return ()
    near = [place for place in (at - 1, at + 1) if 0 <= place < labels.shape[axis]]
    return tuple(np.array(labels[(*index[:axis], n, *index[axis + 1 :])]) for n in near)


def look_at(
    sources: Sequence[PairSource],
    meaning: str,
    background_label: int | None,
    description: NetworkDescription | None,
) -> Looked:
    """Look at every labelled slice, in the thread.

    Parameters
    ----------
    meaning : {"reviewed", "regions", "painted"}
        Of pixels without a label.
    """
    from napari_unet.engine.checks.label_facts import AnnotatedImage
    from napari_unet.engine.checks.preflight import preflight_all

    annotated: list[AnnotatedImage] = []
    places: dict[str, tuple[int, PlaneIndex]] = {}
    for number, source in enumerate(sources):
        planes = source.image.planes()
        for index in planes:
            labels: LabelImage = np.array(source.labels[index])
            if len(planes) > 1 and not labels.any():
                continue
            name = source.plane_name(index)
            places[name] = (number, index)
            image, channel_axis = source.plane_pixels(index)
            annotated.append(
                AnnotatedImage(
                    labels,
                    np.asarray(image),
                    name,
                    channel_axis,
                    "ignore" if meaning == "painted" else "reviewed",
                    source.region(index) if meaning == "regions" else None,
                    background_label,
                    corrected=source.corrected(index, labels),
                    stack=source.name if len(planes) > 1 else "",
                    beside=_beside(source.labels, index) if len(planes) > 1 else (),
                )
            )
    lead, found = {UNTOUCHED: _LEAD}, preflight_all(annotated, network=description)
    shown = (replace(each, remedy=lead.get(each.code, each.remedy)) for each in found)
    return Looked(tuple(shown), places)
