"""A look at the files of folders before a training, off the Qt thread: what may spoil it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.engine.base.errors import UNetError
from napari_unet.engine.checks.finding import Finding
from napari_unet.engine.images.image import AnyImage, LabelImage

if TYPE_CHECKING:
    from napari_unet.engine.checks.preflight import LookedAt
    from napari_unet.engine.networks.network import NetworkDescription
    from napari_unet.engine.training.pairs import TrainingPair
    from napari_unet.files.pairs import PairedFiles

_REPAIRABLE = " Open the image and its labels in napari, repair them there, and save the labels."
_MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class FolderQuestion:
    """What decides how files are looked at, beside the files themselves."""

    make_pair: Callable[..., TrainingPair]
    """As `annotated_pair`, with what unlabelled pixels mean."""
    ndim: int
    network: NetworkDescription | None
    meaning: Hashable
    """Of the labels, as the form says it: what was found holds as long as it is the same."""
    class_names: tuple[str, ...] | None = None
    """Of a new network that learns classes."""
    only_seen: bool = False
    """As `read_pairs` takes it; part of `meaning`."""

    def is_as(self, other: FolderQuestion | None) -> bool:
        """Whether files would be looked at in the same way."""
        return (
            other is not None
            and (self.ndim, self.meaning) == (other.ndim, other.meaning)
            and (self.network is other.network and self.class_names == other.class_names)
        )


class FolderLooks:
    """Looks at pairs of files, of many at some, and remembers what it found as long as it holds.

    While somebody paints, the form looks at its labels again and again; files
    are read anew only when they have changed.
    """

    def __init__(self) -> None:
        self._question: FolderQuestion | None = None
        self._known: dict[Hashable, tuple[LookedAt, ...]] = {}

    def look(
        self, folders: Sequence[tuple[Path, Path]], question: FolderQuestion
    ) -> Iterator[LookedAt | None]:
        """Look at all pairs of folders, in the thread.

        Yields
        ------
        LookedAt or None
            What was found in each image; None before a file is read, so that
            whoever iterates can stop.
        """
        if not question.is_as(self._question):
            self._question, self._known = question, {}
        for images, labels in folders:
            yield from self._look_at(images, labels, question)

    def _look_at(
        self, images: Path, labels: Path, question: FolderQuestion
    ) -> Iterator[LookedAt | None]:
        from napari_unet.engine.checks.preflight import MOST_LOOKED_AT, LookedAt, evenly
        from napari_unet.files.pairs import pair_files

        name = labels.name or str(labels)
        try:
            paired = pair_files(images, labels)
        except UNetError as error:
            yield LookedAt((_refused(error, name),), None)
            return
        some = evenly(paired.pairs, MOST_LOOKED_AT)
        told = tuple(_of_names(paired, images, looked_at=len(some)))
        for paths in some:
            yield None
            key = tuple((path, *_state(path)) for path in paths)
            if key not in self._known:
                self._known[key] = tuple(_looked_at(paths, question, folder=name))
            for each in self._known[key]:
                yield replace(each, findings=(*told, *each.findings))
                told = ()


def _state(path: Path) -> tuple[int, int]:
    """What is another once a file was written; what is gone is told by who reads it."""
    try:
        status = path.stat()
    except OSError:
        return (0, 0)
    return (status.st_mtime_ns, status.st_size)


def _looked_at(
    paths: tuple[Path, Path], question: FolderQuestion, *, folder: str
) -> Iterator[LookedAt]:
    from napari_unet.engine.checks.label_facts import AnnotatedImage
    from napari_unet.engine.checks.preflight import LookedAt, looked_at
    from napari_unet.files.pairs import read_pairs

    def make_pair(image: AnyImage, labels: LabelImage, name: str, **known: Any) -> TrainingPair:
        channel_axis = -1 if image.ndim > labels.ndim else None
        return question.make_pair(image, labels, name=name, channel_axis=channel_axis, **known)

    try:
        pairs = read_pairs(
            *paths, ndim=question.ndim, make_pair=make_pair, only_seen=question.only_seen
        )
    except UNetError as error:
        yield LookedAt((_refused(error, paths[1].name),), None, folder, "image")
        return
    for pair in pairs:
        annotated = AnnotatedImage(
            pair.labels,
            np.asarray(pair.image),
            pair.name,
            pair.channel_axis,
            reviewed=pair.reviewed,
            corrected=pair.corrected,
            in_slices=pair.in_slices,
            stack=folder,
            part_noun="image",
        )
        looked = looked_at(
            annotated,
            network=question.network,
            is_alone=False,
            class_names=question.class_names,
        )
        yield replace(looked, findings=tuple(map(_of_file, looked.findings)))


def _of_file(finding: Finding) -> Finding:
    """No click of the form writes to a file: say how to come by the one that repairs it."""
    if not finding.remedy:
        return finding
    return replace(finding, text=f"{finding.text}{_REPAIRABLE}", remedy="")


def _refused(error: UNetError, name: str) -> Finding:
    return Finding("error", str(error), code="refused", name=name)


def _of_names(paired: PairedFiles, images: Path, *, looked_at: int) -> Iterator[Finding]:
    """What is left out because nothing has its name, and what was not looked at."""
    note: dict[str, Any] = {"severity": "note", "name": str(images)}
    for names, noun in ((paired.only_first, "image"), (paired.only_second, "label image")):
        if names:
            listed = ", ".join(names[:_MOST_NAMED]) + (" …" if len(names) > _MOST_NAMED else "")
            counted = f"1 {noun} is" if len(names) == 1 else f"{len(names)} {noun}s are"
            text = f"{counted} left out, as no file goes with the name: {listed}."
            yield Finding(text=text, code=f"alone-{noun}", **note)
    if looked_at < len(paired.pairs):
        text = f"{looked_at} of {len(paired.pairs)} files of '{images.name}' were looked at."
        yield Finding(text=text, code="some", **note)
