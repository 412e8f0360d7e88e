"""Images with their annotation, and what the pixels mean that nobody has labelled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.errors import (
    SettingsError,
    TrainingError,
)
from napari_unet.engine.images.image import AnyImage, LabelImage, colour_axis
from napari_unet.engine.networks.annotation import (
    LabelKind,
    are_single_slices,
    named_classes,
)
from napari_unet.engine.networks.class_roles import (
    BACKGROUND,
    BORDER,
    CELL,
    Types,
    typed_roles,
)
from napari_unet.engine.networks.contact_border import BorderKind, contact_counts
from napari_unet.engine.networks.network import NetworkDescription
from napari_unet.engine.networks.unet import UNetConfig, flat_levels_for
from napari_unet.engine.training.volumes.new_shape import usual_shape
from napari_unet.engine.training.volumes.slices import ChosenSlices, labelled_slices, within
from napari_unet.engine.training.volumes.voxels import anisotropy_of, median_anisotropy, ring_around
from napari_unet.engine.weight_map.weight_map import IGNORED, check_labels

Unlabelled: TypeAlias = Literal["reviewed", "ignore"]
"""What a pixel with the label 0 means: somebody saw that it is background, or nobody looked."""

DENSE = 0.5
"""Share of the outlines that touches other cells, from which on tissue is filled with cells. It is
.2 in the most crowded images of DSB 2018, and nearly 1 where all pixels are cells."""

RING_PX = 2
"""Pixels around a painted cell that are certainly not its inside."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainingPair:
    """An image and its true cells.

    Parameters
    ----------
    image : array
        (H, W) or (Z, H, W), or with one channel axis; any real dtype.
    labels : integer array of the image's spatial shape
        Each positive value is one cell; 0 and what is negative is background.
        Floats will do if they are whole. For a network whose classes have
        names of their own each positive value is the number of a class,
        counted from 1.
    name : str
        For messages.
    channel_axis : int, optional
        Axis of the channels; without it a last axis of 3 or 4 is colours.
    reviewed : bool array of the labels' shape, optional
        Where the labels are the truth; elsewhere pixels are ignored. Without
        it they are the truth everywhere.
    corrected : bool array of the labels' shape, optional
        Pixels that a person has changed since they were predicted; patches
        are drawn near them more often.
    intensity_reference : array, optional
        Measure intensities on this image, so that a crop of it is read as the
        whole.
    weight : float
        How much more often its patches are drawn than others'.
    types : mapping of int to str, optional
        Type of cells by their label, such as {1: "mitotic", 2: "other"}: the
        network learns to tell types apart. A cell without one is learned as a
        cell of any type; labels that are not there say nothing.
    spacing : sequence of float, optional
        Of a volume: size of a voxel along Z, Y and X, in any unit. Only how they
        compare counts; without it slices are as far apart as pixels.
    in_slices : bool
        Of a volume only slices were labelled: cells are counted and measured
        in each of those that show anything reviewed, by itself.
    """

    image: AnyImage
    labels: LabelImage
    name: str = "image"
    channel_axis: int | None = None
    reviewed: NDArray[np.bool_] | None = None
    corrected: NDArray[np.bool_] | None = None
    intensity_reference: AnyImage | None = None
    weight: float = 1.0
    types: Types | None = None
    spacing: Sequence[float] | None = None
    in_slices: bool = False

    @property
    def anisotropy(self) -> float | None:
        """Distance between slices in pixel sizes; None if not known, `SettingsError` if absurd."""
        if self.spacing is None or np.ndim(self.labels) != 3:
            return None
        return anisotropy_of(self.spacing)

    def checked_labels(self) -> NDArray[np.int32]:
        """Labels as int32, `IGNORED` where they were not reviewed.

        Raises
        ------
        ImageShapeError, LabelsError
            If they are no labels.
        """
        labels = check_labels(self.labels)
        return labels if self.reviewed is None else np.where(self.reviewed, labels, IGNORED)

    def checked_types(self) -> dict[int, str]:
        """Types of the cells that are there, by their number in `checked_labels`."""
        if not self.types:
            return {}
        given = np.asarray(self.labels).reshape(-1)
        labels, first = np.unique(given, return_index=True)
        # Numbers beyond the number of pixels become smaller ones.
        numbers = check_labels(self.labels).reshape(-1)[first]
        both = zip(labels.tolist(), numbers.tolist(), strict=True)
        known = {number: self.types.get(label) for label, number in both if number > 0}
        return {number: name for number, name in known.items() if name is not None}


