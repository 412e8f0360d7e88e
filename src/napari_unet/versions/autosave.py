"""The state of a running training, saved from time to time to go on with after a crash."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.engine.base.errors import CheckpointError
from napari_unet.versions.notes import (
    NOTE,
    explained,
    files_in,
    is_running,
    new_id,
    process_note,
    read_json,
    write_json,
)

if TYPE_CHECKING:
    from napari_unet.engine.training.run import TrainingRun

_STATE = ".training"
_AUTOSAVE_S = 120.0


@dataclass(frozen=True, slots=True)
class InterruptedTraining:
    """A training that did not come to its end, as far as it was saved.

    Parameters
    ----------
    state : Path
        What `train(..., resume_from=)` takes.
    step : int
        Steps that were done.
    date : str
        When it was saved, in ISO 8601 and UTC.
    about : mapping of str to value
        What it was: whatever `Autosave` was given.
    """

    state: Path
    step: int
    date: str
    about: Mapping[str, Any]

    def discard(self) -> None:
        """Delete what was saved of it."""
        for path in (self.state.with_suffix(NOTE), self.state):
            with suppress(OSError):
                path.unlink(missing_ok=True)


class Autosave:
    """Saves a running training from time to time, so that a crash loses little.

    Parameters
    ----------
    about : mapping of str to value
        What is needed to go on: the model's name, the layers, the settings.
    every_s : float
        Seconds between two saves at least.
    replaces : InterruptedTraining, optional
        The one that this run goes on with; discarded once this is saved.
    clock : callable
        Seconds that pass.
    """

    def __init__(
        self,
        folder: Path,
        about: Mapping[str, Any] | None = None,
        *,
        every_s: float = _AUTOSAVE_S,
        replaces: InterruptedTraining | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = folder
        self.about = dict(about or {})
        self._every_s = every_s
        self._replaces = replaces
        self._clock = clock
        self._last = clock()
        self._state = folder / f"{new_id()}{_STATE}"

    def save(self, run: TrainingRun, *, now: bool = False) -> bool:
        """Save a run, unless that was done a moment ago.

        Parameters
        ----------
        now : bool
            Save it in any case, as before it is paused.

        Returns
        -------
        bool
            Whether it was saved.

        Raises
        ------
        CheckpointError
            If it cannot be written; what was saved before is still there, and
            the training may go on.
        """
        if not now and self._clock() - self._last < self._every_s:
            return False
        self._last = self._clock()
        with explained(self.folder, "the training goes on without being saved"):
            self.folder.mkdir(parents=True, exist_ok=True)
            run.save_state(self._state)
            try:
                write_json(self._state.with_suffix(NOTE), self._note(run))
            except CheckpointError:
                if not self._state.with_suffix(NOTE).exists():
                    self.discard()  # nobody could tell what it is
                raise
        if self._replaces is not None:
            self._replaces.discard()
            self._replaces = None
        return True

    def _note(self, run: TrainingRun) -> dict[str, Any]:
        return {
            "about": self.about,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "step": run.step,
            **process_note(),
        }

    @property
    def saved(self) -> InterruptedTraining | None:
        """What was saved so far, to go on with in this process; None if nothing was."""
        note = read_json(self._state.with_suffix(NOTE))
        if note is None:
            return None
        return InterruptedTraining(self._state, int(note["step"]), str(note["date"]), self.about)

    def discard(self) -> None:
        """Delete what was saved: the training has come to its end, or is not wanted."""
        InterruptedTraining(self._state, 0, "", {}).discard()


def find_interrupted(folder: Path) -> tuple[InterruptedTraining, ...]:
    """List trainings that were saved in a folder and are no longer running, the newest first.

    One that another napari is still running is left out, and so is one of this
    process.
    """
    found = []
    for state in files_in(folder, _STATE):
        note = read_json(state.with_suffix(NOTE))
        if note is None or is_running(note, state):
            continue
        about, step = note.get("about"), note.get("step")
        if isinstance(about, dict) and isinstance(step, int):
            found.append(InterruptedTraining(state, step, str(note.get("date", "")), about))
    return tuple(sorted(found, key=lambda each: (each.date, each.state.name), reverse=True))
