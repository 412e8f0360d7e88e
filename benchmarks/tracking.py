"""Follow cells through a film: time, and how many links between frames are the true ones.

    python benchmarks/tracking.py [--cells 10000] [--frames 50]
    python benchmarks/tracking.py --film FOLDER    # label images in which a cell keeps its number

Made up are discs that jitter around places on a grid; each frame lacks one in a hundred. In either
film the numbers of each frame are shuffled before the cells are followed.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_unet import TrackingSettings, track_cells
from napari_unet.engine.labels.tracking.tracks import Tracks, renumbered
from napari_unet.files.frames import read_frames

_PITCH_PX, _RADIUS_PX, _JITTER_PX, _MISSING = 24, 8, 3, 0.01


def jittering_discs(cells: int, frames: int) -> NDArray[np.int32]:
    """Make a film of discs, each with one number."""
    rng = np.random.default_rng(0)
    side = int(np.ceil(np.sqrt(cells)))
    grid = np.indices((side, side)).reshape(2, -1).T[:cells] * _PITCH_PX + _PITCH_PX // 2
    disc = np.indices((2 * _RADIUS_PX + 1,) * 2).reshape(2, -1).T - _RADIUS_PX
    disc = disc[np.hypot(*disc.T) <= _RADIUS_PX]
    film = np.zeros((frames, side * _PITCH_PX, side * _PITCH_PX), np.int32)
    for image in film:
        places = grid + rng.integers(-_JITTER_PX, _JITTER_PX + 1, grid.shape)
        numbers = np.where(rng.random(cells) < _MISSING, 0, np.arange(1, cells + 1))
        y, x = (places[:, np.newaxis] + disc).clip(0, side * _PITCH_PX - 1).transpose(2, 0, 1)
        image[y, x] = numbers[:, np.newaxis]
    return film


def shuffled(film: NDArray[np.int32]) -> tuple[NDArray[np.int32], list[NDArray[np.int64]]]:
    """Give the cells of each frame other numbers; return the true one of each, in their order."""
    rng = np.random.default_rng(1)
    frames, true = [], []
    for image in film:
        numbers = np.unique(image[image > 0]).astype(np.int64)
        order = rng.permutation(numbers.size)
        frames.append(renumbered(image, numbers, order + 1))
        true.append(numbers[np.argsort(order)])
    return np.stack(frames), true


def links(numbers: NDArray[np.int64], frames: NDArray[np.int64]) -> set[tuple[int, int]]:
    """Pairs of entries that have one number in frames that follow each other."""
    entry = {key: at for at, key in enumerate(zip(frames.tolist(), numbers.tolist(), strict=True))}
    return {
        (at, entry[frame + 1, number])
        for (frame, number), at in entry.items()
        if (frame + 1, number) in entry
    }


def report(tracks: Tracks, true: list[NDArray[np.int64]], seconds: float) -> None:
    """Print a line of figures."""
    frames = tracks.appearances.frames
    truth, made = links(np.concatenate(true), frames), links(tracks.numbers, frames)
    right = len(truth & made)
    print(
        f"{frames.size:,} cells in {tracks.frame_count} frames: {seconds:.1f} s, "
        f"{tracks.count:,} tracks, {tracks.division_count} divisions; "
        f"of {len(truth):,} links {right / len(truth):.4f} "
        f"found, of {len(made):,} made {right / len(made):.4f} true"
    )


def main() -> None:
    """Print a line for each way to look at divisions and each interval between frames."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--frames", type=int, default=50)
    parser.add_argument("--film", type=Path)
    arguments = parser.parse_args()
    if arguments.film is None:
        film = jittering_discs(arguments.cells, arguments.frames)
    else:
        film = read_frames(arguments.film).array
    track_cells(film[:2, :256, :256])  # imports what it needs
    for every in (1,) if arguments.film is None else (1, 2, 4):
        stack, true = shuffled(film[::every])
        for divisions in (True, False):
            started = time.perf_counter()
            tracks = track_cells(stack, TrackingSettings(divisions=divisions))
            print(f"every {every}. frame, divisions {'on' if divisions else 'off'}: ", end="")
            report(tracks, true, time.perf_counter() - started)


if __name__ == "__main__":
    main()
