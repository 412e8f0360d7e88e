"""The journal of corrections: what was changed in labels, and the labels as they are, on disk."""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from napari_unet.engine.base.errors import CheckpointError, FileError
from napari_unet.engine.base.regions import Region
from napari_unet.engine.base.whole_file import whole_file
from napari_unet.engine.images.image import LabelImage
from napari_unet.engine.labels.runs import LabelRuns
from napari_unet.versions.notes import (
    data_folder,
    explained,
    files_in,
    is_running,
    new_id,
    process_note,
)

SUFFIX = ".journal"
_FORM = 1
_CONTENTS = "journal.json"
_OUTCOME = "corrections are not kept as you make them; work goes on, so save the labels yourself"


@dataclass(frozen=True, slots=True)
class Correction:
    """One step of undo.

    Parameters
    ----------
    time : str
        In ISO 8601 and UTC.
    action : str
        Such as "split" or "paint".
    before, after : tuple of int
        Numbers of the cells that lost pixels, and of those that got some; empty for background.
    box : tuple of (int, int)
        Start and stop along each axis, in pixels.
    """

    time: str
    action: str
    before: tuple[int, ...]
    after: tuple[int, ...]
    box: tuple[tuple[int, int], ...]

    @classmethod
    def now(
        cls, action: str, before: Iterable[int], after: Iterable[int], box: Region
    ) -> Correction:
        """Note what was done at this moment."""
        ends = tuple((int(part.start), int(part.stop)) for part in box)
        return cls(_now(), action, tuple(sorted(before)), tuple(sorted(after)), ends)

    @property
    def planes(self) -> tuple[tuple[int, int], ...]:
        """Start and stop along the axes before the last two: the slices that it lies in."""
        return self.box[:-2]


