"""Train the bundled model `nuclei` from nothing: python recipes/nuclei/train.py DATA OUT.

DATA holds the sets that `training_images.py` names. OUT gets `log.txt` (a line every 100 steps, and
the average precision by kind of image every 2,000), `validation.csv`, `pid`, and in `state/` all
that an exact resume needs, every few minutes. SIGTERM or Ctrl-C ends it after the step it is at;
the same command goes on to the bit.

python recipes/nuclei/train.py DATA OUT --export-light FILE writes the averaged weights in float16
(5.4 MB) with the step and the best validation. `--from-light FILE` goes on from there where
`state/` is missing, for example on another computer: what Adam knew is lost, and the rate rises
anew.
"""

from __future__ import annotations

import argparse
import csv
import ctypes
import dataclasses
import json
import os
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from training_images import Parts, Picture, split, weighted_pairs

from napari_unet import (
    InstanceSettings,
    TrainingSettings,
    evaluate,
    load_checkpoint,
    save_checkpoint,
    segment,
    train,
)
from napari_unet.engine.networks.network import Network, NetworkDescription
from napari_unet.engine.networks.unet import UNetConfig
from napari_unet.engine.training.settings import AugmentationSettings
from napari_unet.engine.training.stain import StainChange
from napari_unet.engine.training.training import TrainingRun

STEPS = 40_000

DESCRIPTION = NetworkDescription(
    "nuclei",
    UNetConfig(in_channels=3, classes=3, base_width=32, depth=4, max_width=160),
    class_roles=("background", "cell", "border"),
    # For the validations only; they are tuned when the training has ended.
    instances=InstanceSettings(foreground_threshold=0.45, seed_threshold=0.5, min_score=0.6),
    summary="Nuclei in fluorescence, histology and brightfield images, grey or RGB.",
    training_data=(
        "2018 Data Science Bowl, stage 1 (BBBC038, CC0), U2OS nuclei (BBBC039, CC0) and DAPI in "
        "mouse tissue (BitDepth_NucSeg, Apache-2.0); parts of each held out."
    ),
    licence="BSD-3-Clause; trained on CC0 and Apache-2.0 images",
)

SETTINGS = TrainingSettings(
    steps=STEPS,
    patience=0,
    batch_size=4,
    # Most images have 256 pixels: of patches as large, turned and zoomed, 72 % of the pixels count,
    # of these 80 %, and a step takes 56 % of the time.
    patch_size_px=192,
    learning_rate=1e-3,
    warmup_steps=200,
    decay=0.6,
    average=0.999,
    crowded_share=0.4,
    validation_interval=0,
    augmentation=AugmentationSettings(
        scale=2.0,
        gamma=1.6,
        noise=0.12,
        blur_px=2.0,
        fewest_levels=8,
        stain=0.35,
        hue_degrees=120.0,
        saturation=2.0,
        channel_mixing=0.15,
        grey_share=0.2,
        inverted_share=0.1,
    ),
)

LINES_EVERY, FIRST_VALIDATION, VALIDATIONS_EVERY = 100, 1000, 2000

FOREIGN_COLOURS = (
    StainChange(np.array([[0.1, 0.2, 0.7], [0.2, 0.5, 0.3], [0.7, 0.3, 0.0]])),  # brown
    StainChange(np.array([[0.4, 0.6, 0.0], [0.0, 0.1, 0.4], [0.3, 0.4, 0.1]])),  # green
    StainChange(np.eye(3), np.full(3, 1 / 3), inverted=True),
    StainChange(np.eye(3), np.array([0.2, 0.7, 0.1])),
)
"""In turn for held-out tissue: how blind to stains it is, beside the few images of another one."""


class Record:
    """What is written to OUT.

    Parameters
    ----------
    out : Path
    """

    def __init__(self, out: Path) -> None:
        self.state = out / "state" / "train.state"
        self.best = out / "state" / "best.safetensors"
        self.latest = out / "state" / "latest.safetensors"
        self._log, self._table = out / "log.txt", out / "validation.csv"
        self.state.parent.mkdir(parents=True, exist_ok=True)

    def say(self, sentence: str) -> None:
        """Add a line to the log."""
        line = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {sentence}"
        print(line, flush=True)
        with self._log.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def rows(self) -> list[dict[str, str]]:
        """Validations so far."""
        if not self._table.exists():
            return []
        with self._table.open(newline="") as file:
            return list(csv.DictReader(file))

    def write_rows(self, rows: list[dict[str, Any]]) -> None:
        """Replace the table of validations."""
        partial = self._table.with_suffix(".part")
        with partial.open("w", newline="") as file:
            table = csv.DictWriter(file, rows[0].keys() if rows else ["step"])
            table.writeheader()
            table.writerows(rows)
        partial.replace(self._table)


