"""Images made ready for a training."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from napari_unet.engine.base.settings import InstanceSettings
from napari_unet.engine.images.image import channels_first
from napari_unet.engine.images.source import ImageSource, open_image
from napari_unet.engine.labels.components import diameters_px
from napari_unet.engine.networks.annotation import (
    class_target,
    labels_are_classes,
    training_target,
)
from napari_unet.engine.networks.class_roles import CELL, Types, roles_as_cells
from napari_unet.engine.networks.network import NetworkDescription, TrainingIntensity
from napari_unet.engine.training.augmentation.stain import StainedImage, stained_image
from napari_unet.engine.training.pairs import TrainingPair
from napari_unet.engine.training.volumes.slices import ball_sizes, cell_centres, slice_centres
from napari_unet.engine.weight_map.weight_map import IGNORED

_MOST_PLACES = 20_000
"""Pixels of a kind that are remembered as places for patches."""

_MORE_CORRECTED = 2.0
"""How much more often an image with corrections is drawn."""

_LOWEST = 2.5
"""Standard deviations of the logarithm of the area, by which a piece is smaller than a cell is."""

_USUAL_SPREAD, _AS_GOOD_AS = 0.5, 5
"""That deviation where nobody has labelled a cell yet, and how many cells that is as good as."""

_SMALLEST = 0.8
"""Of the smallest labelled cell: what is larger is never taken for a speck."""

_CUT_SHARE = 0.1
"""Of the labelled pieces of volumes that may be smaller than the smallest cell: the borders of a
volume cut through half of its cells, and what they leave is found as well."""

_HIGHEST_SCORE = 0.999
"""`min_score` is below 1."""

_TOUCHING_PX = 2
"""Cells that are not further apart than this touch each other, as far as crowds are concerned."""

Places = NDArray[np.float64]
"""(N, D) positions in an image, in pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class PreparedPair:
    """A training pair, normalised, and where its patches may lie."""

    image: Tensor
    """(C, *S) float32."""
    labels: Tensor
    """(*S) int32: `IGNORED` where not reviewed."""
    foreground: tuple[Places, ...]
    """Tuple of (N, D). Kinds of places that are drawn equally often: the centres of cells, of
    each type by itself if there are types, or pixels of each class."""
    corrected: Places
    """(N, D). Pixels that a person has changed."""
    reviewed: Places | None
    """(N, D). Pixels that count, where not all do."""
    crowded: Places
    """(N, D). Pixels of cells that touch another, near that; empty if nobody asks."""
    stained: StainedImage | None
    """Of a colour image of stained tissue."""
    weight: float
    """How much more often it is drawn than others."""
    types: Types
    """Types of cells by their number in `labels`."""
    in_slices: bool
    """Of a volume only slices were labelled; places are in them."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the labels."""
        return tuple(self.labels.shape)

    @property
    def odds(self) -> float:
        """How often it is drawn, beside others."""
        if self.reviewed is not None and not len(self.reviewed):
            return 0.0
        # Crowded images teach more, yet not in proportion: neighbours look alike.
        odds = self.weight * math.sqrt(1 + sum(map(len, self.foreground)))
        return odds * (_MORE_CORRECTED if len(self.corrected) else 1.0)


def prepare_pair(
    pair: TrainingPair, description: NetworkDescription, *, crowds: bool = False
) -> PreparedPair:
    """Normalise an image and find the places around which patches are drawn."""
    source = _source(pair, description)
    labels = pair.checked_labels()
    types = pair.checked_types() if description.cell_types else {}
    is_semantic = labels_are_classes(description.class_roles)
    if is_semantic:
        _, known = class_target(labels, description.class_roles)
        kinds = [_places((labels == number) & known) for number in np.unique(labels[known])]
    else:
        kinds = _cell_centres(labels, types, in_slices=pair.in_slices)
    corrected = (pair.corrected & (labels != IGNORED)) if pair.corrected is not None else None
    return PreparedPair(
        _read(source, description),
        torch.from_numpy(labels),
        tuple(kind for kind in kinds if len(kind)),
        _places(corrected) if corrected is not None else np.empty((0, labels.ndim)),
        _places(labels != IGNORED) if pair.reviewed is not None else None,
        _places(_touching(labels, description))
        if crowds and not is_semantic
        else np.empty((0, labels.ndim)),
        _stained(pair, source, description),
        pair.weight,
        types,
        pair.in_slices,
    )


def normalised(pair: TrainingPair, description: NetworkDescription) -> Tensor:
    """(C, *S) float32; a grey image is kept once, however many channels the network reads."""
    return _read(_source(pair, description), description)


