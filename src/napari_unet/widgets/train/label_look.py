"""A look at the labels of a form, off the Qt thread: what may spoil a training with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.engine.base.errors import UNetError
from napari_unet.engine.checks.finding import Finding
from napari_unet.engine.images.image import LabelImage, PlaneIndex
from napari_unet.widgets.train.input.folder_look import FolderLooks, FolderQuestion
from napari_unet.widgets.train.plan import Meaning, PairSource, check_folder_meaning, pair_maker

if TYPE_CHECKING:
    from napari_unet.engine.checks.label_facts import AnnotatedImage
    from napari_unet.engine.networks.annotation import LabelKind
    from napari_unet.engine.networks.network import NetworkDescription

UNTOUCHED = "untouched"
"""Code of the finding that nobody has changed what a model found."""

_LEAD = "Show me where to correct"


@dataclass(frozen=True, slots=True, eq=False)
class Looked:
    """Findings, and which slice of which pair each name means."""

    findings: tuple[Finding, ...]
    places: dict[str, tuple[int, PlaneIndex]]


@dataclass(frozen=True, slots=True, eq=False)
class LookTask:
    """What is to be looked at: layers and folders, and what their labels mean."""

    sources: tuple[PairSource, ...]
    folders: tuple[tuple[Path, Path], ...]
    meaning: Meaning
    """Of pixels without a label."""
    background_label: int | None
    network: NetworkDescription | None
    """What is to be trained; None if it is new."""
    ndim: int
    """Axes that it reads at once."""
    class_names: tuple[str, ...] | None = None
    """Of a new network that learns classes."""

    @property
    def folder_question(self) -> FolderQuestion:
        """What decides how files are looked at."""
        from napari_unet.engine.networks.annotation import label_kind

        network = self.network
        kind: LabelKind = "cells" if self.class_names is None else "classes"
        if network is not None:
            kind = label_kind(network.class_roles)
        make_pair = pair_maker(self.meaning, self.background_label, kind)
        meaning = (self.meaning, self.background_label)
        return FolderQuestion(
            make_pair, self.ndim, network, meaning, self.class_names, self.meaning == "seen"
        )


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


def look_at(task: LookTask, files: FolderLooks) -> Iterator[Looked | None]:
    """Look at every labelled slice and at the files of folders, in the thread.

    Yields
    ------
    Looked or None
        The last one; None between two files, so that whoever iterates can stop.
    """
    from napari_unet.engine.checks.preflight import findings_of_all, looked_at
    from napari_unet.engine.networks.annotation import named_classes

    places: dict[str, tuple[int, PlaneIndex]] = {}
    annotated = list(_annotated(task, places))
    is_alone = len(annotated) == 1 and not task.folders
    network, names = task.network, task.class_names
    try:
        named_classes(names or (), 0)
        if task.folders:
            check_folder_meaning(task.meaning)
    except UNetError as error:
        yield refused(str(error))
        return
    looked = [
        looked_at(each, network=network, is_alone=is_alone, class_names=names) for each in annotated
    ]
    if task.folders:
        for each in files.look(task.folders, task.folder_question):
            if each is None:
                yield None
            else:
                looked.append(each)
    # No click leads to what is to be corrected in a file.
    lead = {UNTOUCHED: _LEAD} if task.sources else {}
    found = findings_of_all(looked, network=network, class_names=names)
    yield Looked(
        tuple(replace(each, remedy=lead.get(each.code, each.remedy)) for each in found), places
    )


def _annotated(
    task: LookTask, places: dict[str, tuple[int, PlaneIndex]]
) -> Iterator[AnnotatedImage]:
    """Labelled slices of the layers; note in `places` which each name means."""
    from napari_unet.engine.checks.label_facts import AnnotatedImage

    for number, source in enumerate(task.sources):
        planes = source.image.planes()
        for index in planes:
            labels: LabelImage = np.array(source.labels[index])
            if len(planes) > 1 and not labels.any():
                continue
            name = source.plane_name(index)
            places[name] = (number, index)
            image, channel_axis = source.plane_pixels(index)
            is_seen = bool(source.given_types) or task.meaning == "seen"
            yield AnnotatedImage(
                labels,
                np.asarray(image),
                name,
                channel_axis,
                "ignore" if task.meaning == "painted" else "reviewed",
                source.reviewed(index, labels, task.meaning),
                task.background_label,
                # Who has given cells a type has looked at them, and who marked them.
                corrected=None if is_seen else source.corrected(index, labels),
                stack=source.name if len(planes) > 1 else "",
                beside=_beside(source.labels, index) if len(planes) > 1 else (),
                in_slices=task.meaning == "slices",
            )
