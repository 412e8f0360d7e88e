"""What the Batch form has done in a worker's thread: a queue is planned, worked on, and read."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from napari_unet.batch.file_plan import plan_outputs
from napari_unet.batch.queue import Entry, Queue, noun_of
from napari_unet.batch.settings import BatchSettings
from napari_unet.batch.summary import TABLE, Summary
from napari_unet.batch.training.entry import MODEL_ENDING, MODELS
from napari_unet.viewer.warm_up import preparation
from napari_unet.widgets.batch.sources import LayerSource, layer_file

if TYPE_CHECKING:
    from napari_unet.batch.running import BatchReport
    from napari_unet.batch.training.plan import TrainingPlan
    from napari_unet.engine.networks.network import Network

PROGRAM = "napari"

_REMEDY = "tick 'Replace results', or choose another folder for the results"


@dataclass(frozen=True, slots=True)
class Waiting:
    """Something else must be done first."""

    text: str


@dataclass(frozen=True, slots=True)
class Queued:
    """The images and trainings of the queue."""

    entries: tuple[Entry, ...]
    wanted: int
    """How many of them are to be done now."""
    noun: str
    """What those are called."""
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, queue: Queue, notes: tuple[str, ...] = ()) -> Queued:
        """Say what is in a queue."""
        waiting = queue.waiting
        return cls(queue.entries, len(waiting), noun_of(waiting), notes)


class FormTraining(Protocol):
    """A training as a form says it, free of napari."""

    @property
    def name(self) -> str:
        """Of the model that it makes, as long as there is no other of this name."""

    def written(self, folder: Path) -> TrainingPlan:
        """Write out what is in no file, into the folder of a queue; takes a moment."""


@dataclass(slots=True, eq=False)
class Live:
    """The queue that a worker has in hand, for whoever corrects one of its results meanwhile."""

    queue: Queue | None = None
    summary: Summary | None = None
    pause: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """What a person has asked for.

    Parameters
    ----------
    folder : Path
        Of the results.
    sources : sequence of Path or LayerSource
        To be added to the queue.
    settings : BatchSettings, optional
        For these.
    extras : mapping of str to str
        Further results, as in `plan_outputs`.
    networks : mapping of str to tuple of Network
        Those that are loaded, by the settings they are for.
    device : str
    replaces : bool
        Replace results that exist.
    """

    folder: Path
    sources: Sequence[Path | LayerSource] = ()
    settings: BatchSettings | None = None
    extras: Mapping[str, str] = field(default_factory=dict)
    networks: Mapping[str, tuple[Network, ...]] = field(default_factory=dict)
    device: str = "auto"
    replaces: bool = False


def run_queue(request: Request, live: Live) -> Iterator[Waiting | Queued | BatchReport]:
    """Add images to the queue of a folder, and do what waits in it."""
    from napari_unet.batch.running import iterate_queue, load_networks

    yield Waiting("looking at the images")
    with Queue.held(request.folder, program=PROGRAM) as queue:
        notes = _add(request, queue)
        # A person at a window sees at once what is missing: it is not lost with a click on Stop.
        queue.write()
        entries = queue.waiting
        yield Queued.of(queue, notes)
        yield from map(Waiting, preparation.wait_for("cells"))
        yield from map(Waiting, preparation.wait_for("measurements"))
        yield Waiting("loading the model")

        def load(batch: BatchSettings) -> tuple[Network, ...]:
            return request.networks.get(batch.id) or load_networks(batch)

        live.queue, live.summary = queue, summary_of(queue)
        try:
            yield from iterate_queue(
                queue,
                entries,
                load=load,
                device=request.device,
                pause=live.pause,
                summary=live.summary,
            )
        finally:
            live.queue = live.summary = None


def _add(request: Request, queue: Queue) -> tuple[str, ...]:
    """Plan the results of new images; return sentences about what was left out."""
    if request.settings is None or not request.sources:
        return ()
    notes: list[str] = []
    files = [
        layer_file(each, request.folder) if isinstance(each, LayerSource) else each
        for each in request.sources
    ]
    plan = plan_outputs(
        list(dict.fromkeys(files)),
        request.folder,
        extras=request.extras,
        overwrite=request.replaces,
        known=queue.known(request.settings.id),
        remedy=_REMEDY,
        series=(),
        tell=notes.append,
    )
    queue.add(plan, request.settings, replaces=request.replaces)
    return tuple(notes)


def summary_of(queue: Queue) -> Summary:
    """The table of a queue, with what is done."""
    assert queue.folder is not None  # noqa: S101 - it was read from there
    entries = queue.images
    summary = Summary(queue.folder / TABLE, [each.planned for each in entries])
    for entry in entries:
        if entry.state != "waiting":
            summary.add(entry)
    return summary


def read_queue(folder: Path) -> Queued:
    """Read what is in the queue of a folder, whoever works on it.

    Raises
    ------
    FileError
        If it cannot be read.
    """
    queue = Queue.read(folder)
    return Queued.of(queue)


def add_training(folder: Path, training: FormTraining) -> Queued:
    """Add a training to the queue of a folder, with all that it learns from.

    Raises
    ------
    FileError
        If the queue is in use, or something cannot be written.
    """
    with Queue.held(folder, program=PROGRAM) as queue:
        plan = training.written(folder)
        taken = {each.name for each in queue.trainings}
        models, name, number = folder / MODELS, training.name, 2
        while name in taken or (models / f"{name}{MODEL_ENDING}").exists():
            name, number = f"{training.name}_{number}", number + 1
        queue.add_training(models / f"{name}{MODEL_ENDING}", plan)
        queue.write()
        return Queued.of(queue, (f"Training of {name} waits in the queue; press Run.",))


def remove_images(folder: Path, outputs: Sequence[Path]) -> Queued:
    """Leave images out of the queue of a folder; results that are there stay.

    Raises
    ------
    FileError
        If the queue is in use, or cannot be written.
    """
    with Queue.held(folder, program=PROGRAM) as queue:
        queue.remove(outputs)
        queue.write()
        return Queued.of(queue)
