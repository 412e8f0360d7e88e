"""Set `napari-unet segment` over a folder beside a loop that segments one image after the other.

    python benchmarks/batch.py IMAGES            # 200 images of the folder; tens of minutes
    python benchmarks/batch.py IMAGES --quick    # 20 of them

The loop is what a script would do with this package: the model is loaded once, and each image is
read, segmented with all processors and written. Ours is the command itself with what it does by
default, with its table, and with the model loaded anew. The images are taken in parts of 20; for
each part both take turns, so that a machine that gets slower meanwhile favours nobody. The ratio is
the median over the parts. The row is that of the table in docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from napari_unet import load_checkpoint, segment
from napari_unet.cli import main as command
from napari_unet.files.finding import find_images
from napari_unet.files.images import read_image, read_labels, write_labels

GOAL = 0.8
PART = 20

Contender = Callable[[Sequence[Path], Path], None]


def loop(images: Sequence[Path], out: Path) -> None:
    """What a script does."""
    network = load_checkpoint("nuclei")
    out.mkdir()
    for path in images:
        file = read_image(path)
        result = segment(file.array, network, channel_axis=file.channel_axis, keep_scores=False)
        write_labels(out / f"{path.stem}.tif", result.labels)


def ours(images: Sequence[Path], out: Path) -> None:
    """The command, without its lines."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        status = command(["segment", *map(str, images), "-o", str(out)])
    if status != 0:
        sys.exit(f"The command failed on images from '{images[0]}'.")


CONTENDERS: dict[str, Contender] = {"loop": loop, "ours": ours}


def take_turns(images: Sequence[Path]) -> tuple[dict[str, float], bool]:
    """Seconds of each for some images, and whether their labels are equal."""
    seconds = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, contender in CONTENDERS.items():
            started = time.perf_counter()
            contender(images, Path(folder, name))
            seconds[name] = time.perf_counter() - started
        both = (
            [read_labels(Path(folder, name, f"{path.stem}.tif")).array for name in CONTENDERS]
            for path in images
        )
        return seconds, all(np.array_equal(*each) for each in both)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="A batch beside a plain loop.")
    parser.add_argument("images", help="folder of images")
    parser.add_argument("--number", type=int, default=200, help="images, evenly from the folder")
    parser.add_argument("--quick", action="store_true", help="20 images")
    arguments = parser.parse_args()
    found = find_images([arguments.images])
    number = min(len(found), PART if arguments.quick else arguments.number)
    images = [found[index] for index in np.linspace(0, len(found) - 1, number).astype(int)]
    take_turns(images[:2])  # compiles
    rounds, equal = [], True
    for first in range(0, number, PART):
        seconds, is_equal = take_turns(images[first : first + PART])
        rounds.append(seconds)
        equal &= is_equal
        print(f"{first + PART:4} {seconds['ours'] / seconds['loop']:.2f}", file=sys.stderr)
    totals = {name: sum(each[name] for each in rounds) for name in CONTENDERS}
    ratio = statistics.median(each["ours"] / each["loop"] for each in rounds)
    print("| images | threads | loop | ours | ours / loop | goal | equal |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    print(
        f"| {number} | {torch.get_num_threads()} | {totals['loop']:.1f} s | {totals['ours']:.1f} s "
        f"| {ratio:.2f} x | <= {GOAL} x | {'yes' if equal else 'NO'} |"
    )
    return 0 if ratio <= GOAL and equal else 1


if __name__ == "__main__":
    sys.exit(main())