def annotated_pair(
    image: AnyImage,
    labels: LabelImage,
    *,
    unlabelled: Unlabelled = "reviewed",
    regions: NDArray[np.bool_] | None = None,
    slices: ChosenSlices | None = None,
    background_label: int | None = None,
    label_kind: LabelKind = "cells",
    ring_px: float = RING_PX,
    corrected: NDArray[np.bool_] | None = None,
    name: str = "image",
    channel_axis: int | None = None,
    types: Types | None = None,
    spacing: Sequence[float] | None = None,
) -> TrainingPair:
    """Make a training pair from an annotation and what its unlabelled pixels mean.

    Parameters
    ----------
    image : array
        (H, W) or (Z, H, W), or with one channel axis; any real dtype.
    labels : integer array of the image's spatial shape
    unlabelled : {"reviewed", "ignore"}
        Whether a pixel with the label 0 is background, or was not looked at
        and is ignored.
    regions : bool array of the labels' shape, optional
        Everything in them was reviewed, whatever `unlabelled` says; with
        "reviewed" nothing outside of them was.
    slices : sequence of int or "painted", optional
        Of a volume, only what lies in these slices teaches anything: numbers
        from 0, or all that show a label.
    background_label : int, optional
        A number that was painted where background is.
    label_kind : {"cells", "classes"}
        What the numbers of `labels` are.
    ring_px : float
        With "ignore", pixels up to this distance outside of a painted cell
        are background: they are certainly not its inside. 0 leaves them out.
        Of a volume with `spacing` it is measured in pixels of a slice.
        Where cells of a volume were painted in single slices, these pixels
        are in the same slice.
    corrected : bool array of the labels' shape, optional
        Pixels that a person has changed since they were predicted.
    name : str
    channel_axis : int, optional
    types : mapping of int to str, optional
        Type of cells by their label.
    spacing : sequence of float, optional
        As in `TrainingPair`.

    Returns
    -------
    TrainingPair

    Raises
    ------
    SettingsError
        If `unlabelled` is neither.
    TrainingError
        If `regions` do not fit, or there are no such slices.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_unet import annotated_pair
    >>> labels = np.array([[0, 0, 0, 0, 0, 7, 0, 9]])
    >>> pair = annotated_pair(
    ...     np.ones((1, 8)), labels, unlabelled="ignore", background_label=9, ring_px=1
    ... )
    >>> pair.labels
    array([[0, 0, 0, 0, 0, 7, 0, 0]])
    >>> pair.reviewed
    array([[False, False, False, False,  True,  True,  True,  True]])
    """
    if unlabelled not in get_args(Unlabelled):
        raise SettingsError(f"unlabelled is {unlabelled!r}; use 'reviewed' or 'ignore'.")
    labels = np.asarray(labels)
    if regions is not None:
        regions = checked_mask(regions, labels.shape, name, "regions")
    painted = labels > 0
    if background_label is not None:
        is_background = labels == background_label
        painted |= is_background
        labels = np.where(is_background, labels.dtype.type(0), labels)
    in_slices = slices is not None or (unlabelled == "ignore" and are_single_slices(painted))
    pair = TrainingPair(
        image, labels, name, channel_axis, regions, corrected, types=types, spacing=spacing,
        in_slices=in_slices,
    )  # fmt: skip
    reviewed = regions
    if unlabelled == "ignore":
        ring = ring_px if label_kind == "cells" else 0.0
        near = ring_around(labels > 0, ring, pair.anisotropy, in_plane=in_slices)
        reviewed = painted | near if regions is None else painted | near | regions
    if slices is not None:
        chosen = within(labelled_slices(painted, slices, name=name), labels.shape)
        reviewed = chosen if reviewed is None else reviewed & chosen
    return replace(pair, reviewed=reviewed)


def types_in(pairs: Sequence[TrainingPair]) -> tuple[str, ...]:
    """Types of the cells that are there, in the order of the alphabet."""
    return tuple(sorted({name for pair in pairs for name in pair.checked_types().values()}))


