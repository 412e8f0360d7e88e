"""What is to be done with many images and what is done, in a file that any process goes on with."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, TypeAlias

from napari_unet import __version__
from napari_unet.batch.file_plan import PlannedFile
from napari_unet.batch.images.entry import ImageEntry, stamp_of
from napari_unet.batch.lock import QueueLock
from napari_unet.batch.settings import BatchSettings
from napari_unet.batch.training.entry import TrainingEntry
from napari_unet.batch.training.plan import TrainingPlan
from napari_unet.engine.base.errors import FileError
from napari_unet.engine.base.whole_file import system_reason, whole_file
from napari_unet.files.image_file import existing

QUEUE = "queue.json"

Entry: TypeAlias = ImageEntry | TrainingEntry

_VERSION = 2
_KINDS: dict[type[Entry], str] = {ImageEntry: "image", TrainingEntry: "training"}
_COST_SHARE = 0.05
"""Of the time that may go into writing the file, which takes longer the more images there are."""


class Queue:
    """Images with the settings with which each is segmented, trainings, and how far they are.

    Parameters
    ----------
    folder : Path, optional
        Of the results, where the file is; without one nothing is kept.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self.settings: dict[str, BatchSettings] = {}
        self._entries: dict[Path, Entry] = {}
        self._lock: QueueLock | None = None
        self._written_s, self._cost_s = 0.0, 0.0

    @classmethod
    @contextmanager
    def held(cls, folder: Path, *, program: str) -> Iterator[Self]:
        """Read the queue of a folder, and hold it for this process until the block ends.

        Parameters
        ----------
        folder : Path
        program : str
            What this process is, for others that want it.

        Raises
        ------
        QueueBusyError
            If another process holds it.
        FileError
            As `read`; also if the folder cannot be written to.
        """
        with QueueLock(folder, program) as lock:
            queue = cls.read(folder)
            queue._lock = lock
            yield queue

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the queue of a folder; an empty one if there is none.

        Raises
        ------
        FileError
            If it cannot be read.
        """
        queue, path = cls(folder), folder / QUEUE
        try:
            values = json.loads(path.read_bytes())
            if values["queue"] != _VERSION:
                raise FileError(
                    f"'{path}' was written by version {values['version']} of this plugin, which "
                    "can go on with it; or choose another folder."
                )
            queue.settings = {
                key: BatchSettings.from_json(each) for key, each in values["settings"].items()
            }
            for each in values["entries"]:
                entry = _entry(each, folder)
                if isinstance(entry, ImageEntry):
                    queue.settings[entry.settings_id]  # that of each image must be there
                queue._entries[entry.output] = entry
        except FileNotFoundError:
            return queue
        except OSError as error:
            raise FileError(f"Cannot read '{path}' ({system_reason(error)}).") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise FileError(
                f"'{path}' is damaged or no queue of this plugin; take it away, and the results "
                "that are there can be kept all the same."
            ) from error
        return queue

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All images and trainings, in the order in which they were added."""
        return tuple(self._entries.values())

    @property
    def images(self) -> tuple[ImageEntry, ...]:
        """The images among them."""
        return tuple(each for each in self.entries if isinstance(each, ImageEntry))

    @property
    def trainings(self) -> tuple[TrainingEntry, ...]:
        """The trainings among them."""
        return tuple(each for each in self.entries if isinstance(each, TrainingEntry))

    @property
    def waiting(self) -> tuple[Entry, ...]:
        """What is to be done, and what has failed."""
        return tuple(each for each in self.entries if not each.is_whole)

    def known(self, settings_id: str) -> frozenset[Path]:
        """Results that may exist, as what these settings make of images that are as they were."""
        return frozenset(
            path
            for each in self.images
            if each.settings_id == settings_id and each.stamp == stamp_of(each.planned.source)
            for path in each.planned.outputs
        )

    def add(
        self,
        plan: Iterable[PlannedFile],
        settings: BatchSettings,
        *,
        replaces: bool = False,
        keeps: bool = False,
    ) -> tuple[ImageEntry, ...]:
        """Add images; one that is done with the same settings stays so.

        Parameters
        ----------
        plan : iterable of PlannedFile
        settings : BatchSettings
        replaces, keeps : bool
            As in `ImageEntry`. What is to be replaced is done again.

        Returns
        -------
        tuple of ImageEntry
            One for each planned file. One of which all results are there and are kept is not
            added.
        """
        key = settings.id
        self.settings[key] = settings
        added = []
        for planned in plan:
            entry = ImageEntry(planned, key, replaces=replaces, keeps=keeps)
            entry = replace(entry, stamp=stamp_of(planned.source))
            before = self._entries.get(planned.output)
            if isinstance(before, ImageEntry) and not replaces and before.gives_the_same(entry):
                # More kinds of results may be wanted by now.
                extras = {**before.planned.extras, **planned.extras}
                planned = replace(planned, extras=extras)
                entry = replace(before, planned=planned, keeps=keeps)
            added.append(entry)
            # What made results that are kept is not known here.
            if not (keeps and entry.has_results):
                self._entries[entry.output] = entry
        used = {each.settings_id for each in self.images}
        self.settings = {key: each for key, each in self.settings.items() if key in used}
        return tuple(added)

    def add_training(
        self, output: Path, plan: TrainingPlan, *, replaces: bool = False
    ) -> TrainingEntry:
        """Add a training; one of the same plan stays as it is.

        Parameters
        ----------
        output : Path
            The model file.
        plan : TrainingPlan
        replaces : bool
            A model file that is there, or another training into it, is replaced.

        Raises
        ------
        FileError
            If there is such a file or training, and that is not allowed.
        """
        output = output.absolute()
        before = self._entries.get(output)
        is_same = isinstance(before, TrainingEntry) and before.plan.id == plan.id
        if isinstance(before, TrainingEntry) and is_same and not replaces:
            return before
        if not replaces and before is not None:
            raise FileError(
                f"The queue has another training into '{output}'; choose another name, or take "
                "that one out first."
            )
        if not replaces and output.exists():
            raise existing(output)
        entry = TrainingEntry(output, plan, replaces)
        self._entries[output] = entry
        return entry

    def training_of(self, source: str) -> TrainingEntry | None:
        """The training that makes a model, by the file's name; None if none of this queue does."""
        entry = self._entries.get(Path(source).expanduser().absolute())
        return entry if isinstance(entry, TrainingEntry) else None

    def record(self, entry: Entry) -> None:
        """Take over how it went with an image or a training."""
        self._entries[entry.output] = entry

    def remove(self, outputs: Iterable[Path]) -> None:
        """Leave images and trainings out; their results stay."""
        for output in outputs:
            entry = self._entries.pop(output, None)
            if isinstance(entry, TrainingEntry) and self.folder is not None:
                with suppress(OSError):
                    entry.state_file(self.folder).unlink(missing_ok=True)

    def beat(self) -> None:
        """Show other processes that this one still holds the queue; call it every few seconds.

        Raises
        ------
        QueueBusyError
            If another one has taken it.
        """
        if self._lock is not None:
            self._lock.beat()

    def write(self, *, now: bool = True) -> None:
        """Write the file, whole or not at all.

        Parameters
        ----------
        now : bool
            Or else only if writing does not take too much of the time: what was not
            written is found by the results.

        Raises
        ------
        FileError
            If it cannot be written.
        """
        started = time.monotonic()
        if self.folder is None:
            return
        if not now and started - self._written_s < self._cost_s / _COST_SHARE:
            return
        values = {
            "queue": _VERSION,
            "version": __version__,
            "settings": {key: each.to_json() for key, each in self.settings.items()},
            "entries": [
                {"kind": _KINDS[type(each)], **each.to_json(self.folder)} for each in self.entries
            ],
        }
        with whole_file(self.folder / QUEUE, refused=FileError) as partial:
            partial.write_text(json.dumps(values, ensure_ascii=True, indent=1), "utf-8")
        self._written_s = time.monotonic()
        self._cost_s = self._written_s - started


def noun_of(entries: Iterable[Entry]) -> str:
    """What entries are called together: "image", "training", or "job" for both."""
    kinds = {_KINDS[type(each)] for each in entries}
    return kinds.pop() if len(kinds) == 1 else "job" if kinds else "image"


def has_queue(folder: Path) -> bool:
    """Whether a folder holds a queue."""
    try:
        return (folder / QUEUE).is_file()
    except OSError:  # a name that no file system takes
        return False


def _entry(values: Mapping[str, Any], folder: Path) -> Entry:
    made = {name: kind for kind, name in _KINDS.items()}[values["kind"]]
    return made.from_json(values, folder)
