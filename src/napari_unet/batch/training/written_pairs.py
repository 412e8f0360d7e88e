"""Images with their labels that were layers, written out as they were when a training was queued.

The file is an archive of NumPy arrays (`.npz`) with an index in JSON; nothing in it is code. Beside
pixels and labels it keeps what no label image says: what was reviewed and what was corrected.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.errors import FileError
from napari_unet.engine.base.whole_file import whole_file
from napari_unet.engine.training.pairs import TrainingPair

SUFFIX = ".pairs.npz"
_INDEX = "index"
_ARRAYS = ("image", "labels", "reviewed", "corrected", "intensity_reference")


def write_pairs(path: Path, pairs: Sequence[TrainingPair]) -> None:
    """Write pairs, complete or not at all; the same ones are read again.

    Raises
    ------
    FileError
        If they cannot be written.
    """
    arrays: dict[str, NDArray[Any]] = {}
    names: dict[int, str] = {}
    index = []
    for pair in pairs:
        row: dict[str, Any] = {
            "name": pair.name,
            "channel_axis": pair.channel_axis,
            "weight": pair.weight,
            "spacing": None if pair.spacing is None else list(map(float, pair.spacing)),
            "in_slices": pair.in_slices,
            "types": [[number, name] for number, name in (pair.types or {}).items()],
            "arrays": {},
        }
        for part in _ARRAYS:
            array = getattr(pair, part)
            if array is None:
                continue
            # The planes of a stack have one reference.
            name = names.setdefault(id(array), f"{len(names)}")
            arrays.setdefault(name, np.asarray(array))
            row["arrays"][part] = name
        index.append(row)
    arrays[_INDEX] = np.frombuffer(json.dumps(index).encode(), np.uint8)
    with whole_file(path, refused=FileError) as partial, partial.open("wb") as stream:
        np.savez_compressed(stream, **cast("dict[str, Any]", arrays))


def read_written_pairs(path: Path) -> list[TrainingPair]:
    """Read what `write_pairs` wrote.

    Raises
    ------
    FileError
        If it is gone, damaged or none.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        return [_pair(row, arrays) for row in json.loads(arrays[_INDEX].tobytes())]
    except FileNotFoundError as error:
        raise FileError(
            f"The images of this training, '{path}', are gone; take its row out of the queue, and "
            "add it again from the Train form."
        ) from error
    except (OSError, KeyError, TypeError, ValueError, AttributeError, zipfile.BadZipFile) as error:
        raise FileError(
            f"'{path}' holds no images of a training ({type(error).__name__}); take its row out of "
            "the queue, and add it again from the Train form."
        ) from error


def _pair(row: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> TrainingPair:
    return TrainingPair(
        name=row["name"],
        channel_axis=row["channel_axis"],
        weight=row["weight"],
        spacing=row.get("spacing"),
        types={int(number): str(name) for number, name in row["types"]} or None,
        in_slices=bool(row.get("in_slices", False)),
        **{part: cast("Any", arrays[name]) for part, name in row["arrays"].items()},
    )
