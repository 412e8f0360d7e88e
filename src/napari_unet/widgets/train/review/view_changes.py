"""What a trained network finds otherwise in the field of view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.regions import Region
from napari_unet.viewer.layers import LayerImage
from napari_unet.viewer.viewpoint import box_in_layer
from napari_unet.widgets.train.plan import Plan
from napari_unet.widgets.train.preview import see

if TYPE_CHECKING:
    from napari_unet.engine.labels.comparison import Comparison
    from napari_unet.engine.networks.network import Network

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


def compared_view(
    plan: Plan, view: LayerImage, before: Network, after: Network
) -> ViewChanges | None:
    """Let two networks segment the field of view, in the thread; None without anything in it."""
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
