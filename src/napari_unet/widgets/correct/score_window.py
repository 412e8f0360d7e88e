"""Scores of the session's network around a place, from which a missed cell is proposed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.errors import UNetError
from napari_unet.engine.base.regions import Region, grown
from napari_unet.engine.images.image import without_alpha
from napari_unet.viewer.layers import LayerImage, full_resolution, read_layer
from napari_unet.viewer.results import METADATA_KEY
from napari_unet.widgets.correct.landscape import channel_axis, lies_on
from napari_unet.widgets.correct.part import EditedPart

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels

    from napari_unet.engine.base.settings import SegmentationSettings
    from napari_unet.engine.networks.network import Network
    from napari_unet.session import Session

_LEAST_HALF_PX, _DIAMETERS = 96, 3
"""Half the window, in pixels and in cells, of which the larger counts."""

_HALF_DEPTH_PX = 24
"""Half the window along the first axis of a volume."""


@dataclass(frozen=True, slots=True, eq=False)
class ScoreWindow:
    """Scores of being a cell in a box of the part that is corrected."""

    scores: NDArray[np.float32]
    cores: NDArray[np.float32]
    """Scores of "cell" alone, which are low where cells meet."""
    box: Region
    """In the part."""
    shape: tuple[int, ...]
    """Of the part."""
    key: tuple[object, ...]
    """Of what they were computed."""

    def holds(self, place: Sequence[float]) -> bool:
        """Whether a cell at a place of the part lies well inside."""
        return all(
            (part.start == 0 or n - part.start >= (part.stop - part.start) / 4)
            and (part.stop == size or part.stop - n > (part.stop - part.start) / 4)
            for n, part, size in zip(place, self.box, self.shape, strict=True)
        )


@dataclass(frozen=True, slots=True, eq=False)
class WindowPlan:
    """All that is needed to compute a `ScoreWindow` in a thread."""

    part: EditedPart
    image: LayerImage
    network: Network
    device: str
    diameter_px: float | None
    place: tuple[float, ...]
    """In pixels of the layer."""

    @property
    def key(self) -> tuple[object, ...]:
        """What decides about the scores, beside the place, the model and the layers."""
        return (*self.part.key, self.diameter_px)

    def compute(self) -> ScoreWindow:
        """Run the network on the window.

        Raises
        ------
        UNetError
            If the image or the device does not fit.
        """
        from napari_unet.engine.models.one_call import segment

        ndim = self.network.description.architecture.ndim
        pixels, axis = self.image.pixels()
        whole = np.moveaxis(pixels, axis, 0)
        axes = [n for n, part in enumerate(self.image.plane) if isinstance(part, slice)]
        shape = [int(self.image.labels_shape[n]) for n in axes]
        here = [round(self.place[n]) for n in axes]
        box = grown(tuple(slice(n, n + 1) for n in here), self._half_px(len(axes)), shape)
        window = np.asarray(whole[(slice(None), *box)])
        reference = self.image.intensity_reference()
        found = segment(
            window,
            self.network,
            settings=self._settings(every_slice=len(axes) > ndim),
            device=self.device,
            intensity_reference=without_alpha(whole) if reference is None else reference,
        )
        scores = _foreground_and_cells(found.scores, found.class_roles)
        # Of a volume that was read for one slice, this slice.
        cut = tuple(
            slice(None) if n in self.part.axes else at - part.start
            for n, at, part in zip(axes, here, box, strict=True)
        )
        by_axis = dict(zip(axes, box, strict=True))
        own = tuple(by_axis[n] for n in self.part.axes)
        foreground, cells = (np.ascontiguousarray(self.part.shown(each[cut])) for each in scores)
        return ScoreWindow(foreground, cells, own, self.part.view.shape, self.key)

    def _half_px(self, ndim: int) -> list[int]:
        half = max(_LEAST_HALF_PX, math.ceil(_DIAMETERS * (self.diameter_px or 0)))
        return [_HALF_DEPTH_PX] * (ndim - 2) + [half, half]

    def _settings(self, *, every_slice: bool) -> SegmentationSettings:
        from napari_unet.engine.base.settings import SegmentationSettings

        return SegmentationSettings(
            diameter_px=self.diameter_px,
            pixel_size_um=self.image.pixel_size_um,
            anisotropy=self.image.anisotropy,
            every_slice=every_slice,
            channel_axis=0,
        )


def _foreground_and_cells(
    scores: Any, class_roles: Sequence[str]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Scores of being a cell or its border, to which cells reach, and of being a cell."""
    from napari_unet.engine.networks.class_roles import BACKGROUND, is_cell

    cells: NDArray[np.float32] = scores[[is_cell(role) for role in class_roles]].sum(axis=0)
    if BACKGROUND not in class_roles:
        return scores.sum(axis=0), cells
    return 1 - scores[class_roles.index(BACKGROUND)], cells


def plan_window(
    labels: Labels,
    part: EditedPart,
    image: Image | None,
    place: tuple[float, ...],
    viewer: ViewerModel,
    session: Session,
) -> WindowPlan:
    """Read what is needed to score the surroundings of a place; nothing is computed.

    Raises
    ------
    UNetError
        If there is no model or no image, or they do not fit.
    """
    network = session.network
    if network is None:
        raise UNetError(
            "No model is loaded to propose a cell; load one in the Segment or Model widget, or "
            "paint the cell with napari's brush."
        )
    if network.description.gives_classes:
        raise UNetError(
            f"'{network.description.name}' tells classes of pixels, not cells, so it proposes "
            "none; load another model, or paint the cell with napari's brush."
        )
    if image is None:
        raise UNetError(
            f"There is no image to find the cell in; open the one of '{labels.name}', or paint the "
            "cell with napari's brush."
        )
    if not lies_on(image, part.labels.shape):
        raise UNetError(
            f"'{image.name}' has shape {tuple(full_resolution(image).shape)}, and '{labels.name}' "
            f"{part.labels.shape}; choose the image that the cells lie on."
        )
    axis = channel_axis(image, part.labels.shape)
    made = labels.metadata.get(METADATA_KEY, {})
    is_own = made.get("image_id") == str(image.unique_id)
    channel = made.get("channel") if is_own and axis is not None else None
    read = read_layer(
        image,
        viewer.dims,
        network_ndim=max(len(part.axes), network.description.architecture.ndim),
        extent="slice",
        channel_axis=axis,
        channel=None if channel is None else channel - 1,
    )
    settings = made.get("settings") if is_own else None
    diameter = settings.get("diameter_px") if isinstance(settings, dict) else None
    return WindowPlan(part, read, network, session.device, diameter, place)
