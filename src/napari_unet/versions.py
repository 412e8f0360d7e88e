"""Versions of a model, each kept in a file of its own, and the state of a running training.

Nothing here is ever overwritten: two programs that keep versions in one folder at once cannot
harm each other, as each version has its own two files.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import psutil
from platformdirs import user_data_path

from napari_unet.engine.base.errors import CheckpointError
from napari_unet.engine.base.whole_file import whole_file

if TYPE_CHECKING:
    from napari_unet.engine.networks.network import Network

PROGRAM = "napari-unet-cells"

_MODEL, _NOTE, _STATE = ".safetensors", ".json", ".training"
_VERSION = "version"
_LAST_NUMBER = re.compile(r" \d{1,2}$")
_AUTOSAVE_S = 120.0
_OTHER_MACHINE_S = 3600.0
"""A training on another machine that was not saved for so long is taken as interrupted."""
_CLOCK_S = 10.0
"""So much may the clock be set between two looks at the start of a process."""


def data_folder() -> Path:
    """Return the folder in which this user's model versions are kept; it need not exist yet.

    What the system prescribes: in the home folder on Linux (`XDG_DATA_HOME`),
    in the library on macOS, in the local application data on Windows.
    """
    return user_data_path(PROGRAM, appauthor=False)


# -- versions ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Version:
    """A model as it was at some moment.

    Parameters
    ----------
    id : str
        Name of its files, which never changes.
    name : str
        For people; no two versions in a folder have the same.
    date : str
        When it was kept, in ISO 8601 and UTC.
    path : Path
        Its model file, which `load_checkpoint` reads.
    parent : str, optional
        Id of the version that its training started from.
    sentence : str
        What is new in it.
    metrics : mapping of str to value
        How good it is.
    """

    id: str
    name: str
    date: str
    path: Path
    parent: str | None = None
    sentence: str = ""
    metrics: Mapping[str, Any] = field(default_factory=dict)


class ModelHistory:
    """The versions of models in one folder.

    Parameters
    ----------
    folder : Path
        Made when the first version is kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(
        self,
        network: Network,
        *,
        metrics: Mapping[str, Any] | None = None,
        parent: Version | str | None = None,
        sentence: str = "",
        name: str | None = None,
    ) -> Version:
        """Write a network as a new version.

        Parameters
        ----------
        network : Network
        metrics : mapping of str to value, optional
            Numbers and texts that JSON can hold.
        parent : Version or str, optional
            The version, or its id, that the training started from.
        sentence : str
            What is new in it.
        name : str, optional
            That of the network by default; a number is added if it is taken.

        Returns
        -------
        Version

        Raises
        ------
        CheckpointError
            If it cannot be written; then nothing has changed.
        """
        from napari_unet.engine.models.checkpoint import save_checkpoint

        number = _new_id()
        version = Version(
            number,
            _free_name(name or network.description.name, {each.name for each in self.versions()}),
            datetime.now(UTC).isoformat(timespec="milliseconds"),
            self.folder / f"{number}{_MODEL}",
            parent.id if isinstance(parent, Version) else parent,
            sentence,
            dict(metrics or {}),
        )
        with self._writing("the new version was not kept"):
            self.folder.mkdir(parents=True, exist_ok=True)
            save_checkpoint(_described(network, version), version.path)
            try:
                _write_json(version.path.with_suffix(_NOTE), _facts(version))
            except OSError:
                with suppress(OSError):
                    version.path.unlink()
                raise
        return version

    def versions(self) -> tuple[Version, ...]:
        """List the versions, the newest first.

        What is told of a version beside its model file is read from that file
        where it is missing or torn. A file that is no model is left out.
        """
        found: dict[str, Version] = {}
        names: set[str] = set()
        for path in sorted(self._files(_MODEL)):
            version = _read_version(path)
            if version is not None:
                # Two programs may have chosen the same name at once.
                version = replace(version, name=_free_name(version.name, names))
                names.add(version.name)
                found[version.id] = version
        return tuple(sorted(found.values(), key=lambda each: (each.date, each.id), reverse=True))

    def version(self, number: str) -> Version:
        """Return the version with an id.

        Raises
        ------
        CheckpointError
            If there is none.
        """
        for version in self.versions():
            if version.id == number:
                return version
        raise CheckpointError(
            f"There is no version '{number}' in '{self.folder}'; it may have been deleted, so "
            "choose another one."
        )

    def load(self, version: Version | str) -> Network:
        """Load the network of a version; going back to an earlier one is no more than this.

        Raises
        ------
        CheckpointError
            If its file is gone or damaged.
        """
        from napari_unet.engine.models.checkpoint import load_checkpoint

        chosen = version if isinstance(version, Version) else self.version(version)
        return load_checkpoint(chosen.path)

    def ancestors(self, version: Version) -> tuple[Version, ...]:
        """Return the versions that this one came from, the nearest first."""
        known = {each.id: each for each in self.versions()}
        line: list[Version] = []
        current = known.get(version.parent or "")
        while current is not None and current not in line:
            line.append(current)
            current = known.get(current.parent or "")
        return tuple(line)

    def rename(self, version: Version, name: str) -> Version:
        """Give a version another name.

        Raises
        ------
        CheckpointError
            If the name is empty or taken, or cannot be written.
        """
        name = " ".join(name.split())
        others = {each.name for each in self.versions() if each.id != version.id}
        if not name or name in others:
            raise CheckpointError(
                f"There is a version '{name}' already; choose another name."
                if name
                else "The name is empty; give the version a name."
            )
        renamed = replace(self.version(version.id), name=name)
        with self._writing(f"'{version.name}' keeps its name"):
            _write_json(version.path.with_suffix(_NOTE), _facts(renamed))
        return renamed

    def delete(self, version: Version) -> None:
        """Delete a version for good; those that came from it stay.

        Raises
        ------
        CheckpointError
            If its file cannot be deleted.
        """
        with self._writing(f"'{version.name}' was not deleted"):
            version.path.unlink(missing_ok=True)
            version.path.with_suffix(_NOTE).unlink(missing_ok=True)

    def _files(self, suffix: str) -> list[Path]:
        try:
            return [path for path in self.folder.iterdir() if path.suffix == suffix]
        except OSError:
            return []  # not made yet, or not there any more

    @contextmanager
    def _writing(self, outcome: str) -> Iterator[None]:
        """Say in one sentence which folder could not be written to, and what became of it."""
        with _explained(self.folder, f"{outcome} and the other versions are as before"):
            yield


