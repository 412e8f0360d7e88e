"""A look at images and their annotation before a training: what may spoil it, and the repair."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.images.image import AnyImage, LabelImage, Region
from napari_unet.engine.labels.components import LabelPieces, label_pieces
from napari_unet.engine.labels.repair import (
    LabelFaults,
    holes_filled,
    label_faults,
    pieces_numbered,
    specks_removed,
)
from napari_unet.engine.networks.annotation import BACKGROUND, CELL
from napari_unet.engine.networks.network import Network, NetworkDescription

Severity: TypeAlias = Literal["error", "warning", "note"]
Unlabelled: TypeAlias = Literal["reviewed", "ignore"]

_ORDER: tuple[Severity, ...] = ("error", "warning", "note")

# Chosen on 693 label images of real cells, whose faults are few and small.
_MANY_SPECKS = 0.1
_LARGE_HOLES = 0.02
_SMALLEST_SIZE, _LARGEST_SIZE = 1 / 2.3, 2.65
"""Cells so much smaller and larger than those trained on were found as well as with a resize."""

_FEW_CELLS = 5
_TINY_CELL_PX = 30
_SAMPLED_PIXELS = 20_000
_UNLIKE_INTENSITY = 3.0
_INVERTED = 0.4
_LEAST_CONTRAST = 1e-6


@dataclass(frozen=True, slots=True)
class Finding:
    """Something worth knowing of an annotation before a network learns from it.

    Parameters
    ----------
    code : str
        What was found, for programs: "mask", "disconnected", "specks" and so on.
    severity : {"error", "warning", "note"}
        With an error no training can start; a warning is likely to spoil it.
    text : str
        One sentence for people, with the numbers.
    repair : str, optional
        Caption of the button that puts it right with `repair`; None if no
        click can.
    ids : tuple of int
        Cells concerned.
    box : tuple of slices, optional
        What of the labels is concerned; a repair changes nothing outside of it.
    name : str
        Which labels, where there are several.
    """

    code: str
    severity: Severity
    text: str
    repair: str | None = None
    ids: tuple[int, ...] = ()
    box: Region | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the pixels of a layer lie in the world.

    Parameters
    ----------
    scale : tuple of float
        Size of a pixel along each axis.
    translate : tuple of float
        Place of the first pixel.
    """

    scale: tuple[float, ...]
    translate: tuple[float, ...]


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


@dataclass(frozen=True, slots=True, eq=False)
class _Survey:
    """What was measured in the labels of one image."""

    given: AnnotatedImage
    pieces: LabelPieces
    ids: NDArray[np.int64]
    areas: NDArray[np.int64]
    faults: LabelFaults
    cell_px: int
    background_px: int
    pixels: int

    @property
    def is_mask(self) -> bool:
        """Whether several pieces share the only number."""
        return self.ids.size == 1 and bool(self.faults.strays.any())

    @property
    def cell_sizes_px(self) -> NDArray[np.int64]:
        """Pixels of each cell; of a mask those of each piece."""
        if not self.is_mask:
            return self.areas
        counted = (self.pieces.numbers == self.ids[0]) & ~self.faults.specks
        sizes: NDArray[np.int64] = self.pieces.sizes[counted]
        return sizes

    @property
    def diameters_px(self) -> NDArray[np.float64]:
        """Of a circle or ball as large as each cell."""
        return _diameters(self.cell_sizes_px, len(self.pieces.shape))


def preflight(
    labels: LabelImage,
    *,
    image: AnyImage | None = None,
    network: Network | NetworkDescription | None = None,
    **known: Any,
) -> tuple[Finding, ...]:
    """Say what may spoil a training on one image and its labels.

    Takes a twentieth of a second for 2048 x 2048 pixels with 2,000 cells.

    Parameters
    ----------
    labels : (H, W) or (Z, H, W) integer array
        0 is background; each positive value is one cell, or a class for a
        network whose classes have names of their own. Negative pixels are
        ignored.
    image : array, optional
        What the labels belong to.
    network : Network or NetworkDescription, optional
        What is to be trained.
    **known
        Further fields of `AnnotatedImage`: `name`, `channel_axis`,
        `unlabelled`, `reviewed`, `background_label`, `grid`, `image_grid`.

    Returns
    -------
    tuple of Finding
        Most important first.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_unet import preflight
    >>> mask = np.zeros((40, 40), np.uint8)
    >>> mask[5:15, 5:15] = mask[25:35, 25:35] = 1
    >>> finding = preflight(mask)[0]
    >>> finding.code, finding.repair
    ('mask', 'Number the 2 pieces')
    """
    return preflight_all([AnnotatedImage(np.asarray(labels), image, **known)], network=network)


