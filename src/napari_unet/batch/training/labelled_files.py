"""Files that a network learns from, and what their labels mean, as a queue keeps it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

from napari_unet.files.cell_types import read_cell_types
from napari_unet.files.pairs import ChannelAxis, read_pairs

if TYPE_CHECKING:
    from napari_unet.engine.images.image import AnyImage, LabelImage
    from napari_unet.engine.networks.network import NetworkDescription
    from napari_unet.engine.training.hold_out import HeldOut
    from napari_unet.engine.training.pairs import TrainingPair

FilePair: TypeAlias = tuple[Path, Path]
"""An image, and its labels."""


@dataclass(frozen=True, slots=True)
class LabelMeaning:
    """What labels mean, and how their images are read.

    Parameters
    ----------
    label_kind : {"cells", "classes"}
    unlabelled : {"reviewed", "ignore"}
    background_label : int, optional
    ring_px : float, optional
        As in `annotated_pair`.
    only_seen : bool
        Only what was looked over is learned.
    ndim : int
        Axes that the network reads at once.
    channel_axis : int or "none", optional
    spacing : sequence of float, optional
        As in `read_pairs`.
    slices : sequence of int or "painted", optional
        As in `annotated_pair`.
    """

    label_kind: Literal["cells", "classes"] = "cells"
    unlabelled: Literal["reviewed", "ignore"] = "reviewed"
    background_label: int | None = None
    ring_px: float | None = None
    only_seen: bool = False
    ndim: int = 2
    channel_axis: ChannelAxis = None
    spacing: Sequence[float] | None = None
    slices: Sequence[int] | Literal["painted"] | None = None

    def pair(self, image: AnyImage, labels: LabelImage, name: str, **known: Any) -> TrainingPair:
        """Make a pair of an image, channels last, and its labels, and of what else is known."""
        from napari_unet.engine.training.pairs import RING_PX, annotated_pair

        return annotated_pair(
            image,
            labels,
            unlabelled=self.unlabelled,
            background_label=self.background_label,
            label_kind=self.label_kind,
            ring_px=RING_PX if self.ring_px is None else self.ring_px,
            slices=self.slices,
            name=name,
            channel_axis=-1 if image.ndim > labels.ndim else None,
            **known,
        )


@dataclass(frozen=True, slots=True)
class LabelledFiles:
    """Images with their labels.

    Parameters
    ----------
    learned : tuple of (Path, Path)
        Images, and their labels.
    held_out : tuple of (Path, Path)
        By which the network is judged.
    meaning : LabelMeaning
    tables : mapping of Path to Path
        Table of the types of cells of a label image.
    share : float
        Of what is learned from, held out where `held_out` is empty, 0 to 1.
    held_out_is_whole : bool
        What is held out is labelled as a whole, whatever `meaning.only_seen` says.
    written : str
        Name of a file of `write_pairs` in the folder of trainings, with pairs that were layers.
    """

    learned: tuple[FilePair, ...] = ()
    held_out: tuple[FilePair, ...] = ()
    meaning: LabelMeaning = LabelMeaning()
    tables: Mapping[Path, Path] = field(default_factory=dict)
    share: float = 0.2
    held_out_is_whole: bool = False
    written: str = ""

    def read(self, folder: Path | None = None) -> tuple[list[TrainingPair], list[TrainingPair]]:
        """Read what is learned from, and what is held out.

        Parameters
        ----------
        folder : Path, optional
            Of trainings, where pairs were written that had been layers.

        Raises
        ------
        UNetError
            If a file cannot be read, or is not what it should be.
        """
        from napari_unet.batch.training.written_pairs import read_written_pairs

        written = read_written_pairs(folder / self.written) if folder and self.written else []
        is_seen = self.meaning.only_seen
        pairs = [*written, *self._read(self.learned, only_seen=is_seen)]
        is_seen = is_seen and not self.held_out_is_whole
        return pairs, self._read(self.held_out, only_seen=is_seen)

    def _read(self, files: Sequence[FilePair], *, only_seen: bool) -> list[TrainingPair]:
        made: list[TrainingPair] = []
        for image, labels in files:
            table = self.tables.get(labels)
            made += read_pairs(
                image,
                labels,
                ndim=self.meaning.ndim,
                make_pair=self.meaning.pair,
                channel_axis=self.meaning.channel_axis,
                spacing=self.meaning.spacing,
                types_of=None if table is None else partial(read_cell_types, table),
                only_seen=only_seen,
            )
        return made

    def divided(
        self, pairs: Sequence[TrainingPair], description: NetworkDescription, *, seed: int
    ) -> HeldOut:
        """Hold part of what was read out, for a network."""
        from napari_unet.engine.networks.annotation import label_kind
        from napari_unet.engine.training.hold_out import hold_out

        return hold_out(
            pairs,
            share=self.share,
            seed=seed,
            gap_px=description.architecture.margin_px,
            label_kind=label_kind(description.class_roles),
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain values, which `from_json` takes."""
        return {
            "learned": _named(self.learned),
            "held_out": _named(self.held_out),
            "meaning": asdict(self.meaning),
            "tables": _named(self.tables.items()),
            "share": self.share,
            "held_out_is_whole": self.held_out_is_whole,
            "written": self.written,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Make them of plain values.

        Raises
        ------
        ValueError, KeyError, TypeError, AttributeError
            If they are none.
        """
        return cls(
            _paths(values["learned"]),
            _paths(values["held_out"]),
            LabelMeaning(**values["meaning"]),
            dict(_paths(values["tables"])),
            values["share"],
            values["held_out_is_whole"],
            values["written"],
        )


def _named(files: Any) -> list[list[str]]:
    return [[str(path.absolute()) for path in both] for both in files]


def _paths(values: Sequence[Sequence[str]]) -> tuple[FilePair, ...]:
    return tuple((Path(one), Path(two)) for one, two in values)
