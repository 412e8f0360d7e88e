"""Tracks in the form of the Cell Tracking Challenge: a folder of masks and a table of tracks."""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_unet.engine.base.errors import FileError
from napari_unet.engine.base.whole_file import system_reason, write_problem
from napari_unet.engine.images.image import AnyImage, LabelImage
from napari_unet.engine.labels.tracking.appearances import FrameLook
from napari_unet.engine.labels.tracking.tracks import Tracks, renumbered
from napari_unet.files.images import read_labels

RESULT_TABLE, TRUTH_TABLE = "res_track.txt", "man_track.txt"
TABLES = (RESULT_TABLE, TRUTH_TABLE)
_MASKS = {RESULT_TABLE: "mask", TRUTH_TABLE: "man_track"}
"""How the masks of results and of truths are called, before their number."""

_MOST_TRACKS = np.iinfo(np.uint16).max
_DIGITS = 3

Lives: TypeAlias = dict[int, tuple[int, int, int]]
"""Begin and end, counted from 0, and parent of each label; 0 for none."""


@dataclass(frozen=True, slots=True, eq=False)
class TrackedFrames:
    """What a folder of the Cell Tracking Challenge holds."""

    tracks: Tracks
    labels: LabelImage
    """(T, H, W) or (T, Z, H, W) int32. A cell has the number of its track."""


def write_challenge(folder: Path, tracks: Tracks, stack: AnyImage) -> Iterator[int]:
    """Write a mask of 16 bit for each frame and the table of tracks, as results.

    The folder appears under its name once it is complete. The form knows no
    gaps: a cell that was missing for a while gets another number when it is
    back, with the one before as its parent.

    Parameters
    ----------
    folder : Path
        It is not there, or is empty.
    tracks : Tracks
    stack : (T, H, W) or (T, Z, H, W) integer array
        The labels that were tracked.

    Yields
    ------
    int
        Frames that are written. Closed before the last one, it leaves nothing.

    Raises
    ------
    FileError
        If there is something in the folder, it cannot be written, or there are
        more tracks than 16 bits hold.

    References
    ----------
    Maška et al. (2023). https://doi.org/10.1038/s41592-023-01879-y
    """
    check_new_folder(folder)
    numbers, lives = _pieces(tracks)
    highest = max(lives, default=0)
    if highest > _MOST_TRACKS:
        raise FileError(
            f"The tracks go up to number {highest:,}, and the Cell Tracking Challenge's masks of "
            f"16 bit hold {_MOST_TRACKS:,}; track a part of the image, or fewer frames."
        )
    partial = folder.absolute().with_name(f".{secrets.token_hex(8)}.part")
    digits = max(_DIGITS, len(str(tracks.frame_count - 1)))
    try:
        partial.mkdir(parents=True)
        for at, frame in enumerate(stack):
            own = tracks.appearances.of_frame(at)
            mask = renumbered(np.asarray(frame), tracks.appearances.labels[own], numbers[own])
            tifffile.imwrite(
                partial / f"{_MASKS[RESULT_TABLE]}{at:0{digits}}.tif",
                mask.astype(np.uint16),
                photometric="minisblack",
                compression="zlib",
            )
            yield at + 1
        lines = (f"{label} {begin} {end} {up}\n" for label, (begin, end, up) in lives.items())
        (partial / RESULT_TABLE).write_text("".join(lines), encoding="ascii")
        if folder.exists():
            folder.rmdir()
        partial.rename(folder)
    except OSError as error:
        raise FileError(write_problem(folder, error)) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_new_folder(folder: Path) -> None:
    """Refuse a folder that has something in it.

    Raises
    ------
    FileError
        If there is something in it, or it is a file.
    """
    try:
        if folder.exists() and not folder.is_dir():
            raise FileError(f"'{folder}' is a file; name a folder for the masks and the table.")
        if folder.exists() and any(folder.iterdir()):
            raise FileError(
                f"The folder '{folder}' is not empty; name a new one, or one with nothing in it."
            )
    except OSError as error:
        raise FileError(write_problem(folder, error)) from error


