"""What a network says of images before it learns from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast, overload

import numpy as np
import torch
from torch import Tensor

from napari_unet.engine.base.regions import Region
from napari_unet.engine.images.image import Scores
from napari_unet.engine.networks.class_roles import BACKGROUND, as_cells
from napari_unet.engine.networks.network import Network, NetworkDescription
from napari_unet.engine.segmentation.judgement import HARDLY_SURE, UNSURE, seen_scores
from napari_unet.engine.segmentation.planes import PlaneScores
from napari_unet.engine.training.hold_out import cropped, labelled_box, labelled_part
from napari_unet.engine.training.pairs import TrainingPair
from napari_unet.engine.training.scoring import never, score_pair

_MOST_IMAGES, _MOST_PX, _MOST_VOXELS = 4, 512, 96
"""Images that are looked at to know whether such are known, and how much of each: the length of
its axes."""

KNOWN = 0.5
"""Familiarity, in the mean over some images, from which their kind is known: it is 1 for those of
known kinds, and in one of four of an unknown kind there may be something that looks familiar."""


@dataclass(frozen=True, slots=True, eq=False)
class Before:
    """What a network says of an image before it learns.

    Parameters
    ----------
    scores : (classes, *S) float16 tensor
        Types of cells are one class: which type a cell is may change.
    strength : float
        How far that is to be held to, 0 to 1: not where it has never seen such images.
    start : tuple of int
        Where in the image the scores begin.
    holds_labels : bool
        It is held to that also where the labels count.
    """

    scores: Tensor
    strength: float
    start: tuple[int, ...]
    holds_labels: bool = False


def said_before(
    pairs: Sequence[TrainingPair],
    network: Network,
    *,
    around_px: int,
    device: str,
    should_stop: Callable[[], bool],
) -> list[Before | None]:
    """Let a network say what it sees where nobody has labelled.

    Memory: the scores of each such image, 2 bytes for each class and pixel.

    Parameters
    ----------
    around_px : int
        How far from what was labelled it is asked.
    should_stop : callable
        Asked after each tile.

    Returns
    -------
    list of Before or None
        None for images that are labelled all over, and once it was stopped.
    """
    found: list[Before | None] = []
    for pair in pairs:
        if pair.reviewed is None or not pair.reviewed.any() or should_stop():
            found.append(None)
            continue
        box = labelled_box(pair.reviewed, around_px=around_px)
        part = cropped(pair, box)
        plane = score_pair(part, network, device=device, should_stop=should_stop)
        found.append(None if plane is None else _said(plane.scores, network, box))
    return found


def _said(scores: Scores, network: Network, box: Region) -> Before:
    strength = familiarity(scores, network.description)
    cells, _ = as_cells(scores, network.description.class_roles)
    return Before(torch.from_numpy(cells).half(), strength, tuple(part.start for part in box))


def familiarity_of(
    pairs: Sequence[TrainingPair],
    network: Network,
    *,
    device: str,
    should_stop: Callable[[], bool],
) -> float:
    """How well a network knows images like some of these, in the mean; see `familiarity`.

    Of a few images the middle of what was labelled is looked at. Stopped, it is
    that of those before; 1 without any.
    """
    found = []
    for pair in pairs[:: -(-len(pairs) // _MOST_IMAGES)]:
        plane = score_pair(_middle(pair), network, device=device, should_stop=should_stop)
        if plane is None:
            break
        found.append(familiarity(plane.scores, network.description))
    return float(np.mean(found)) if found else 1.0


def _middle(pair: TrainingPair) -> TrainingPair:
    part = labelled_part(pair)
    shape = np.shape(part.labels)
    most = _MOST_PX if len(shape) == 2 else _MOST_VOXELS
    box = tuple(
        slice(max(0, (n - most) // 2), max(0, (n - most) // 2) + min(n, most)) for n in shape
    )
    return cropped(part, box)


class SaidOfKnown(Sequence[Before]):
    """What a network says of each of the images that it knows, asked when that is first needed.

    The labels alone would not hold it: they are few, and it would learn them by heart. Memory as
    in `said_before`.

    Parameters
    ----------
    bank : sequence of TrainingPair

    References
    ----------
    Buzzega et al. (2020), Dark experience for general continual learning.
    https://arxiv.org/abs/2004.07211
    """

    def __init__(self, bank: Sequence[TrainingPair], network: Network, device: str) -> None:
        self._bank, self._network, self._device = bank, network, device
        self._said: dict[int, Before] = {}

    def __len__(self) -> int:
        return len(self._bank)

    @overload
    def __getitem__(self, index: int) -> Before: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Before]: ...
    def __getitem__(self, index: int | slice) -> Before | Sequence[Before]:
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        if index not in self._said:
            pair = self._bank[index]
            scored = score_pair(pair, self._network, device=self._device, should_stop=never)
            plane = cast("PlaneScores", scored)  # as it is never stopped
            cells, _ = as_cells(plane.scores, plane.class_roles)
            corner = (0,) * np.ndim(pair.labels)
            scores = torch.from_numpy(cells).half()
            self._said[index] = Before(scores, 1.0, corner, holds_labels=True)
        return self._said[index]


def familiarity(scores: Scores, description: NetworkDescription) -> float:
    """How well a network knows images like one of which it gave these scores (C, *S).

    1 where it is as sure as of images that it knows, 0 where it is not, or sees
    nothing. The limits are those by which a result is judged (`judgement.py`).
    """
    roles = description.class_roles
    if BACKGROUND not in roles:
        return 1.0
    seen = seen_scores(scores, roles)
    certainty = 1 - float(seen.mean()) if seen.size else 0.0
    return float(np.clip((certainty - UNSURE) / (HARDLY_SURE - UNSURE), 0, 1))
