"""What a report of an evaluation is about: images, their scores and errors, and its settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from napari_unet.engine.labels.evaluation import Evaluation, ImageScore
from napari_unet.engine.labels.truth.cell_errors import (
    RIGHT_IOU,
    CellError,
    CellErrors,
    VerdictCounts,
)


@dataclass(frozen=True, slots=True)
class ReportedImage:
    """What the report says of one image; it holds no pixels.

    Parameters
    ----------
    name : str
    shape : tuple of int
    scores : tuple of ImageScore
        One, or one for each plane that was compared by itself.
    counts : tuple of VerdictCounts
        Of the same.
    errors : tuple of CellError
    """

    name: str
    shape: tuple[int, ...]
    scores: tuple[ImageScore, ...]
    counts: tuple[VerdictCounts, ...]
    errors: tuple[CellError, ...]

    @classmethod
    def of(cls, name: str, found: CellErrors) -> ReportedImage:
        """Take over what was found in an image."""
        return cls(name, found.shape, found.evaluation.images, found.counts, found.errors)

    @property
    def evaluation(self) -> Evaluation:
        """Of this image alone."""
        return Evaluation(self.scores)


@dataclass(frozen=True, slots=True)
class Report:
    """What a report is about.

    Parameters
    ----------
    truth, found : str
        What was compared, as people call it.
    images : sequence of ReportedImage
        At least one.
    right_iou : float
    notes : sequence of str
        Sentences to be told first: what may be wrong with the labels.
    settings : mapping of str to str
        Further lines at the end of the page, before the date and versions.
    """

    truth: str
    found: str
    images: Sequence[ReportedImage]
    right_iou: float = RIGHT_IOU
    notes: Sequence[str] = ()
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def evaluation(self) -> Evaluation:
        """Of all images."""
        return Evaluation(tuple(score for image in self.images for score in image.scores))

    @property
    def counts(self) -> tuple[VerdictCounts, ...]:
        """Of all images."""
        return tuple(counts for image in self.images for counts in image.counts)

    def worst_first(self) -> list[int]:
        """Places of the images, that with the lowest F1 first, then that with more errors."""
        scores = [image.evaluation.pooled(self.right_iou).f1 for image in self.images]
        order = range(len(self.images))
        return sorted(order, key=lambda at: (scores[at], -len(self.images[at].errors)))
