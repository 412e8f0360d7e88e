"""Labels of an image of any size: an OME-Zarr that is written part by part, and goes on."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.errors import FileError
from napari_unet.engine.base.whole_file import whole_file, write_problem
from napari_unet.engine.labels.cell_types import CellTypes
from napari_unet.files.cell_types import table_beside, write_cell_types
from napari_unet.files.image_file import existing
from napari_unet.files.label_formats.ome_zarr import (
    ZARR_SUFFIX,
    add_to_list,
    check_free,
    image_around,
    put_in_place,
)
from napari_unet.files.stores.label_grid import LabelGrid
from napari_unet.files.stores.ngff import NESTED_VERSION

_CHUNK_PX = {2: 256, 3: 64}
"""Of a chunk along each axis of a plane or a volume; a shard is made of whole ones."""

_SHARD_PX = {2: 2048, 3: 192}
_NOTE, _GROUP, _WORK, _LOCK = "store.json", "labels", "work", "queue.lock"
_TYPES = "types.csv"
_OURS = "napari_unet"

_MOST_NAMES = 3
"""In a message."""


def is_label_store(path: Path) -> bool:
    """Whether a name asks for labels as OME-Zarr."""
    return path.name.lower().endswith(ZARR_SUFFIX) or image_around(path) is not None


@dataclass(frozen=True, slots=True)
class LabelStore:
    """Labels that appear under their name once they are whole.

    Until then they are in a folder beside it, NAME.unfinished, with all that is
    needed to go on.

    Parameters
    ----------
    path : Path
        Ending in .zarr, or IMAGE/labels/NAME of an OME-Zarr image of version 0.5.
    """

    path: Path

    @property
    def folder(self) -> Path:
        """Where unfinished labels are."""
        return self.path.with_name(f"{self.path.name}.unfinished")

    @property
    def group(self) -> Path:
        """The unfinished OME-Zarr, which can be looked at."""
        return self.folder / _GROUP

    @property
    def work(self) -> Path:
        """Folder for what is known of each block; see `segment_blocks`."""
        return self.folder / _WORK

    @property
    def cells(self) -> int | None:
        """How many there are, once the largest size is written."""
        return self._note().get("cells")

    @property
    def _types(self) -> Path:
        """Table of the types of cells, until the labels are whole."""
        return self.folder / _TYPES

    def check(self, *, overwrite: bool, tells_types: bool = False) -> None:
        """Raise unless labels can get this name, and a table of types that beside them.

        Raises
        ------
        FileError
            If it is taken and `overwrite` is off, or the image around it is of an older version.
        """
        check_free(self.path, overwrite=overwrite)
        table = table_beside(self.path)
        if tells_types and not overwrite and not self._note() and table.exists():
            raise existing(table)
        around = image_around(self.path)
        if around is not None and not (around / "zarr.json").exists():
            raise FileError(
                f"'{around}' is an OME-Zarr of version 0.4 or before, and labels are written in "
                "that of 0.5; name an output of its own that ends in .ome.zarr."
            )

    def begin(self, grid: LabelGrid, job: Mapping[str, Any], *, block: Sequence[int]) -> None:
        """Make the arrays of all sizes, or find those of the same work.

        Parameters
        ----------
        grid : LabelGrid
        job : mapping
            What the work is, as plain values.
        block : sequence of int
            Pixels of a shard along the last axes; whole chunks are made of it.

        Raises
        ------
        FileError
            If unfinished labels of other work are there, or nothing can be written.
        """
        known = _plain({"job": job, "grid": grid.to_json(), "block": list(block)})
        note = self._note()
        if note and self.group.exists():
            other = _different(note, known)
            if other:
                raise FileError(
                    f"'{self.folder}' holds unfinished labels with another {', '.join(other)}; go "
                    "on with the same, or delete that folder to begin anew."
                )
            return
        with _told(self.path):
            self.folder.mkdir(parents=True, exist_ok=True)
            names = {each.name for each in self.folder.iterdir()} - {_GROUP, _NOTE, _LOCK}
            if names:
                raise FileError(
                    f"'{self.folder}' holds files that are no unfinished labels; name another "
                    "output."
                )
            self._make(grid, block)
        self._save({**known, "sizes": 1})

    def labels(self) -> StoredLabels:
        """The largest size, to be written."""
        import zarr

        order = self._note()["grid"]["order"]
        return StoredLabels(self.path, zarr.open_array(self.group / "0", mode="r+"), tuple(order))

    def note_cells(self, count: int, types: CellTypes | None = None) -> None:
        """Note that the largest size is whole, and of what types cells are."""
        if types is not None:
            write_cell_types(
                self._types, types.by_label, types.probability_by_label, overwrite=True
            )
        self._save({**self._note(), "cells": count})

    def write_smaller(self) -> Iterator[tuple[int, int]]:
        """Write the smaller sizes: of so many labels the first, so that no new ones arise.

        Yields
        ------
        tuple of int
            Shards done, and all of them.
        """
        import zarr

        note = self._note()
        with _told(self.path):
            sizes = [
                zarr.open_array(self.group / str(number), mode="r+")
                for number in range(len(note["grid"]["shapes"]))
            ]
        factors = note["grid"]["factors"]
        parts = [list(_regions(each.shape, each.shards or each.chunks)) for each in sizes]
        total = sum(map(len, parts[1:]))
        done = sum(map(len, parts[1 : note["sizes"]]))
        for number in range(note["sizes"], len(sizes)):
            source, steps = _source(sizes, factors, number)
            for region in parts[number]:
                with _told(self.path):
                    sizes[number][region] = source[
                        tuple(
                            slice(cut.start * step, (cut.stop - 1) * step + 1, step)
                            for cut, step in zip(region, steps, strict=True)
                        )
                    ]
                done += 1
                yield done, total
            note["sizes"] = number + 1
            self._save(note)

    def finish(self, notes: Mapping[str, Any]) -> None:
        """Give the labels their name, with how they came about."""
        import zarr

        with _told(self.path):
            zarr.open_group(self.group, mode="r+").attrs[_OURS] = _plain(notes)
            if self._types.exists():
                self._types.replace(table_beside(self.path))
            put_in_place(self.group, self.path)
            around = image_around(self.path)
            if around is not None:
                add_to_list(zarr.open_group(around, mode="r+"), self.path.name)
            (self.folder / _NOTE).unlink()
            shutil.rmtree(self.work, ignore_errors=True)

    @property
    def has_results(self) -> bool:
        """Whether something has been computed that a next run needs not compute again."""
        return self.cells is not None or any(self.work.glob("*/*.npz"))

    def drop_if_untouched(self) -> None:
        """Take the folder away if nothing has been computed for it yet."""
        if self._note() and not self.has_results:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _make(self, grid: LabelGrid, block: Sequence[int]) -> None:
        import zarr

        group = zarr.open_group(self.group, mode="w", zarr_format=3)
        for number, shape in enumerate(grid.shapes):
            chunks, shards = _cut(shape, grid, block)
            group.create_array(
                str(number),
                shape=shape,
                dtype="int32",
                chunks=chunks,
                shards=shards,
                fill_value=0,
                dimension_names=[str(axis["name"]) for axis in grid.axes],
                config={"write_empty_chunks": False},
            )
        attributes = grid.attributes(self.path.name.split(".")[0])
        if image_around(self.path) is not None:
            attributes["image-label"] = {"source": {"image": "../../"}}
        group.attrs["ome"] = {"version": NESTED_VERSION, **_plain(attributes)}

    def _note(self) -> dict[str, Any]:
        note = self.folder / _NOTE
        try:
            found: dict[str, Any] = json.loads(note.read_text("utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise FileError(
                f"'{note}' cannot be read; delete '{self.folder}' to begin anew."
            ) from error
        return found

    def _save(self, note: Mapping[str, Any]) -> None:
        with whole_file(self.folder / _NOTE, refused=FileError) as partial:
            partial.write_text(json.dumps(note, indent=1), encoding="utf-8")


class StoredLabels:
    """An array of Zarr with the axes of labels as they are computed; it can be sent elsewhere.

    Parameters
    ----------
    path : Path
        For messages.
    array : zarr.Array
    order : tuple of int or None
        As in `LabelGrid`.
    """

    def __init__(self, path: Path, array: Any, order: tuple[int | None, ...]) -> None:
        self._path, self._array, self._order = path, array, order

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the labels."""
        dtype: np.dtype[Any] = self._array.dtype
        return dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Without axes of one voxel that the labels lack."""
        return self._of(self._array.shape)

    @property
    def shards(self) -> tuple[int, ...]:
        """Which one writer each may write."""
        return self._of(self._array.shards)

    def over(self, change: Callable[[Any], Any]) -> StoredLabels:
        """These on what `change` makes of the array."""
        return StoredLabels(self._path, change(self._array), self._order)

    def __getitem__(self, where: tuple[int | slice, ...]) -> NDArray[Any]:
        with _told(self._path):
            read = np.asarray(self._array[self._place(where)])
        moved = self._moved(where)
        return read.transpose([moved.index(axis) for axis in range(len(moved))])

    def __setitem__(self, where: tuple[int | slice, ...], labels: NDArray[Any]) -> None:
        with _told(self._path):
            self._array[self._place(where)] = labels.transpose(self._moved(where))

    def _of(self, numbers: Sequence[int]) -> tuple[int, ...]:
        axes = range(sum(axis is not None for axis in self._order))
        return tuple(int(numbers[self._order.index(axis)]) for axis in axes)

    def _place(self, where: tuple[int | slice, ...]) -> tuple[int | slice, ...]:
        return tuple(0 if axis is None else where[axis] for axis in self._order)

    def _moved(self, where: tuple[int | slice, ...]) -> list[int]:
        """Which axis of a part each axis of what is stored of it is."""
        left = [axis for axis, cut in enumerate(where) if isinstance(cut, slice)]
        return [left.index(axis) for axis in self._order if axis in left]


def shard_for(block: Sequence[int] | None, ndim: int) -> tuple[int, ...]:
    """Shard for blocks of so many pixels, or of as many as are usual: whole chunks."""
    chunk = _CHUNK_PX[ndim]
    wanted = [_SHARD_PX[ndim]] * ndim if block is None else block
    return tuple(math.ceil(n / chunk) * chunk for n in wanted)


def _cut(
    shape: Sequence[int], grid: LabelGrid, block: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Chunks and shards: of one plane or volume, and not much larger than that is."""
    planar = dict(zip(("Z", "Y", "X")[-len(block) :], block, strict=True))
    chunk = _CHUNK_PX[len(block)]
    chunks, shards = [], []
    for name, n in zip(grid.letters, shape, strict=True):
        chunks.append(chunk if name in planar else 1)
        whole = math.ceil(n / chunk) * chunk
        shards.append(min(planar[name], whole) if name in planar else 1)
    return tuple(chunks), tuple(shards)