def _source(pair: TrainingPair, description: NetworkDescription) -> ImageSource:
    config = description.architecture
    source = open_image(
        np.asarray(pair.image),
        ndim=config.ndim,
        in_channels=config.in_channels,
        normalization=description.normalization,
        channel_axis=pair.channel_axis,
        intensity_reference=pair.intensity_reference,
    )
    channels = 1 if source.array.shape[0] == 1 else config.in_channels
    return dataclasses.replace(source, in_channels=channels)


def _read(source: ImageSource, description: NetworkDescription) -> Tensor:
    everything = (slice(None),) * description.architecture.ndim
    return torch.from_numpy(np.ascontiguousarray(source.read(everything)))


def _stained(
    pair: TrainingPair, source: ImageSource, description: NetworkDescription
) -> StainedImage | None:
    """What a change of stain needs of an image whose colours the network reads."""
    if source.in_channels != 3 or len(source.array) != 3:
        return None
    measured = source.array
    if pair.intensity_reference is not None:
        ndim, axis = description.architecture.ndim, pair.channel_axis
        measured = channels_first(pair.intensity_reference, ndim=ndim, channel_axis=axis)[:3]
    return stained_image(measured, source.scaling, description.normalization)


def _touching(labels: NDArray[np.int32], description: NetworkDescription) -> NDArray[np.bool_]:
    """Pixels of cells with another cell not further than `_TOUCHING_PX` away, or beside them."""
    spacing = description.spacing or (1.0,) * labels.ndim
    size = [2 * max(1, int(_TOUCHING_PX / step)) + 1 for step in spacing]
    highest = ndimage.maximum_filter(labels, size)
    above_all = np.iinfo(labels.dtype).max
    lowest = ndimage.minimum_filter(np.where(labels > 0, labels, above_all), size)
    touching: NDArray[np.bool_] = (labels > 0) & (highest != lowest)
    return touching


def _cell_centres(labels: NDArray[np.int32], types: Types, *, in_slices: bool) -> list[Places]:
    """Centres of the cells of each type, and of those without one; in each slice by itself."""
    centres: dict[str | None, list[list[float]]] = {}
    for number, centre in (slice_centres if in_slices else cell_centres)(labels):
        centres.setdefault(types.get(number), []).append(centre)
    return [np.array(each, float).reshape(-1, labels.ndim) for each in centres.values()]


def _places(mask: NDArray[np.bool_]) -> Places:
    """Pixels of a mask, of many an even choice."""
    flat = np.flatnonzero(mask)
    flat = flat[:: max(1, math.ceil(flat.size / _MOST_PLACES))]
    return np.stack(np.unravel_index(flat, mask.shape), axis=1).astype(float)


def description_after(
    before: NetworkDescription,
    pairs: Sequence[TrainingPair],
    prepared: Sequence[PreparedPair],
    *,
    knows: bool = False,
) -> NetworkDescription:
    """Return what a network expects once it has learned from images.

    Parameters
    ----------
    before : NetworkDescription
        Of the network that the training starts from.
    prepared : sequence of PreparedPair
        The same, normalised.
    knows : bool
        It knew such images before. Then a few cells that somebody has
        corrected, mostly large ones, do not say how small cells are.
    """
    description = dataclasses.replace(
        before,
        pixel_size_um=None,
        intensity=_intensity(pairs),
        instances=_uncalibrated(before.instances),
    )
    if labels_are_classes(before.class_roles):
        return dataclasses.replace(description, object_diameter_px=None)
    larger = description.anisotropy or 1.0
    areas = cell_sizes_px(prepared, larger)
    if not areas:
        return dataclasses.replace(description, object_diameter_px=None)
    instances = description.instances
    # Of a volume a ball as wide as the cell is in a slice.
    diameters = diameters_px(np.array(areas) * larger, before.architecture.ndim)
    is_fair = all(pair.reviewed is None for pair in pairs)
    if is_fair or not knows:
        instances = _with_sizes(instances, np.array(areas), before, float(np.median(diameters)))
        if before.architecture.ndim == 3:
            instances = _with_cut_cells(instances, prepared, before)
    return dataclasses.replace(
        description, object_diameter_px=float(np.median(diameters)), instances=instances
    )


def cell_sizes_px(prepared: Sequence[PreparedPair], anisotropy: float) -> list[float]:
    """Pixels of each labelled cell, as far as that is known.

    Of cells that are labelled in slices alone, of balls with such slices.
    """
    sizes: list[float] = []
    for pair in prepared:
        labels = pair.labels.numpy()
        if pair.in_slices:
            areas = [area for plane in labels for area in _whole_areas(plane)]
            sizes += [size / anisotropy for size in ball_sizes(areas)]
        else:
            sizes += _whole_areas(labels)
    return sizes