def prepare_preflight() -> None:
    """Compile what looks at labels, a few seconds once, so that the first look need not wait."""
    label_pieces(np.array([[1, 0, 2]]))


def preflight_all(
    annotated: Sequence[AnnotatedImage], *, network: Network | NetworkDescription | None = None
) -> tuple[Finding, ...]:
    """Say what may spoil a training on several images and their labels.

    Parameters
    ----------
    annotated : sequence of AnnotatedImage
    network : Network or NetworkDescription, optional
        What is to be trained.

    Returns
    -------
    tuple of Finding
        Most important first, each with the name of its labels. What is said of
        all of them together comes without a name.
    """
    description = network.description if isinstance(network, Network) else network
    findings: list[Finding] = []
    surveys: list[_Survey] = []
    for each in annotated:
        refused = list(_about_kind(each, description))
        findings += refused
        if not refused:
            survey = _survey(each)
            surveys.append(survey)
            findings += _about_one(survey, description, alone=len(annotated) == 1)
    if surveys or not annotated:
        findings += _about_all(surveys, description, complete=len(surveys) == len(annotated))
    return tuple(sorted(findings, key=lambda finding: _ORDER.index(finding.severity)))


def repair(labels: LabelImage, finding: Finding) -> LabelImage:
    """Return labels in which what was found is put right.

    Look again after it: other findings may name cells that have new numbers.

    Parameters
    ----------
    labels : integer array
        Those that were looked at, or a later state of them.
    finding : Finding
        One with a `repair`.

    Returns
    -------
    array of the same shape, a copy
        Of the same dtype, or of a wider one if new numbers do not fit; only
        cells in `finding.ids` have changed. Without a repair it is equal to
        `labels`.
    """
    labels = np.asarray(labels)
    if finding.code == "not-integer":
        return labels.astype(np.int32) if finding.repair else labels.copy()
    changed = _REPAIRS[finding.code] if finding.repair else None
    return changed(labels, finding.ids) if changed else labels.copy()


_REPAIRS: dict[str, Callable[[LabelImage, tuple[int, ...]], LabelImage]] = {
    "mask": pieces_numbered,
    "disconnected": pieces_numbered,
    "specks": specks_removed,
    "holes": holes_filled,
}


def changed_box(before: LabelImage, after: LabelImage) -> Region | None:
    """Return the smallest box outside of which two label images are equal; None if they are."""
    different = before != after
    box = []
    for axis in range(different.ndim):
        others = tuple(other for other in range(different.ndim) if other != axis)
        places = np.flatnonzero(different.any(axis=others))
        if not places.size:
            return None
        box.append(slice(int(places[0]), int(places[-1]) + 1))
    return tuple(box)


# -- arrays that do not fit ----------------------------------------------------------------------


def _about_kind(given: AnnotatedImage, description: NetworkDescription | None) -> Iterator[Finding]:
    """Say at most one thing that keeps these labels from being looked at."""
    labels = given.labels
    if labels.dtype.kind not in "bui":
        yield _about_dtype(given)
    elif int(labels.max(initial=0)) > np.iinfo(np.int64).max:
        yield _error(
            given,
            "numbers",
            f"holds the number {int(labels.max())}, which is too large; number the cells afresh.",
        )
    elif labels.ndim not in (2, 3) or not labels.size or _looks_like_colours(labels):
        yield _error(
            given,
            "axes",
            f"has shape {labels.shape}; labels have one number for each pixel of (H, W) or "
            "(Z, H, W), so choose one plane of them.",
        )
    elif description is not None and labels.ndim != description.unet.ndim:
        yield _error(
            given,
            "dimensions",
            f"has {labels.ndim} axes and the model reads {description.unet.ndim}-D images; "
            + ("train on its slices." if labels.ndim == 3 else "choose a model for 2-D images."),
        )
    elif given.reviewed is not None and given.reviewed.shape != labels.shape:
        yield _error(
            given,
            "shape",
            f"has {_size(labels.shape)} pixels but the reviewed regions have "
            f"{_size(given.reviewed.shape)}; draw them on these labels.",
        )
    elif given.image is not None:
        yield from _about_image_shape(given, given.image, description)


