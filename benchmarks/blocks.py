"""Set a segmentation in blocks beside that of the whole image: labels, memory, time.

    python benchmarks/blocks.py                      # 2048 x 2048 in blocks of 1024 and 512
    python benchmarks/blocks.py --size 4096 --block 2048 1024
    python benchmarks/blocks.py --stores 4096 16384 --light    # from OME-Zarr to OME-Zarr

The image is a bundled sample, repeated mirrored, in a file; so are the labels. Each way runs in a
process of its own, one after the other; seconds are those of its processor, and its peak of memory
leaves out what is there before the image is opened. "Equal" means every pixel.

`--stores` tells time and memory of images of several sizes, segmented as the command
`napari-unet segment IMAGE.ome.zarr -o LABELS.ome.zarr` does it, with blocks of the usual size.
`--light` takes a network by hand that calls what is bright a cell, and costs next to nothing: what
is left is all the rest of the work. With `nuclei` 16384 x 16384 pixels take half an hour or more.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import zarr
from goals import MIB, peak_bytes

import napari_unet
from napari_unet import load_checkpoint, segment, segment_blocks
from napari_unet.batch.images.store_job import StoreJob
from napari_unet.batch.settings import BatchSettings, ModelFile
from napari_unet.engine.base.settings import InstanceSettings, SegmentationSettings
from napari_unet.engine.networks.network import Network, NetworkDescription
from napari_unet.engine.networks.unet import UNet, UNetConfig
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
    before, began = peak_bytes() / MIB, time.process_time()
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
        "mb": peak_bytes() / MIB - before,
        "cells": int(out.max()),
        "stages": stages,
    }
    print(json.dumps(found))


def write_store(path: Path, size: int) -> None:
    """Write the same image as OME-Zarr, of which only a row of tiles is in memory."""
    sample = read_image(SAMPLE).array
    tile = np.pad(sample, [(0, n) for n in sample.shape], mode="symmetric")
    rows = np.tile(tile, (1, -(-size // tile.shape[1])))[:, :size]
    group = zarr.open_group(path, mode="w")
    array = group.create_array("0", shape=(size, size), chunks=(512, 512), dtype=tile.dtype)
    for start in range(0, size, 512):
        lines = np.arange(start, min(size, start + 512)) % len(rows)
        array[start : start + len(lines)] = rows[lines]
    axes = [{"name": name, "type": "space"} for name in "yx"]
    scale = [{"type": "scale", "scale": [1.0, 1.0]}]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}


def bright_is_cell() -> Network:
    """Make a network by hand that calls pixels brighter than 0.4 of the range a cell."""
    config = UNetConfig(2, 1, 2, base_width=1, depth=1, batch_norm=False)
    unet = UNet(config)
    with torch.no_grad():
        for parameter in unet.parameters():
            parameter.zero_()
        for stage in (unet.contracting[0], unet.expanding[0]):
            stage.conv1.weight[0, 0, 1, 1] = stage.conv2.weight[0, 0, 1, 1] = 1.0
        unet.head.weight[:, 0, 0, 0] = torch.tensor([-20.0, 20.0])
        unet.head.bias.copy_(torch.tensor([8.0, -8.0]))
    return Network(unet.eval(), NetworkDescription("bright", config))


def measure_store(folder: Path, name: str) -> None:
    """Segment an image in OME-Zarr as the command line does, and print what it took."""
    network = bright_is_cell() if name == "light" else load_checkpoint("nuclei")
    segment(np.zeros((64, 64), np.uint8), network, device="cpu")
    prepare_instances()
    settings = SegmentationSettings(tile_px=TILE_PX)
    batch = BatchSettings((ModelFile(name),), settings, InstanceSettings(), checks="none")
    out = folder / "labels.ome.zarr"
    job = StoreJob(folder / "image.ome.zarr", out, (network,), batch, device="cpu", overwrite=True)
    before, began = peak_bytes() / MIB, time.process_time()
    *_, last = job.reports()
    seconds = time.process_time() - began
    found = {"seconds": seconds, "mb": peak_bytes() / MIB - before, "cells": last.cell_count}
    print(json.dumps(found))


def compare_sizes(sizes: list[int], name: str) -> None:
    """Print time and memory of images of several sizes."""
    print("| image | seconds | peak MB | cells |\n| --- | --- | --- | --- |")
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            write_store(Path(folder) / "image.ome.zarr", size)
            command = [sys.executable, __file__, "--measure", folder, name]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found = json.loads(done.stdout)
            print(
                f"| {size} x {size} | {found['seconds']:.0f} | {found['mb']:.0f} | "
                f"{found['cells']} |",
                flush=True,
            )


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Blocks beside the whole image.")
    parser.add_argument("--size", type=int, default=2048, help="pixels along each axis")
    parser.add_argument("--block", type=int, nargs="+", default=[1024, 512], help="the same")
    parser.add_argument("--stores", type=int, nargs="+", help="sizes of images in OME-Zarr")
    parser.add_argument("--light", action="store_true", help="with --stores: without the network")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        folder, way = arguments.measure
        if way.isdigit():
            measure(Path(folder), int(way))
        else:
            measure_store(Path(folder), way)
        return 0
    if arguments.stores:
        compare_sizes(arguments.stores, "light" if arguments.light else "nuclei")
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
