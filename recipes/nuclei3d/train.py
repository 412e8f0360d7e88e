"""Train `nuclei-3d`, or one of the networks by which it is judged, from nothing.

    python recipes/nuclei3d/train.py DATA OUT [--leave-out GROUP] [--steps N]

DATA holds the sets that `training_volumes.py` names. OUT gets `log.txt`, `MODEL.safetensors` with
thresholds chosen on what was learned, and in `state/` what an exact resume needs, every few
minutes. SIGTERM or Ctrl-C ends it after the step it is at; the same command goes on. `judge.py`
judges each network on the group that it has not seen.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from training_volumes import GROUPS, learned

from napari_unet import TrainingSettings, new_description, save_checkpoint, train
from napari_unet.engine.training.run import TrainingRun
from napari_unet.engine.training.settings import AugmentationSettings

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from record import Record

SETTINGS = TrainingSettings(
    patience=0,
    batch_size=2,
    patch_size_px=48,
    learning_rate=1e-3,
    decay=0.5,
    average=0.99,
    crowded_share=0.3,
    validation_interval=0,
    augmentation=AugmentationSettings(
        scale=1.6,
        elastic_sigma_px=3.0,
        brightness=0.15,
        contrast=1.5,
        gamma=1.6,
        noise=0.15,
        blur_px=1.5,
        fewest_levels=8,
    ),
)
"""The synthetic volume has 31 slices, so that patches have 28 to 32 x 48 x 48 voxels wherever it is
learned."""

SAVE_S, LINES_EVERY = 120.0, 50


class Stop:
    """Whether a signal has come."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, *_signal: Any) -> None:
        self.asked = True

    def __call__(self) -> bool:
        """Whether to end."""
        return self.asked


def name_of(left_out: str | None) -> str:
    """Name of the network that has not seen a group."""
    return "nuclei-3d" if left_out is None else f"without-{left_out}"


def begun(
    data: Path, record: Record, left_out: str | None, settings: TrainingSettings
) -> TrainingRun:
    """A training at its start, or where it was left."""
    volumes = learned(left_out)
    pairs = [volume.pair(data) for volume in volumes]
    description = new_description(pairs, name=name_of(left_out))
    state = record.state if record.state.exists() else None
    run = train(pairs, settings=settings, description=description, device="cpu", resume_from=state)
    record.say(
        f"{'going on' if run.step else 'begun'} at step {run.step} of {settings.steps} with "
        f"{', '.join(volume.name for volume in volumes)}; {torch.get_num_threads()} threads, "
        f"{run.precision}"
    )
    return run


def to_its_end(run: TrainingRun, record: Record, stop: Stop) -> bool:
    """Train, with a line and a state every so often; whether it came to the end."""
    saved = began = time.monotonic()
    processor, losses = time.process_time(), []
    while not stop() and (report := next(run, None)):
        losses.append(report.loss)
        if report.step % LINES_EVERY == 0:
            record.say(
                f"step {report.step}: loss {np.mean(losses):.4f}, "
                f"{(time.monotonic() - began) / len(losses):.2f} s a step, of the processor "
                f"{(time.process_time() - processor) / len(losses):.2f}"
            )
            began, processor, losses = time.monotonic(), time.process_time(), []
        if time.monotonic() - saved > SAVE_S:
            run.save_state(record.state)
            saved = time.monotonic()
    run.save_state(record.state)
    return run.share >= 1


def main() -> None:
    """Train, choose thresholds on what was learned, and save."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--leave-out", choices=GROUPS)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    record = Record(arguments.out)
    (arguments.out / "pid").write_text(f"{os.getpid()}\n")
    settings = replace(SETTINGS, steps=arguments.steps, seed=arguments.seed)
    stop = Stop()
    run = begun(arguments.data, record, arguments.leave_out, settings)
    if not to_its_end(run, record, stop):
        record.say(f"ended after step {run.step}; the state is saved")
        return
    for note in run.notes:
        record.say(note)
    network = run.tuned()
    file = arguments.out / f"{name_of(arguments.leave_out)}.safetensors"
    save_checkpoint(network, file, overwrite=True)
    record.say(f"{run.step} steps; {network.description.instances}")


if __name__ == "__main__":
    main()
