"""What can be known of the labels of one image, and what a rule for them judges."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.checks.image_facts import ImageFacts, image_facts
from napari_unet.engine.images.image import AnyImage, LabelImage, colour_axis
from napari_unet.engine.labels.components import LabelPieces, diameters_px, label_pieces
from napari_unet.engine.labels.repair import LabelFaults, label_faults
from napari_unet.engine.networks.annotation import MOST_CLASSES, labels_are_classes, named_classes
from napari_unet.engine.networks.class_roles import BACKGROUND

if TYPE_CHECKING:
    from napari_unet.engine.networks.network import NetworkDescription

Unlabelled: TypeAlias = Literal["reviewed", "ignore"]


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the pixels of a layer lie in the world."""

    scale: tuple[float, ...]
    """Size of a pixel along each axis."""
    translate: tuple[float, ...]
    """Place of the first pixel."""


@dataclass(frozen=True, slots=True, eq=False)
class AnnotatedImage:
    """Labels with what is known of them, as `preflight` takes them.

    Parameters
    ----------
    labels : integer array
    image : array, optional
    name : str
        For messages.
    channel_axis : int, optional
        Of the image; without it a last axis of 3 or 4 is colours.
    unlabelled : {"reviewed", "ignore"}
        Whether a pixel with the label 0 is background, or is ignored.
    reviewed : bool array of the labels' shape, optional
        Everything in it was looked at; with "reviewed" nothing outside of it.
    background_label : int, optional
        A number that was painted where background is.
    grid, image_grid : Grid, optional
        Of the labels and of the image.
    corrected : bool array of the labels' shape, optional
        What a person has changed since a model predicted them; without it
        nobody knows where they came from.
    stack : str
        Name of the stack that these labels are a slice of, or of the folder
        that they are an image of, if they are.
    part_noun : {"slice", "image"}
        What they are of it.
    beside : tuple of arrays of the labels' shape
        The slices before and after it: a small piece next to a cell there is
        the cap of a cell, and no speck.
    in_slices : bool
        Only slices of a volume are labelled: a number in several of them is
        one cell.
    """

    labels: LabelImage
    image: AnyImage | None = None
    name: str = "labels"
    channel_axis: int | None = None
    unlabelled: Unlabelled = "reviewed"
    reviewed: NDArray[np.bool_] | None = None
    background_label: int | None = None
    grid: Grid | None = None
    image_grid: Grid | None = None
    corrected: NDArray[np.bool_] | None = None
    stack: str = ""
    part_noun: Literal["slice", "image"] = "slice"
    beside: tuple[LabelImage, ...] = ()
    in_slices: bool = False

    @property
    def image_channel_axis(self) -> int | None:
        """Axis of the image that counts channels, from the front."""
        image, axis = self.image, self.channel_axis
        if image is None:
            return None
        if axis is not None and -image.ndim <= axis < image.ndim:
            return axis % image.ndim
        return colour_axis(image.shape, self.labels.ndim)


@dataclass(frozen=True, slots=True, eq=False)
class LabelSummary:
    """What is to be known of labels beside others; it holds no pixels."""

    name: str
    cell_sizes_px: NDArray[np.int64]
    diameters_px: NDArray[np.float64]
    has_background: bool
    """A network learns background from them."""
    is_untouched: bool
    """They are as a model has predicted them."""


