"""Set networks that have not seen a group of volumes beside a model of planes on these.

    python recipes/nuclei3d/judge.py DATA RUNS [--planes nuclei]

RUNS holds what `train.py --leave-out` wrote, `without-GROUP.safetensors`, each in a folder of its
own. Prints AP of whole cells on the volumes that were left out and on those that were learned;
thresholds come from what was learned. Seconds are those of one segmentation, of the processor.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from training_volumes import GROUPS, VOLUMES, Volume

from napari_unet import evaluate, load_checkpoint, segment
from napari_unet.engine.networks.network import Network

_HEAD = (
    "| volume | network | AP 0.5 | right, false, missed | AP 0.7 | seconds |\n"
    "| --- | --- | --- | --- | --- | --- |"
)


def rows(data: Path, runs: Path, planes: str | None) -> Iterator[str]:
    """Yield a row of the table for each volume and network."""
    networks = {
        group: load_checkpoint(file)
        for group in GROUPS
        for file in runs.rglob(f"without-{group}.safetensors")
    }
    if not networks:
        sys.exit(f"There is no network that has not seen a group in '{runs}'; train one first.")
    for volume in VOLUMES:
        for group, network in networks.items():
            seen = "not seen" if group == volume.group else f"learned, without {group}"
            yield row(volume, data, seen, network)
        if planes is not None:
            yield row(volume, data, planes, load_checkpoint(planes), volume="three_planes")


def row(of: Volume, data: Path, name: str, network: Network, **options: Any) -> str:
    """Segment a volume as the product does, and hold it against its truth."""
    pair = of.pair(data)
    began = time.process_time()
    found = segment(
        pair.image,
        network,
        device="cpu",
        keep_scores=False,
        anisotropy=pair.anisotropy,
        **options,
    ).labels
    seconds = time.process_time() - began
    evaluation = evaluate(pair.labels, found)
    half, more = evaluation.pooled(0.5), evaluation.pooled(0.7)
    counts = f"{half.true_positives}, {half.false_positives}, {half.false_negatives}"
    return (
        f"| {of.name} | {name} | {half.average_precision:.3f} | {counts} "
        f"| {more.average_precision:.3f} | {seconds:.1f} |"
    )


def main() -> None:
    """Print the table, row by row."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("runs", type=Path, metavar="RUNS")
    parser.add_argument("--planes", metavar="MODEL", help="read in three directions")
    arguments = parser.parse_args()
    print(_HEAD)
    for each in rows(arguments.data, arguments.runs, arguments.planes):
        print(each, flush=True)


if __name__ == "__main__":
    main()
