"""A training as the command line shows it: its messages, its files, and how it is stopped."""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_unet.batch.file_plan import kept_elsewhere
from napari_unet.batch.training.tuned import tuned
from napari_unet.cli.console import StopRequest, progress_bar, report, say
from napari_unet.cli.program import INTERRUPTED
from napari_unet.cli.queued_training import texts_about
from napari_unet.engine.base.errors import CheckpointError, FileError, UNetError
from napari_unet.engine.base.whole_file import write_problem
from napari_unet.engine.base.words import count
from napari_unet.engine.labels.cell_types import TypeEvaluation
from napari_unet.engine.labels.evaluation import Evaluation
from napari_unet.engine.models.checkpoint import save_checkpoint
from napari_unet.engine.networks.bundled import bank_file
from napari_unet.engine.networks.network import Network
from napari_unet.engine.training.knowledge.bank import bank_of, write_bank
from napari_unet.engine.training.learner import TrainingReport
from napari_unet.engine.training.length.pace import Pace, duration_in_words
from napari_unet.engine.training.run import TrainingRun

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_LINES_WITHOUT_VALIDATION = 10
_TIMED_STEPS = 5
"""The first ones, which also load and compile, must not count for much."""
_SAVE_STEPS = 100
_SAVE_S = 30.0
"""A crash costs no more than that, whether anything is held out or not."""


@contextmanager
def only_writer(model_path: Path) -> Iterator[None]:
    """Keep a second training from writing the same files meanwhile.

    The lock is the system's and ends with the process, whichever way that ends.

    Raises
    ------
    FileError
        If another one runs, or no file can be made there.
    """
    # Whoever names the file by a link to it writes the same one.
    lock = Path(os.path.realpath(model_path)).with_suffix(".lock")
    try:
        opened = lock.open("ab")
    except OSError as error:
        raise FileError(write_problem(lock, error)) from error
    with opened as stream:
        try:
            if sys.platform == "win32":
                msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            raise FileError(
                f"Another training is writing '{model_path}'; wait until it has ended, or choose "
                "another name."
            ) from error
        except OSError:
            pass  # some network shares know no locks
        try:
            yield
        finally:
            with suppress(OSError):  # Windows deletes no open file
                lock.unlink(missing_ok=True)


