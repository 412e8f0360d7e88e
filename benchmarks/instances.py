"""Set our connected components and our watershed beside scikit-image's and SciPy's.

    python benchmarks/instances.py            # a few minutes
    python benchmarks/instances.py --quick    # the smallest images, few rounds

Scores are those of the bundled model on real nuclei, sparse and crowded, and
volumes made of them. Contenders take turns; times are those of the thread, and
a ratio is the median over the rounds. Where a ratio is below 1.5 ours has no
reason to be there. The rows are those of the table in docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import skimage
from goals import ratio, take_turns
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import label
from skimage.segmentation import watershed

import napari_unet
from napari_unet import InstanceSettings, load_checkpoint, segment
from napari_unet.engine.labels.components import Runs, cut_rows, label_pieces
from napari_unet.engine.segmentation.foreground import Foreground, components
from napari_unet.engine.segmentation.instances import SPLITTERS, instances_from_scores
from napari_unet.files.images import read_image

SAMPLES = {"sparse": "large.png", "crowded": "crowded.png"}
SIZES = (512, 1024, 2048)
VOLUME = (32, 256, 256)
LEAST_RATIO = 1.5
ROLES = ("background", "cell")
# Nothing that the usual way has not: no size, no hole and no score is looked at.
SETTINGS = InstanceSettings(
    foreground_threshold=0.45, seed_threshold=0.4, min_size_px=0, min_seed_px=0, fill_holes=False
)

Contender = Callable[[], Any]


def scores_of(sample: str) -> NDArray[np.float32]:
    """Background and cell scores of a sample image, (2, H, W)."""
    folder = Path(napari_unet.__file__).parent / "bundled" / "samples" / "images"
    network = load_checkpoint("nuclei")
    scores = segment(read_image(folder / SAMPLES[sample]).array, network, device="cpu").scores
    assert scores is not None
    return scores[[network.description.class_roles.index(role) for role in ROLES]]


def plane_of(scores: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Scores repeated mirrored to a square."""
    padding = [(0, 0), *((0, max(0, size - n)) for n in scores.shape[1:])]
    return np.ascontiguousarray(np.pad(scores, padding, mode="symmetric")[:, :size, :size])


