"""What is to be done with many images and what is done, in a file that any process goes on with."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

from napari_unet import __version__
from napari_unet.batch.file_plan import PlannedFile
from napari_unet.batch.lock import QueueLock
from napari_unet.batch.settings import BatchSettings
from napari_unet.engine.base.errors import FileError
from napari_unet.engine.base.whole_file import system_reason, whole_file

QUEUE = "queue.json"

State: TypeAlias = Literal["waiting", "done", "failed"]

_VERSION = 1
_COST_SHARE = 0.05
"""Of the time that may go into writing the file, which takes longer the more images there are."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What there is to say of an image that is done.

    Parameters
    ----------
    cells : int, optional
        None where labels are classes.
    median_area_px : float, optional
        Of the cells; of a volume the voxels.
    median_area_um2 : float, optional
        Where the pixel size is known; not of a volume.
    seconds : float, optional
        That it took; not known of results that were there before.
    doubt : str
        Why the result is not to be trusted, as its scores say; a sentence.
    warnings : tuple of str
        Sentences, that of `doubt` among them.
    """

    cells: int | None = None
    median_area_px: float | None = None
    median_area_um2: float | None = None
    seconds: float | None = None
    doubt: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """One image of a queue.

    Parameters
    ----------
    planned : PlannedFile
    settings_id : str
        Of the settings in the queue.
    id : str
        Stands in the labels' notes: so it is known what this entry has written.
    replaces : bool
        Results that were there before are replaced.
    keeps : bool
        Results that were there before are left as they are.
    state : {"waiting", "done", "failed"}
    outcome : Outcome
        Of one that is done.
    error : str
        Why it failed; a sentence.
    stamp : tuple of int
        Bytes of the image's file, and when it was changed, in nanoseconds.
    is_corrected : bool
        A person has corrected the labels since.
    """

    planned: PlannedFile
    settings_id: str
    id: str = field(default_factory=lambda: secrets.token_hex(6))
    replaces: bool = False
    keeps: bool = False
    state: State = "waiting"
    outcome: Outcome = field(default_factory=Outcome)
    error: str = ""
    stamp: tuple[int, int] = (0, 0)
    is_corrected: bool = False

    @property
    def output(self) -> Path:
        """The labels, which no two entries share."""
        return self.planned.output

    @property
    def is_whole(self) -> bool:
        """Whether it is done and all its results are there."""
        return self.state == "done" and self.has_results

    @property
    def has_results(self) -> bool:
        """Whether all its results are there, whatever made them."""
        return all(path.exists() for path in self.planned.outputs)


class Queue:
    """Images with the settings with which each is segmented, and how far they are.

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
            for each in values["images"]:
                entry = _entry(each, folder)
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
        """All images, in the order in which they were added."""
        return tuple(self._entries.values())

    @property
    def waiting(self) -> tuple[Entry, ...]:
        """Images that are to be done, those that failed among them."""
        return tuple(each for each in self.entries if not each.is_whole)

    def known(self, settings_id: str) -> frozenset[Path]:
        """Results that may exist, as what these settings make of images that are as they were."""
        return frozenset(
            path
            for each in self.entries
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
    ) -> tuple[Entry, ...]:
        """Add images; one that is done with the same settings stays so.

        Parameters
        ----------
        plan : iterable of PlannedFile
        settings : BatchSettings
        replaces, keeps : bool
            As in `Entry`. What is to be replaced is done again.

        Returns
        -------
        tuple of Entry
            One for each planned file. One of which all results are there and are kept is not
            added.
        """
        key = settings.id
        self.settings[key] = settings
        added = []
        for planned in plan:
            entry = Entry(planned, key, replaces=replaces, keeps=keeps)
            entry = replace(entry, stamp=stamp_of(planned.source))
            before = self._entries.get(planned.output)
            if before is not None and not replaces and _is_same(before, entry):
                # More kinds of results may be wanted by now.
                extras = {**before.planned.extras, **planned.extras}
                planned = replace(planned, extras=extras)
                entry = replace(before, planned=planned, keeps=keeps)
            added.append(entry)
            # What made results that are kept is not known here.
            if not (keeps and entry.has_results):
                self._entries[entry.output] = entry
        used = {each.settings_id for each in self.entries}
        self.settings = {key: each for key, each in self.settings.items() if key in used}
        return tuple(added)

    def record(self, entry: Entry) -> None:
        """Take over how it went with an image."""
        self._entries[entry.output] = entry

    def remove(self, outputs: Iterable[Path]) -> None:
        """Leave images out; their results stay."""
        for output in outputs:
            self._entries.pop(output, None)

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
            "images": [_plain(each, self.folder) for each in self.entries],
        }
        with whole_file(self.folder / QUEUE, refused=FileError) as partial:
            partial.write_text(json.dumps(values, ensure_ascii=True, indent=1), "utf-8")
        self._written_s = time.monotonic()
        self._cost_s = self._written_s - started


def has_queue(folder: Path) -> bool:
    """Whether a folder holds a queue."""
    try:
        return (folder / QUEUE).is_file()
    except OSError:  # a name that no file system takes
        return False


def stamp_of(image: Path) -> tuple[int, int]:
    """Bytes of a file, and when it was changed, in nanoseconds; (0, 0) if it is not there."""
    try:
        found = image.stat()
    except OSError:
        return 0, 0
    return found.st_size, found.st_mtime_ns


def _is_same(before: Entry, entry: Entry) -> bool:
    """Whether two entries give the same result."""
    one, two = before.planned, entry.planned
    return (before.settings_id, before.stamp, one.source.absolute(), one.series) == (
        entry.settings_id,
        entry.stamp,
        two.source.absolute(),
        two.series,
    )


def _plain(entry: Entry, folder: Path) -> dict[str, Any]:
    planned, outcome = entry.planned, asdict(entry.outcome)
    kept = ("settings_id", "id", "replaces", "keeps", "state", "error", "stamp", "is_corrected")
    return {
        "image": str(planned.source.absolute()),
        "series": planned.series,
        "series_name": planned.series_name,
        "output": planned.output.relative_to(folder).as_posix(),
        "extras": {
            kind: path.relative_to(folder).as_posix() for kind, path in planned.extras.items()
        },
        **{name: getattr(entry, name) for name in kept},
        **outcome,
    }


def _entry(values: Mapping[str, Any], folder: Path) -> Entry:
    extras = {kind: folder / path for kind, path in values["extras"].items()}
    planned = PlannedFile(
        Path(values["image"]),
        folder / values["output"],
        extras,
        values["series"],
        values["series_name"],
    )
    outcome = {each.name: values[each.name] for each in fields(Outcome)}
    outcome["warnings"] = tuple(outcome["warnings"])
    if values["state"] not in ("waiting", "done", "failed"):
        raise ValueError(values["state"])
    size, changed = values["stamp"]
    return Entry(
        planned,
        values["settings_id"],
        values["id"],
        replaces=values["replaces"],
        keeps=values["keeps"],
        state=values["state"],
        outcome=Outcome(**outcome),
        error=values["error"],
        stamp=(size, changed),
        is_corrected=values["is_corrected"],
    )