def _regions(shape: Sequence[int], shards: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    counts = [-(-n // shard) for n, shard in zip(shape, shards, strict=True)]
    for place in np.ndindex(*counts):
        yield tuple(
            slice(i * shard, min(n, (i + 1) * shard))
            for i, shard, n in zip(place, shards, shape, strict=True)
        )


def _source(
    sizes: Sequence[Any], factors: Sequence[Sequence[int]], number: int
) -> tuple[Any, tuple[int, ...]]:
    """The smallest size of which another one is every so many pixels."""
    for other in reversed(range(number)):
        pairs = list(zip(factors[number], factors[other], strict=True))
        steps = tuple(mine // its for mine, its in pairs)
        ends = zip(sizes[number].shape, steps, sizes[other].shape, strict=True)
        divides = all(mine % its == 0 for mine, its in pairs)
        if divides and all((n - 1) * step < length for n, step, length in ends):
            return sizes[other], steps
    raise AssertionError("of the largest size every other one is a part")


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Say in a sentence why something could not be written."""
    try:
        yield
    except OSError as error:
        raise FileError(write_problem(path, error)) from error


def _different(note: Mapping[str, Any], known: Mapping[str, Any]) -> list[str]:
    """Names of what is different in unfinished labels, the first ones."""
    began = note.get("job", {})
    other = [name for name, value in known["job"].items() if began.get(name) != value]
    other += [name for name in ("grid", "block") if note.get(name) != known[name]]
    return other[:_MOST_NAMES]


def _plain(values: Any) -> Any:
    """What JSON gives back of values; what it does not know as text."""
    return json.loads(json.dumps(values, default=str))
