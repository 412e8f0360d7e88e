"""What a trained network finds otherwise than the one that its training started from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.regions import Region
from napari_unet.viewer.layers import LayerImage
from napari_unet.viewer.viewpoint import box_in_layer
from napari_unet.widgets.train.plan import Plan
from napari_unet.widgets.train.preview import see

if TYPE_CHECKING:
    from napari_unet.engine.labels.comparison import Comparison
    from napari_unet.engine.labels.evaluation import Evaluation
    from napari_unet.engine.networks.network import Network
    from napari_unet.engine.training.pairs import TrainingPair

AP_BEFORE, AP_AFTER = "ap_before", "ap_after"
"""In a version's metrics: AP at 0.5 on the same labels before and after its training."""

_AP_AT = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class ViewChanges:
    """What a trained network finds otherwise in the field of view."""

    image: LayerImage
    corner: tuple[int, ...]
    """Where the part that was compared begins, in the axes of the image's labels."""
    comparison: Comparison
    """Along the axes of the plane."""
    labels_id: str
    """Of the labels layer of the image."""

    def placed(self, box: Region) -> Region:
        """Bring a box in the part that was compared to the axes of the labels."""
        return box_in_layer(self._in_plane(box), self.image.plane)

    def drawn(self) -> NDArray[np.uint8]:
        """Change image of the whole plane; 0 outside of the part that was compared."""
        from napari_unet.engine.labels.comparison import change_image

        whole = zip(self.image.labels_shape, self.image.plane, strict=True)
        drawn = np.zeros([size for size, at in whole if isinstance(at, slice)], np.uint8)
        part = self._in_plane(tuple(slice(0, size) for size in self.comparison.shape))
        drawn[part] = change_image(self.comparison)
        return drawn

    def _in_plane(self, box: Region) -> Region:
        axes = zip(self.corner, self.image.plane, strict=True)
        starts = [start for start, at in axes if isinstance(at, slice)]
        return tuple(
            slice(part.start + start, part.stop + start)
            for part, start in zip(box, starts, strict=True)
        )


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """Both networks side by side."""

    held_out: tuple[Comparison, ...]
    """In the images of the held-out part, beside their labels."""
    view: ViewChanges | None
    """In the field of view."""

    @property
    def before(self) -> Evaluation | None:
        """How good the network was that it started from; None without held-out cells."""
        return _pooled([part.before_score for part in self.held_out])

    @property
    def after(self) -> Evaluation | None:
        """How good the trained network is; None without held-out cells."""
        return _pooled([part.after_score for part in self.held_out])

    @property
    def sentence(self) -> str:
        """How good it is on the held-out part, before and after; empty without cells there."""
        if self.before is None or self.after is None:
            return ""
        before, after = (
            each.pooled(_AP_AT).average_precision for each in (self.before, self.after)
        )
        counts = Counter(change.kind for part in self.held_out for change in part.changes)
        changes = ", ".join(f"{count} {kind}" for kind, count in counts.items())
        told = f"On the held-out cells AP {_AP_AT:g} was {before:.2f} before and is {after:.2f} now"
        return f"{told} ({changes})." if changes else f"{told}."

    @property
    def metrics(self) -> dict[str, Any]:
        """The same for the version that is kept, at every overlap."""
        metrics: dict[str, Any] = {}
        for name, evaluation in ((AP_BEFORE, self.before), (AP_AFTER, self.after)):
            if evaluation is not None:
                scores = {
                    threshold: round(evaluation.pooled(threshold).average_precision, 4)
                    for threshold in evaluation.thresholds
                }
                metrics[name] = scores[_AP_AT]
                metrics[f"{name} at all"] = {f"{t:g}": score for t, score in scores.items()}
        return metrics


def compare(
    plan: Plan,
    before: Network,
    after: Network,
    held_out: Sequence[TrainingPair],
    view: LayerImage | None,
) -> Compared:
    """Let two networks segment the held-out images and the field of view, in the thread.

    Nothing is compared of networks that find classes and no cells.
    """
    if plan.label_kind == "classes":
        return Compared((), None)
    parts = tuple(_compared(pair, before, after, plan.recipe.device) for pair in held_out)
    return Compared(parts, None if view is None else _view_changes(plan, view, before, after))


def _compared(pair: TrainingPair, before: Network, after: Network, device: str) -> Comparison:
    from napari_unet.engine.labels.comparison import compare_cells
    from napari_unet.engine.models.one_call import segment
    from napari_unet.engine.training.validation import reviewed_part

    found = [
        segment(
            np.asarray(pair.image),
            network,
            channel_axis=pair.channel_axis,
            device=device,
            intensity_reference=pair.intensity_reference,
            keep_scores=False,
        ).labels
        for network in (before, after)
    ]
    labels = np.asarray(pair.labels)
    truth, first = reviewed_part(labels, found[0], pair.reviewed)
    _, second = reviewed_part(labels, found[1], pair.reviewed)
    return compare_cells(first, second, truth)


def _view_changes(
    plan: Plan, view: LayerImage, before: Network, after: Network
) -> ViewChanges | None:
    from napari_unet.engine.labels.comparison import compare_cells

    seen = [see(view, network, device=plan.recipe.device) for network in (before, after)]
    if seen[0] is None or seen[1] is None:
        return None
    (first, corner), (second, _) = seen[0], seen[1]
    in_plane = tuple(at if isinstance(at, slice) else 0 for at in view.plane)
    comparison = compare_cells(first[in_plane], second[in_plane])
    return ViewChanges(view, corner, comparison, plan.sources[0].labels_id)


def _pooled(scores: Sequence[Evaluation | None]) -> Evaluation | None:
    from napari_unet.engine.labels.evaluation import Evaluation

    images = tuple(image for score in scores if score is not None for image in score.images)
    return Evaluation(images) if any(image.true_cells for image in images) else None