@dataclass(frozen=True, eq=False)
class LabelFacts:
    """What can be known of labels; numbers are computed when they are first asked."""

    given: AnnotatedImage

    @cached_property
    def image(self) -> ImageFacts | None:
        """A look at the image; None without one."""
        given = self.given
        if given.image is None:
            return None
        return image_facts(given.image, name=given.name, channel_axis=given.image_channel_axis)

    @cached_property
    def as_image(self) -> ImageFacts:
        """A look at the labels as if they were an image."""
        return image_facts(self.given.labels, name=self.given.name)

    @cached_property
    def pieces(self) -> LabelPieces:
        """Each connected piece of each number."""
        return label_pieces(self.given.labels)

    @cached_property
    def _counted(self) -> NDArray[np.int64]:
        """How many pixels of each piece a network learns from."""
        given, sizes = self.given, self.pieces.sizes
        ignored = np.zeros_like(sizes)
        inside = ignored if given.reviewed is None else self.pieces.count_in(given.reviewed)
        if given.unlabelled == "ignore":
            return np.where(self.pieces.numbers <= 0, inside, sizes)
        return sizes if given.reviewed is None else inside

    @cached_property
    def _is_cell(self) -> NDArray[np.bool_]:
        """Of each piece, whether it was painted as a cell or part of one."""
        numbers = self.pieces.numbers
        is_cell: NDArray[np.bool_] = (numbers > 0) & (numbers != self.given.background_label)
        return is_cell

    @cached_property
    def ids(self) -> NDArray[np.int64]:
        """Numbers of the cells from which a network learns, in their order."""
        return np.unique(self.pieces.numbers[self._is_cell & (self._counted > 0)])

    @cached_property
    def areas(self) -> NDArray[np.int64]:
        """Pixels of each of these cells, whether or not it learns from all of them."""
        numbers = self.pieces.numbers
        in_cells = np.isin(numbers, self.ids)
        places = np.searchsorted(self.ids, numbers[in_cells])
        areas = np.bincount(places, self.pieces.sizes[in_cells], self.ids.size)
        return areas.astype(np.int64)

    @cached_property
    def faults(self) -> LabelFaults:
        """Which pieces are hardly meant so."""
        faults = label_faults(self.pieces, self.ids.tolist())
        for labels in self.given.beside:
            faults.specks[self.pieces.count_in(np.asarray(labels) > 0) > 0] = False
        return faults

    @cached_property
    def cell_px(self) -> int:
        """Pixels of cells from which a network learns."""
        return int(self._counted[self._is_cell].sum())

    @cached_property
    def background_px(self) -> int:
        """Pixels of background, painted or not, from which a network learns."""
        return int(self._counted[~self._is_cell].sum())

    @cached_property
    def is_mask(self) -> bool:
        """Whether several pieces share the only number."""
        return self.ids.size == 1 and bool(self.faults.strays.any())

    @cached_property
    def cell_sizes_px(self) -> NDArray[np.int64]:
        """Pixels of each cell; of a mask those of each piece."""
        if not self.is_mask:
            return self.areas
        counted = (self.pieces.numbers == self.ids[0]) & ~self.faults.specks
        sizes: NDArray[np.int64] = self.pieces.sizes[counted]
        return sizes

    @cached_property
    def diameters_px(self) -> NDArray[np.float64]:
        """Of a circle or ball as large as each cell, or as each slice of one."""
        if self.given.in_slices:
            # In the mean over all heights a slice has so much of the diameter of its ball.
            return diameters_px(self.pieces.sizes[self._is_cell], 2) * 4 / math.pi
        return diameters_px(self.cell_sizes_px, len(self.pieces.shape))

    @property
    def summary(self) -> LabelSummary:
        """What is to be known once the pixels are gone."""
        given = self.given
        is_untouched = given.corrected is not None and not given.corrected.any()
        sizes, has_background = self.cell_sizes_px, self.background_px > 0
        return LabelSummary(given.name, sizes, self.diameters_px, has_background, is_untouched)


@dataclass(frozen=True, slots=True, eq=False)
class LabelCase:
    """What a rule judges: labels, the model that is to learn from them, and what else there is."""

    facts: LabelFacts
    description: NetworkDescription | None = None
    is_alone: bool = True
    """There are no other labels."""
    consequence: str = "the network would take them for one cell"
    """What becomes of pieces with one number."""
    class_names: Sequence[str] | None = None
    """Of a new network that learns numbers as classes."""

    @property
    def given(self) -> AnnotatedImage:
        """The labels themselves."""
        return self.facts.given

    @property
    def name(self) -> str:
        """Of the labels, in quotation marks."""
        return f"'{self.facts.given.name}'"

    @property
    def roles(self) -> tuple[str, ...]:
        """What the numbers stand for, if they are classes; () if they are cells."""
        if self.class_names is None:
            return class_roles(self.description)
        # Each number that there is becomes a class.
        most = min(int(self.facts.ids.max(initial=0)), MOST_CLASSES)
        roles = named_classes(self.class_names, most)
        if BACKGROUND in roles or self.given.unlabelled == "ignore":
            return roles
        return (*roles, BACKGROUND)


def class_roles(description: NetworkDescription | None) -> tuple[str, ...]:
    """What numbers in labels stand for, if they are classes; () if they are cells."""
    roles = () if description is None else description.class_roles
    return roles if labels_are_classes(roles) else ()