def read_challenge(folder: str | Path) -> TrackedFrames:
    """Read a folder of the Cell Tracking Challenge, be it a result or a truth.

    Parameters
    ----------
    folder : str or Path
        With `res_track.txt` and `mask000.tif`, `mask001.tif` and so on, or with
        `man_track.txt` and `man_track000.tif` and so on.

    Returns
    -------
    TrackedFrames
        Tracks are numbered 1, 2, ... in the order of the numbers in the table.
        A track that goes on after a gap is one track again.

    Raises
    ------
    FileError
        If the folder holds no such files, or they do not belong together.
    LabelsError
        If a mask holds no labels.
    """
    folder = Path(folder)
    try:
        names = {path.name for path in folder.iterdir()}
    except OSError as error:
        raise FileError(
            f"Cannot look into the folder '{folder}' ({system_reason(error)})."
        ) from error
    table = next((name for name in _MASKS if name in names), None)
    if table is None:
        raise FileError(
            f"The folder '{folder}' holds no {RESULT_TABLE} and no {TRUTH_TABLE}; choose one in "
            "the form of the Cell Tracking Challenge."
        )
    lives = _read_table(folder / table)
    masks = _read_masks(folder, names, _MASKS[table])
    track_of, parents = _whole_tracks(lives)
    look, numbers = FrameLook(masks[0].ndim), [np.zeros(0, np.int64)]
    unseen = set(lives)
    for at, mask in enumerate(masks):
        look.add(mask)
        labels = look.labels_of_last
        for label in labels.tolist():
            begin, end, _ = lives.get(label, (0, -1, 0))
            if not begin <= at <= end:
                raise FileError(
                    f"Frame {at} in '{folder}' holds a cell {label}, which is not there according "
                    f"to {table}; let the program that made them write both again."
                )
        unseen -= set(labels.tolist())
        numbers.append(np.array([track_of[label] for label in labels.tolist()], np.int64))
    if unseen:
        raise FileError(
            f"'{folder / table}' has a track {min(unseen)}, and no frame holds such a cell; let "
            "the program that made them write both again."
        )
    tracks = Tracks(look.appearances(), np.concatenate(numbers), parents, np.nan)
    return TrackedFrames(tracks, np.stack(list(tracks.relabelled(np.stack(masks)))))


def _pieces(tracks: Tracks) -> tuple[NDArray[np.int64], Lives]:
    """Tracks without gaps: number of each entry, and from when to when each piece lasts."""
    frames = tracks.appearances.frames
    order = np.lexsort((frames, tracks.numbers))
    track, frame = tracks.numbers[order], frames[order]
    is_first = np.diff(track, prepend=0) > 0
    begins = is_first | (np.diff(frame, prepend=-1) > 1)
    pieces = np.flatnonzero(begins)
    is_later = ~is_first[pieces]
    highest = int(tracks.numbers.max(initial=0))
    names = np.where(is_later, highest + np.cumsum(is_later), track[pieces])
    numbers = np.zeros(frames.size, np.int64)
    numbers[order] = names[np.cumsum(begins) - 1]
    ends = [*(pieces[1:] - 1).tolist(), frames.size - 1] if pieces.size else []
    last_piece = dict(zip(track[pieces].tolist(), names.tolist(), strict=True))
    lives: Lives = {}
    name_before = 0
    for name, later, start, stop in zip(
        names.tolist(), is_later.tolist(), pieces.tolist(), ends, strict=True
    ):
        up = last_piece.get(tracks.parents.get(int(track[start]), 0), 0)
        lives[name] = (int(frame[start]), int(frame[stop]), name_before if later else up)
        name_before = name
    return numbers, dict(sorted(lives.items()))


def _read_table(path: Path) -> Lives:
    lives: Lives = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"Cannot read '{path}' ({system_reason(error)}).") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            label, begin, end, up = map(int, line.split())
        except ValueError as error:
            raise FileError(
                f"Line {number} of '{path}' is '{line.strip()}'; it should have four whole "
                "numbers: label, first and last frame, parent."
            ) from error
        lives[label] = (begin, end, up)
    for label, (_, _, up) in lives.items():
        if up and up not in lives:
            raise FileError(
                f"'{path}' names {up} as the parent of {label}, and has no track {up}; add it, or "
                "write 0."
            )
    return lives


def _read_masks(folder: Path, names: Iterable[str], word: str) -> list[LabelImage]:
    pattern = re.compile(rf"{word}(\d+)\.tiff?", re.IGNORECASE)
    numbered = {int(match[1]): name for name in names if (match := pattern.fullmatch(name))}
    if sorted(numbered) != list(range(len(numbered))) or not numbered:
        missing = next(at for at in range(len(numbered) + 1) if at not in numbered)
        raise FileError(
            f"The folder '{folder}' has no {word}{missing:0{_DIGITS}}.tif; there should be one for "
            "each frame, counted from 0."
        )
    masks = [read_labels(folder / numbered[at]).array for at in range(len(numbered))]
    for at, mask in enumerate(masks):
        if mask.shape != masks[0].shape:
            raise FileError(
                f"'{folder / numbered[at]}' has shape {mask.shape}, and the first frame "
                f"{masks[0].shape}; all frames should be alike."
            )
    return masks


def _whole_tracks(lives: Lives) -> tuple[dict[int, int], dict[int, int]]:
    """Number of the track of each label, and the parents of tracks."""
    children: dict[int, list[int]] = {}
    for label, (_, _, up) in lives.items():
        children.setdefault(up, []).append(label)
    goes_on = {
        label: up
        for label, (begin, _, up) in lives.items()
        if up and len(children[up]) == 1 and begin > lives[up][1] + 1
    }
    track_of: dict[int, int] = {}
    for label in sorted(lives):
        if label not in goes_on:
            track_of[label] = len(track_of) + 1
    for label in sorted(goes_on, key=lambda each: lives[each][0]):
        track_of[label] = track_of[goes_on[label]]
    parents = {
        track_of[label]: track_of[up]
        for label, (_, _, up) in lives.items()
        if up and label not in goes_on
    }
    return track_of, parents
