"""Draw what each setting does, on the bundled samples, for the documentation.

    python scripts/setting_pictures.py             # all of them
    python scripts/setting_pictures.py min-score   # only this one

Writes docs/images/settings/<name>.png. Every caption says how many cells there are in the picture's
whole sample, counted when it was drawn.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
from napari.utils.colormaps import ensure_colormap
from PIL import Image, ImageDraw, ImageFont

import napari_unet
from napari_unet.engine.base.settings import Averaging
from napari_unet.engine.segmentation.instances import instances_from_scores
from napari_unet.files.overlay import draw_overlay
from napari_unet.files.samples import load_sample

IMAGES = Path(__file__).parents[1] / "docs" / "images" / "settings"

_PANEL_WIDTH_PX, _MOST_WIDTH_PX = 330, 1000
_CAPTION_PX = 15
_GAP_PX = 6
_GROUND, _INK = (38, 41, 48), (240, 241, 242)
_COLOURS = 255
_REFINEMENTS = 3
_CROWDED_PART = (90, 220, 60, 222)
"""Start and stop along y and x, in pixels."""

_GAPS_PART = (90, 220, 440, 602)
_BRIGHTEST_WEIGHT = 11.0
_VOLUME_ENLARGED = 4
_NOISY_PART = (310, 512, 388, 640)


@dataclass(frozen=True)
class Panel:
    """One of the pictures side by side, with what is written below it."""

    picture: np.ndarray
    caption: str


@cache
def network() -> Any:
    """Load the bundled model."""
    return napari_unet.load_checkpoint("nuclei")


@cache
def scores_of(name: str, *, averaging: Averaging = "none") -> Any:
    """Segment a sample."""
    return napari_unet.segment(load_sample(name).image, network(), averaging=averaging)


def labels_with(name: str, **changes: Any) -> np.ndarray:
    """Find the cells of a sample with other settings than the model's own."""
    found = scores_of(name)
    settings = replace(network().description.instances, **changes)
    return instances_from_scores(found.scores, found.class_roles, settings)


def variants(
    name: str, box: Sequence[int], setting: str, values: Sequence[Any], **others: Any
) -> list[Panel]:
    """Draw a part of a sample once for each value of a setting, beside others than the model's."""
    own = getattr(network().description.instances, setting)
    panels = []
    for value in values:
        shown = ("off", "on")[value] if isinstance(value, bool) else f"{value:g}"
        mark = " (the model's own)" if value == own else ""
        labels = labels_with(name, **others, **{setting: value})
        panels.append(_found(name, box, labels, f"{shown}{mark}"))
    return panels


def _found(name: str, box: Sequence[int], labels: np.ndarray, caption: str) -> Panel:
    return Panel(_part(load_sample(name).image, labels, box), f"{caption}: {labels.max()} cells")


def _part(image: np.ndarray, labels: np.ndarray, box: Sequence[int]) -> np.ndarray:
    """Cells outlined, cut to a box (y0, y1, x0, x1) in pixels of the image."""
    drawn = draw_overlay(image, labels)
    factor = drawn.shape[0] // labels.shape[0]
    y0, y1, x0, x1 = (factor * end for end in box)
    return drawn[y0:y1, x0:x1]


def foreground_threshold() -> list[Panel]:
    """Larger and smaller cells."""
    return variants("crowded", _CROWDED_PART, "foreground_threshold", (0.1, 0.3, 0.9))


def seed_threshold() -> list[Panel]:
    """Cells merged and cut apart, by their seeds alone."""
    values = (0.2, 0.4, 0.8)
    return variants("crowded", _CROWDED_PART, "seed_threshold", values, judge_borders=False)


def judge_borders() -> list[Panel]:
    """Cells parted by their seeds alone, and with their borders judged."""
    return variants("crowded", _CROWDED_PART, "judge_borders", (False, True))


def separate_touching() -> list[Panel]:
    """Each piece of foreground one cell, or several."""
    return variants("crowded", _CROWDED_PART, "separate_touching", (False, True))


def min_size() -> list[Panel]:
    """Small cells dropped."""
    return variants("histology", (0, 130, 0, 162), "min_size_px", (16, 100, 300))


def min_score() -> list[Panel]:
    """Doubtful cells dropped."""
    own = network().description.instances.min_score
    return variants("noisy", _NOISY_PART, "min_score", (0.0, own, round((1 + own) / 2, 2)))


