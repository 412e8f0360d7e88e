"""Measure what segmentation takes of the computer's memory, beside the estimate (Linux).

    python benchmarks/memory.py                  # 1024, 2048 and 4096 pixels squared
    python benchmarks/memory.py 8192 --zoom 2    # other sizes, or an image that is resized

Each size runs in a process of its own: the peak of its resident memory, less what it had before.
`PLANE_BYTES_PER_PIXEL` of `napari_unet.engine.segmentation.memory` is set from this.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np

from napari_unet import load_checkpoint
from napari_unet.engine.base.settings import Precision, SegmentationSettings
from napari_unet.engine.segmentation.memory import segmentation_memory
from napari_unet.engine.segmentation.segmentation import iterate_segmentation
from napari_unet.files.samples import load_sample

MIB = 1 << 20


def resident_bytes(field: str) -> int:
    """Resident memory now ("VmRSS") or at its highest ("VmHWM")."""
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise KeyError(field)


def measure(size: int, *, zoom: float, precision: Precision, keeps_scores: bool) -> int:
    """Bytes that segmenting a crowded image of `size` pixels squared adds at its peak."""
    network = load_checkpoint("nuclei")
    sample = load_sample("crowded").image
    diameter = network.description.object_diameter_px
    settings = SegmentationSettings(
        diameter_px=diameter / zoom if zoom != 1 and diameter else None, precision=precision
    )

    def run(image: np.ndarray) -> object:
        return list(
            iterate_segmentation(image, network, settings=settings, keep_scores=keeps_scores)
        )[-1]

    run(sample[:64, :64])
    repeats = [size // n + 1 for n in sample.shape]
    image = np.tile(sample, repeats)[:size, :size].copy()
    before = resident_bytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", "ascii")
    run(image)
    return resident_bytes("VmHWM") - before


def main() -> int:
    """Print one line for each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sizes", nargs="*", type=int, default=[1024, 2048, 4096])
    parser.add_argument("--zoom", type=float, default=1.0, help="resize the image by this factor")
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--once", choices=("kept", "dropped"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.once:
        (size,) = arguments.sizes
        keeps_scores = arguments.once == "kept"
        zoom, precision = arguments.zoom, arguments.precision
        print(measure(size, zoom=zoom, precision=precision, keeps_scores=keeps_scores))
        return 0
    description = load_checkpoint("nuclei").description
    print(
        f"{'pixels':>12} {'scores':>8} {'measured':>10} {'estimate':>10} {'ratio':>6} {'B/px':>6}"
    )
    for size in arguments.sizes:
        for scores in ("dropped", "kept"):
            command = [sys.executable, __file__, str(size), "--once", scores]
            command += ["--zoom", str(arguments.zoom), "--precision", arguments.precision]
            output = subprocess.run(command, check=True, capture_output=True)
            found = int(output.stdout)
            estimate = segmentation_memory(
                (size, size),
                description,
                kept_scores=scores == "kept",
                zoom=arguments.zoom,
                number_bytes=4 if arguments.precision == "float32" else 2,
            )
            print(
                f"{f'{size} x {size}':>12} {scores:>8} {found / MIB:>6.0f} MiB "
                f"{estimate / MIB:>6.0f} MiB {estimate / found:>6.2f} {found / size**2:>6.1f}",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