@dataclass(frozen=True, slots=True)
class Journal:
    """What a journal holds; its labels are read when they are asked for.

    Parameters
    ----------
    path : Path
    name : str
        Of the layer.
    date : str
        When it was last written, in ISO 8601 and UTC.
    corrections : tuple of Correction
        The first one first.
    marks : mapping of int to str
        Of cells that were looked over.
    writing : mapping of str to value
        What `write_labels` takes to write the labels in their place: axes, pixel size, notes.
    """

    path: Path
    name: str
    date: str
    corrections: tuple[Correction, ...]
    marks: Mapping[int, str] = field(default_factory=dict)
    writing: Mapping[str, Any] = field(default_factory=dict)

    def labels(self) -> LabelImage:
        """Read the labels as they were.

        Raises
        ------
        FileError
            If the journal is gone or torn.
        """
        with _opened(self.path) as archive:
            contents = json.loads(archive.read(_CONTENTS))
            labels: LabelImage = np.zeros(contents["shape"], np.dtype(contents["dtype"]))
            for place, index in enumerate(_planes(labels.shape)):
                packed = archive.read(_plane_name(place))
                labels[index] = _unpacked(packed, labels[index].shape, labels.dtype)
            return labels

    def discard(self) -> None:
        """Delete it."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


class JournalWriter:
    """Keeps the journal of one layer.

    Parameters
    ----------
    file : Path, optional
        That the labels are in: the journal lies beside it. Without one, or where nothing can be
        written or another journal is, it lies in `folder`.
    folder : Path, optional
        Without it the user's data folder.
    """

    def __init__(self, file: Path | None = None, *, folder: Path | None = None) -> None:
        self._folder = journal_folder() if folder is None else folder
        self._beside = None if file is None else journal_path(file)
        self._path: Path | None = None
        self._planes: list[bytes] = []
        self.corrections: list[Correction] = []

    @classmethod
    def going_on_with(cls, journal: Journal) -> JournalWriter:
        """Go on with a journal that was left, once its labels are restored."""
        writer = cls()
        writer._path, writer.corrections = journal.path, list(journal.corrections)
        return writer

    def save(
        self,
        labels: LabelImage,
        *,
        name: str,
        changed: Sequence[int] | None = None,
        untold: Correction | None = None,
        marks: Mapping[int, str] | None = None,
        writing: Mapping[str, Any] | None = None,
    ) -> None:
        """Write the labels, and what was done to them; any thread may, one at a time.

        Parameters
        ----------
        labels : integer array of two or more axes
        name : str
            Of the layer.
        changed : sequence of int, optional
            Planes in C order that may have changed since the last time; without it all.
        untold : Correction, optional
            Is noted if labels are others than the last time.
        marks : mapping of int to str, optional
        writing : mapping of str to value, optional
            See `Journal`.

        Raises
        ------
        CheckpointError
            If it cannot be written; the one of before is still there then.
        """
        if self._pack(labels, changed) and untold is not None:
            self.corrections.append(untold)
        contents = {
            "form": _FORM,
            "name": name,
            "date": _now(),
            "shape": list(labels.shape),
            "dtype": labels.dtype.newbyteorder("<").str,
            "corrections": [asdict(each) for each in self.corrections],
            "marks": {str(number): mark for number, mark in (marks or {}).items()},
            "writing": dict(writing or {}),
            **process_note(),
        }
        path = self._chosen_path()
        with explained(path.parent, _OUTCOME):
            path.parent.mkdir(parents=True, exist_ok=True)
            with (
                whole_file(path, refused=CheckpointError) as part,
                zipfile.ZipFile(part, "w") as archive,
            ):
                archive.writestr(_CONTENTS, json.dumps(contents, default=str))
                for place, packed in enumerate(self._planes):
                    archive.writestr(_plane_name(place), packed)
        self._path = path

    def discard(self) -> None:
        """Delete what was written, and begin anew: the labels are saved."""
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
        self._path, self._planes, self.corrections = None, [], []

    def _pack(self, labels: LabelImage, changed: Sequence[int] | None) -> bool:
        planes = list(_planes(labels.shape))
        if changed is None or len(self._planes) != len(planes):
            changed, before = range(len(planes)), self._planes
            self._planes = [b""] * len(planes)
        else:
            before = list(self._planes)
        for place in changed:
            self._planes[place] = _packed(labels[planes[place]])
        # At first nobody knows what it was before.
        return bool(before) and self._planes != before

    def _chosen_path(self) -> Path:
        if self._path is not None:
            return self._path
        beside = self._beside
        is_free = beside is not None and (not beside.exists() or _is_outdated(beside))
        if beside is not None and is_free and _is_writable(beside):
            return beside
        return self._folder / f"{new_id()}{SUFFIX}"


def journal_folder() -> Path:
    """Return the folder of the journals of labels that are in no file."""
    return data_folder() / "journals"


def journal_path(file: Path) -> Path:
    """Where the journal of labels in this file is, if there is one."""
    return file.with_name(file.name + SUFFIX)


def read_journal(path: Path | str) -> Journal:
    """Read the journal of corrections.

    Parameters
    ----------
    path : Path or str
        A journal, or the file of labels that it lies beside.

    Raises
    ------
    FileError
        If there is none, or it is torn or no journal.
    """
    path = Path(path)
    path = path if path.suffix == SUFFIX else journal_path(path)
    with _opened(path) as archive:
        contents = json.loads(archive.read(_CONTENTS))
        if contents["form"] != _FORM:
            raise FileError(
                f"The journal '{path}' is of a later version of this plugin; update the plugin."
            )
        made = (
            Correction(
                each["time"],
                each["action"],
                tuple(each["before"]),
                tuple(each["after"]),
                tuple(map(tuple, each["box"])),
            )
            for each in contents["corrections"]
        )
        marks = {int(number): str(mark) for number, mark in contents["marks"].items()}
        writing = contents["writing"]
        return Journal(path, contents["name"], contents["date"], tuple(made), marks, writing)


def left_journals(file: Path | None = None, *, folder: Path | None = None) -> list[Journal]:
    """Find journals of labels that were not saved, and that nobody is writing any more.

    Parameters
    ----------
    file : Path, optional
        Labels; of the one beside them. Without it of those in `folder`.
    folder : Path, optional
        Without it the user's data folder.

    Returns
    -------
    list of Journal
        The newest first; what is torn is left out, and what is older than its file: that was
        saved since, by whatever program.
    """
    if file is not None:
        paths = [journal_path(file)]
    else:
        paths = files_in(journal_folder() if folder is None else folder, SUFFIX)
    found = []
    for path in paths:
        with suppress(FileError), _opened(path) as archive:
            if not _is_outdated(path) and not is_running(json.loads(archive.read(_CONTENTS)), path):
                found.append(read_journal(path))
    return sorted(found, key=lambda each: each.date, reverse=True)


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a journal as an archive; whatever is wrong with it is one sentence."""
    if not path.exists():
        raise FileError(f"There is no journal '{path}'; its labels may be saved already.")
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise FileError(
            f"'{path}' is no journal of corrections, or is torn ({error}); open the labels as they "
            "were saved."
        ) from error


def _planes(shape: Sequence[int]) -> Iterator[tuple[int, ...]]:
    yield from np.ndindex(*shape[:-2])


def _plane_name(place: int) -> str:
    return f"planes/{place}"


def _packed(plane: LabelImage) -> bytes:
    """Lengths and numbers of runs, compressed."""
    runs = LabelRuns.of(plane)
    lengths = np.diff(runs.starts, append=plane.size).astype("<u8")
    numbers = runs.numbers.astype(plane.dtype.newbyteorder("<"))
    return zlib.compress(lengths.tobytes() + numbers.tobytes(), 1)


def _unpacked(packed: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> LabelImage:
    content = zlib.decompress(packed)
    count = len(content) // (8 + dtype.itemsize)
    lengths = np.frombuffer(content, "<u8", count).astype(np.int64)
    numbers = np.frombuffer(content, dtype, count, offset=8 * count)
    plane: LabelImage = np.repeat(numbers, lengths).reshape(shape)
    return plane


def _is_outdated(path: Path) -> bool:
    """Whether a journal is older than the file that it lies beside."""
    try:
        return path.with_suffix("").stat().st_mtime > path.stat().st_mtime
    except OSError:
        return False  # it lies beside none


def _is_writable(path: Path) -> bool:
    return os.access(path.parent, os.W_OK)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
