"""An image of a queue: what is to be made of it, and what came of it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

from napari_unet.batch.file_plan import PlannedFile

State: TypeAlias = Literal["waiting", "done", "failed"]
"""Of an entry of a queue."""

_KEPT = ("settings_id", "id", "replaces", "keeps", "state", "error", "stamp", "is_corrected")


@dataclass(frozen=True, slots=True)
class ImageOutcome:
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
    mean_doubt : float, optional
        Of the cells: 0 where the network is sure, 1 where it knows nothing; where there are scores.
    doubt : str
        Why the result is not to be trusted, as its scores say; a sentence.
    warnings : tuple of str
        Sentences, that of `doubt` among them.
    """

    cells: int | None = None
    median_area_px: float | None = None
    median_area_um2: float | None = None
    seconds: float | None = None
    mean_doubt: float | None = None
    doubt: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImageEntry:
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
    outcome : ImageOutcome
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
    outcome: ImageOutcome = field(default_factory=ImageOutcome)
    error: str = ""
    stamp: tuple[int, int] = (0, 0)
    is_corrected: bool = False

    @property
    def output(self) -> Path:
        """The labels, which no two entries share."""
        return self.planned.output

    @property
    def title(self) -> str:
        """The image's name for people."""
        return self.planned.title

    @property
    def is_whole(self) -> bool:
        """Whether it is done and all its results are there."""
        return self.state == "done" and self.has_results

    @property
    def has_results(self) -> bool:
        """Whether all its results are there, whatever made them."""
        return all(path.exists() for path in self.planned.outputs)

    def gives_the_same(self, other: ImageEntry) -> bool:
        """Whether another entry gives the same result."""
        one, two = self.planned, other.planned
        return (self.settings_id, self.stamp, one.source.absolute(), one.series) == (
            other.settings_id,
            other.stamp,
            two.source.absolute(),
            two.series,
        )

    def to_json(self, folder: Path) -> dict[str, Any]:
        """Return plain values, which `from_json` takes; results are named from `folder` on."""
        planned = self.planned
        return {
            "image": str(planned.source.absolute()),
            "series": planned.series,
            "series_name": planned.series_name,
            "output": planned.output.relative_to(folder).as_posix(),
            "extras": {
                kind: path.relative_to(folder).as_posix() for kind, path in planned.extras.items()
            },
            **{name: getattr(self, name) for name in _KEPT},
            **asdict(self.outcome),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any], folder: Path) -> Self:
        """Make an entry of plain values.

        Raises
        ------
        ValueError, KeyError, TypeError, AttributeError
            If they are none.
        """
        planned = PlannedFile(
            Path(values["image"]),
            folder / values["output"],
            {kind: folder / path for kind, path in values["extras"].items()},
            values["series"],
            values["series_name"],
        )
        outcome = {each.name: values[each.name] for each in fields(ImageOutcome)}
        outcome["warnings"] = tuple(outcome["warnings"])
        size, changed = values["stamp"]
        kept = {name: values[name] for name in _KEPT}
        kept |= {"state": checked_state(values["state"]), "stamp": (size, changed)}
        return cls(planned, outcome=ImageOutcome(**outcome), **kept)


def checked_state(value: str) -> State:
    """Return a state.

    Raises
    ------
    ValueError
        If it is none.
    """
    for state in ("waiting", "done", "failed"):
        if value == state:
            return state
    raise ValueError(value)


def stamp_of(image: Path) -> tuple[int, int]:
    """Bytes of a file, and when it was changed, in nanoseconds; (0, 0) if it is not there."""
    try:
        found = image.stat()
    except OSError:
        return 0, 0
    return found.st_size, found.st_mtime_ns
