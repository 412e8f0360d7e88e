"""Set corrections of single cells beside whole-image ways with scikit-image, and look at the cuts.

    python benchmarks/correcting.py              # less than a minute
    python benchmarks/correcting.py --size 2048  # a smaller image

The image has round cells that touch in pairs, 10,000 of them in 4096 x 4096 pixels. "ours" is the
engine alone; "in napari" is all that happens on the Qt thread when the mouse goes up: the number of
a new cell, the correction, and the layer with its step of undo. The usual way is what a script does
with the whole image. The second table is of real nuclei: cells that touch are merged and split
again by a stroke that a hand has drawn a little askew, and cells are added by a click,
among all others and where none of the others is there. Cells are looked over in the large image:
what the Qt thread does when a key is pressed, and what is done beside it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import numpy as np
from napari.components import ViewerModel
from numpy.typing import NDArray
from qtpy.QtCore import QObject
from qtpy.QtWidgets import QApplication
from scipy import ndimage
from skimage.draw import line
from skimage.filters import gaussian
from skimage.measure import label
from skimage.segmentation import watershed

from napari_unet import load_checkpoint, segment
from napari_unet.engine.base.errors import LabelsError
from napari_unet.engine.labels.cell_count import iterate_count
from napari_unet.engine.labels.cell_list import list_cells, score_maps
from napari_unet.engine.labels.corrections.cuts import split_cell
from napari_unet.engine.labels.corrections.edits import (
    CellEdit,
    delete_cell,
    fill_cell,
    merge_cells,
    smooth_cell,
)
from napari_unet.engine.labels.corrections.proposals import USUAL_SHARE, add_cell
from napari_unet.engine.labels.look_over import in_order
from napari_unet.files.samples import load_sample
from napari_unet.versions.journal import JournalWriter
from napari_unet.viewer.label_edits import edit_labels
from napari_unet.widgets.correct.changes import LayerChanges
from napari_unet.widgets.correct.part import shown_part
from napari_unet.widgets.correct.review.look_over import LookOver, _Listed

LONGEST_MS = 50
PITCH_PX, RADIUS_PX = 40, 17
SIGMA_PX = 2.0
SAMPLES = ("crowded", "fluorescence", "histology")
ANGLE_RAD, OFFSET_PX = 0.2, 1.5
LEAST_PX = 30

Way = Callable[[NDArray[Any], int], CellEdit]


def pairs_of_cells(size: int) -> NDArray[np.int32]:
    """Discs with a hole on a grid; each second one is moved so that it touches the one before."""
    labels = np.zeros((size, size), np.int32)
    y, x = np.indices((PITCH_PX, PITCH_PX)) - PITCH_PX // 2
    disc = np.hypot(y, x) <= RADIUS_PX
    disc[PITCH_PX // 2, PITCH_PX // 2 + 5] = False
    per_row = size // PITCH_PX
    for number in range(per_row * per_row):
        row, column = divmod(number, per_row)
        left = column * PITCH_PX - (column % 2) * (PITCH_PX - 2 * RADIUS_PX - 1)
        part = labels[row * PITCH_PX :, left:][:PITCH_PX, :PITCH_PX]
        part[disc & (part == 0)] = number + 1
    return labels


def seconds(call: Callable[[], Any], rounds: int) -> float:
    """Median time of a call."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def applied(labels: NDArray[Any], edit: CellEdit) -> NDArray[Any]:
    """Labels after a correction."""
    after = labels.astype(np.result_type(labels, edit.after))
    after[edit.region] = edit.after
    return after


