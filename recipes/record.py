"""What a training writes beside its state, and the average precisions that stand there."""

from __future__ import annotations

import csv
import dataclasses
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from napari_unet import InstanceSettings, TrainingPair, evaluate, segment
from napari_unet.engine.networks.network import Network


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


class Measure:
    """Average precision of sets of held-out, and some learned, images.

    Parameters
    ----------
    sets : dict of str to list of TrainingPair
    instances : InstanceSettings
        Not what is deduced from the training images, so that all rows compare.
    """

    def __init__(self, sets: dict[str, list[TrainingPair]], instances: InstanceSettings) -> None:
        self._sets, self._instances = sets, instances

    def row(self, network: Network, *, should_stop: Any, device: str) -> dict[str, Any] | None:
        """Pooled precision at 0.5, 0.7 and 0.9 of each set; None if stopped."""
        description = dataclasses.replace(network.description, instances=self._instances)
        network = Network(network.unet, description)
        row: dict[str, Any] = {}
        for name, pairs in self._sets.items():
            found = []
            for pair in pairs:
                if should_stop():
                    return None
                labels = segment(pair.image, network, device=device, keep_scores=False).labels
                found.append(labels)
            evaluation = evaluate([pair.labels for pair in pairs], found)
            for t in evaluation.thresholds:
                row[f"{name} {t:g}"] = round(evaluation.pooled(t).average_precision, 4)
        return row


def quality(row: dict[str, Any]) -> float:
    """Mean over the kinds, and the three thresholds, of what was held out."""
    return float(np.mean([float(v) for k, v in row.items() if k.startswith("validation")]))
