"""What a training tells the window, and what the window tells it meanwhile."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from napari_unet.engine.base.words import count
from napari_unet.engine.training.length.pace import duration_in_words
from napari_unet.viewer.layers import LayerImage
from napari_unet.widgets.train.preview import Previewed
from napari_unet.widgets.train.review.comparison import Compared

if TYPE_CHECKING:
    from napari_unet.engine.networks.network import Network
    from napari_unet.engine.training.learner import TrainingReport
    from napari_unet.engine.training.length.schedule import Ending
    from napari_unet.engine.training.pairs import TrainingPair
    from napari_unet.versions.autosave import InterruptedTraining


@dataclass(slots=True)
class Control:
    """What the window tells the thread meanwhile."""

    cancel: threading.Event = field(default_factory=threading.Event)
    """End after the step that runs."""
    view: LayerImage | None = None
    """The field of view that is to be segmented again and again."""


@dataclass(frozen=True, slots=True)
class Begun:
    """The images are read, and the first step begins."""


@dataclass(frozen=True, slots=True)
class Learned:
    """Some steps are done."""

    steps: tuple[TrainingReport, ...]
    """One or more."""
    step_s: float | None = None
    """Seconds of a step, with all that is done between two; None before two are done."""
    left_s: float | None = None
    """Seconds to the end, if nothing ends it earlier."""
    may_end_earlier: bool = False
    """The loss may level off before."""

    @property
    def text(self) -> str:
        """How far it is, and how long the rest takes."""
        done = f"step {self.steps[-1].step}"
        if self.left_s is None:
            return done
        most = "at most " if self.may_end_earlier else ""
        return f"{done}, {most}{duration_in_words(self.left_s)} left"


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """The end of the learning, or a stop."""

    network: Network
    """The best one."""
    steps: int
    seconds: float
    ending: Ending
    """What ended it; a training that was stopped goes on as if it had not been."""
    shortfall: str | None
    """In a sentence, if more steps would teach it more."""
    held_out: str
    """What was not learned from, in a sentence."""
    notes: tuple[str, ...]
    interrupted: InterruptedTraining | None = None
    """What training further goes on with."""
    learned: tuple[TrainingPair, ...] = ()
    """From which images, to keep them with the version if somebody wants that."""

    @property
    def is_finished(self) -> bool:
        """Whether it came to its end, rather than being stopped."""
        return self.ending != "stopped"

    @property
    def sentence(self) -> str:
        """How it ended."""
        if self.steps == 0:
            return "Stopped before the first step; everything is as it was."
        how = "Trained"
        if not self.is_finished:
            how = "Stopped"
        elif self.shortfall:
            how = "Ended"
        elif self.ending == "levelled off":
            how = "Trained until the loss had levelled off,"
        steps = count(self.steps, "step")
        told = [f"{how} after {steps} ({self.seconds:.0f} s).", self.shortfall, self.held_out]
        return " ".join(each for each in (*told, *self.notes) if each)


Report: TypeAlias = Begun | Learned | Previewed | Trained | Compared
