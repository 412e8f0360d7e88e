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

CELLS, FOUND_BEFORE, FOUND_AFTER = "held_out_cells", "found_before", "found_after"
"""In a version's metrics: how many cells these labels have, and how many of them were found."""

_AP_AT = 0.5
_MOST_PX = 2048
"""Along each axis of the field of view that is compared: some ten seconds for each network on two
cores, while the window is free."""


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

    @property
    def sentence(self) -> str:
        """What was compared, such as "What was in view, 300 x 400 pixels"."""
        size = " x ".join(map(str, self.comparison.shape))
        if self.image.region is None:
            sizes = zip(self.image.labels_shape, self.image.plane, strict=True)
            seen = [n for n, at in sizes if isinstance(at, slice)]
        else:
            edges = self.image.region
            seen = [stop - start for start, stop in zip(edges[::2], edges[1::2], strict=True)]
        part = "What was in view" if tuple(seen) == self.comparison.shape else "The middle of it"
        return f"{part}, {size} pixels"

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
        counts = Counter(change.kind for part in self.held_out for change in part.changes)
        changes = ", ".join(f"{count} {kind}" for kind, count in counts.items())
        return f"{_told(self.before, self.after)}{f' ({changes})' if changes else ''}."

    @property
    def metrics(self) -> dict[str, Any]:
        """The same for the version that is kept, at every overlap; of few cells the counts."""
        before, after = self.before, self.after
        if before is None or after is None:
            return {}
        found = (each.pooled(_AP_AT).true_positives for each in (before, after))
        metrics = dict(zip((FOUND_BEFORE, FOUND_AFTER), found, strict=True))
        metrics[CELLS] = after.true_cells
        return metrics | (_figures(before, after) if after.has_figures else {})


def _told(before: Evaluation, after: Evaluation) -> str:
    """How both did on the same cells, without the full stop."""
    cells = f"{after.true_cells} held-out cell{'' if after.true_cells == 1 else 's'}"
    if after.has_figures:
        return (
            f"On {cells} AP {_AP_AT:g} was {before.figure(_AP_AT)} before and is "
            f"{after.figure(_AP_AT)} now; in brackets where it lies with 95 % confidence"
        )
    counts = (each.counts(_AP_AT) for each in (before, after))
    return f"On {cells}: {next(counts)} before, {next(counts)} now; too few for a figure"


def _figures(before: Evaluation, after: Evaluation) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for name, evaluation in ((AP_BEFORE, before), (AP_AFTER, after)):
        scores = {
            threshold: round(evaluation.pooled(threshold).average_precision, 4)
            for threshold in evaluation.thresholds
        }
        figures[name] = scores[_AP_AT]
        figures[f"{name} at all"] = {f"{t:g}": score for t, score in scores.items()}
        figures[f"{name} interval"] = evaluation.interval(_AP_AT)
    return figures


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

    seen = [
        see(view, network, device=plan.recipe.device, most_px=_MOST_PX)
        for network in (before, after)
    ]
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
