"""What a training tells the window, and what the window tells it meanwhile."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from napari_unet.viewer.layers import LayerImage
from napari_unet.widgets.train.preview import Previewed
from napari_unet.widgets.train.review.comparison import Compared

if TYPE_CHECKING:
    from napari_unet.engine.networks.network import Network
    from napari_unet.engine.training.learner import TrainingReport
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
    steps_per_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """The end of the learning, or a stop."""

    network: Network
    """The best one."""
    steps: int
    seconds: float
    is_finished: bool
    """False if it was stopped and can go on."""
    held_out: str
    """What was not learned from, in a sentence."""
    notes: tuple[str, ...]
    interrupted: InterruptedTraining | None = None
    """What a resume goes on with, if it was stopped."""

    @property
    def sentence(self) -> str:
        """How it ended."""
        if self.steps == 0:
            return "Stopped before the first step; everything is as it was."
        how = "Trained" if self.is_finished else "Stopped"
        told = f"{how} after {self.steps} steps ({self.seconds:.0f} s). {self.held_out}"
        return " ".join((told, *self.notes))


Report: TypeAlias = Begun | Learned | Previewed | Trained | Compared
