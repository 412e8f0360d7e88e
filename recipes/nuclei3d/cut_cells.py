"""What it would bring to let cells that the border of a volume cuts off the least size.

    python recipes/nuclei3d/cut_cells.py DATA MODEL

Prints AP 0.5 of whole cells in each plant, right and false ones, for least sizes of cells that are
whole and of cells that are cut, without `min_score` and with that of the model.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from training_volumes import VOLUMES

from napari_unet import evaluate, load_checkpoint, segment
from napari_unet.engine.segmentation.instances import instances_from_scores, mean_scores

_SIZES = ((1, 1), (1, 0), (3, 3), (3, 1), (3, 0))
"""Least sizes, of whole and of cut cells, in least sizes of the model."""


def are_cut(labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Whether each cell, 0 for background, touches a border."""
    cut = np.zeros(int(labels.max()) + 1, bool)
    for axis in range(labels.ndim):
        for end in (0, -1):
            cut[np.take(labels, end, axis=axis)] = True
    return cut


def main() -> None:
    """Print a row for each plant and least score."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("model", type=Path, metavar="MODEL")
    arguments = parser.parse_args()
    network = load_checkpoint(arguments.model)
    roles, own = network.description.class_roles, network.description.instances
    bare = replace(own, min_size_px=1, min_score=0.0)
    names = [f"{whole * own.min_size_px}, cut {cut * own.min_size_px}" for whole, cut in _SIZES]
    print(f"| volume | min_score | {' | '.join(names)} |\n|{' --- |' * (len(names) + 2)}")
    for volume in (each for each in VOLUMES if each.name.startswith("plant")):
        pair = volume.pair(arguments.data)
        scores = segment(pair.image, network, device="cpu", anisotropy=pair.anisotropy).scores
        assert scores is not None
        found = instances_from_scores(scores, roles, bare)
        sizes, cut = np.bincount(found.reshape(-1)), are_cut(found)
        sure = np.append(0, mean_scores(scores, roles, found))
        for least_score in (0.0, own.min_score):
            cells = []
            for whole, of_cut in _SIZES:
                least = own.min_size_px * np.where(cut, of_cut, whole)
                kept = (sure >= least_score) & (sizes >= least)
                kept[0] = False
                score = evaluate(pair.labels, np.where(kept[found], found, 0)).pooled(0.5)
                right, false = score.true_positives, score.false_positives
                cells.append(f"{score.average_precision:.3f} ({right}, {false})")
            print(f"| {volume.name} | {least_score:g} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