def median_diameter_px(prepared: Sequence[PreparedPair], anisotropy: float) -> float | None:
    """Of the labelled cells in a slice; None without any."""
    sizes = cell_sizes_px(prepared, anisotropy)
    if not sizes:
        return None
    return float(np.median(diameters_px(np.array(sizes) * anisotropy, prepared[0].labels.ndim)))


def _whole_areas(labels: NDArray[np.int32]) -> list[float]:
    """Areas of cells that the border does not cut; of all if it cuts each."""
    areas = np.bincount(np.maximum(labels, 0).reshape(-1))
    areas[0] = 0
    cut = np.zeros(areas.size, bool)
    for axis in range(labels.ndim):
        for end in (0, -1):
            cut[np.maximum(np.take(labels, end, axis=axis), 0)] = True
    whole = areas[(areas > 0) & ~cut]
    return [float(area) for area in (whole if whole.size else areas[areas > 0])]


def _with_sizes(
    instances: InstanceSettings,
    areas: NDArray[np.float64],
    before: NetworkDescription,
    diameter_px: float,
) -> InstanceSettings:
    """Thresholds that suit the sizes of cells, which are spread as their logarithms are."""
    logs = np.log(areas)
    spread = (logs - logs.mean()) ** 2
    deviation = np.sqrt(
        (spread.sum() + _AS_GOOD_AS * _USUAL_SPREAD**2) / (areas.size + _AS_GOOD_AS)
    )
    # Of few cells the mean is not known well, either.
    deviation *= np.sqrt(1 + 1 / areas.size)
    least = min(np.exp(logs.mean() - _LOWEST * deviation), _SMALLEST * areas.min())
    seed = instances.min_seed_px
    if before.object_diameter_px is not None:
        larger = diameter_px / before.object_diameter_px
        seed = max(1, round(seed * larger**before.architecture.ndim))
    return dataclasses.replace(
        instances, min_size_px=max(1, int(least)), min_seed_px=min(seed, max(1, int(least)))
    )


def _with_cut_cells(
    instances: InstanceSettings, prepared: Sequence[PreparedPair], before: NetworkDescription
) -> InstanceSettings:
    """Thresholds that keep what the borders of volumes leave of cells."""
    pieces: list[float] = []
    for pair in prepared:
        labels = np.maximum(pair.labels.numpy(), 0)
        if pair.in_slices:
            areas = [area for plane in labels for area in np.bincount(plane.reshape(-1))[1:]]
            pieces += [size / (before.anisotropy or 1.0) for size in ball_sizes(areas) if size]
        else:
            sizes = np.bincount(labels.reshape(-1))[1:]
            pieces += sizes[sizes > 0].tolist()
    least = int(np.quantile(pieces, _CUT_SHARE))
    if not any(pair.in_slices for pair in prepared):  # slices near the ends of cells are small
        least = min(least, instances.min_size_px)
    least = max(1, least)
    seed = instances.min_seed_px
    if before.object_diameter_px is None:  # a new network has the least seed of images
        seed = least // 2
        insides = _inside_sizes(prepared, before)
        if insides:
            seed = min(seed, int(np.quantile(insides, _CUT_SHARE)) // 2)
    return dataclasses.replace(instances, min_size_px=least, min_seed_px=max(1, min(seed, least)))


def _inside_sizes(prepared: Sequence[PreparedPair], description: NetworkDescription) -> list[int]:
    """Voxels of each cell that are learned as its inside, which is what a seed can be of it."""
    roles = roles_as_cells(description.class_roles)
    sizes: list[int] = []
    for pair in prepared:
        if not pair.in_slices:
            labels = pair.labels.numpy()
            target = training_target(
                labels, roles, border_kind=description.border_kind, spacing=description.spacing
            )
            inside = np.bincount(labels[(target == roles.index(CELL)) & (labels > 0)])
            sizes += inside[inside > 0].tolist()
    return sizes


def _uncalibrated(instances: InstanceSettings) -> InstanceSettings:
    """Thresholds that find the same cells without the calibration of scores.

    A network that learns becomes more or less sure of its cells, so that what
    was measured of its scores no longer holds.
    """
    least = min(instances.least_mean_score, _HIGHEST_SCORE)
    return dataclasses.replace(instances, min_score=least, score_calibration=None)


def _intensity(pairs: Sequence[TrainingPair]) -> TrainingIntensity:
    images = [
        pair.image if pair.intensity_reference is None else pair.intensity_reference
        for pair in pairs
    ]
    percentiles = np.array([np.percentile(image, (1, 50, 99.8)) for image in images])
    low, median, high = np.median(percentiles, axis=0)
    dtypes = [str(np.asarray(pair.image).dtype) for pair in pairs]
    dtype = max(set(dtypes), key=dtypes.count)
    return TrainingIntensity(dtype, float(low), float(median), float(high))