def version_name(path: Path) -> str | None:
    """Name of the version that a model file is, without opening the model; None if it is none."""
    if not path.is_absolute():
        return None  # a bundled model
    facts = _read_json(path.with_suffix(_NOTE)) or {}
    name = facts.get("name")
    return name if facts.get("id") == path.stem and isinstance(name, str) else None


@contextmanager
def _explained(folder: Path, outcome: str) -> Iterator[None]:
    try:
        yield
    except (OSError, CheckpointError) as error:
        cause = error if isinstance(error, OSError) else error.__cause__
        if cause is None:
            raise
        reason, remedy = _reason(cause)
        raise CheckpointError(f"The folder '{folder}' {reason}, so {outcome}; {remedy}.") from error


def _reason(cause: BaseException) -> tuple[str, str]:
    """Say why nothing could be written, and what to do."""
    number = getattr(cause, "errno", None)
    # safetensors tells the number only in its text.
    if number in (errno.ENOSPC, errno.EDQUOT) or f"os error {errno.ENOSPC}" in str(cause):
        return "is full", "make room in it"
    if isinstance(cause, RuntimeError):  # torch, which does not tell more
        return "cannot be written to, most likely because it is full", "make room in it"
    reason = (getattr(cause, "strerror", None) or str(cause)).lower()
    return f"cannot be written to ({reason})", "check its permissions"


def _new_id() -> str:
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"


def _free_name(wanted: str, taken: set[str]) -> str:
    """Return `wanted`, or the same with the next number if it is taken."""
    wanted = " ".join(wanted.split()) or "model"
    if wanted not in taken:
        return wanted
    stem, number = _LAST_NUMBER.sub("", wanted), 2
    while f"{stem} {number}" in taken:
        number += 1
    return f"{stem} {number}"


def _facts(version: Version) -> dict[str, Any]:
    facts = asdict(version)
    del facts["path"]
    return facts


def _described(network: Network, version: Version) -> Network:
    """Return the network with what is known of the version in its own description, too."""
    from napari_unet.engine.networks.network import Network

    before = network.description
    *earlier, last = before.history or ({"date": version.date},)
    # Plain values, as they come back from the file.
    facts = json.loads(json.dumps(_facts(version), default=_plain))
    history = (*earlier, {**last, _VERSION: facts})
    return Network(network.unet, replace(before, name=version.name, history=history))


