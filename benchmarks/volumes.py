"""Set the ways to segment a volume with a model of planes beside each other: AP, time, memory.

    python benchmarks/volumes.py --volume raw.tif labels.tif --voxel 0.284 0.127 0.127
    python benchmarks/volumes.py --volume ... --volume ... --tune   # the overlap, on the first one
    python benchmarks/volumes.py --targets [--volume ...]           # what a perfect network finds

Each volume is a (Z, Y, X) image with its truth; `--voxel` gives z, y, x in any unit, once for all
or once for each. The ways are discs (slices by themselves), discs linked, linked without bridging
gaps, three directions averaged, and `stitched`: the rule of Cellpose's `stitch_threshold` at 0.25,
written anew below from its description, on the same discs. AP is that of whole cells at an IoU of
0.5. Each way runs in a process of its own; seconds are those of its processor, and its peak of
memory leaves out what is there before.

`--targets` asks what the training target alone allows: labels become the target, that is taken for
the scores (also blurred, by a Gaussian of 0.7 pixels), and cells are made of it with the thresholds
of a new model. Labels are cells that fill planes and volumes (Voronoi), and those of `--volume`.
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
from scipy import ndimage
from scipy.spatial import cKDTree

from napari_unet import TrainingPair, evaluate, load_checkpoint, new_description, segment
from napari_unet.engine.labels.linking.slices import link_slices
from napari_unet.engine.networks.annotation import training_target
from napari_unet.engine.segmentation.instances import instances_from_scores, prepare_instances
from napari_unet.engine.training.prepared import description_after, prepare_pair

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


TARGETS: dict[str, dict[str, Any]] = {
    "two classes": {"class_roles": ("background", "cell")},
    "rim": {"border_kind": "rim"},
    "even rim": {"border_kind": "even"},
    "contact": {"border_kind": "contact"},
}
BLURS_PX = (0.0, 0.7)
FILLED: tuple[tuple[tuple[int, ...], float, float], ...] = (
    ((256, 256), 8, 1),
    ((256, 256), 12, 1),
    ((256, 256), 20, 1),
    ((64, 96, 96), 8, 1),
    ((64, 96, 96), 12, 1),
    ((96, 96, 96), 20, 1),
    ((40, 128, 128), 12, 3),
    ((40, 128, 128), 20, 5),
)
"""Shape, diameter of cells in pixels, and distance between slices in pixels."""


def filled(shape: tuple[int, ...], diameter: float, anisotropy: float) -> NDArray[np.int32]:
    """Cells that fill an image, about as regular as tissue."""
    steps = np.array([1.0, 1.0] if len(shape) == 2 else [anisotropy, 1.0, 1.0])
    places = np.stack(np.indices(shape), axis=-1).reshape(-1, len(shape)) * steps
    size = diameter ** len(shape) * np.pi / (4 if len(shape) == 2 else 6)
    count = int(np.prod(shape * steps) / size)
    centres = np.random.default_rng(0).uniform(0, shape * steps, (count, len(shape)))
    for _ in range(2):
        owner = cKDTree(centres).query(places)[1]
        px = np.maximum(np.bincount(owner, minlength=count), 1)
        sums = [np.bincount(owner, axis, minlength=count) for axis in places.T]
        centres = np.stack(sums, axis=-1) / px[:, None]
    return (cKDTree(centres).query(places)[1] + 1).reshape(shape).astype(np.int32)


def print_targets(name: str, labels: NDArray[np.int32], anisotropy: float) -> None:
    """Print what a network finds that says exactly what it was taught."""
    spacing = (anisotropy, 1.0, 1.0) if labels.ndim == 3 else None
    pair = TrainingPair(np.ones(labels.shape, np.float32), labels, spacing=spacing)
    for target, options in TARGETS.items():
        new = new_description([pair], **options)
        learned = description_after(new, [pair], [prepare_pair(pair, new)])
        roles, kind = learned.class_roles, learned.border_kind
        classes = training_target(labels, roles, border_kind=kind, spacing=learned.spacing)
        is_class = [(classes == index).astype(np.float32) for index in range(len(roles))]
        columns = []
        for blur in BLURS_PX:
            scores = np.stack([ndimage.gaussian_filter(one, blur) for one in is_class])
            found = instances_from_scores(scores, roles, learned.instances)
            scored = evaluate(labels, found)
            aps = (scored.pooled(iou).average_precision for iou in (0.5, 0.7, 0.9))
            columns.append(" / ".join(f"{ap:.2f}" for ap in aps))
        print(f"| {name} | {target} | {' | '.join(columns)} |", flush=True)


def compare_targets(volumes: list[list[str]], voxels: list[list[float]]) -> None:
    """Print the table of targets."""
    print("| cells | target | AP .5 / .7 / .9 | of blurred scores |")
    print("| --- | --- | --- | --- |")
    for shape, diameter, anisotropy in FILLED:
        apart = f", slices {anisotropy:g} px apart" if anisotropy > 1 else ""
        name = f"{len(shape)}-D, {diameter:g} px{apart}"
        print_targets(name, filled(shape, diameter, anisotropy), anisotropy)
    for (_, truth_file), voxel in zip(volumes, voxels, strict=True):
        labels = tifffile.imread(truth_file).astype(np.int32)
        print_targets(truth_file.rpartition("/")[2], labels, voxel[0] / voxel[2])


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Ways to segment a volume with a model of planes.")
    parser.add_argument("--volume", nargs=2, action="append", default=[], metavar="TIFF")
    parser.add_argument("--voxel", nargs=3, type=float, action="append", metavar="X")
    parser.add_argument("--model", default="nuclei")
    parser.add_argument("--tune", action="store_true", help="overlaps, on the first volume")
    parser.add_argument("--targets", action="store_true", help="what training targets allow")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        way, anisotropy = arguments.measure
        measure(way, *arguments.volume[0], float(anisotropy), arguments.model)
        return 0
    if not arguments.volume and (arguments.tune or not arguments.targets):
        parser.error("give --volume, or --targets without --tune")
    if arguments.tune:
        tune(*arguments.volume[0], arguments.model)
        return 0
    voxels = arguments.voxel or [[1.0, 1.0, 1.0]]
    voxels = voxels * len(arguments.volume) if len(voxels) == 1 else voxels
    if arguments.targets:
        compare_targets(arguments.volume, voxels)
        return 0
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
