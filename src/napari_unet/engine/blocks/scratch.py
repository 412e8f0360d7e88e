"""What is known of each block so far: files that are there whole or not at all."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.errors import FileError
from napari_unet.engine.base.whole_file import system_reason, whole_file, write_problem
from napari_unet.engine.blocks.grid import Key

_JOB = "job.json"
_NETWORKS = "networks"
_ENDING = ".npz"


@dataclass(frozen=True, slots=True)
class Scratch:
    """A folder with a file for each stage and block.

    Parameters
    ----------
    folder : Path
    """

    folder: Path

    def has(self, stage: str, key: Key) -> bool:
        """Whether a stage of a block is done."""
        return self._path(stage, key).exists()

    def missing(self, stage: str, keys: Sequence[Key]) -> list[Key]:
        """Blocks of which a stage is not done."""
        # One listing: asking for each file takes minutes where there are many, far away.
        try:
            done = {path.name for path in (self.folder / stage).iterdir()}
        except FileNotFoundError:
            done = set()
        return [key for key in keys if _file_name(key) not in done]

    def save(self, stage: str, key: Key, **arrays: NDArray[Any]) -> None:
        """Write what a stage found in a block.

        Raises
        ------
        FileError
            If it cannot be written.
        """
        path = self._path(stage, key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileError(write_problem(path, error)) from error
        with whole_file(path, refused=FileError) as partial, partial.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    def drop(self, stage: str, key: Key) -> None:
        """Delete what a stage found in a block, if it is there.

        Raises
        ------
        FileError
            If it cannot be deleted.
        """
        path = self._path(stage, key)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise FileError(f"'{path}' cannot be deleted ({system_reason(error)}).") from error

    @contextmanager
    def opened(self, stage: str, key: Key) -> Iterator[Any]:
        """Open what a stage found in a block; each array is read when it is asked for.

        Raises
        ------
        FileError
            If it cannot be read.
        """
        path = self._path(stage, key)
        try:
            with path.open("rb") as file, np.load(file) as arrays:
                yield arrays
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise FileError(
                f"'{path}' cannot be read ({system_reason(error)}); delete that file, which is "
                "made again, or its whole folder to begin anew."
            ) from error

    def read(self, stage: str, key: Key, name: str) -> NDArray[Any]:
        """Read one array of a stage of a block."""
        with self.opened(stage, key) as arrays:
            array: NDArray[Any] = arrays[name]
        return array

    def begin(self, job: dict[str, Any]) -> dict[str, Any]:
        """Note what the work is, or find that it is the same as what was begun here.

        Parameters
        ----------
        job : dict
            That JSON can hold. None stands for whatever was begun, or for what
            is not yet known.

        Returns
        -------
        dict
            As it was begun, with what `job` knows beyond that.

        Raises
        ------
        FileError
            If the folder holds other work or other files.
        """
        note = self.folder / _JOB
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if note.exists():
                begun: dict[str, Any] = json.loads(note.read_text(encoding="utf-8"))
                job = json.loads(json.dumps(job))
                self._check(job, begun)
                return {**job, **{n: value for n, value in begun.items() if value is not None}}
            if any(self.folder.iterdir()):
                raise FileError(
                    f"'{self.folder}' holds files that are no unfinished work; name an empty "
                    "folder, or one that does not exist yet."
                )
        except OSError as error:
            raise FileError(write_problem(note, error)) from error
        except ValueError as error:
            raise FileError(f"'{note}' is damaged; delete '{self.folder}'.") from error
        return job

    def note(self, job: dict[str, Any]) -> None:
        """Write down what the work is."""
        with whole_file(self.folder / _JOB, refused=FileError) as partial:
            partial.write_text(json.dumps(job, indent=1), encoding="utf-8")

    def network_file(self, number: int) -> Path:
        """Where the copy of a network is kept that workers load; its folder is made."""
        folder = self.folder / _NETWORKS
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise FileError(write_problem(folder, error)) from error
        return folder / f"{number}.safetensors"

    def clear(self) -> None:
        """Delete all that belongs to the work."""
        (self.folder / _JOB).unlink()
        for path in self.folder.iterdir():
            if not path.is_dir():
                continue
            is_ours = path.name == _NETWORKS or any(path.glob(f"*{_ENDING}"))
            if is_ours or not any(path.iterdir()):  # all that was in it was dropped
                shutil.rmtree(path)
        if not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _check(self, job: dict[str, Any], begun: dict[str, Any]) -> None:
        other = [
            name
            for name, value in job.items()
            if None not in (value, begun.get(name)) and begun[name] != value
        ]
        if other:
            raise FileError(
                f"'{self.folder}' holds unfinished work with another {', '.join(other)}; go on "
                "with the same, or delete that folder to begin anew."
            )

    def _path(self, stage: str, key: Key) -> Path:
        return self.folder / stage / _file_name(key)


def _file_name(key: Key) -> str:
    return f"{'_'.join(map(str, key)) or 'all'}{_ENDING}"
