"""What the Large images form has done in a worker's thread: workers found, an image segmented."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from napari_unet.viewer.results import PREVIEW_KEY
from napari_unet.widgets.large.source import LayerFile, look_at

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari.layers import Labels

    from napari_unet.batch.settings import BatchSettings
    from napari_unet.engine.blocks.growing import GrowingLabels
    from napari_unet.engine.cluster.crew import Crew, CrewFacts
    from napari_unet.engine.networks.network import Network

Place: TypeAlias = Literal["here", "workers", "elsewhere"]

_REPORT_S = 0.25
_CONNECT_S = 5.0
"""Time that a scheduler has to show a worker when it is only looked at."""


@dataclass(frozen=True, slots=True)
class Workers:
    """Who does the blocks.

    Parameters
    ----------
    place : {"here", "workers", "elsewhere"}
        This process, processes of this computer, or those of a scheduler.
    count : int
        Processes of this computer.
    address : str
        Of the scheduler.
    """

    place: Place = "here"
    count: int = 2
    address: str = ""

    def crew(
        self, device: str, cancel: threading.Event
    ) -> AbstractContextManager[Crew] | AbstractContextManager[None]:
        """Start or find them; None stands for this process."""
        from napari_unet.engine.cluster.clusters import crew_at, local_crew

        if self.place == "workers":
            return local_crew(self.count, device=device, cancel=cancel)
        if self.place == "elsewhere":
            return crew_at(self.address, cancel=cancel)
        return nullcontext()


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """An image to be segmented in blocks.

    Parameters
    ----------
    file : LayerFile
    out : Path
    name : str
        For the layer of labels.
    networks : tuple of Network
    batch : BatchSettings
    device : str
    workers : Workers
    overwrite : bool
    places : mapping of int to mapping
        Where labels of so many axes lie in the viewer.
    cancel : threading.Event
        Ends what waits for workers.
    """

    file: LayerFile
    out: Path
    name: str
    networks: tuple[Network, ...]
    batch: BatchSettings
    device: str
    workers: Workers
    overwrite: bool
    places: Mapping[int, Mapping[str, Any]]
    cancel: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is; `changes` grows whenever there is more to be seen."""

    stage: str
    done: int
    total: int
    changes: int
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Begun:
    """A layer in which labels appear."""

    layer: Labels


@dataclass(frozen=True, slots=True, eq=False)
class Done:
    """The labels as they are in the file, and how many there are."""

    layer: Labels
    cells: int


def connect(address: str, cancel: threading.Event) -> CrewFacts | None:
    """Look who works for a scheduler; None if nobody waits for the answer any more.

    Raises
    ------
    ClusterError
        If it does not answer, has no workers, or these have other versions.
    """
    from napari_unet.engine.cluster.clusters import crew_at
    from napari_unet.engine.cluster.crew import CancelledWaitError

    try:
        with crew_at(address, patience_s=_CONNECT_S, cancel=cancel) as crew:
            return crew.facts()
    except CancelledWaitError:
        return None


def segment_large(order: Order) -> Iterator[CrewFacts | Begun | Progress | Done]:
    """Segment an image, or go on with it.

    Yields
    ------
    CrewFacts, Begun, Progress and Done
        Workers, the layer that grows, how far it is, and the layer of what was written.

    Raises
    ------
    UNetError
        If something does not fit, or workers are lost.
    """
    from napari_unet.engine.cluster.crew import CancelledWaitError

    look_at(order.file)
    try:
        with order.workers.crew(order.device, order.cancel) as crew:
            if crew is not None:
                yield crew.facts()
            yield from _segmented(order, crew)
    except CancelledWaitError:
        return


def _segmented(order: Order, crew: Crew | None) -> Iterator[Begun | Progress | Done]:
    from napari_unet.batch.images.store_job import StoreJob
    from napari_unet.engine.blocks.growing import GrowingLabels

    growing = GrowingLabels()
    job = StoreJob(
        order.file.path,
        order.out,
        order.networks,
        order.batch,
        device=order.device,
        crew=crew,
        overwrite=order.overwrite,
        program="napari",
        growing=growing,
    )
    is_shown, cells, told, stage = False, 0, 0.0, ""
    with closing(job.reports()) as reports:
        for each in reports:
            if order.cancel.is_set():
                return
            cells = each.cell_count or cells
            if growing.changes and not is_shown:
                is_shown = True
                yield Begun(_growing_layer(growing, order))
            now = time.monotonic()
            if each.stage != stage or each.warnings or now > told + _REPORT_S:
                stage, told = each.stage, now
                yield Progress(stage, each.done, each.total, growing.changes, each.warnings)
    yield Done(_written_layer(order), cells)


def _growing_layer(growing: GrowingLabels, order: Order) -> Labels:
    from napari.layers import Labels

    levels = list(growing.levels)
    layer = Labels(
        levels if len(levels) > 1 else levels[0],
        multiscale=len(levels) > 1,
        name=f"{order.name} (so far)",
        metadata={PREVIEW_KEY: True},
        **order.places.get(growing.ndim, {}),
    )
    layer.editable = False
    return layer


def _written_layer(order: Order) -> Labels:
    from napari.layers import Labels

    from napari_unet.viewer.zarr_layers import read_layers

    ((data, options, _),) = read_layers(str(order.out))
    ndim = len(options["scale"])
    return Labels(data, **{**options, **order.places.get(ndim, {}), "name": order.name})
