"""How well volumes are segmented by a network that has not seen them, beside `nuclei` in planes."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from training_volumes import VOLUMES, Volume

from napari_unet import evaluate, load_checkpoint, segment
from napari_unet.engine.labels.evaluation import Evaluation
from napari_unet.engine.networks.network import Network

LEFT_OUT, PLANES, FLIPS = "nuclei-3d, left out", "nuclei, three_planes", "… flips averaged"

_HEAD = (
    "| volume | method | AP 0.5 | right, false, missed | AP 0.7 | AP 0.9 | seconds |\n"
    "| --- | --- | --- | --- | --- | --- | --- |"
)


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What one way has found in one volume."""

    volume: Volume
    method: str
    labels: NDArray[Any]
    evaluation: Evaluation
    seconds: float
    """Of the processor, of all threads."""

    @property
    def row(self) -> str:
        """Of the table."""
        at = [self.evaluation.pooled(t) for t in (0.5, 0.7, 0.9)]
        counts = f"{at[0].true_positives}, {at[0].false_positives}, {at[0].false_negatives}"
        name = f"{self.volume.name} ({at[0].true_positives + at[0].false_negatives})"
        first, *others = (f"{each.average_precision:.3f}" for each in at)
        cells = [name, self.method, first, counts, *others, f"{self.seconds:.1f}"]
        return f"| {' | '.join(cells)} |"


def table(rows: Sequence[Measured]) -> str:
    """All of it, as Markdown."""
    return "\n".join([_HEAD, *(each.row for each in rows)])


def measured(data: Path, runs: Path, planes: str | None) -> Iterator[Measured]:
    """Segment each volume of which some network has learned nothing.

    Parameters
    ----------
    runs : Path
        Folder in which `train.py` has written `without-GROUP.safetensors`,
        itself or in folders of its own.
    planes : str, optional
        A model of planes, read in three directions.
    """
    for volume in VOLUMES:
        files = sorted(runs.rglob(f"without-{volume.group}.safetensors"))
        if not files:
            continue
        network = load_checkpoint(files[-1])
        yield found_in(volume, data, LEFT_OUT, network)
        yield found_in(volume, data, FLIPS, network, averaging="flips")
        if planes is not None:
            options = {"volume": "three_planes"}
            yield found_in(volume, data, PLANES, load_checkpoint(planes), **options)


def found_in(volume: Volume, data: Path, method: str, network: Network, **options: Any) -> Measured:
    """Segment a volume as the product does, and hold it against its truth."""
    pair = volume.pair(data)
    began = time.process_time()
    labels = segment(
        pair.image,
        network,
        device="cpu",
        keep_scores=False,
        anisotropy=pair.anisotropy,
        **options,
    ).labels
    seconds = time.process_time() - began
    return Measured(volume, method, labels, evaluate(pair.labels, labels), seconds)


def cost(network: Network, side: int = 100) -> tuple[float, float]:
    """Processor seconds, and MB at the peak beside what was there, of a volume of `side`³ voxels.

    Meaningful once in a process, as its peak does not go down.
    """
    image = np.random.default_rng(0).integers(0, 255, (side,) * 3, np.uint8)
    segment(image[:32, :48, :48], network, device="cpu", keep_scores=False)
    before, began = _peak_mb(), time.process_time()
    segment(image, network, device="cpu", keep_scores=False)
    return time.process_time() - began, _peak_mb() - before


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