def _read_version(path: Path) -> Version | None:
    facts = _read_json(path.with_suffix(_NOTE))
    version = _as_version(path, facts)
    return version or _version_in_model(path)


def _version_in_model(path: Path) -> Version | None:
    from napari_unet.engine.models.checkpoint import read_description

    try:
        description = read_description(path)
        written = path.stat().st_mtime
    except (CheckpointError, OSError):
        return None
    last = description.history[-1] if description.history else {}
    version = _as_version(path, last.get(_VERSION))
    if version is not None:
        return version
    date = datetime.fromtimestamp(written, UTC).isoformat(timespec="seconds")
    return Version(path.stem, description.name, date, path)


def _as_version(path: Path, facts: Any) -> Version | None:
    """Return what was noted of this file; None if it is of another or does not fit."""
    if not isinstance(facts, dict) or facts.get("id") != path.stem:
        return None
    texts = [facts.get(key) for key in ("name", "date", "sentence")]
    parent, metrics = facts.get("parent"), facts.get("metrics")
    if not all(isinstance(text, str) for text in texts):
        return None
    if not isinstance(metrics, dict) or not isinstance(parent, str | None):
        return None
    name, date, sentence = map(str, texts)
    return Version(path.stem, name, date, path, parent, sentence, metrics)


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    text = json.dumps(values, indent=1, sort_keys=True, default=_plain)
    with whole_file(path) as partial:
        partial.write_text(text, "utf-8")


def _plain(value: Any) -> Any:
    """Turn what JSON cannot hold into something that it can."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    item = getattr(value, "item", None)  # a number of NumPy's
    return item() if callable(item) else str(value)


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        with path.open("rb") as file:
            values = json.load(file)
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None


# -- a running training --------------------------------------------------------------------------


class SavableRun(Protocol):
    """What an autosave needs of a `TrainingRun`."""

    step: int

    def save_state(self, path: str | Path) -> None:
        """Write all that an exact resume needs."""


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
        for path in (self.state.with_suffix(_NOTE), self.state):
            with suppress(OSError):
                path.unlink(missing_ok=True)


class Autosave:
    """Saves a running training from time to time, so that a crash loses little.

    Parameters
    ----------
    folder : Path
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
        self._state = folder / f"{_new_id()}{_STATE}"

    def save(self, run: SavableRun, *, now: bool = False) -> bool:
        """Save a run, unless that was done a moment ago.

        Parameters
        ----------
        run : TrainingRun
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
        with _explained(self.folder, "the training goes on without being saved"):
            self.folder.mkdir(parents=True, exist_ok=True)
            run.save_state(self._state)
            try:
                _write_json(self._state.with_suffix(_NOTE), self._note(run))
            except OSError:
                if not self._state.with_suffix(_NOTE).exists():
                    self.discard()  # nobody could tell what it is
                raise
        if self._replaces is not None:
            self._replaces.discard()
            self._replaces = None
        return True

    def _note(self, run: SavableRun) -> dict[str, Any]:
        return {
            "about": self.about,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "step": run.step,
            "machine": socket.gethostname(),
            "process": os.getpid(),
            "process_started": psutil.Process().create_time(),
        }

    @property
    def saved(self) -> InterruptedTraining | None:
        """What was saved so far, to go on with in this process; None if nothing was."""
        note = _read_json(self._state.with_suffix(_NOTE))
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
    try:
        states = [path for path in folder.iterdir() if path.suffix == _STATE]
    except OSError:
        return ()
    for state in states:
        note = _read_json(state.with_suffix(_NOTE))
        if note is None or _is_running(note, state):
            continue
        about, step = note.get("about"), note.get("step")
        if isinstance(about, dict) and isinstance(step, int):
            found.append(InterruptedTraining(state, step, str(note.get("date", "")), about))
    return tuple(sorted(found, key=lambda each: (each.date, each.state.name), reverse=True))


def _is_running(note: Mapping[str, Any], state: Path) -> bool:
    if note.get("machine") != socket.gethostname():
        try:
            return time.time() - state.stat().st_mtime < _OTHER_MACHINE_S
        except OSError:
            return True  # gone in the meantime
    try:
        started = psutil.Process(int(note["process"])).create_time()
        # The number of a process is given again once it has ended.
        return abs(started - float(note["process_started"])) < _CLOCK_S
    except (psutil.Error, KeyError, TypeError, ValueError):
        return False
