"""One image of any size, segmented block by block into labels as OME-Zarr."""

from __future__ import annotations

import math
import shutil
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from napari_unet.batch.file_plan import check_writable
from napari_unet.batch.images.job import Look
from napari_unet.batch.images.part import ImagePart
from napari_unet.batch.images.volume import discs_in_blocks, volume_concerns
from napari_unet.batch.lock import QueueLock
from napari_unet.batch.settings import BatchSettings
from napari_unet.engine.base.errors import FileError, SettingsError
from napari_unet.engine.base.settings import InstanceSettings, SegmentationSettings
from napari_unet.engine.blocks.growing import GrowingLabels
from napari_unet.engine.blocks.segmentation import (
    BlocksReport,
    network_digest,
    segment_blocks,
)
from napari_unet.engine.blocks.slabs import slice_bytes
from napari_unet.engine.cluster.crew import Crew
from napari_unet.engine.labels.cell_types import CellTypes
from napari_unet.engine.networks.network import Network
from napari_unet.engine.segmentation.ensemble import ensemble_name, zooms_of
from napari_unet.files.image_file import ImageFile
from napari_unet.files.label_notes import segmentation_notes
from napari_unet.files.opened import opened_image
from napari_unet.files.stores.label_grid import label_grid
from napari_unet.files.stores.label_store import LabelStore, shard_for

SMALLER = "smaller sizes"
"""The stage after those of `segment_blocks`."""

_LEAST_BLOCK_PX = 256

_SCRATCH_BYTES = 25
"""For each pixel, at most, until the labels are whole."""

_TYPE_BYTES = 4
"""The same, for each type of cells that is told."""

_GIGABYTE = 1e9


@dataclass(frozen=True, slots=True)
class StoreReport:
    """How far the labels of an image are.

    Parameters
    ----------
    stage : str
        As in `BlocksReport`, or `SMALLER`.
    done, total : int
        Blocks of the stage.
    warnings : tuple of str
        What is to be told, once.
    cell_count : int, optional
        The last report carries it.
    types : CellTypes, optional
        In the report of the last block that is written.
    """

    stage: str
    done: int
    total: int
    warnings: tuple[str, ...] = ()
    cell_count: int | None = None
    types: CellTypes | None = None


