"""How a bundled model is trained; each recipe gives its images, description and settings.

python recipes/MODEL/train.py DATA OUT

OUT gets `log.txt` (a line every so many steps, and the average precision by kind of image),
`validation.csv`, `pid`, the finished `MODEL.safetensors`, and in `state/` all that an exact resume
needs, every few minutes. SIGTERM or Ctrl-C ends it after the step it is at; the same command goes
on to the bit.

--export-light FILE writes the averaged weights in float16 with the step and the best validation.
--from-light FILE goes on from there where `state/` is missing, for example on another computer:
what Adam knew is lost, the rate rises anew, and a narrower network is widened to --max-width N.
--from-model FILE begins with the weights of another model.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from picture_sets import Parts
from record import Measure, Record, quality
from widening import widened

from napari_unet import (
    TrainingPair,
    TrainingSettings,
    load_checkpoint,
    save_checkpoint,
)
from napari_unet.engine.base.host_memory import keep_freed_memory
from napari_unet.engine.networks.network import Network, NetworkDescription, new_network
from napari_unet.engine.networks.unet import UNet
from napari_unet.engine.training.run import TrainingRun


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a bundled model is made of.

    Parameters
    ----------
    description : NetworkDescription
        Of the network; its thresholds are those of all validations.
    settings : TrainingSettings
    split : callable
        Given DATA, what it learns from and what is held out.
    training_pairs : callable
        Given that, the pairs to learn from.
    measured_pairs : callable
        And those of each set that the validations show. The sets whose names
        begin with "validation" tell which state is the best.
    first_validation, validations_every : int
        Steps.
    lines_every : int
        Steps between two lines of the log.
    starts_from : str, optional
        Name of the model whose weights it begins with.
    """

    description: NetworkDescription
    settings: TrainingSettings
    split: Callable[[Path], Parts]
    training_pairs: Callable[[Parts], list[TrainingPair]]
    measured_pairs: Callable[[Parts], dict[str, list[TrainingPair]]]
    first_validation: int
    validations_every: int
    lines_every: int = 100
    starts_from: str | None = None


class Training:
    """Steps, lines, validations and states.

    Parameters
    ----------
    run : TrainingRun
    record : Record
    recipe : Recipe
    measure : Measure
    arguments : Namespace
    """

    def __init__(
        self,
        run: TrainingRun,
        record: Record,
        recipe: Recipe,
        measure: Measure,
        arguments: argparse.Namespace,
    ) -> None:
        self._run, self._record, self._recipe, self._measure = run, record, recipe, measure
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
            if report.step % self._recipe.lines_every == 0:
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
        is_due = step > 0 and step % self._recipe.validations_every == 0
        is_due = is_due or step == self._recipe.first_validation or self._run.share >= 1
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


def export_light(recipe: Recipe, record: Record, path: Path) -> None:
    """Write the averaged weights in half precision; the file tells step and best validation.

    The latest weights stay out: they only differ by the noise of the last
    batches, would double the file, and the average is the better start.
    """
    state = torch.load(record.state, weights_only=True, map_location="cpu")
    unet = UNet(recipe.description.architecture)
    unet.load_state_dict(state["average"])
    rows = record.rows()
    best = max(rows, key=lambda row: float(row["quality"])) if rows else {}
    metrics = {"training state": {"step": float(state["step"])}}
    if best:
        metrics["best validation"] = {k: float(v) for k, v in best.items()}
    description = dataclasses.replace(recipe.description, metrics=metrics)
    save_checkpoint(Network(unet.eval(), description), path, overwrite=True, half=True)
    size = path.stat().st_size / 1e6
    print(f"step {state['step']} -> {path} ({size:.1f} MB)")


