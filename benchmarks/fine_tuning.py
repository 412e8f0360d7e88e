"""Measure fine-tuning: what one image teaches, what it costs, and what a step does beside learning.

    python benchmarks/fine_tuning.py BBBC030 DSB2018            # five minutes on two cores
    python benchmarks/fine_tuning.py BBBC030 DSB2018 --quick    # less of everything

`nuclei` learns DIC cells from one annotated image, at half size, as `napari-unet train --from`
does it. Seconds are those on the clock from loading the model to having the new one; only what
the viewer compiles when it starts is compiled before. What it forgot is measured on nuclei of the
split `test`; images that come with the package are left out, as they were looked at before.
The plain loop is forward, cross-entropy, backward and optimizer on the same network and a batch
that is there already; the two take turns, step by step. Beside two processes that do nothing but
compute, some steps are done again and must give the same weights.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from goals import Row, at_least, at_most, print_table
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

import napari_unet
from napari_unet import (
    TrainingPair,
    TrainingSettings,
    UNetError,
    evaluate,
    load_checkpoint,
    segment,
    train,
)
from napari_unet.engine.base.device import resolve_device
from napari_unet.engine.networks.network import Network
from napari_unet.engine.segmentation.instances import prepare_instances
from napari_unet.engine.weight_map.weight_map import boundary_weight_map
from napari_unet.files.images import read_image, read_labels

Annotated: TypeAlias = tuple[NDArray[Any], NDArray[Any]]
"""An image and its labels."""

GOAL, MOST_FORGOTTEN = 0.88, 0.01
"""AP 0.5 of the DIC cells, and what nuclei may lose."""

BUSY_STEPS = 20


# Images


def dic_cells(folder: Path, split: str, name: str) -> Annotated:
    """One image of BBBC030 at half size: each pixel is the mean of four."""
    image = read_image(folder / split / "images" / f"{name}.png").array
    labels = read_labels(folder / split / "labels" / f"{name}.png").array
    grey = image[..., :3].mean(-1) if image.ndim == 3 else image
    height, width = (n // 2 for n in grey.shape)
    blocks = grey[: 2 * height, : 2 * width].reshape(height, 2, width, 2)
    halved = labels[: 2 * height : 2, : 2 * width : 2]
    return blocks.mean((1, 3), dtype=np.float32), halved


def dic_test(folder: Path) -> list[Annotated]:
    """All images of the split `test`."""
    names = sorted(path.stem for path in (folder / "test" / "images").glob("*.png"))
    return [dic_cells(folder, "test", name) for name in names]


def nuclei_test(folder: Path, count: int) -> list[Annotated]:
    """Images of the split `test` that do not come with the package, of all kinds."""
    package = Path(napari_unet.__file__).parent
    bundled = (package / "bundled" / "samples" / "SAMPLES.md").read_text("utf-8")
    with (folder / "index.csv").open(newline="") as file:
        names = [row["id"] for row in csv.DictReader(file) if row["split"] == "test"]
    names = [name for name in names if name not in bundled]
    chosen = names[:: max(1, len(names) // count)][:count]
    return [
        (
            read_image(folder / "test" / "images" / f"{name}.png").array,
            read_labels(folder / "test" / "labels" / f"{name}.png").array,
        )
        for name in chosen
    ]


# Learning


def average_precision(network: Network, images: Sequence[Annotated]) -> float:
    """AP 0.5 of all cells together."""
    found = [segment(image, network, keep_scores=False).labels for image, _ in images]
    return evaluate([labels for _, labels in images], found).pooled(0.5).average_precision


def of_known_sizes(network: Network, start: Network) -> Network:
    """Network that takes nuclei for cells again: among the larger ones that it learned, specks."""
    own = start.description.instances
    sizes = {"min_size_px": own.min_size_px, "min_seed_px": own.min_seed_px}
    instances = replace(network.description.instances, **sizes)
    return Network(network.unet, replace(network.description, instances=instances))


def learned(pair: TrainingPair, steps: int | None) -> tuple[Network, Row]:
    """Fine-tune, everything included, and say how long that took."""
    started, worked = time.perf_counter(), time.process_time()
    settings = TrainingSettings.fine_tuning(steps=steps)
    run = train([pair], load_checkpoint("nuclei"), settings=settings)
    longest = max(report.step_s for report in run)
    verdict = run.verdict(run.tuned())
    assert verdict is not None
    spent, worked = time.perf_counter() - started, time.process_time() - worked
    found = f"{spent:.0f} s, longest {longest:.2f} s, {worked:.0f} s of CPU"
    return verdict.proposed, Row(f"{run.step} steps and the verdict ({verdict.chosen})", found)


def learning_rows(
    steps: int | None, pair: TrainingPair, dic: list[Annotated], nuclei: list[Annotated]
) -> Iterator[Row]:
    """What one annotated image teaches, and what it costs the model."""
    start = load_checkpoint("nuclei")
    knew = average_precision(start, nuclei)
    yield Row("DIC cells, before", f"{average_precision(start, dic):.3f}")
    yield Row(f"nuclei, {len(nuclei)} images, before", f"{knew:.3f}")
    network, row = learned(pair, steps)
    yield row
    yield at_least("DIC cells, AP 0.5", average_precision(network, dic), GOAL, "", ".3f")
    knows = average_precision(of_known_sizes(network, start), nuclei)
    yield Row("nuclei, AP 0.5", f"{knows:.3f}")
    yield at_most("nuclei, AP 0.5 lost", knew - knows, MOST_FORGOTTEN, "", ".3f")


def busy_row(pair: TrainingPair) -> Row:
    """Whether a busy machine makes another model."""
    quiet = few_steps(pair)
    spinning = "while True: pass"
    others = [subprocess.Popen([sys.executable, "-c", spinning]) for _ in range(2)]
    try:
        busy = few_steps(pair)
    finally:
        for other in others:
            other.kill()
    differ = sum(not torch.equal(quiet[key], busy[key]) for key in quiet)
    return at_most(f"weights that differ after {BUSY_STEPS} steps when busy", differ, 0, "", "d")


def few_steps(pair: TrainingPair) -> dict[str, torch.Tensor]:
    """Weights after some steps."""
    settings = TrainingSettings.fine_tuning(steps=BUSY_STEPS)
    run = train([pair], load_checkpoint("nuclei"), settings=settings)
    for _ in run:
        pass
    return run.latest.unet.state_dict()


# Speed


class PlainLoop:
    """The shortest loop that trains the same network on one batch."""

    def __init__(self, network: Network, images: torch.Tensor, target: torch.Tensor) -> None:
        self.device = images.device
        self.images, self.target = images, target
        self.unet = network.unet.train().to(self.device)
        self.unet = self.unet.to(memory_format=network.unet.memory_format)  # type: ignore[call-overload]
        for module in self.unet.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()  # as fine-tuning has it
        self.optimizer = torch.optim.AdamW(self.unet.parameters(), lr=1e-6)

    def step(self, dtype: torch.dtype) -> None:
        """Learn once."""
        with torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32):
            logits = self.unet(self.images)
        loss = functional.cross_entropy(logits.float(), self.target)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()


def speed_rows(pair: TrainingPair, rounds: int) -> Iterator[Row]:
    """How much of a step is not learning."""
    settings = TrainingSettings.fine_tuning(steps=rounds + 2, seconds=None)
    run = train([pair], load_checkpoint("nuclei"), settings=settings)
    batch = run.next_batch()
    plain = PlainLoop(load_checkpoint("nuclei"), batch.images, batch.target)
    ours_s, plain_s, preparation_s = [], [], []
    for number, report in enumerate(run):
        started = time.perf_counter()
        plain.step(run.precision)
        if number >= 2:  # the first ones are slower
            plain_s.append(time.perf_counter() - started)
            ours_s.append(report.step_s)
            preparation_s.append(report.preparation_s)
    step, device = statistics.median(ours_s), resolve_device()
    yield Row(f"a step on {device}, {str(run.precision).removeprefix('torch.')}", f"{step:.3f} s")
    yield Row("a step of the plain loop", f"{statistics.median(plain_s):.3f} s")
    ratios = [b / a for a, b in zip(ours_s, plain_s, strict=True)]
    yield at_least("steps per second, ours / plain", statistics.median(ratios), 0.9, "")
    share = statistics.median(preparation_s) / step
    yield at_most("share of a step that prepares its batch", share, 0.1, "", ".3f")


def all_rows(dic: Path, dsb2018: Path, *, name: str, quick: bool) -> Iterator[Row]:
    """Everything."""
    boundary_weight_map(np.array([[1, 0, 2]]))  # compiled once, a few seconds
    prepare_instances()
    yield Row("threads", f"{torch.get_num_threads()}")
    image, labels = dic_cells(dic, "train", name)
    cells = np.unique(labels[labels > 0]).size
    yield Row(f"learned from {name}, cells", f"{cells}")
    pair = TrainingPair(image, labels, name)
    yield from speed_rows(pair, 10 if quick else 40)
    test = dic_test(dic)
    nuclei = nuclei_test(dsb2018, 8 if quick else 22)
    yield from learning_rows(60 if quick else None, pair, test, nuclei)
    yield busy_row(pair)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Measure fine-tuning beside its goals.")
    parser.add_argument("dic", type=Path, metavar="BBBC030", help="folder with train and test")
    parser.add_argument("dsb2018", type=Path, metavar="DSB2018", help="folder with index.csv")
    parser.add_argument("--image", default="cho05", help="of the split train, to learn from")
    parser.add_argument("--quick", action="store_true", help="60 steps, fewer images")
    arguments = parser.parse_args()
    folders = (arguments.dic, arguments.dsb2018)
    try:
        rows = all_rows(*folders, name=arguments.image, quick=arguments.quick)
        return 0 if print_table(rows, name_width=48, found_width=42) else 1
    except UNetError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
