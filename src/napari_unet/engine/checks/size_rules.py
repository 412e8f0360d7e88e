"""Rules for the size of an image, of its cells and of its pixels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from napari_unet.engine.base.settings import scale_settings, slices_note
from napari_unet.engine.checks.finding import Finding, note, warning
from napari_unet.engine.checks.image_case import ImageCase, is_of_other_size

if TYPE_CHECKING:
    from napari_unet.engine.networks.network import NetworkDescription

_MOST_ZOOM = 20.0
_UNLIKELY_ZOOM = 5.0
_UNEQUAL_SIDES = 1.5
_AS_IT_IS = "Take the image as it is"


def found_size_finding(
    median_diameter_px: float | None, description: NetworkDescription, zoom: float = 1.0
) -> Finding | None:
    """Compare cells that were found, or drawn, with those that the model learned on.

    Parameters
    ----------
    median_diameter_px : float, optional
        In pixels of the image.
    zoom : float
        Factor by which the image was resized for the model.

    Returns
    -------
    Finding or None
        None as well if one of the two sizes is not known.
    """
    learned = description.object_diameter_px
    if not median_diameter_px or not learned:
        return None
    seen = median_diameter_px * zoom
    if not is_of_other_size(seen, learned):
        return None
    size = float(round(median_diameter_px, 1 if median_diameter_px < 10 else None))
    resized = "" if zoom == 1 else f" ({seen:.0f} as the model sees them)"
    return note(
        f"The cells found are about {size:g} pixels across{resized}; the model learned on "
        f"{learned:.0f}. With their size set, the image is resized for it.",
        f"Set the cell size to {size:g} pixels",
        {"diameter_px": size},
    )


def size_without_scale(case: ImageCase) -> Iterator[Finding]:
    """Micrometres need the size of a pixel."""
    if case.choices.size_in_um and case.facts.pixel_size_um is None:
        yield warning(
            f"The cell size is in micrometres, but '{case.facts.name}' does not say how large its "
            "pixels are. Set the layer's scale and units, or give the size in pixels.",
            _AS_IT_IS,
            {"diameter_px": None},
        )


def too_small(case: ImageCase) -> Iterator[Finding]:
    """Of less than a cell, or less than the network sums up, it sees mostly mirror images."""
    block, (height, width) = case.description.architecture.size_multiple, case.plane_shape
    text = f"'{case.facts.name}' is {height} x {width} pixels, less than"
    if case.is_within_a_cell:
        yield warning(
            f"{text} one cell of {case.cell_px:.0f} pixels; what is found there says little. Check "
            "the cell size, or take a larger image."
        )
    elif min(height, width) < block:
        yield note(
            f"{text} the {block} that the network sums up in one value at its lowest level; it "
            "sees mostly mirror images. Take a larger image."
        )


def zoom(case: ImageCase) -> Iterator[Finding]:
    """A slip in a cell or pixel size resizes the image beyond recognition."""
    facts, description, asked = case.facts, case.description, case.choices.diameter_px
    learned, of_model = description.object_diameter_px, description.pixel_size_um
    if case.is_within_a_cell:
        return  # Which says it already.
    if asked is not None and learned is not None:
        reason = f"With cells of {asked:g} pixels"
        yield from _about_factor(learned / asked, reason, _AS_IT_IS, {"diameter_px": None})
    elif asked is not None:
        yield warning(
            "The model does not say how large the cells were that it learned on, so a cell size "
            "cannot be used. Resize the image instead.",
            _AS_IT_IS,
            {"diameter_px": None},
        )
    elif of_model is not None and facts.pixel_size_um is None:
        yield note(
            f"How large the pixels of '{facts.name}' are is not known, so it is taken to be as "
            f"magnified as the images the model learned on ({of_model:.3g} µm per pixel). If it is "
            "not, set the cell size."
        )
    elif of_model is not None and facts.pixel_size_um is not None:
        reason = (
            f"By their pixel sizes ({facts.pixel_size_um:.3g} µm in '{facts.name}', "
            f"{of_model:.3g} µm where the model learned)"
        )
        remedy = (_AS_IT_IS, {"diameter_px": round(learned, 1)}) if learned else ()
        yield from _about_factor(facts.pixel_size_um / of_model, reason, *remedy)


def _about_factor(factor: float, reason: str, *remedy: Any) -> Iterator[Finding]:
    if 1 / _UNLIKELY_ZOOM <= factor <= _UNLIKELY_ZOOM:
        return
    change = f"enlarged {factor:.3g} times" if factor > 1 else f"shrunk {1 / factor:.3g} times"
    is_possible = 1 / _MOST_ZOOM <= factor <= _MOST_ZOOM
    end = "." if is_possible else f"; more than {_MOST_ZOOM:g} times is refused."
    text = f"{reason} the image is {change} for the model. Check the number{end}"
    yield (note if is_possible else warning)(text, *remedy)


def unequal_slices(case: ImageCase) -> Iterator[Finding]:
    """A model of volumes learned on slices that are so far apart."""
    description, spacing = case.description, case.facts.spacing
    if description.spacing is None or description.anisotropy is None:
        return
    learned, name = description.anisotropy, case.facts.name
    if spacing is None:
        if not 1 / _UNEQUAL_SIDES < learned < _UNEQUAL_SIDES:
            yield warning(
                f"How far apart the slices of '{name}' are is not known, so they are taken to be "
                f"{learned:.3g} pixels apart, as where the model learned. If they are not, set the "
                "layer's scale, or give the voxel size on the command line."
            )
        return
    told = slices_note(scale_settings(spacing)["anisotropy"], learned)
    if told is not None:
        yield note(told)


def unequal_sides(case: ImageCase) -> Iterator[Finding]:
    """The model learned on square pixels."""
    ratio = case.facts.pixel_aspect
    if not 1 / _UNEQUAL_SIDES < ratio < _UNEQUAL_SIDES:
        longer, shorter = ("high", "wide") if ratio > 1 else ("wide", "high")
        yield note(
            f"The pixels of '{case.facts.name}' are {max(ratio, 1 / ratio):.1f} times as {longer} "
            f"as {shorter}, so round cells look squeezed to the model. Resize the image to square "
            "pixels, or correct the layer's scale."
        )