def usual_ways(
    labels: NDArray[np.int32], scores: NDArray[np.float32], number: int, centre: tuple[int, int]
) -> dict[str, Callable[[], NDArray[Any]]]:
    """How a script corrects cell `number`, or adds one, on the whole image."""
    y, x = centre
    new = int(labels.max()) + 1

    def split() -> NDArray[Any]:
        mask, cut = labels == number, np.zeros(labels.shape, bool)
        cut[line(y - RADIUS_PX - 4, x - 4, y + RADIUS_PX + 4, x - 4)] = True
        sides = label(mask & ~ndimage.binary_dilation(cut), connectivity=1)
        parted = watershed(np.zeros(labels.shape), sides, mask=mask)
        return np.where(parted == np.bincount(parted.ravel())[1:].argmin() + 1, new, labels)

    def merge() -> NDArray[Any]:
        return np.where(labels == number + 1, number, labels)

    def delete() -> NDArray[Any]:
        return np.where(labels == number, 0, labels)

    def fill() -> NDArray[Any]:
        filled = ndimage.binary_fill_holes(labels == number)
        return np.where(filled & (labels == 0), number, labels)

    def smooth() -> NDArray[Any]:
        mask = labels == number
        rounded = gaussian(mask.astype(np.float32), SIGMA_PX, mode="nearest") > 0.5
        kept = np.where(mask & ~rounded, 0, labels)
        return np.where(rounded & (labels == 0), number, kept)

    def add() -> NDArray[Any]:
        seeds = (labels > 0).astype(np.int32)
        seeds[y, x] = 2
        high = scores >= USUAL_SHARE * scores[y - 3 : y + 4, x - 3 : x + 4].max()
        found = watershed(-scores, seeds, mask=high | (labels > 0)) == 2
        return np.where(found & (labels == 0), new, labels)

    return {
        "split": split,
        "merge": merge,
        "delete": delete,
        "add": add,
        "smooth": smooth,
        "fill holes": fill,
    }


def our_ways(scores: NDArray[np.float32], centre: tuple[int, int]) -> dict[str, Way]:
    """The same corrections by the engine, given labels and the number of a new cell."""
    y, x = centre
    stroke = np.array([[y - RADIUS_PX - 4.0, x - 4], [y + RADIUS_PX + 4.0, x - 4]])
    return {
        "split": lambda labels, new: split_cell(labels, stroke, new_number=new),
        "merge": lambda labels, _: merge_cells(labels, [(y, x), (y, x + 2 * RADIUS_PX)]),
        "delete": lambda labels, _: delete_cell(labels, centre),
        "add": lambda labels, new: add_cell(labels, scores, centre, new_number=new),
        "smooth": lambda labels, _: smooth_cell(labels, centre, sigma_px=SIGMA_PX),
        "fill holes": lambda labels, _: fill_cell(labels, centre),
    }