def _about_dtype(given: AnnotatedImage) -> Finding:
    labels = given.labels
    text = (
        f"'{given.name}' holds numbers of type {labels.dtype}; labels are whole numbers, 0 for "
        "background and 1, 2, ... for cells."
    )
    is_whole = (
        labels.dtype.kind == "f"
        and bool(np.isfinite(labels).all())
        and bool((np.trunc(labels) == labels).all())
        and float(np.abs(labels).max(initial=0)) <= np.iinfo(np.int32).max
    )
    repair_caption = "Store them as whole numbers" if is_whole else None
    return Finding("not-integer", "error", text, repair_caption, name=given.name)


def _looks_like_colours(labels: LabelImage) -> bool:
    shape = labels.shape
    is_picture = len(shape) == 3 and shape[-1] in (3, 4) and min(shape[:2]) > 4
    return labels.dtype == np.uint8 and is_picture


def _about_image_shape(
    given: AnnotatedImage, image: AnyImage, description: NetworkDescription | None
) -> Iterator[Finding]:
    ndim, axis = given.labels.ndim, _channel_axis(given, image)
    if image.ndim != ndim + (axis is not None):
        yield _error(
            given,
            "axes",
            f"has {ndim} axes and its image the shape {image.shape}; say which axis of the image "
            "counts channels, or choose the plane that the labels belong to.",
        )
        return
    shape = tuple(int(n) for number, n in enumerate(image.shape) if number != axis)
    if shape != given.labels.shape:
        yield _error(
            given,
            "shape",
            f"has {_size(given.labels.shape)} pixels but its image has {_size(shape)}; choose the "
            "labels of this image.",
        )
        return
    channels = 1 if axis is None else int(image.shape[axis])
    reads = channels if description is None else description.unet.in_channels
    if channels not in (1, reads) and (channels, reads) not in ((3, 1), (4, 1), (4, 3)):
        yield _error(
            given,
            "channels",
            f"belongs to an image with {channels} channels and the model reads {reads}; choose one "
            f"channel, or a model that reads {channels}.",
        )


def _channel_axis(given: AnnotatedImage, image: AnyImage) -> int | None:
    """Axis of the image that counts channels, from the front."""
    if given.channel_axis is not None and -image.ndim <= given.channel_axis < image.ndim:
        return given.channel_axis % image.ndim
    has_colours = image.ndim == given.labels.ndim + 1 and image.shape[-1] in (3, 4)
    return image.ndim - 1 if has_colours else None


# -- labels --------------------------------------------------------------------------------------


def _survey(given: AnnotatedImage) -> _Survey:
    pieces = label_pieces(given.labels)
    numbers, counted = pieces.numbers, pieces.sizes
    is_cell = numbers > 0
    is_background = numbers == 0
    if given.background_label is not None:
        is_cell &= numbers != given.background_label
    painted_background = (numbers >= 0) & ~is_cell & ~is_background
    if given.reviewed is not None:
        inside = pieces.count_in(given.reviewed)
        if given.unlabelled == "reviewed":
            counted = inside
        else:
            counted = np.where(is_background, inside, pieces.sizes)
    elif given.unlabelled == "ignore":
        counted = np.where(is_background, 0, pieces.sizes)
    ids = np.unique(numbers[is_cell & (counted > 0)])
    in_cells = np.isin(numbers, ids)
    places = np.searchsorted(ids, numbers[in_cells])
    areas = np.bincount(places, pieces.sizes[in_cells], ids.size).astype(np.int64)
    return _Survey(
        given,
        pieces,
        ids,
        areas,
        label_faults(pieces, ids.tolist()),
        int(counted[is_cell].sum()),
        int(counted[is_background | painted_background].sum()),
        given.labels.size,
    )


def _about_one(
    survey: _Survey, description: NetworkDescription | None, *, alone: bool
) -> Iterator[Finding]:
    given = survey.given
    yield from _about_grid(given)
    if given.image is not None:
        yield from _about_image(given, given.image, description)
    if description is not None and CELL not in description.class_roles:
        yield from _about_classes(survey, description)
        return
    if not survey.ids.size:
        if not alone:
            yield _about_no_cells(survey)
        return
    yield from _about_background(survey)
    yield from _about_strays(survey)
    yield from _about_specks(survey)
    yield from _about_holes(survey)
    yield _about_content(survey)
    yield from _about_touching(survey)


def _about_no_cells(survey: _Survey) -> Finding:
    name = survey.given.name
    if not survey.background_px:
        text = f"'{name}' holds nothing painted or reviewed, so all of its pixels are ignored."
        return Finding("ignored", "warning", text, name=name)
    text = (
        f"'{name}' holds no cell, so the network learns from all {survey.background_px:,} pixels "
        "that there is none; that is fine if it is true."
    )
    return Finding("empty", "note", text, name=name)