def drop_border_cells() -> list[Panel]:
    """Cells that the border cuts."""
    return variants("crowded", (126, 256, 0, 162), "drop_border_cells", (False, True))


def cell_size() -> list[Panel]:
    """A strongly magnified image as it is, and with the size of its cells told."""
    sample = load_sample("fluorescence")
    part = sample.image[100:360, 150:474]
    height, width = part.shape
    large = Image.fromarray(part).resize((4 * width, 4 * height), Image.Resampling.BICUBIC)
    image = np.asarray(large)
    size_px = 110.0
    panels = []
    for diameter_px, caption in ((None, "as it is"), (size_px, f"{size_px:g} px")):
        labels = napari_unet.segment(
            image, network(), diameter_px=diameter_px, keep_scores=False
        ).labels
        small = labels[::4, ::4]
        picture = _part(part, small, (0, 180, 0, 225))
        panels.append(Panel(picture, f"cell size {caption}: {labels.max()} cells"))
    return panels


def averaging() -> list[Panel]:
    """One look, the mean of four, and the mean of eight."""
    return [
        _found("noisy", _NOISY_PART, scores_of("noisy", averaging=each).labels, each)
        for each in get_args(Averaging)
    ]


def volume() -> list[Panel]:
    """What becomes of the cells of a stack, on a cut along z through a mouse embryo."""
    sample = load_sample("embryo")
    assert sample.voxel_um is not None  # noqa: S101 - it is a stack
    step, size, _ = sample.voxel_um
    # Where the cut goes through the most nuclei.
    row = max(range(sample.labels.shape[1]), key=lambda y: np.unique(sample.labels[:, y]).size)
    height = round(len(sample.image) * step / size)
    z = np.arange(height) * len(sample.image) // height
    image = sample.image[z, row]
    grey = np.clip(image / np.percentile(image, 99.5), 0, 1)[..., np.newaxis] * np.full(3, 255)
    panels = [Panel(_enlarged(grey.astype(np.uint8)), "a cut along z, the image")]
    colours = np.random.default_rng(5).integers(60, 256, (1000, 3))
    for way, words in (
        ("slices", "discs"),
        ("linked", "linked discs"),
        ("three_planes", "three directions"),
    ):
        found = napari_unet.segment(
            sample.image, network(), every_slice=True, volume=way, anisotropy=step / size
        )
        cut = found.labels[z, row]
        coloured = np.where(cut[..., np.newaxis] > 0, colours[cut], grey).astype(np.uint8)
        panels.append(Panel(_enlarged(coloured), f"{words}: {found.cell_count} cells"))
    return panels


def _enlarged(picture: np.ndarray) -> np.ndarray:
    """Each pixel as a square, so that slices stay sharp."""
    return picture.repeat(_VOLUME_ENLARGED, axis=0).repeat(_VOLUME_ENLARGED, axis=1)


def scores() -> list[Panel]:
    """What the network says, and what is made of it."""
    image, found = load_sample("crowded").image, scores_of("crowded")
    roles = dict(zip(found.class_roles, found.scores, strict=True))
    nothing = np.zeros(image.shape, np.int32)
    box = _CROWDED_PART
    return [
        Panel(_part(image, nothing, box), "image"),
        Panel(_part(roles["cell"], nothing, box), "score of 'cell'"),
        Panel(_part(roles["border"], nothing, box), "score of 'border'"),
        Panel(_part(image, found.labels, box), "cells"),
    ]


def weight_map() -> list[Panel]:
    """Where training pays most attention."""
    sample = load_sample("crowded")
    labels = sample.labels.astype(np.int32)
    weights = napari_unet.boundary_weight_map(labels)
    return [
        Panel(_part(sample.image, labels, _CROWDED_PART), "true cells"),
        Panel(_weights_part(weights, _CROWDED_PART), f"weights, 0 to {weights.max():.0f}"),
    ]


