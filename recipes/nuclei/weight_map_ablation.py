"""What the boundary weight map does: the same training with and without it, on the same images.

python recipes/nuclei/weight_map_ablation.py DSB2018 [--steps 600] [--seeds 1]

Both arms learn from the fluorescence images of the split `train` without one fold, with the
paper's two classes, the same network, patches, deformations and number of steps; both have one
pixel of background carved between touching nuclei. Only the border term differs: w0 = 10, or
none. Thresholds are tuned on the fold that was held out, for each arm by itself. What is printed
was measured on the fluorescence images of `test`. On two CPU cores an arm of 600 steps takes
about ten minutes.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from dsb2018 import Nuclei, read_index
from numpy.typing import NDArray

from napari_unet import TrainingPair, TrainingSettings, UNetError, evaluate, segment, train
from napari_unet.engine.labels.evaluation import Evaluation
from napari_unet.engine.networks.network import Network, NetworkDescription
from napari_unet.engine.networks.unet import UNetConfig
from napari_unet.engine.segmentation.instances import tune_instances

ARMS = {"with the map": 10.0, "without": 1e-9}
"""w0; a term below float32 rounding is left out."""

DESCRIPTION = NetworkDescription(
    "ablation",
    UNetConfig(base_width=16, depth=3, classes=2),
    class_roles=("background", "cell"),
)


def fluorescence(nuclei: list[Nuclei]) -> list[Nuclei]:
    """The images that are most alike, so that a small network learns them soon."""
    return [item for item in nuclei if item.modality == "fluorescence"]


def learn(pairs: list[TrainingPair], settings: TrainingSettings, name: str) -> Network:
    """Train an arm from scratch and say how far it is."""
    run = train(pairs, settings=settings, description=DESCRIPTION, device="cpu")
    started = time.perf_counter()
    losses: list[float] = []
    for report in run:
        losses.append(report.loss)
        if report.step % 100 == 0 or report.step == report.steps:
            spent = time.perf_counter() - started
            loss = float(np.mean(losses[-100:]))
            line = f"{name}: step {report.step} of {report.steps}, loss {loss:.4f}, {spent:.0f} s"
            print(line, flush=True)
    return run.latest


def quality(truth: NDArray[Any], prediction: NDArray[Any]) -> float:
    """Mean of the average precisions: what thresholds are tuned for."""
    evaluation = evaluate(truth, prediction)
    return float(np.mean([evaluation.mean_ap(t) for t in evaluation.thresholds]))


def tuned(network: Network, nuclei: list[Nuclei]) -> Network:
    """Choose the thresholds that suit an arm on images it has not seen."""
    scored = []
    for item in nuclei:
        image, labels = item.read()
        scores = segment(image, network, device="cpu").scores
        assert scores is not None
        scored.append((scores, labels))
    description = network.description
    instances = tune_instances(scored, description.class_roles, quality, description.instances)
    return Network(network.unet, replace(description, instances=instances))


def measure(network: Network, nuclei: list[Nuclei]) -> Evaluation:
    """Segment test images and compare."""
    truths, predictions = [], []
    for item in nuclei:
        image, labels = item.read()
        truths.append(labels)
        predictions.append(segment(image, network, device="cpu").labels)
    return evaluate(truths, predictions)


def row(arm: str, seed: int, result: Evaluation) -> str:
    """One line of the table."""
    pooled = " / ".join(f"{result.pooled(t).average_precision:.3f}" for t in result.thresholds)
    mean = " / ".join(f"{result.mean_ap(t):.3f}" for t in result.thresholds)
    return f"| {arm} | {seed} | {pooled} | {mean} | {result.merged_cells} |"


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, metavar="DSB2018", help="folder with index.csv")
    parser.add_argument("--steps", type=int, default=600, help="batches of each arm")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=1, help="repetitions of both arms")
    parser.add_argument("--fold", default="0", help="held out for the thresholds")
    parser.add_argument("--tuning-images", type=int, default=30, help="of that fold")
    arguments = parser.parse_args()
    nuclei = fluorescence(read_index(arguments.data))
    learned = [item for item in nuclei if item.split == "train" and item.fold != arguments.fold]
    held_out = [item for item in nuclei if item.split == "train" and item.fold == arguments.fold]
    test = [item for item in nuclei if item.split == "test"]
    pairs = [TrainingPair(*item.read(), name=item.name) for item in learned]
    print(f"{len(pairs)} images to learn from, {len(test)} to test on", flush=True)
    rows = []
    for seed in range(arguments.seeds):
        for arm, w0 in ARMS.items():
            settings = TrainingSettings(
                steps=arguments.steps,
                patience=0,
                batch_size=arguments.batch_size,
                w0=w0,
                seed=seed,
                average=0.98,
                validation_interval=0,
            )
            network = tuned(learn(pairs, settings, arm), held_out[: arguments.tuning_images])
            rows.append(row(arm, seed, measure(network, test)))
            print(rows[-1], flush=True)
    print(
        f"\n{arguments.steps} steps of {arguments.batch_size} patches, {len(test)} test images\n\n"
        "| arm | seed | AP 0.5 / 0.7 / 0.9, pooled | mean over images | merged cells |\n"
        "| --- | --- | --- | --- | --- |"
    )
    print("\n".join(rows))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UNetError as error:
        sys.exit(str(error))
