"""A training of a queue: what is learned into which model file, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from napari_unet.batch.images.entry import State, checked_state
from napari_unet.batch.training.plan import TrainingPlan

TRAININGS = "trainings"
"""Folder beside the queue: trainings as they run, and images that were layers."""

MODELS = "models"
"""Folder beside the queue, for models without another place."""

MODEL_ENDING = ".safetensors"

_STATE = ".resume"
_KEPT = ("replaces", "state", "error")


@dataclass(frozen=True, slots=True)
class TrainingOutcome:
    """What there is to say of a training that has ended.

    Parameters
    ----------
    steps : int, optional
        That were done.
    seconds : float, optional
        That they took, over all its parts.
    labelled : int, optional
        Cells that were labelled or corrected in what it learned from.
    right_before, right_after : int, optional
        Of them, how many the model finds that it began with, and the new one.
    ap_before, ap_after : float, optional
        Average precision at IoU 0.5 on cells that were held out, where there are enough.
    is_refused : bool
        What it learned is not better than the model that it began with: nothing was written.
    verdict : str
        What was decided, and why; sentences.
    file_hash : str
        First digits of the SHA-256 of the model that was written.
    warnings : tuple of str
        Sentences.
    """

    steps: int | None = None
    seconds: float | None = None
    labelled: int | None = None
    right_before: int | None = None
    right_after: int | None = None
    ap_before: float | None = None
    ap_after: float | None = None
    is_refused: bool = False
    verdict: str = ""
    file_hash: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def quality(self) -> str:
        """How good it is, and was before: "AP 0.5 0.62 before, 0.81 now"; empty if unknown."""
        if self.ap_after is not None:
            before = "" if self.ap_before is None else f"{self.ap_before:.2f} before, "
            return f"AP 0.5 {before}{self.ap_after:.2f} now"
        if self.labelled is None:
            return ""
        return f"{self.right_before} of {self.labelled} cells right before, {self.right_after} now"


@dataclass(frozen=True, slots=True)
class TrainingEntry:
    """One training of a queue.

    Parameters
    ----------
    output : Path
        The model file, which no two entries share; absolute.
    plan : TrainingPlan
    replaces : bool
        A model file that is there before is replaced.
    state : {"waiting", "done", "failed"}
    outcome : TrainingOutcome
        Of one that is done.
    error : str
        Why it failed; a sentence.
    """

    output: Path
    plan: TrainingPlan
    replaces: bool = False
    state: State = "waiting"
    outcome: TrainingOutcome = field(default_factory=TrainingOutcome)
    error: str = ""

    @property
    def name(self) -> str:
        """Of the model."""
        return self.output.stem

    @property
    def title(self) -> str:
        """The training's name for people."""
        return f"Training of {self.name}"

    @property
    def is_whole(self) -> bool:
        """Whether it is done, and its model is there unless it was refused."""
        return self.state == "done" and (self.outcome.is_refused or self.output.exists())

    @property
    def remarks(self) -> str:
        """Why it failed, or what came of it."""
        if self.error or self.state != "done":
            return self.error
        outcome = self.outcome
        says_quality = outcome.ap_after is not None or not outcome.verdict
        done = [f"{outcome.steps} steps", outcome.quality if says_quality else ""]
        told = f"{', '.join(filter(None, done))}."
        return " ".join(filter(None, (told, outcome.verdict, *outcome.warnings)))

    @property
    def unmade(self) -> str:
        """Why there is no model for images that wait for it; empty if there is one."""
        if self.is_whole and self.output.exists():
            return ""
        reason = self.error or self.outcome.verdict or "its training has not ended."
        return f"It waits for the model '{self.name}', which was not made: {reason}"

    def state_file(self, folder: Path) -> Path:
        """Where the training is kept as it runs, in the folder of its queue."""
        return folder / TRAININGS / f"{self.plan.id}{_STATE}"

    def to_json(self, folder: Path) -> dict[str, Any]:
        """Return plain values, which `from_json` takes; a model in `folder` is named from there."""
        is_inside = self.output.is_relative_to(folder.absolute())
        output = self.output.relative_to(folder.absolute()) if is_inside else self.output
        return {
            "output": output.as_posix(),
            "plan": self.plan.to_json(),
            **{name: getattr(self, name) for name in _KEPT},
            **asdict(self.outcome),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any], folder: Path) -> Self:
        """Make an entry of plain values.

        Raises
        ------
        ValueError, KeyError, TypeError, AttributeError
            If they are none.
        """
        outcome = {each.name: values[each.name] for each in fields(TrainingOutcome)}
        outcome["warnings"] = tuple(outcome["warnings"])
        return cls(
            (folder / values["output"]).absolute(),
            TrainingPlan.from_json(values["plan"]),
            values["replaces"],
            checked_state(values["state"]),
            TrainingOutcome(**outcome),
            values["error"],
        )