def weight_map_gaps() -> list[Panel]:
    """Cells far apart, near each other, touching, and touching without a gap carved."""
    image, labels = _true_cells()
    weights = napari_unet.boundary_weight_map(labels, class_balance=False)
    uncarved = napari_unet.boundary_weight_map(labels, class_balance=False, separate_touching=False)
    panels = []
    for box, shown, caption in (
        (_around(219, 106), weights, "10 px apart"),
        (_around(114, 572), weights, "3 px apart"),
        (_around(382, 308), weights, "touching"),
        (_around(382, 308), uncarved, "touching, no gap carved"),
    ):
        y0, y1, x0, x1 = box
        cells = draw_overlay(image[y0:y1, x0:x1], labels[y0:y1, x0:x1])
        map_below = _weights_part(shown, box, magnified=cells.shape[0] // (y1 - y0))
        panels.append(Panel(np.concatenate([cells, map_below]), caption))
    return panels


def weight_map_w0() -> list[Panel]:
    """How much narrow gaps count."""
    return _weights_with("w0", (2, 10, 20), "w0 = {:g}")


def weight_map_sigma() -> list[Panel]:
    """How wide a gap may be to count."""
    return _weights_with("border_sigma_px", (2, 5, 12), "sigma = {:g} px")


def _weights_with(setting: str, values: Sequence[float], caption: str) -> list[Panel]:
    _, labels = _true_cells()
    panels = []
    for value in values:
        changes: dict[str, Any] = {setting: float(value), "class_balance": False}
        weights = napari_unet.boundary_weight_map(labels, **changes)
        panels.append(Panel(_weights_part(weights, _GAPS_PART), caption.format(value)))
    return panels


def _true_cells() -> tuple[np.ndarray, np.ndarray]:
    sample = load_sample("fluorescence")
    return sample.image, sample.labels.astype(np.int32)


def _around(y: int, x: int) -> tuple[int, int, int, int]:
    """Box with a pair of cells in its middle."""
    return y - 28, y + 28, x - 34, x + 34


def _weights_part(weights: np.ndarray, box: Sequence[int], *, magnified: int = 4) -> np.ndarray:
    """Weights as the widget shows them, black at 0 and brightest at 11: the same everywhere."""
    y0, y1, x0, x1 = box
    part = np.clip(weights[y0:y1, x0:x1] / _BRIGHTEST_WEIGHT, 0, 1)
    colours = ensure_colormap("inferno").map(part.reshape(-1)).reshape(*part.shape, 4)
    pixels = np.round(255 * colours[..., :3]).astype(np.uint8)
    return pixels.repeat(magnified, axis=0).repeat(magnified, axis=1)


PICTURES: dict[str, Callable[[], list[Panel]]] = {
    draw.__name__.replace("_", "-"): draw
    for draw in (
        foreground_threshold,
        seed_threshold,
        judge_borders,
        separate_touching,
        min_size,
        min_score,
        drop_border_cells,
        cell_size,
        averaging,
        volume,
        scores,
        weight_map,
        weight_map_gaps,
        weight_map_w0,
        weight_map_sigma,
    )
}


def side_by_side(panels: Sequence[Panel]) -> Image.Image:
    """Put panels into a row, each over its caption."""
    font = ImageFont.load_default(_CAPTION_PX)
    each_px = min(_PANEL_WIDTH_PX, _MOST_WIDTH_PX // len(panels))
    tiles = []
    for panel in panels:
        picture = Image.fromarray(panel.picture)
        height = round(picture.height * each_px / picture.width)
        tiles.append(picture.resize((each_px, height), Image.Resampling.LANCZOS))
    height = max(tile.height for tile in tiles)
    width = len(tiles) * (each_px + _GAP_PX) - _GAP_PX
    row = Image.new("RGB", (width, height + 2 * _CAPTION_PX), _GROUND)
    ink = ImageDraw.Draw(row)
    for number, (tile, panel) in enumerate(zip(tiles, panels, strict=True)):
        left = number * (each_px + _GAP_PX)
        row.paste(tile, (left, 0))
        ink.text((left + 4, height + _CAPTION_PX // 2), panel.caption, font=font, fill=_INK)
    return row


def main() -> int:
    """Draw the pictures that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"which: {', '.join(PICTURES)}; all if left out"
    )
    names = parser.parse_args().names or list(PICTURES)
    if unknown := set(names) - PICTURES.keys():
        parser.error(f"there is no picture {', '.join(sorted(unknown))}")
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name in names:
        file = IMAGES / f"{name}.png"
        row = side_by_side(PICTURES[name]())
        small = row.quantize(_COLOURS, kmeans=_REFINEMENTS, dither=Image.Dither.NONE)
        small.save(file, optimize=True)
        print(f"{file} ({file.stat().st_size / 1000:.0f} kB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