def volume_of(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cells of a plane that lean to the side, in two layers of different ones."""
    depth, height, width = VOLUME
    plane = plane_of(scores, 2 * width)
    corners = [(z, z) if z < depth // 2 else (height - z, width // 2 + z) for z in range(depth)]
    slices = [plane[:, y : y + height, x : x + width] for y, x in corners]
    return np.ascontiguousarray(np.stack(slices, axis=1))


def connected(mask: NDArray[np.bool_]) -> tuple[Runs, NDArray[np.int64]]:
    """Our connected components, of background, too, as runs: that is what they are used as."""
    runs = cut_rows(mask)
    return runs, components(runs, mask.shape)


def painted(found: tuple[Runs, NDArray[np.int64]], shape: tuple[int, ...]) -> NDArray[np.int32]:
    """Components as an image in which background is 0."""
    runs, pieces = found
    numbers = np.where(runs.values, pieces + 1, 0).astype(np.int32)
    return np.repeat(numbers, runs.lengths).reshape(shape)


def pieces_by_scikit_image(labels: NDArray[Any]) -> NDArray[np.int64]:
    """The same from two passes, as cells are connected by corners and background is not."""
    cells = label(labels, connectivity=labels.ndim)
    return np.where(labels == 0, label(labels == 0, connectivity=1) + cells.max(), cells)


def splitting(mask: NDArray[np.bool_], cell: NDArray[np.float32]) -> Contender:
    """Our watershed, which finds its seeds, too, from the components on."""
    foreground = Foreground.of(mask, cell)
    labels = foreground.canvas.inner_labels
    start = labels.copy()

    def split() -> NDArray[np.int32]:
        labels[...] = start
        SPLITTERS["watershed"](foreground, SETTINGS)
        return labels

    return split


def usual_cells(scores: NDArray[np.float32]) -> NDArray[np.int32]:
    """Cells as a script with scikit-image makes them; pieces without a seed are cells, too."""
    mask = scores[0] < np.float32(1 - SETTINGS.foreground_threshold)
    seeds = label(mask & (scores[1] > np.float32(SETTINGS.seed_threshold)), connectivity=1)
    grown = watershed(-scores[1], seeds, mask=mask)
    faint = label(mask & (grown == 0), connectivity=1)
    return np.where(faint > 0, faint + grown.max(), grown)


def is_equal(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Whether two images have the same parts, whatever their numbers."""
    for a, b in ((one, other), (other, one)):
        partner = np.zeros(int(a.max()) + 1, b.dtype)
        partner[a] = b
        if not np.array_equal(partner[a], b):
            return False
    return True


def steps_of(
    scores: NDArray[np.float32],
) -> Iterator[tuple[str, dict[str, Contender], Callable[[Any], NDArray[Any]]]]:
    """Each step, its contenders, and what makes an image of our result."""
    mask = scores[0] < np.float32(1 - SETTINGS.foreground_threshold)
    yield (
        "components of the foreground",
        {
            "ours": lambda: connected(mask),
            "scikit-image": lambda: label(mask, connectivity=1),
            "SciPy": lambda: ndimage.label(mask)[0],
        },
        lambda found: painted(found, mask.shape),
    )
    cells = instances_from_scores(scores, ROLES, SETTINGS)
    yield (
        "components of labels",
        {
            "ours": lambda: label_pieces(cells),
            "scikit-image": lambda: pieces_by_scikit_image(cells),
        },
        lambda pieces: pieces.painted(np.arange(pieces.numbers.size)),
    )
    # Theirs gets seeds and the pieces in which several compete as a gift.
    pieces, _ = ndimage.label(mask)
    seeds, count = ndimage.label(mask & (scores[1] > np.float32(SETTINGS.seed_threshold)))
    of_seed = ndimage.maximum(pieces, seeds, np.arange(1, count + 1)).astype(int)
    shared = mask & (np.bincount(of_seed, minlength=pieces.max() + 1) > 1)[pieces]
    markers = np.where(shared, seeds, 0)
    yield (
        "watershed",
        {
            "ours": splitting(mask, scores[1]),
            "scikit-image": lambda: watershed(-scores[1], markers, mask=shared),
        },
        lambda labels: np.where(shared, labels, 0),
    )
    yield (
        "scores to cells",
        {
            "ours": lambda: instances_from_scores(scores, ROLES, SETTINGS),
            "scikit-image": lambda: usual_cells(scores),
        },
        lambda labels: labels,
    )


def rows_of(case: str, scores: NDArray[np.float32], rounds: int) -> Iterator[tuple[str, bool]]:
    """Rows of the table, and whether ours is worth it."""
    for step, contenders, as_image in steps_of(scores):
        ours = as_image(contenders["ours"]())
        others = (compute() for name, compute in contenders.items() if name != "ours")
        equal = all(is_equal(ours, other) for other in others)
        seconds = take_turns(contenders, rounds)
        times = [f"{1000 * statistics.median(each):.1f} ms" for each in seconds.values()]
        ratios = [ratio(seconds, name, "ours") for name in seconds if name != "ours"]
        fields = [case, step, *times, *["" for _ in range(3 - len(times))]]
        fields += [", ".join(f"{each:.1f} x" for each in ratios), "yes" if equal else "NO"]
        yield f"| {' | '.join(fields)} |", equal and min(ratios) >= LEAST_RATIO


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Ours beside scikit-image and SciPy.")
    parser.add_argument("--quick", action="store_true", help="the smallest images, few rounds")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each contender")
    arguments = parser.parse_args()
    rounds = 2 if arguments.quick else arguments.rounds
    print(f"scikit-image {skimage.__version__}\n")
    print("| scores | step | ours | scikit-image | SciPy | theirs / ours | equal |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    missed = False
    for sample in SAMPLES:
        scores = scores_of(sample)
        cases = {f"{n} x {n}, {sample}": plane_of(scores, n) for n in SIZES}
        cases[f"{' x '.join(map(str, VOLUME))}, {sample}"] = volume_of(scores)
        for case in [next(iter(cases))] if arguments.quick else cases:
            for row, is_worth_it in rows_of(case, cases[case], rounds):
                print(row, flush=True)
                missed |= not is_worth_it
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