def new_description(
    pairs: Sequence[TrainingPair],
    *,
    ndim: int | None = None,
    class_roles: Sequence[str] = (BACKGROUND, CELL, BORDER),
    class_names: Sequence[str] | None = None,
    border_kind: BorderKind | None = None,
    shape: UNetConfig | None = None,
    name: str = "new",
) -> NetworkDescription:
    """Describe a network that begins with nothing and reads these images.

    Parameters
    ----------
    pairs : sequence of TrainingPair
        Their channels are those of the network; grey and coloured images
        together are read as colours.
    ndim : int, optional
        2 or 3: axes that it reads at once; those of the labels without it.
    class_roles : sequence of str
        Of labels whose numbers are cells. Where cells have types, each type
        takes the place of "cell".
    class_names : sequence of str, optional
        The numbers of the labels are classes, 1 is that of the first name;
        those without a name are called "class 1", "class 2", ... There are as
        many as the labels show. A reviewed 0 is one more, "background".
    border_kind : {"rim", "even", "contact"}, optional
        What the border class is, as in `training_target`; without it "contact" where at least
        half of the cells' outlines touches other cells, as `contact_share` measures it, and
        "even" elsewhere.
    shape : UNetConfig, optional
        All the rest of its shape; what is usual for images, or for volumes, without it. How many
        levels are flat, if no pair has a `spacing`.
    name : str

    Returns
    -------
    NetworkDescription
        Whether the images can be learned from is told by `train`.

    Raises
    ------
    SettingsError
        If names do not make classes, as in `named_classes`, or if all cells
        with a type have the same.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_unet import TrainingPair, new_description
    >>> volume = TrainingPair(np.ones((8, 64, 64)), np.ones((8, 64, 64), int))
    >>> new_description([volume]).architecture.ndim
    3
    >>> new_description([volume], class_names=("gland", "stroma")).class_roles
    ('gland', 'stroma')
    """
    if class_names is not None:
        class_roles = _classes_of(pairs, class_names)
    elif types := types_in(pairs):
        class_roles = typed_roles(class_roles, types)
    if ndim is None:
        ndim = 3 if any(np.ndim(pair.labels) == 3 for pair in pairs) else 2
    channels = max((_channels(pair) for pair in pairs), default=1)
    # Alpha is no channel to learn from.
    in_channels = 3 if channels == 4 else channels
    shape = usual_shape(ndim) if shape is None else shape
    anisotropy = median_anisotropy(pairs) if ndim == 3 else None
    flat = shape.flat_levels if ndim == 3 else 0
    if anisotropy is not None:
        flat = flat_levels_for(anisotropy, shape.depth)
    config = replace(
        shape, ndim=ndim, in_channels=in_channels, classes=len(class_roles), flat_levels=flat
    )
    if border_kind is None and BORDER in class_roles and class_names is None:
        border_kind = "contact" if contact_share(pairs) >= DENSE else "even"
    return NetworkDescription(
        name,
        config,
        class_roles=tuple(class_roles),
        anisotropy=anisotropy,
        border_kind=border_kind or "rim",
    )


def contact_share(pairs: Sequence[TrainingPair]) -> float:
    """Share of the outlines of all cells along which they touch another cell, 0 to 1."""
    counts = sum((contact_counts(pair.checked_labels()) for pair in pairs), np.zeros(2, np.int64))
    return float(counts[0] / max(1, counts.sum()))


def note_of_border(pairs: Sequence[TrainingPair], description: NetworkDescription) -> str | None:
    """Say that borders are thin because cells fill the tissue; None if they are rims."""
    if description.border_kind != "contact" or BORDER not in description.class_roles:
        return None
    return (
        "The border class is the pixels at which two cells meet, not the rim of cells, so that "
        f"small cells keep an inside: {contact_share(pairs):.0%} of the cells' outlines touches "
        "other cells."
    )


def _classes_of(pairs: Sequence[TrainingPair], names: Sequence[str]) -> tuple[str, ...]:
    labels = [pair.checked_labels() for pair in pairs]
    roles = named_classes(names, max((int(each.max(initial=0)) for each in labels), default=0))
    if BACKGROUND in roles or not any((each == 0).any() for each in labels):
        return roles
    # Last, so that the numbers in the labels are those of the others.
    return (*roles, BACKGROUND)


def _channels(pair: TrainingPair) -> int:
    shape, ndim = np.shape(pair.image), np.ndim(pair.labels)
    axis = colour_axis(shape, ndim) if pair.channel_axis is None else pair.channel_axis
    has_axis = axis is not None and len(shape) == ndim + 1 and -len(shape) <= axis < len(shape)
    return int(shape[axis]) if axis is not None and has_axis else 1


def checked_mask(
    mask: NDArray[np.bool_], shape: tuple[int, ...], image: str, name: str
) -> NDArray[np.bool_]:
    """Return a mask of the pixels of labels; a `TrainingError` if it is none."""
    mask = np.asarray(mask)
    if mask.shape != shape or mask.dtype != bool:
        raise TrainingError(
            f"'{image}': {name} is a {mask.dtype} array of shape {mask.shape}; give one bool "
            f"for each pixel of the labels, which have shape {shape}."
        )
    return mask