def _about_background(survey: _Survey) -> Iterator[Finding]:
    given = survey.given
    if survey.background_px:
        return
    if given.unlabelled == "ignore":
        text = (
            f"'{given.name}' holds {_count(survey.ids.size, 'cell')} but no background, as pixels "
            "that are not painted are ignored; paint some background, or mark regions in which "
            "every cell is painted."
        )
    else:
        text = (
            f"'{given.name}' holds cells at all {survey.cell_px:,} of its pixels and no "
            "background; if that is not so, paint cells alone."
        )
    yield Finding("no-background", "warning", text, name=given.name)


def _about_strays(survey: _Survey) -> Iterator[Finding]:
    strays = survey.faults.strays
    ids = np.unique(survey.pieces.numbers[strays])
    count = int(strays.sum()) + ids.size
    if not ids.size:
        return
    name, box, caption = survey.given.name, survey.pieces.box(strays), f"Number the {count} pieces"
    if survey.is_mask:
        text = (
            f"'{name}' is a mask: {count} separate pieces have the one number {ids[0]}, so the "
            "network would take them for one cell."
        )
        yield Finding("mask", "warning", text, caption, _all(ids), box, name)
        return
    which = f"The number {ids[0]} lies" if ids.size == 1 else f"{ids.size} numbers lie"
    text = (
        f"{which} in several places of '{name}', in {count} pieces together; cells that do not "
        "touch need numbers of their own."
    )
    yield Finding("disconnected", "warning", text, caption, _all(ids), box, name)


def _about_specks(survey: _Survey) -> Iterator[Finding]:
    specks = survey.faults.specks
    count = int(specks.sum())
    if not count:
        return
    name, largest = survey.given.name, int(survey.pieces.sizes[specks].max())
    text = (
        f"'{name}' holds {_count(count, 'speck')} of at most {_count(largest, 'pixel')}, far too "
        "small for a cell."
    )
    severity: Severity = "warning" if count > max(3, _MANY_SPECKS * survey.ids.size) else "note"
    ids = np.unique(survey.pieces.numbers[specks])
    caption = f"Remove {_count(count, 'speck')}"
    box = survey.pieces.box(specks)
    yield Finding("specks", severity, text, caption, _all(ids), box, name)


def _about_holes(survey: _Survey) -> Iterator[Finding]:
    holes, pieces = survey.faults.holes, survey.pieces
    count = int(holes.sum())
    if not count:
        return
    ids = np.unique(pieces.numbers[pieces.owners[holes]])
    share = pieces.sizes[holes].sum() / survey.areas.sum()
    name = survey.given.name
    text = (
        f"{_count(ids.size, 'cell')} of '{name}' {'has' if ids.size == 1 else 'have'} "
        f"{_count(count, 'hole')}, {_count(int(pieces.sizes[holes].sum()), 'pixel')} together, "
        "which the network would learn as background."
    )
    severity: Severity = "warning" if share > _LARGE_HOLES else "note"
    caption = f"Fill {_count(count, 'hole')}"
    yield Finding("holes", severity, text, caption, _all(ids), pieces.box(holes), name)


def _about_content(survey: _Survey) -> Finding:
    name, painted = survey.given.name, survey.cell_px
    cells = _count(survey.cell_sizes_px.size, "cell")
    across = float(np.median(survey.diameters_px))
    text = (
        f"'{name}' holds {cells}, the median one {_px(across)} pixels across, on {painted:,} of "
        f"its {survey.pixels:,} pixels ({_percent(painted, survey.pixels)})."
    )
    known = painted + survey.background_px
    if known < survey.pixels:
        text = (
            f"{text.removesuffix('.')}; {_count(survey.background_px, 'pixel')} of background "
            f"count{'s' if survey.background_px == 1 else ''} too, the other "
            f"{survey.pixels - known:,} are ignored."
        )
    return Finding("content", "note", text, ids=_all(survey.ids), name=name)


def _about_touching(survey: _Survey) -> Iterator[Finding]:
    pieces = survey.pieces
    ids = np.intersect1d(pieces.numbers[pieces.touches], survey.ids)
    if ids.size < 2:
        return
    text = (
        f"{ids.size} of the {survey.ids.size} cells of '{survey.given.name}' touch a neighbour; "
        "where they meet the network learns a gap of one pixel."
    )
    yield Finding("touching", "note", text, ids=_all(ids), name=survey.given.name)


