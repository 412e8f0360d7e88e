"""Models to segment with, also those that a training of the queue has yet to make."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields
from pathlib import Path

from napari_unet.batch.queue import Queue, has_queue
from napari_unet.batch.settings import ModelFile
from napari_unet.batch.training.entry import TrainingEntry
from napari_unet.cli.model_options import load_model, load_models, model_source
from napari_unet.cli.setting_options import is_given
from napari_unet.engine.base.settings import LEARNED_SETTINGS, InstanceSettings
from napari_unet.engine.models.checkpoint import SUFFIX
from napari_unet.engine.networks.bundled import DEFAULT_MODEL
from napari_unet.engine.networks.network import Network, NetworkDescription
from napari_unet.session import measured_file


@dataclass(frozen=True, slots=True, eq=False)
class WantedModels:
    """What was given as models.

    Parameters
    ----------
    files : tuple of ModelFile
        Without a hash where a training of the queue makes it, whenever that is.
    networks : tuple of Network
        Loaded; empty while one of them is not made.
    description : NetworkDescription, optional
        Of the first, or of the model that its training begins with; None if that is a new one.
    trainings : tuple of TrainingEntry
        Of the queue, that are to be done first.
    """

    files: tuple[ModelFile, ...]
    networks: tuple[Network, ...]
    description: NetworkDescription | None
    trainings: tuple[TrainingEntry, ...] = ()

    is_queued: bool = False
    """A training of the queue makes the first, or has made it."""

    def left_to_it(self, arguments: argparse.Namespace) -> tuple[str, ...]:
        """Names of settings that were not given, where the model that has them may be none yet."""
        names = [
            each.name for each in fields(InstanceSettings) if each.name not in LEARNED_SETTINGS
        ]
        given = [name for name in names if is_given(arguments, InstanceSettings, name)]
        return tuple(name for name in names if name not in given) if self.is_queued else ()

    @property
    def instances(self) -> InstanceSettings:
        """How the first model tells cells apart, as far as is known."""
        return InstanceSettings() if self.description is None else self.description.instances

    @property
    def has_types(self) -> bool:
        """Whether it tells types of cells apart."""
        return self.description is not None and bool(self.description.cell_types)


def wanted_models(arguments: argparse.Namespace) -> WantedModels:
    """Find the models that a command names, and load them if they are there.

    Raises
    ------
    CheckpointError, SettingsError
        If there is no such model, it cannot be loaded, or they do not fit.
    FileError
        If the queue cannot be read.
    """
    names = tuple(arguments.model or [DEFAULT_MODEL])
    queue = Queue.read(arguments.out) if has_queue(arguments.out) else Queue()
    trainings = {name: queue.training_of(str(model_file(Path(name)))) for name in names}
    made = [each for each in trainings.values() if each is not None]
    if not any(each.unmade for each in made):
        networks = load_models(names, arguments)
        files = tuple(_file(name, trainings[name]) for name in names)
        return WantedModels(
            files, networks, networks[0].description, is_queued=trainings[names[0]] is not None
        )
    files = tuple(_file(name, trainings[name]) for name in names)
    first = trainings[names[0]]
    if first is None or not first.unmade:
        start: Network | None = load_model(names[0], arguments)
    else:
        start = first.plan.load_start(allow_code=arguments.allow_code)
    description = None if start is None else start.description
    waiting = tuple(each for each in made if not each.is_whole)
    return WantedModels(files, (), description, waiting, first is not None)


def model_file(path: Path) -> Path:
    """Name of the file that `save_checkpoint` writes for `path`."""
    return path if path.suffix == SUFFIX else path.with_name(path.name + SUFFIX)


def _file(name: str, training: TrainingEntry | None) -> ModelFile:
    if training is not None:
        return ModelFile(str(training.output))
    source = model_source(name)
    return ModelFile(source, measured_file(source)[0])