def speed(size: int) -> bool:
    """Print the table of times; return whether all went as it should."""
    labels = pairs_of_cells(size)
    per_row = size // PITCH_PX
    number = per_row * (per_row // 2) + 2 * (per_row // 4) + 1
    centre = (per_row // 2 * PITCH_PX + PITCH_PX // 2, per_row // 4 * 2 * PITCH_PX + PITCH_PX // 2)
    # The neighbour's scores reach to the cell's, as they do where cells touch.
    scores = gaussian((labels > 0).astype(np.float32), 1.5)
    print(f"{size} x {size} pixels, {int(labels.max())} cells")
    print(f"{'':12}{'ours':>9}{'in napari':>11}{'usual way':>11}{'same pixels':>13}")
    is_fine = True
    for name, ours in our_ways(scores, centre).items():
        start = np.where(labels == number, 0, labels) if name == "add" else labels
        usual = usual_ways(start, scores, number, centre)[name]
        found, expected = applied(start, ours(start, int(start.max()) + 1)), usual()
        changed = (expected != start) | (found != start)
        same = float((found == expected)[changed].mean())
        times = (
            seconds(lambda ours=ours, start=start: ours(start, int(1e6)), 9),
            seconds(in_napari(start.copy(), ours), 9),
            seconds(usual, 1),
        )
        told = "".join(f"{1e3 * each:8.1f} ms" for each in times)
        print(f"{name:11}{told}{same:13.1%}")
        is_fine &= 1e3 * times[1] < LONGEST_MS and same > 0.9
    (*_, count) = iterate_count(labels)
    own_s = seconds(lambda: list(iterate_count(labels)), 3)
    usual_s = seconds(lambda: np.unique(labels), 1)
    is_same = count.cells == len(np.unique(labels)) - 1
    print(f"{'count':11}{1e3 * own_s:8.1f} ms{'':11}{1e3 * usual_s:8.1f} ms{is_same:13.1%}")
    return is_fine and is_same


def in_napari(labels: NDArray[Any], ours: Way) -> Callable[[], None]:
    """Make what corrects a cell in a layer and puts it back."""
    viewer = ViewerModel()
    layer = viewer.add_labels(labels)

    def correct() -> None:
        part = shown_part(layer, viewer)
        edit = part.edit(ours(part.view, int(layer.data.max()) + 1))
        edit_labels(layer, edit)
        # Not by napari's undo, which draws all of the layer anew.
        places, values, _ = layer._undo_history.pop()[0]
        layer.data[places] = values

    return correct


# -- looking over --------------------------------------------------------------------------------


def looking_over(size: int) -> bool:
    """Print what an action takes on the Qt thread; return whether none takes long."""
    application = QApplication.instance() or QApplication([])
    viewer, owner = ViewerModel(), QObject()
    layer = viewer.add_labels(pairs_of_cells(size))
    changes = LayerChanges(viewer, owner)
    looked = LookOver(viewer, changes, owner)
    changes.follow(layer)

    def list_anew() -> None:
        while looked.is_busy:
            application.processEvents()

    list_anew()
    cells = looked.cells
    for number in cells.numbers[::2].tolist():
        looked.marks[number] = "right"
    looked.go_on()
    changed = layer.data.copy()
    changed[changed == int(cells.numbers[-1])] = 0
    now = _Listed(list_cells(changed), None, {int(cells.numbers[-1])})
    was = _Listed(cells, None, set())
    ways = {
        "next cell": looked.go_on,
        "mark, and next": lambda: looked.give("wrong"),
        "another choice": lambda: looked.walk(order="number", choice="border", limit=None),
        "another order": lambda: looked.walk(order="large", choice="unseen", limit=None),
        "after a correction": lambda: (looked._on_list((), now), looked._on_list((), was)),
    }
    print(f"\nLooking over {cells.numbers.size} cells")
    times = {name: seconds(way, 9) for name, way in ways.items()}
    for name, each in times.items():
        print(f"{name:20}{1e3 * each:8.1f} ms")
    with TemporaryDirectory() as folder:
        writer = JournalWriter(folder=Path(folder))
        beside = {
            "list of cells": lambda: list_cells(layer.data),
            "journal": lambda: writer.save(layer.data, name="cells"),
        }
        for name, way in beside.items():
            print(f"{name:20}{1e3 * seconds(way, 5):8.1f} ms, beside the Qt thread")
    return max(times.values()) < LONGEST_MS / 1e3


# -- quality -------------------------------------------------------------------------------------


def doubt(samples: Sequence[str], *, share: float = 0.2) -> None:
    """Print how many of the wrong cells come first when the most doubtful come first."""
    found, wrong = 0.0, 0
    for sample in samples:
        loaded = load_sample(sample)
        result = segment(loaded.image, load_checkpoint("nuclei"), device="cpu")
        labels, truth = np.asarray(result.labels), np.asarray(loaded.labels, np.int32)
        maps = score_maps(np.asarray(result.scores, np.float32), result.class_roles)
        cells = list_cells(labels, maps)
        is_wrong = {n for n in cells.numbers.tolist() if best_overlap(labels == n, truth) < 0.6}
        first = in_order(cells, "doubt")[: round(share * cells.numbers.size)]
        found, wrong = found + len(is_wrong & set(first)), wrong + len(is_wrong)
    print(f"\nThe {share:.0%} most doubtful cells hold {found:.0f} of {wrong} wrong ones")


def best_overlap(cell: NDArray[np.bool_], truth: NDArray[np.int32]) -> float:
    """Overlap with the true cell that it shares most pixels with."""
    shared = np.bincount(truth[cell])
    shared[0] = 0
    return overlap(cell, truth == shared.argmax()) if shared.any() else 0.0


def overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Intersection over union."""
    return float(np.count_nonzero(one & other) / max(1, np.count_nonzero(one | other)))


def touching(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Pairs of cells that lie no more than three pixels apart."""
    found = []
    for one, other in ((labels[:, :-3], labels[:, 3:]), (labels[:-3], labels[3:])):
        meets = (one != other) & (one > 0) & (other > 0)
        found.append(np.stack([one[meets], other[meets]], axis=1))
    return np.unique(np.sort(np.concatenate(found), axis=1), axis=0)


def strokes(
    labels: NDArray[np.int32], random: np.random.Generator
) -> Iterator[tuple[int, int, NDArray[np.float64]]]:
    """Strokes between two cells each, not quite where they meet and not quite across."""
    for one, other in touching(labels).tolist():
        sizes = [np.count_nonzero(labels == each) for each in (one, other)]
        if min(sizes) < LEAST_PX:
            continue
        apart = sum(ndimage.distance_transform_edt(labels != each) for each in (one, other))
        middle = np.argwhere(apart <= apart.min() + 1).mean(axis=0) + random.normal(0, OFFSET_PX, 2)
        first, second = (np.argwhere(labels == each).mean(axis=0) for each in (one, other))
        way = np.arctan2(*(second - first)) + random.normal(0, ANGLE_RAD)
        across = 1.2 * np.sqrt(max(sizes) / np.pi) * np.array([-np.cos(way), np.sin(way)])
        yield one, other, np.array([middle - across, middle + across])


def quality(sample: str) -> None:
    """Print how well cells of a sample are split and added."""
    loaded = load_sample(sample)
    image, truth = loaded.image, np.asarray(loaded.labels, np.int32)
    result = segment(image, load_checkpoint("nuclei"), device="cpu")
    scores = dict(zip(result.class_roles, result.scores, strict=True))
    grey = ndimage.gaussian_filter(np.float64(image.mean(axis=-1) if image.ndim == 3 else image), 1)
    is_dark = np.median(grey[truth > 0]) < np.median(grey[truth == 0])
    landscapes = {
        "scores": scores["cell"],
        "image": -grey if is_dark else grey,
        "stroke": None,
    }
    drawn = list(strokes(truth, np.random.default_rng(0)))
    told = []
    for name, landscape in landscapes.items():
        found = [split_again(truth, *each, landscape) for each in drawn]
        told.append(f"{name} {np.mean(found):.3f}")
    foreground = 1 - scores["background"]
    tried = [each for each in np.unique(truth)[1:] if np.count_nonzero(truth == each) >= LEAST_PX]
    added = {
        "among others": [
            add_again(np.where(truth == each, 0, truth), truth == each, foreground, scores["cell"])
            for each in tried
        ],
        "alone": [
            add_again(truth * 0, truth == each, foreground, scores["cell"]) for each in tried
        ],
    }
    print(
        f"{sample:14}{len(drawn)} splits, {', '.join(told)};  {len(tried)} added, "
        + ", ".join(f"{name} {np.mean(found):.3f}" for name, found in added.items())
    )


def split_again(
    truth: NDArray[np.int32],
    one: int,
    other: int,
    stroke: NDArray[np.float64],
    landscape: NDArray[Any] | None,
) -> float:
    """Mean overlap of two cells that were merged and split with the true ones."""
    merged = merge_cells(truth, [np.argwhere(truth == each)[0] for each in (one, other)])
    labels, new = applied(truth, merged), int(truth.max()) + 1
    try:
        found = applied(labels, split_cell(labels, stroke, new_number=new, landscape=landscape))
    except LabelsError:
        return 0.0
    parts = [found == merged.numbers[0], found == new]
    cells = [truth == one, truth == other]
    return max(sum(map(overlap, parts, each)) / 2 for each in (cells, cells[::-1]))


def add_again(
    labels: NDArray[np.int32],
    cell: NDArray[np.bool_],
    scores: NDArray[np.float32],
    cores: NDArray[np.float32],
) -> float:
    """Overlap of a cell that labels do not have, and that is added, with the true one."""
    places, new = np.argwhere(cell), int(labels.max()) + 1
    middle = places[np.linalg.norm(places - places.mean(axis=0), axis=1).argmin()]
    try:
        edit = add_cell(labels, scores, middle, new_number=new, cores=cores)
    except LabelsError:
        return 0.0
    return overlap(applied(labels, edit) == new, cell)


def main() -> None:
    """Print both tables; fail where a correction is slow or does something else."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=4096)
    size = parser.parse_args().size
    is_fine = speed(size)
    is_fine &= looking_over(size)
    print("\nMean overlap with the true cells")
    for sample in SAMPLES:
        quality(sample)
    doubt(SAMPLES)
    if not is_fine:
        sys.exit(f"a correction took more than {LONGEST_MS} ms, or did something else")


if __name__ == "__main__":
    main()