def _about_classes(survey: _Survey, description: NetworkDescription) -> Iterator[Finding]:
    """Look at numbers that stand for classes, in whatever pieces they lie."""
    name, roles = survey.given.name, description.class_roles
    painted = [(number, area) for number, area in zip(survey.ids, survey.areas, strict=True)]
    if painted and painted[-1][0] > len(roles):
        classes = ", ".join(f"{number} {role}" for number, role in enumerate(roles, 1))
        text = (
            f"'{name}' holds the number {painted[-1][0]}, for which the model has no class; it "
            f"knows {classes}, so paint with these numbers."
        )
        yield Finding("classes", "error", text, name=name)
        return
    seen = {roles[number - 1] for number, _ in painted}
    if BACKGROUND in roles and survey.background_px:
        seen.add(BACKGROUND)
    if len(seen) == 1:
        text = (
            f"'{name}' holds only {seen.pop()} and none of the other classes; paint "
            "examples of each."
        )
        yield Finding("one-class", "warning", text, name=name)
    shares = ", ".join(f"{area:,} of {roles[number - 1]}" for number, area in painted)
    if painted:
        text = f"'{name}' has {shares} among its {survey.pixels:,} pixels."
        yield Finding("content", "note", text, name=name)


# -- all labels together -------------------------------------------------------------------------


def _about_all(
    surveys: Sequence[_Survey], description: NetworkDescription | None, *, complete: bool
) -> Iterator[Finding]:
    cells = sum(survey.cell_sizes_px.size for survey in surveys)
    if not surveys:
        yield Finding("no-images", "error", "There are no labels; choose at least one layer.")
    elif cells:
        if description is None or CELL in description.class_roles:
            yield from _about_few(surveys, cells, complete=complete)
            yield from _about_size(surveys, description)
    elif not complete:
        return  # What cannot be read may hold cells.
    elif not any(survey.background_px for survey in surveys):
        text = (
            "Nothing is painted or reviewed, so every pixel would be ignored; paint at least a few "
            "cells."
        )
        yield Finding("all-ignored", "error", text)
    else:
        text = "No cell is painted; paint at least a few whole cells before training."
        yield Finding("no-labels", "error", text)


def _about_few(surveys: Sequence[_Survey], cells: int, *, complete: bool) -> Iterator[Finding]:
    area = max(int(survey.cell_sizes_px.max(initial=0)) for survey in surveys)
    if not complete or cells >= _FEW_CELLS:
        return
    if cells == 1 and area <= _TINY_CELL_PX:
        text = (
            f"The only cell that is painted has {_count(area, 'pixel')}; paint at least a few "
            "whole cells."
        )
        yield Finding("tiny", "warning", text)
        return
    text = (
        f"Only {_count(cells, 'cell')} {'is' if cells == 1 else 'are'} painted; a network needs "
        "several to learn what they have in common."
    )
    yield Finding("few", "note", text)


def _about_size(
    surveys: Sequence[_Survey], description: NetworkDescription | None
) -> Iterator[Finding]:
    learnt = None if description is None else description.object_diameter_px
    if not learnt:
        return
    seen = float(np.median(np.concatenate([survey.diameters_px for survey in surveys])))
    if _SMALLEST_SIZE <= seen / learnt <= _LARGEST_SIZE:
        return
    text = (
        f"The cells are {_px(seen)} pixels across and those the model learnt on {_px(learnt)}; "
        f"resize images and labels by {learnt / seen:.2g}, or train for longer."
    )
    yield Finding("size", "warning", text)


# -- the image -----------------------------------------------------------------------------------


def _about_grid(given: AnnotatedImage) -> Iterator[Finding]:
    if given.grid is None or given.image_grid is None:
        return
    ndim = given.labels.ndim
    scale, image_scale = (np.array(grid.scale[-ndim:]) for grid in (given.grid, given.image_grid))
    place, image_place = (
        np.array(grid.translate[-ndim:]) for grid in (given.grid, given.image_grid)
    )
    differs = not np.allclose(scale, image_scale, rtol=1e-3, atol=0)
    if not differs and (np.abs(place - image_place) < 0.5 * np.abs(image_scale)).all():
        return
    text = (
        f"'{given.name}' lies on another grid than its image (a scale of "
        f"{_numbers(scale)} at {_numbers(place)}, the image {_numbers(image_scale)} at "
        f"{_numbers(image_place)}); they are trained on pixel by pixel, so check that they belong "
        "together."
    )
    yield Finding("grid", "warning", text, name=given.name)


