"""Count how often a result is said not to be trusted: on images like those of the training, or not.

    python benchmarks/judgement.py --like BBBC039/images TISSUE/images --unlike DIC/images EM.tif

Each is a folder of images, or a stack whose slices are images. Of each, so many are taken at equal
distances (`--images`), and the middle 512 x 512 pixels of them. With `--skip` others are taken
than those on which the thresholds were chosen. An alarm on what is like the training is a false
one, on what is unlike it a true one.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from napari_unet import load_checkpoint
from napari_unet.engine.base.settings import SegmentationSettings
from napari_unet.engine.networks.network import Network
from napari_unet.engine.segmentation.judgement import Judgement
from napari_unet.engine.segmentation.segmentation import iterate_planes
from napari_unet.files.images import read_image

SIDE_PX = 512


def images_of(source: Path, count: int, *, skip: int) -> Iterator[Any]:
    """Middles of some images of a folder, or of some slices of a stack."""
    if source.is_dir():
        files = [file for file in sorted(source.iterdir()) if file.is_file()]
        for number in _spread(len(files), count, skip):
            yield _middle(read_image(files[number]).array)
    else:
        stack = read_image(source).array
        for number in _spread(len(stack), count, skip):
            yield _middle(np.asarray(stack[number]))


def _spread(length: int, count: int, skip: int) -> list[int]:
    places = np.linspace(0, length - 1, min(length, count)).round().astype(int)
    return sorted({int(min(length - 1, place + skip)) for place in places})


def _middle(image: Any) -> Any:
    parts = [slice(max(0, (n - SIDE_PX) // 2), (n + SIDE_PX) // 2) for n in image.shape[:2]]
    return np.asarray(image[tuple(parts)])


def judged(image: Any, network: Network) -> tuple[Judgement, int]:
    """What the scores of an image say, and how many cells were found."""
    judgement, cells = Judgement(), 0
    settings, instances = SegmentationSettings(), network.description.instances
    for report in iterate_planes(image, network, settings=settings, instances=instances):
        if report.plane is not None and report.labels is not None:
            judgement.add(report.plane, report.labels)
            cells = int(report.labels.max(initial=0))
    return judgement, cells


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Count true and false alarms of the judgement.")
    parser.add_argument("--like", type=Path, nargs="+", default=[])
    parser.add_argument("--unlike", type=Path, nargs="+", default=[])
    parser.add_argument("--images", type=int, default=8, help="of each folder or stack")
    parser.add_argument("--skip", type=int, default=0, help="images between two places and those")
    parser.add_argument("--model", default="nuclei")
    arguments = parser.parse_args()
    network = load_checkpoint(arguments.model)
    print(f"{'images':<44} {'with cells':>10} {'alarms':>7}  certainty, least to most")
    for kind, sources in (("like", arguments.like), ("unlike", arguments.unlike)):
        alarms = found = 0
        for source in sources:
            results = [
                judged(image, network)
                for image in images_of(source, arguments.images, skip=arguments.skip)
            ]
            results = [(judgement, cells) for judgement, cells in results if cells]
            own = sum(bool(judgement.doubt(network.description)) for judgement, _ in results)
            sure = [judgement.certainty for judgement, _ in results] or [float("nan")]
            spread = " ".join(f"{each:.2f}" for each in np.percentile(sure, [0, 50, 100]))
            name = str(Path(*source.parts[-3:]))
            print(f"{name:<44} {len(results):>10} {own:>7}  {spread}", flush=True)
            alarms, found = alarms + own, found + len(results)
        if sources:
            print(f"{kind} the training: alarms in {alarms} of {found} results with cells")


if __name__ == "__main__":
    main()
