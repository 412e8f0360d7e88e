"""Set the ways to segment a volume with a model of planes beside each other: AP, time, memory.

    python benchmarks/volumes.py --volume raw.tif labels.tif --voxel 0.284 0.127 0.127
    python benchmarks/volumes.py --volume ... --volume ... --tune   # the overlap, on the first one

Each volume is a (Z, Y, X) image with its truth; `--voxel` gives z, y, x in any unit, once for all
or once for each. The ways are discs (slices by themselves), discs linked, linked without bridging
gaps, three directions averaged, and `stitched`: the rule of Cellpose's `stitch_threshold` at 0.25,
written anew below from its description, on the same discs. AP is that of whole cells at an IoU of
0.5. Each way runs in a process of its own; seconds are those of its processor, and its peak of
memory leaves out what is there before.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from typing import Any

import numpy as np
import tifffile
from goals import MIB, peak_bytes
from numpy.typing import NDArray

from napari_unet import evaluate, load_checkpoint, segment
from napari_unet.engine.labels.linking.slices import link_slices
from napari_unet.engine.segmentation.instances import prepare_instances

WAYS: dict[str, dict[str, Any]] = {
    "discs": {"every_slice": True},
    "stitched": {"every_slice": True},
    "linked, no gaps": {"volume": "linked", "link_gaps": False},
    "linked": {"volume": "linked"},
    "three_planes": {"volume": "three_planes"},
}


def stitched(discs: NDArray[np.integer[Any]], threshold: float = 0.25) -> NDArray[np.int64]:
    """Give a disc the number of the one before with the highest IoU, as Cellpose's rule has it.

    Of a disc before, only the disc here that it overlaps best may take its number.
    """
    result = np.zeros(discs.shape, np.int64)
    highest = 0
    for z, plane in enumerate(discs):
        numbers = np.unique(plane[plane > 0])
        before = result[z - 1] if z else np.zeros_like(result[0])
        earlier = np.unique(before[before > 0])
        iou = np.zeros((earlier.size, numbers.size))
        for i, number in enumerate(earlier):
            for j, other in enumerate(numbers):
                a, b = before == number, plane == other
                iou[i, j] = (a & b).sum() / (a | b).sum()
        iou[iou < threshold] = 0
        if earlier.size and numbers.size:
            iou[iou < iou.max(axis=1, keepdims=True)] = 0
        for j, number in enumerate(numbers):
            best = int(iou[:, j].argmax()) if earlier.size else 0
            if earlier.size and iou[best, j] > 0:
                result[z][plane == number] = earlier[best]
            else:
                highest += 1
                result[z][plane == number] = highest
    return result


def measure(way: str, image_file: str, truth_file: str, anisotropy: float, model: str) -> None:
    """Segment a volume in one way, and print what came of it."""
    network = load_checkpoint(model)
    segment(np.zeros((64, 64), np.uint8), network, device="cpu")
    prepare_instances()
    image, truth = tifffile.imread(image_file), tifffile.imread(truth_file)
    before, began = peak_bytes() / MIB, time.process_time()
    result = segment(
        image, network, device="cpu", keep_scores=False, anisotropy=anisotropy, **WAYS[way]
    )
    labels = stitched(result.labels) if way == "stitched" else result.labels
    seconds, mb = time.process_time() - began, peak_bytes() / MIB - before
    score = evaluate(truth, labels).pooled(0.5)
    found = {
        "ap": score.average_precision,
        "cells": int(labels.max()),
        "true": score.true_positives,
    }
    found |= {"truth": int(np.unique(truth[truth > 0]).size), "seconds": seconds, "mb": mb}
    print(json.dumps(found))


def tune(image_file: str, truth_file: str, model: str) -> None:
    """Print the AP for several overlaps, on the discs of one volume."""
    image, truth = tifffile.imread(image_file), tifffile.imread(truth_file)
    discs = segment(image, load_checkpoint(model), device="cpu", every_slice=True).labels
    print("| overlap | without gaps | with |")
    print("| --- | --- | --- |")
    for overlap in (0.1, 0.2, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7):
        aps = (
            evaluate(truth, link_slices(discs, link_overlap=overlap, link_gaps=gaps)).pooled(0.5)
            for gaps in (False, True)
        )
        print(f"| {overlap} | {' | '.join(f'{ap.average_precision:.3f}' for ap in aps)} |")


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Ways to segment a volume with a model of planes.")
    parser.add_argument("--volume", nargs=2, action="append", required=True, metavar="TIFF")
    parser.add_argument("--voxel", nargs=3, type=float, action="append", metavar="X")
    parser.add_argument("--model", default="nuclei")
    parser.add_argument("--tune", action="store_true", help="overlaps, on the first volume")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        way, anisotropy = arguments.measure
        measure(way, *arguments.volume[0], float(anisotropy), arguments.model)
        return 0
    if arguments.tune:
        tune(*arguments.volume[0], arguments.model)
        return 0
    voxels = arguments.voxel or [[1.0, 1.0, 1.0]]
    voxels = voxels * len(arguments.volume) if len(voxels) == 1 else voxels
    print("| volume | way | AP 0.5 | cells | of them right | of true | seconds | peak MB |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for files, voxel in zip(arguments.volume, voxels, strict=True):
        for way in WAYS:
            command = [sys.executable, __file__, "--model", arguments.model, "--volume", *files]
            command += ["--measure", way, str(voxel[0] / voxel[2])]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found = json.loads(done.stdout)
            name = files[0].rpartition("/")[2]
            print(
                f"| {name} | {way} | {found['ap']:.3f} | {found['cells']} | {found['true']} | "
                f"{found['truth']} | {found['seconds']:.1f} | {found['mb']:.0f} |",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