def _about_image(
    given: AnnotatedImage, image: AnyImage, description: NetworkDescription | None
) -> Iterator[Finding]:
    axis = _channel_axis(given, image)
    channels = 1 if axis is None else int(image.shape[axis])
    if description is not None and channels > 1 and description.unet.in_channels == 1:
        text = (
            f"The image of '{given.name}' has {channels} colours and the model reads one channel, "
            "so they are mixed into grey."
        )
        yield Finding("colours", "note", text, name=given.name)
    values = _sample(image)
    if not values.size or not np.isfinite(values).all():
        text = (
            f"The image of '{given.name}' holds pixels that are no numbers (NaN or infinite); "
            "replace them first."
        )
        yield Finding("not-finite", "error", text, name=given.name)
        return
    low, median, high = (float(value) for value in np.percentile(values, (1, 50, 99.8)))
    if high - low <= _LEAST_CONTRAST * max(abs(high), abs(low)):
        text = (
            f"The image of '{given.name}' is {median:g} all over, so there is nothing to learn; "
            "choose the image that the labels belong to."
        )
        yield Finding("flat", "warning", text, name=given.name)
    elif description is not None:
        yield from _about_intensity(given, image.dtype, (low, median, high), description)


def _about_intensity(
    given: AnnotatedImage,
    dtype: np.dtype[Any],
    here: tuple[float, float, float],
    description: NetworkDescription,
) -> Iterator[Finding]:
    learnt = description.intensity
    if learnt is None:
        return
    low, median, high = here
    name, there = given.name, learnt.high - learnt.low
    if there > 0 and description.unet.in_channels == 1:
        ground, usual = (median - low) / (high - low), (learnt.median - learnt.low) / there
        if (ground < 0.5) != (usual < 0.5) and abs(ground - usual) >= _INVERTED:
            kind, other = ("bright", "dark") if ground > 0.5 else ("dark", "bright")
            text = (
                f"The image of '{name}' is {kind} between its cells and those the model learnt on "
                f"were {other} there; invert it, or train for longer."
            )
            yield Finding("inverted", "warning", text, name=name)
    bright, usually = _as_read(high, str(dtype)), _as_read(learnt.high, learnt.dtype)
    if description.normalization.kind != "none" or bright <= 0 or usually <= 0:
        return
    factor = max(bright / usually, usually / bright)
    if factor > _UNLIKE_INTENSITY:
        kind = "brighter" if bright > usually else "darker"
        text = (
            f"The image of '{name}' is {factor:.1f} times {kind} than those the model learnt on, "
            "which takes intensities as they are; bring it to their range."
        )
        yield Finding("intensity", "warning", text, name=name)


def _sample(image: AnyImage) -> NDArray[np.float64]:
    """Some pixels from all over; colours whole, and no fourth one."""
    step = max(1, math.ceil(math.sqrt(image.size / _SAMPLED_PIXELS)))
    cut = [slice(None)] * image.ndim
    for axis in np.argsort(image.shape)[-2:]:
        cut[axis] = slice(None, None, step)
    return np.asarray(image[tuple(cut)], np.float64).reshape(-1)


def _as_read(value: float, dtype: str) -> float:
    kind = np.dtype(dtype)
    return value / float(np.iinfo(kind).max) if kind.kind in "ui" else value


# -- words ---------------------------------------------------------------------------------------


def _error(given: AnnotatedImage, code: str, text: str) -> Finding:
    return Finding(code, "error", f"'{given.name}' {text}", name=given.name)


def _diameters(areas: NDArray[np.int64], ndim: int) -> NDArray[np.float64]:
    sizes: NDArray[np.float64] = areas.astype(np.float64)
    return 2 * np.sqrt(sizes / math.pi) if ndim == 2 else 2 * np.cbrt(3 * sizes / (4 * math.pi))


def _all(ids: NDArray[np.int64]) -> tuple[int, ...]:
    return tuple(int(number) for number in ids)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _px(length: float) -> str:
    return f"{length:.1f}" if length < 10 else f"{length:.0f}"


def _percent(part: int, whole: int) -> str:
    share = 100 * part / whole
    return f"{share:.0f} %" if share >= 1 or not part else f"{share:.1g} %"


def _size(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _numbers(values: NDArray[np.float64]) -> str:
    return "(" + ", ".join(f"{value:.4g}" for value in values) + ")"