class TrainingSession:
    """A training with its messages and files.

    Parameters
    ----------
    run : TrainingRun
    arguments : Namespace
    model_path, state_path : Path
        Where the model, and what a resume needs, are written.
    """

    def __init__(
        self,
        run: TrainingRun,
        arguments: argparse.Namespace,
        model_path: Path,
        state_path: Path,
    ) -> None:
        self._run = run
        self._arguments = arguments
        self._noted: tuple[str, ...] = ()
        self._model_path = model_path
        self._state_path = state_path
        # The first step is saved, too: what lies there may be left of an earlier training.
        self._saved = -_SAVE_S
        self._pace, self._timed = Pace(), 0

    def run(self, start: Path | None = None) -> int:
        """Train to the end or until stopped; return the exit status.

        Parameters
        ----------
        start : Path, optional
            File of the model that it begins with.
        """
        try:
            finished = self._iterate()
        except KeyboardInterrupt:
            finished = False  # in the middle of a step: the last saved state stays
        except UNetError:
            if self._run.step > 0:
                self._write_model()
            raise
        if self._run.step == 0:
            say("stopped before the first step; nothing was written.")
            return INTERRUPTED
        # Before the thresholds are tuned: who interrupts that has the model.
        self._write_model()
        if not finished:
            self._explain_resume()
            return INTERRUPTED
        network = self._tuned() if self._arguments.tune else self._run.network
        self._write_proposed(network)
        if self._arguments.keep_images:
            path = bank_file(self._model_path)
            write_bank(bank_of(self._run.pairs, start), path)
            report(f"what it learned from -> {path}")
        self._explain_further()
        return 0

    def _iterate(self) -> bool:
        """Return whether training came to its end."""
        training_run = self._run
        with (
            StopRequest() as stop,
            progress_bar(100, "training", forced=self._arguments.progress) as bar,
        ):
            training_run.should_stop = lambda: stop.requested
            bar.update(int(100 * training_run.share))
            before = training_run.share
            for step in training_run:
                bar.set_postfix_str(f"step {step.step}, loss {step.loss:.3f}", refresh=False)
                bar.update(int(100 * step.share) - bar.n)
                self._report(step, before)
                before = step.share
                # What has ended can be trained further.
                if stop.requested or step.share >= 1 or self._save_is_due(step):
                    self._save()
                if stop.requested:
                    return step.share >= 1 and not training_run.validation_is_due
        return True

    def _save_is_due(self, step: TrainingReport) -> bool:
        every = self._run.settings.validation_interval or _SAVE_STEPS
        is_late = time.monotonic() - self._saved >= _SAVE_S
        # A validation is a moment from which a crash costs little.
        return step.validation_loss is not None or step.step % every == 0 or is_late

    def _save(self) -> None:
        self._saved = time.monotonic()
        try:
            self._run.save_state(self._state_path)
        except CheckpointError as error:
            # No reason to lose what is being learned.
            say(f"{error} The training goes on without being saved.")

    def _report(self, step: TrainingReport, share_before: float) -> None:
        for note in step.notes:
            if note not in self._noted:
                say(note)
        self._noted = step.notes
        self._report_time()
        seconds = self._run.settings.seconds
        most = "at most " if self._run.schedule.may_end_earlier else ""
        of = f"of {most}{step.steps}" if seconds is None else f"after {step.share * seconds:.0f} s"
        line = f"step {step.step} {of}: loss {step.loss:.3f}"
        best = ", best so far" if step.is_best else ""
        if step.validation is not None:
            report(f"{line}, {describe_evaluation(step.validation)}{told_of(step.types)}{best}")
        elif step.validation_loss is not None:
            report(f"{line}, on held-out images {step.validation_loss:.3f}{best}")
        elif not self._run.is_validated and int(step.share * _LINES_WITHOUT_VALIDATION) > int(
            share_before * _LINES_WITHOUT_VALIDATION
        ):
            report(line)

    def _report_time(self) -> None:
        """Say once, after the first steps, how long it will take on this machine."""
        self._pace.count_step()
        self._timed += 1
        left_s = self._run.schedule.seconds_left(self._pace.step_s)
        if self._timed == _TIMED_STEPS and left_s is not None:
            may_end = " at most; it may end earlier" if self._run.schedule.may_end_earlier else ""
            report(f"{duration_in_words(left_s)} to go{may_end}")

    def _write_model(self) -> None:
        # The file, if there is one, is this training's own, or may be replaced: it was checked.
        path = self._write(self._named(self._run.network))
        why = ""
        if self._run.schedule.ending == "levelled off":
            why = ", as the loss has levelled off"
        report(f"model after {count(self._run.step, 'step')}{why} -> {path}")

    def _write(self, network: Network) -> Path:
        try:
            return save_checkpoint(network, self._model_path, overwrite=True)
        except CheckpointError as error:
            kept = kept_elsewhere(
                self._model_path, "The model is", lambda path: save_checkpoint(network, path)
            )
            raise CheckpointError(f"{error}{kept}") from error

    def _tuned(self) -> Network:
        """Network with thresholds that suit, and how good it is on what was held out."""
        found = tuned(self._run)
        if found.evaluation is not None:
            figures = describe_evaluation(found.evaluation)
            report(f"{found.measured_on}: {figures}{told_of(found.types)}")
        elif found.is_tuned:
            report("thresholds tuned on the training images")
        return found.network

    def _write_proposed(self, network: Network) -> None:
        """Write what is better than the start, or say that nothing is."""
        verdict = self._run.verdict(network)
        if verdict is None:
            self._write(self._named(network))
            return
        self._write(self._named(verdict.proposed))
        report(verdict.sentence)
        # Of one that was too short something else is told.
        if not verdict.is_better and not self._run.shortfall:
            say(f"{verdict.advice} What it learned is in '{self._model_path}' all the same.")

    def _named(self, network: Network) -> Network:
        """Describe what the network has become."""
        texts: dict[str, Any] = texts_about(self._arguments)
        description = replace(network.description, name=self._arguments.out.stem, **texts)
        return Network(network.unet, description)

    def _explain_resume(self) -> None:
        if not self._state_path.exists():
            say("stopped; the model was written, but this training cannot be resumed.")
            return
        short = f"{self._run.shortfall} " if self._run.shortfall else ""
        say(f"stopped after step {self._run.step}. {short}To go on: {self._resume_command()}")

    def _explain_further(self) -> None:
        """Say where the training was too short, and what is there to go on with."""
        is_kept = self._state_path.exists()
        if self._run.shortfall:
            how = f": {self._resume_command()}" if is_kept else "."
            say(f"{self._run.shortfall.removesuffix('.')}{how}")
        if is_kept:
            report(f"to train further by --resume -> {self._state_path} (may be deleted)")

    def _resume_command(self) -> str:
        given = [word for word in self._arguments.command_line if word != "--resume"]
        words = ["napari-unet", *given, "--resume"]
        return shlex.join(words) if os.name == "posix" else subprocess.list2cmdline(words)


def told_of(types: TypeEvaluation | None) -> str:
    """Write ", 27 of 30 of the right type"; empty without types."""
    if types is None or not types.matched:
        return ""
    return f", {types.right} of {types.matched} of the right type"


def describe_evaluation(evaluation: Evaluation) -> str:
    """Write "AP 0.5 / 0.7 / 0.9: 0.88 / 0.74 / 0.25 pooled (45 cells)"; of few cells the counts."""
    if not evaluation.has_figures:
        first = evaluation.thresholds[0]
        return f"{evaluation.counts(first)} at IoU {first:g}, too few for a figure"
    thresholds = " / ".join(f"{t:g}" for t in evaluation.thresholds)
    values = " / ".join(
        f"{evaluation.pooled(t).average_precision:.3f}" for t in evaluation.thresholds
    )
    return f"AP {thresholds}: {values} pooled ({count(evaluation.true_cells, 'cell')})"