@dataclass(frozen=True, slots=True)
class StoreJob:
    """Segments an image block by block, and goes on where it was stopped.

    Parameters
    ----------
    source : Path
    out : Path
        As `LabelStore` takes it.
    networks : tuple of Network
        Whose scores are averaged; most often one.
    batch : BatchSettings
    series : int or str, optional
        Which image of a file that holds several.
    block : tuple of int, optional
        Pixels of the image along each axis that the network reads.
    device : str
    crew : Crew, optional
        Workers who do the blocks; this process if left out.
    overwrite : bool
        Replace labels that are there.
    look : callable, optional
        Asked before the work.
    program : str
        What this process is, for the message that another one shows.
    growing : GrowingLabels, optional
        Shows what is found meanwhile.
    """

    source: Path
    out: Path
    networks: tuple[Network, ...]
    batch: BatchSettings
    series: int | str | None = None
    block: tuple[int, ...] | None = None
    device: str = "auto"
    crew: Crew | None = None
    overwrite: bool = False
    look: Look | None = None
    program: str = "napari-unet"
    growing: GrowingLabels | None = None

    def reports(self) -> Generator[StoreReport]:
        """Do it; to stop, no longer iterate, and to go on, do it again.

        Yields
        ------
        StoreReport
            After each tile, block of each stage, and shard of the smaller sizes.

        Raises
        ------
        UNetError
            If the image, a setting or the output does not fit.
        """
        store = LabelStore(self.out)
        description = self.networks[0].description
        store.check(overwrite=self.overwrite, tells_types=bool(description.cell_types))
        if self.out.resolve() == self.source.resolve():
            raise FileError(f"The output '{self.out}' would replace the image; choose another one.")
        count = 0
        with ExitStack() as closing:
            opened = closing.enter_context(opened_image(self.source, series=self.series))
            # Not where the labels are, of which the folder may not be there yet.
            check_writable(next(each for each in self.out.absolute().parents if each.exists()))
            closing.callback(self._leave, store.folder)  # once the lock is given back
            lock = closing.enter_context(QueueLock(store.folder, self.program))
            try:
                for report in self._done_with(store, opened):
                    lock.beat()
                    count = report.cell_count or count
                    yield report
            except BaseException:
                store.drop_if_untouched()
                raise
        yield StoreReport(SMALLER, 1, 1, cell_count=count)

    @staticmethod
    def _leave(folder: Path) -> None:
        """Take a folder away in which nothing is left."""
        with suppress(OSError):
            folder.rmdir()

    def _done_with(self, store: LabelStore, opened: ImageFile) -> Iterator[StoreReport]:
        """Do the work, as far as it is not done yet."""
        part = self.batch.part.of(opened, ndim=self._ndim)
        settings = self.batch.settings_for(part, ndim=self._ndim)
        self._check_block(settings)
        warnings = self._warnings(part, settings)
        grid = label_grid(part.image, opened, part.channel_axis)
        shard = shard_for(self.block, self._block_ndim(settings))
        store.begin(grid, self._job(opened, part, settings), block=shard)
        yield StoreReport("scores", 0, 1, (*warnings, *self._room(store, part, settings)))
        try:
            if store.cells is None:
                for report in self._blocks(store, part, settings):
                    if report.cell_count is not None:
                        store.note_cells(report.cell_count, report.types)
                    yield StoreReport(
                        report.stage,
                        report.done,
                        report.total,
                        report.notes,
                        types=report.types,
                    )
            for done, total in store.write_smaller():
                yield StoreReport(SMALLER, done, total)
            count = store.cells or 0
            store.finish(self._notes(part.image, settings, count))
        except FileError as error:
            if not store.has_results:
                raise
            raise FileError(
                f"{error} What is done is kept in '{store.folder}'; run the same again to go on."
            ) from error
        yield StoreReport(SMALLER, 1, 1, cell_count=count)

    @property
    def _instances(self) -> InstanceSettings:
        return self.batch.instances_of(self.networks[0].description.instances)

    def _block_ndim(self, settings: SegmentationSettings) -> int:
        """Axes of a block: of planes that are slices of volumes, those of these."""
        return 3 if settings.volume == "three_planes" else self._ndim

    @property
    def _ndim(self) -> int:
        return self.networks[0].description.architecture.ndim

    def _blocks(
        self, store: LabelStore, part: ImagePart, settings: SegmentationSettings
    ) -> Iterator[BlocksReport]:
        """The one call of the engine."""
        description = self.networks[0].description
        block = self.block
        if block is not None and settings.volume != "three_planes":
            zoom = zooms_of([each.description for each in self.networks], settings)[0]
            block = tuple(max(1, round(n * zoom)) for n in block)
        yield from segment_blocks(
            part.image.array,
            self.networks,
            store.labels(),
            block=block,
            work=store.work,
            settings=settings,
            instances=self._instances,
            device=self.device,
            intensity_reference=self.batch.intensity_reference(
                part, in_channels=description.architecture.in_channels
            ),
            client=self.crew,
            growing=self.growing,
        )

    def _check_block(self, settings: SegmentationSettings) -> None:
        if self.block is None:
            return
        found = f"The block is {' x '.join(map(str, self.block))} pixels"
        ndim = self._block_ndim(settings)
        if len(self.block) != ndim:
            axes = "Y,X" if ndim == 2 else "Z,Y,X"
            whose = "the model reads" if ndim == self._ndim else "cells are found in"
            raise SettingsError(
                f"{found}, and {whose} {ndim}-D images; give {ndim} numbers, {axes}."
            )
        if math.prod(self.block) < _LEAST_BLOCK_PX:
            raise SettingsError(
                f"{found}, fewer than {_LEAST_BLOCK_PX}, so that nearly all of the time would go "
                "into its margins and files; choose larger ones, as in 1024,1024."
            )

    def _warnings(self, part: ImagePart, settings: SegmentationSettings) -> Sequence[str]:
        checks, description = self.batch.checks, self.networks[0].description
        found: list[str] = [
            *part.image.remarks,
            *volume_concerns(part, settings),
            *discs_in_blocks(part, description, settings),
        ]
        if self.look is not None and checks != "none":
            found += self.look(part, description, settings, refuses=checks == "refuse")
        return found

    def _room(
        self, store: LabelStore, part: ImagePart, settings: SegmentationSettings
    ) -> Sequence[str]:
        """Say that the disk may become full before that happens."""
        size = part.image.array.size
        if part.channel_axis is not None:
            size //= part.image.array.shape[part.channel_axis]
        description = self.networks[0].description
        bytes_each = _SCRATCH_BYTES + _TYPE_BYTES * len(description.cell_types)
        if settings.volume == "three_planes":
            bytes_each += slice_bytes(len(description.class_roles))
        needed, free = size * bytes_each, shutil.disk_usage(store.folder).free
        if needed <= free or store.cells is not None:
            return ()
        warning = (
            f"Up to {needed / _GIGABYTE:.3g} GB are needed beside '{self.out}' until the labels "
            f"are whole, and {free / _GIGABYTE:.3g} GB are free; if the disk becomes full, make "
            "room and run the same again, and it goes on."
        )
        return (warning,)

    def _job(
        self, opened: ImageFile, part: ImagePart, settings: SegmentationSettings
    ) -> dict[str, Any]:
        """What tells this work from other work with the same output.

        That is what decides about the labels, and not how it was asked for: forms and commands
        have other words for the same, and go on with each other's work.
        """
        series = opened.series
        decisive = asdict(settings)
        del decisive["tile_px"]  # chosen when the work begins, where it is not given
        return {
            "image": str(self.source.resolve()),
            "series": None if series is None else series.number,
            "channel": self.batch.part.channel,
            "slice": self.batch.part.plane,
            "axes": part.image.axes,
            "intensities": self.batch.intensities,
            "model": [network_digest(each) for each in self.networks],
            **decisive,
            **asdict(self._instances),
        }

    def _notes(self, image: ImageFile, settings: SegmentationSettings, cells: int) -> Any:
        names = [each.description.name for each in self.networks]
        sources = [model.source for model in self.batch.models]
        return segmentation_notes(
            image=image.name if image.series is None else f"{image.name} {image.series.label}",
            model=ensemble_name(names),
            source=sources[0],
            averaged_with=[
                {"model": name, "model_source": source}
                for name, source in zip(names[1:], sources[1:], strict=True)
            ],
            cells=cells,
            settings=settings,
            instances=self._instances,
        )
