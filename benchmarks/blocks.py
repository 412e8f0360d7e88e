"""Set a segmentation in blocks beside that of the whole image: labels, memory, time.

    python benchmarks/blocks.py                      # 2048 x 2048 in blocks of 1024 and 512
    python benchmarks/blocks.py --size 4096 --block 2048 1024

The image is a bundled sample, repeated mirrored, in a file; so are the labels. Each way runs in a
process of its own, one after the other; seconds are those of its processor, and its peak of memory
leaves out what is there before the image is opened. "Equal" means every pixel.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import napari_unet
from napari_unet import load_checkpoint, segment, segment_blocks
from napari_unet.engine.segmentation.instances import prepare_instances
from napari_unet.files.images import read_image

TILE_PX = 512
SAMPLE = Path(napari_unet.__file__).parent / "bundled" / "samples" / "images" / "fluorescence.png"


def write_image(path: Path, size: int) -> None:
    """Write a sample repeated mirrored to a square."""
    array = read_image(SAMPLE).array
    padding = [(0, max(0, size - n)) for n in array.shape]
    np.save(path, np.pad(array, padding, mode="symmetric")[:size, :size])


def measure(folder: Path, block_px: int) -> None:
    """Segment the image in blocks, or as a whole if they have no pixels, and print what it took."""
    network = load_checkpoint("nuclei")
    segment(np.zeros((64, 64), np.uint8), network, device="cpu")
    prepare_instances()
    image = np.load(folder / "image.npy", mmap_mode="r")
    path = folder / f"labels{block_px}.npy"
    out = np.lib.format.open_memmap(path, "w+", np.int32, image.shape)
    before, began = _peak_mb(), time.process_time()
    stages: dict[str, float] = {}
    if block_px == 0:
        options = {"tile_px": TILE_PX, "keep_scores": False}
        out[...] = segment(image, network, device="cpu", **options).labels
    else:
        block = (block_px, block_px)
        last = began
        for report in segment_blocks(
            image, network, out, block=block, tile_px=TILE_PX, device="cpu", work=folder / "work"
        ):
            now = time.process_time()
            stages[report.stage] = stages.get(report.stage, 0) + now - last
            last = now
    found = {
        "seconds": time.process_time() - began,
        "mb": _peak_mb() - before,
        "cells": int(out.max()),
        "stages": stages,
    }
    print(json.dumps(found))


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Blocks beside the whole image.")
    parser.add_argument("--size", type=int, default=2048, help="pixels along each axis")
    parser.add_argument("--block", type=int, nargs="+", default=[1024, 512], help="the same")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(Path(arguments.measure[0]), int(arguments.measure[1]))
        return 0
    print(f"{arguments.size} x {arguments.size}, tiles of {TILE_PX}\n")
    print("| way | seconds | beside whole | peak MB | cells | equal | seconds beside the network |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_image(folder / "image.npy", arguments.size)
        seconds, all_equal = 0.0, True
        for block_px in (0, *arguments.block):
            command = [sys.executable, __file__, "--measure", name, str(block_px)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found = json.loads(done.stdout)
            seconds = seconds or found["seconds"]
            whole, mine = (np.load(folder / f"labels{n}.npy", mmap_mode="r") for n in (0, block_px))
            equal = np.array_equal(whole, mine)
            all_equal &= equal
            rest = sum(value for stage, value in found["stages"].items() if stage != "scores")
            way = f"blocks of {block_px}" if block_px else "whole"
            print(
                f"| {way} | {found['seconds']:.1f} | {found['seconds'] / seconds:.2f} x | "
                f"{found['mb']:.0f} | {found['cells']} | {'yes' if equal else 'NO'} | {rest:.1f} |",
                flush=True,
            )
    return 0 if all_equal else 1


if __name__ == "__main__":
    sys.exit(main())