def begin(
    recipe: Recipe, parts: Parts, record: Record, arguments: argparse.Namespace
) -> TrainingRun:
    """A new training, or one that goes on: from its state, else from light weights."""
    settings = dataclasses.replace(recipe.settings, steps=arguments.steps)
    light = None if record.state.exists() else arguments.from_light
    if record.state.exists():
        network = new_network(recipe.description, settings.seed)  # its weights are replaced
    elif light:
        network = widened(load_checkpoint(light), recipe.description, settings.seed)
    else:
        network = first_network(recipe, arguments.from_model, settings.seed)
    run = TrainingRun(
        recipe.training_pairs(parts),
        network,
        settings=settings,
        validation=(),
        device=arguments.device,
        # With one, the recipe's own texts would give way to "trained further on".
        started_from=None,
    )
    if record.state.exists():
        run.load_state(record.state)
    elif light:
        run.go_on_at(int(load_checkpoint(light).description.metrics["training state"]["step"]))
    for note in run.notes:
        record.say(note)
    return run


def first_network(recipe: Recipe, model: Path | None, seed: int) -> Network:
    """What step 0 begins with."""
    name, wanted = recipe.description.name, recipe.starts_from
    if model is None and wanted is not None:
        sys.exit(f"'{name}' begins with the weights of '{wanted}'; give its file by --from-model.")
    if model is not None and wanted is None:
        sys.exit(f"'{name}' begins with nothing; leave out --from-model.")
    if model is None:
        return new_network(recipe.description, seed)
    start = load_checkpoint(model)
    found = start.description
    if found.name != wanted or found.architecture != recipe.description.architecture:
        sys.exit(f"'{model}' is not '{wanted}' with the network of '{name}'; give one that is.")
    return Network(start.unet, recipe.description)


def read_arguments(recipe: Recipe, text: str | None) -> argparse.Namespace:
    """Of the command line."""
    parser = argparse.ArgumentParser(
        description=f"{text}\n{__doc__}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, metavar="DATA", help="folder with the sets of images")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for log and state")
    parser.add_argument("--steps", type=int, default=recipe.settings.steps)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--save-minutes", type=float, default=4.0)
    parser.add_argument("--from-light", type=Path, metavar="FILE")
    parser.add_argument("--from-model", type=Path, metavar="FILE")
    parser.add_argument("--export-light", type=Path, metavar="FILE")
    parser.add_argument("--max-width", type=int, metavar="N", help="other features at the bottom")
    return parser.parse_args()


def of_width(recipe: Recipe, max_width: int) -> Recipe:
    """The same recipe for a network that has more or fewer features at the bottom."""
    description = recipe.description
    shape = dataclasses.replace(description.architecture, max_width=max_width)
    description = dataclasses.replace(description, architecture=shape)
    return dataclasses.replace(recipe, description=description)


def follow(recipe: Recipe, text: str | None) -> int:
    """Train, or export what was trained so far, as the command line asks.

    Parameters
    ----------
    text : str
        What the script of the recipe says of itself.
    """
    arguments = read_arguments(recipe, text)
    if arguments.max_width is not None:
        recipe = of_width(recipe, arguments.max_width)
    record = Record(arguments.out)
    if arguments.export_light:
        export_light(recipe, record, arguments.export_light)
        return 0
    keep_freed_memory(all_of_it=True)
    parts = recipe.split(arguments.data)
    (arguments.out / "pid").write_text(f"{os.getpid()}\n")
    run = begin(recipe, parts, record, arguments)
    measure = Measure(recipe.measured_pairs(parts), recipe.description.instances)
    counts = {kind: len(items) for kind, items in parts.held.items()}
    record.say(
        f"{'going on' if run.step else 'begun'} at step {run.step} of {arguments.steps} with "
        f"{len(parts.learn)} images; held out {json.dumps(counts)}; {torch.get_num_threads()} "
        f"threads, {run.precision}"
    )
    training = Training(run, record, recipe, measure, arguments)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, training.stop)
    if training.iterate():
        finished = arguments.out / f"{recipe.description.name}.safetensors"
        save_checkpoint(run.latest, finished, overwrite=True, half=True)
    return 0