def measured_sets(parts: Parts) -> dict[str, list[Picture]]:
    """Few images of each kind, always the same, so that to validate takes little time."""
    learn = {
        kind: [item for item in parts.learn if item.kind == kind]
        for kind in ("fluorescence", "histology", "U2OS", "tissue DAPI")
    }
    counts = {"fluorescence": 20, "histology": 16, "U2OS": 5, "tissue DAPI": 6}
    sets = {
        f"validation, {kind}": evenly(items, counts.get(kind, 4))
        for kind, items in parts.held.items()
    }
    sets["validation, recoloured"] = evenly(parts.held["histology"], 12)
    counts = {"fluorescence": 10, "histology": 8, "U2OS": 2, "tissue DAPI": 3}
    return sets | {f"training, {kind}": evenly(learn[kind], n) for kind, n in counts.items()}


def evenly(items: Any, count: int) -> list[Picture]:
    """At most so many of the items, evenly spread."""
    if len(items) <= count:
        return list(items)
    return [items[int(place)] for place in np.linspace(0, len(items) - 1, count)]


def recoloured(image: Any, number: int) -> Any:
    """A stained image in colours that no training image has."""
    colours = torch.from_numpy(np.moveaxis(image[..., :3], -1, 0).astype(np.float32) / image.max())
    changed = FOREIGN_COLOURS[number % len(FOREIGN_COLOURS)].apply(colours)
    return np.moveaxis(np.repeat(changed.numpy(), 3 // len(changed), axis=0), 0, -1)


class Measure:
    """Average precision by kind of image.

    Parameters
    ----------
    sets : dict of str to list of Picture
    """

    def __init__(self, sets: dict[str, list[Picture]]) -> None:
        self._sets = {name: [item.pair() for item in items] for name, items in sets.items()}

    def row(self, network: Network, *, should_stop: Any, device: str) -> dict[str, Any] | None:
        """Pooled precision at 0.5, 0.7 and 0.9 of each set; None if stopped."""
        # Not what is deduced from the training images, so that all rows compare.
        network = Network(
            network.unet,
            dataclasses.replace(network.description, instances=DESCRIPTION.instances),
        )
        row: dict[str, Any] = {}
        for name, pairs in self._sets.items():
            found = []
            for number, pair in enumerate(pairs):
                if should_stop():
                    return None
                image = pair.image
                if name.endswith("recoloured"):
                    image = recoloured(image, number)
                found.append(segment(image, network, device=device, keep_scores=False).labels)
            evaluation = evaluate([pair.labels for pair in pairs], found)
            for t in evaluation.thresholds:
                row[f"{name} {t:g}"] = round(evaluation.pooled(t).average_precision, 4)
        return row


def quality(row: dict[str, Any]) -> float:
    """Mean over the kinds, and the three thresholds, of what was held out."""
    return float(np.mean([float(v) for k, v in row.items() if k.startswith("validation")]))


class Training:
    """Steps, lines, validations and states.

    Parameters
    ----------
    run : TrainingRun
    record : Record
    measure : Measure
    arguments : Namespace
    """

    def __init__(
        self, run: TrainingRun, record: Record, measure: Measure, arguments: argparse.Namespace
    ) -> None:
        self._run, self._record, self._measure = run, record, measure
        self._arguments = arguments
        self._stopped = False
        rows = [row for row in record.rows() if int(row["step"]) <= run.step]
        self._rows: list[dict[str, Any]] = list(rows)

    def stop(self, *_signal: Any) -> None:
        """End after the step, or the image, that is being computed."""
        self._stopped = True

    def iterate(self) -> bool:
        """Train to the end, or until stopped; return whether it came to the end."""
        saved = began = time.monotonic()
        losses: list[float] = []
        waited = 0.0
        self._validate_if_due()
        while not self._stopped:
            report = next(self._run, None)
            if report is None:
                break
            losses.append(report.loss)
            waited += report.preparation_s
            if report.step % LINES_EVERY == 0:
                now = time.monotonic()
                each, wait = (now - began) / len(losses), waited / len(losses)
                self._record.say(
                    f"step {report.step} of {report.steps}: loss {np.mean(losses):.4f}, "
                    f"{each:.2f} s a step, {wait:.2f} of it for the batch"
                )
                losses, waited, began = [], 0.0, now
            if time.monotonic() - saved > 60 * self._arguments.save_minutes:
                self._run.save_state(self._record.state)
                saved = time.monotonic()
            if self._validate_if_due():
                began = time.monotonic()
                losses, waited = [], 0.0
        if self._run.step:
            self._run.save_state(self._record.state)
        self._record.say(f"ended after step {self._run.step}; the state is saved")
        return self._run.share >= 1

    def _validate_if_due(self) -> bool:
        step = self._run.step
        is_due = step == FIRST_VALIDATION or (step > 0 and step % VALIDATIONS_EVERY == 0)
        is_due = is_due or self._run.share >= 1
        if not is_due or any(int(row["step"]) == step for row in self._rows):
            return False
        self._run.save_state(self._record.state)
        started = time.monotonic()
        network = self._run.latest
        found = self._measure.row(
            network, should_stop=lambda: self._stopped, device=self._arguments.device
        )
        if found is None:
            return False
        before = max((float(row["quality"]) for row in self._rows), default=-1.0)
        row = {"step": step, "quality": round(quality(found), 4), **found}
        if row["quality"] > before:
            save_checkpoint(network, self._record.best, overwrite=True)
        save_checkpoint(network, self._record.latest, overwrite=True)
        self._rows.append(row)
        self._record.write_rows(self._rows)
        for name in dict.fromkeys(key.rpartition(" ")[0] for key in found):
            values = [f"{v:.3f}" for k, v in found.items() if k.rpartition(" ")[0] == name]
            self._record.say(f"step {step}: {name}: AP {' / '.join(values)}")
        self._record.say(
            f"step {step}: quality {row['quality']:.4f}, best before {before:.4f}, "
            f"in {time.monotonic() - started:.0f} s"
        )
        return True


def export_light(record: Record, path: Path) -> None:
    """Write the averaged weights in half precision; the file tells step and best validation.

    The latest weights stay out: they only differ by the noise of the last
    batches, would double the file, and the average is the better start.
    """
    state = torch.load(record.state, weights_only=True, map_location="cpu")
    unet = load_light(state["average"])
    rows = record.rows()
    best = max(rows, key=lambda row: float(row["quality"])) if rows else {}
    metrics = {"training state": {"step": float(state["step"])}}
    if best:
        metrics["best validation"] = {k: float(v) for k, v in best.items()}
    description = dataclasses.replace(DESCRIPTION, metrics=metrics)
    save_checkpoint(Network(unet, description), path, overwrite=True, half=True)
    size = path.stat().st_size / 1e6
    print(f"step {state['step']} -> {path} ({size:.1f} MB)")


def load_light(weights: dict[str, Any]) -> Any:
    """The network of `DESCRIPTION` with these weights."""
    from napari_unet.engine.networks.unet import UNet

    unet = UNet(DESCRIPTION.architecture)
    unet.load_state_dict(weights)
    return unet.eval()


def begin(parts: Parts, record: Record, arguments: argparse.Namespace) -> TrainingRun:
    """A new training, or one that goes on: from its state, else from light weights."""
    settings = dataclasses.replace(SETTINGS, steps=arguments.steps)
    pairs = weighted_pairs(parts.learn)
    options: dict[str, Any] = {"settings": settings, "device": arguments.device}
    if record.state.exists():
        run = train(pairs, description=DESCRIPTION, resume_from=record.state, **options)
    elif arguments.from_light:
        light = load_checkpoint(arguments.from_light)
        step = int(light.description.metrics["training state"]["step"])
        run = train(pairs, Network(light.unet, DESCRIPTION), **options)
        run.go_on_at(step)
    else:
        run = train(pairs, description=DESCRIPTION, **options)
    for note in run.notes:
        record.say(note)
    return run


def keep_freed_memory() -> None:
    """Let glibc reuse large blocks; to ask the system anew for each costs an eighth of a step."""
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        trim_threshold, top_pad, mmap_max = -1, -2, -4
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(top_pad, 2**28)


def read_arguments() -> argparse.Namespace:
    """Of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, metavar="DATA", help="folder with the sets of images")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for log and state")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--save-minutes", type=float, default=4.0)
    parser.add_argument("--from-light", type=Path, metavar="FILE")
    parser.add_argument("--export-light", type=Path, metavar="FILE")
    return parser.parse_args()


def main() -> int:
    """Train, or export what was trained so far."""
    arguments = read_arguments()
    if arguments.export_light:
        export_light(Record(arguments.out), arguments.export_light)
        return 0
    keep_freed_memory()
    record = Record(arguments.out)
    (arguments.out / "pid").write_text(f"{os.getpid()}\n")
    parts = split(arguments.data)
    run = begin(parts, record, arguments)
    sets = measured_sets(parts)
    counts = {kind: len(items) for kind, items in parts.held.items()}
    record.say(
        f"{'going on' if run.step else 'begun'} at step {run.step} of {arguments.steps} with "
        f"{len(parts.learn)} images; held out {json.dumps(counts)}; {torch.get_num_threads()} "
        f"threads, {run.precision}"
    )
    training = Training(run, record, Measure(sets), arguments)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, training.stop)
    finished = training.iterate()
    if finished:
        save_checkpoint(run.latest, arguments.out / "nuclei.safetensors", overwrite=True, half=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
