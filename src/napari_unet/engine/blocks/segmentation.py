"""An image of any size in, its cells out, block by block."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from napari_unet.engine.base.errors import ImageShapeError, SettingsError
from napari_unet.engine.base.settings import InstanceSettings, SegmentationSettings
from napari_unet.engine.blocks.cells import LabelTarget, check_planes
from napari_unet.engine.blocks.costs import cost_note
from napari_unet.engine.blocks.grid import Grid, Key, default_block
from napari_unet.engine.blocks.growing import GrowingLabels
from napari_unet.engine.blocks.plan import Plan
from napari_unet.engine.blocks.scorers import Alone, Shared
from napari_unet.engine.blocks.scoring import Machine, Reading, Scoring
from napari_unet.engine.blocks.scratch import Scratch
from napari_unet.engine.blocks.slabs import all_slabs, gather_block, missing_slabs
from napari_unet.engine.blocks.stages import find_cells
from napari_unet.engine.cluster.crew import Crew
from napari_unet.engine.cluster.hands import Hands, OneProcess
from napari_unet.engine.images.image import AnyImage
from napari_unet.engine.images.lazy import LazyView
from napari_unet.engine.images.stored import stored
from napari_unet.engine.labels.cell_types import CellTypes
from napari_unet.engine.models.one_call import AnyNetwork, as_networks
from napari_unet.engine.networks.class_roles import types_of
from napari_unet.engine.networks.network import Network, NetworkDescription
from napari_unet.engine.segmentation.ensemble import ensemble
from napari_unet.engine.segmentation.instances import check_class_roles
from napari_unet.engine.segmentation.planes import sizes_of_balls
from napari_unet.engine.segmentation.tiling import split_axis
from napari_unet.engine.segmentation.volumes.ways import own_instances

_PARTS_AT_ONCE = 16
"""Parts of an image that a worker looks at in one task, of some million pixels each."""


@dataclass(frozen=True, slots=True)
class BlocksReport:
    """How far a segmentation in blocks is.

    Parameters
    ----------
    stage : str
        What is being done: "scores", which takes nearly all of the time, of
        three directions "slices" before it,
        "pieces", "core", "centres", "flood", "labels", "borders", "cells" or
        "written".
    done, total : int
        Blocks of the stage; of "flood" those of the present round.
    tile_px : int
        Length of the network's tiles. With it `segment` computes the same scores.
    cell_count : int, optional
        The last report carries it.
    notes : tuple of str
        Sentences about anything that went another way than asked for; those
        of the last report are complete. The first of "scores" says if blocks are
        so small that pixels are read many times, and which ones would do.
    types : CellTypes, optional
        The type of each cell, of a network that tells types apart; in the last report.
    """

    stage: str
    done: int
    total: int
    tile_px: int
    cell_count: int | None = None
    notes: tuple[str, ...] = ()
    types: CellTypes | None = None


def segment_blocks(
    image: AnyImage,
    network: AnyNetwork | Sequence[AnyNetwork],
    out: LabelTarget,
    *,
    block: Sequence[int] | None = None,
    work: str | Path | None = None,
    settings: SegmentationSettings | None = None,
    instances: InstanceSettings | None = None,
    device: str = "auto",
    intensity_reference: AnyImage | None = None,
    client: Any = None,
    growing: GrowingLabels | None = None,
    **options: Any,
) -> Iterator[BlocksReport]:
    """Find the cells of an image that is larger than memory, and write their labels.

    The labels are those of `segment` for the whole image, with `tile_px` as the
    reports have it, pixel by pixel and number by number. In memory are one
    block, and for all cells and pieces of the image some tables of numbers.

    Parameters
    ----------
    image : array
        As `segment` takes it: in memory, or read in parts, such as
        `numpy.memmap` and arrays of zarr, dask and h5py.
    network : Network, str or path, or a sequence of these
    out : array of integers
        Of the image's shape without channels; each part of it is written once,
        by `out[region] = labels`. In memory, or `numpy.memmap`, zarr, h5py.
        Parts are whole shards or chunks of an array that has them.
    block : sequence of int, optional
        Pixels along each axis, at the model's scale, of any number. Multiples
        of the tile spare computing tiles twice; about 2048 x 2048 or
        192 x 192 x 192 if left out.
    work : str or path, optional
        Folder for what is known so far, up to 25 bytes for each pixel. A run
        that was stopped or killed goes on when it is called again with the
        same image, `out` and settings; files in it are deleted at the end. A
        temporary one if left out.
    settings : SegmentationSettings, optional
    instances : InstanceSettings, optional
        How cells are told apart; the model's own if left out.
    device : str
    intensity_reference : array, optional
        As in `segment`.
    client : distributed.Client or Crew, optional
        Share the blocks out among the workers of a dask scheduler. They open
        `image` and `out` by themselves: arrays of zarr in folders, or, of the
        image, a whole `numpy.memmap`, that all of them see under the same name;
        and so must `work`, which must be given. The labels are those of one
        process.
    growing : GrowingLabels, optional
        Is told what is found, and can be looked at meanwhile.
    **options
        Fields of `SegmentationSettings`, given one by one.

    Yields
    ------
    BlocksReport
        After each tile of the network here, and after each block of each stage.
        To stop, no longer iterate. The last one carries the number of cells.

    Raises
    ------
    UNetError
        If the image, `out`, a setting or the folder does not fit; the message
        says what to do. Nothing is checked before the first iteration.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_unet import segment_blocks
    >>> labels = np.zeros((64, 64), np.int32)
    >>> for report in segment_blocks(np.zeros((64, 64)), "nuclei", labels, block=(32, 32)):
    ...     pass
    >>> report.cell_count
    0
    """
    settings = replace(settings or SegmentationSettings(), **options)
    networks = ensemble(as_networks(network))
    _check_network(networks[0].description, settings)
    instances = instances or own_instances(networks[0].description.instances, settings)
    with ExitStack() as stack:
        crew = None
        if client is not None:
            if work is None:
                raise SettingsError(
                    "With a client, 'work' must be given: a folder for unfinished work that all "
                    "workers see under the same name."
                )
            given, out = image, stored(out, written=True)
            image = stored(image)
            crew = client if isinstance(client, Crew) else Crew(client)
            image = _seen_by(crew, image)
            if intensity_reference is given:
                intensity_reference = image
            elif intensity_reference is not None:
                with suppress(SettingsError):  # one in memory is looked at here
                    intensity_reference = _seen_by(crew, stored(intensity_reference))
        if work is None:
            work = stack.enter_context(tempfile.TemporaryDirectory(prefix="napari-unet-"))
        scratch = Scratch(Path(work).expanduser().absolute())
        reading = Reading.of(image, networks, settings, intensity_reference)
        work_of = reading, networks, settings, device
        scorer = Alone(Scoring(*work_of)) if crew is None else Shared(*work_of, crew)
        run = _Run(reading, networks, scorer)
        plan = run.planned(scratch, settings, instances, block)
        _check_out(out, (*plan.grid.stack, *plan.own_shape))
        if crew is not None:
            check_planes(plan, out)
        yield from run.reports(plan, out, crew or OneProcess(), growing)
        scratch.clear()


def _seen_by(crew: Crew, image: Any) -> AnyImage:
    """The same image, whose intensities are measured by workers."""
    return cast("AnyImage", LazyView(image).by(partial(_survey, crew)))


def _survey(
    crew: Crew, see: Callable[[Any], Any], parts: Iterable[tuple[slice, ...]]
) -> Iterator[Any]:
    waiting = iter(parts)
    batches: list[tuple[int, list[tuple[slice, ...]]]] = []
    while batch := list(itertools.islice(waiting, _PARTS_AT_ONCE)):
        batches.append((len(batches), batch))
    found: dict[int, list[Any]] = {}
    following = 0
    for (number, _), seen in crew.done("intensities", partial(_see_all, see), batches):
        found[number] = seen
        while following in found:
            yield from found.pop(following)
            following += 1


def _see_all(see: Callable[[Any], Any], batch: tuple[int, list[tuple[slice, ...]]]) -> list[Any]:
    return [see(part) for part in batch[1]]


def _check_network(description: NetworkDescription, settings: SegmentationSettings) -> None:
    if description.gives_classes:
        raise SettingsError(
            f"Model '{description.name}' tells classes and no cells, which is not done in blocks "
            "yet; segment the image as a whole, with an output that ends in .tif, or use a model "
            "of cells."
        )
    check_class_roles(description.class_roles)
    if settings.volume == "linked":
        raise SettingsError(
            "volume is 'linked', but in blocks discs are not linked from slice to slice; choose "
            "'three_planes', or segment the image as a whole, with an output that ends in .tif."
        )
    if settings.region is not None:
        raise SettingsError(
            "A region was given, but in blocks the whole image is segmented; leave the region "
            "out, or segment without blocks, with an output that ends in .tif."
        )


def _check_out(out: LabelTarget, shape: tuple[int, ...]) -> None:
    if tuple(out.shape) != shape:
        raise ImageShapeError(
            f"The labels are to be written to an array of shape {tuple(out.shape)}, the image has "
            f"{shape}; give an array of that shape."
        )
    if np.dtype(out.dtype).kind not in "ui":
        raise SettingsError(
            f"The labels are to be written to an array of {np.dtype(out.dtype)}; give one of "
            "whole numbers, such as int32."
        )


class _Run:
    """The part of the work that needs the image and the networks."""

    def __init__(
        self, reading: Reading, networks: Sequence[Network], scorer: Alone | Shared
    ) -> None:
        self._reading, self._networks, self._scorer = reading, networks, scorer
        self._roles = networks[0].description.class_roles

    def planned(
        self,
        scratch: Scratch,
        settings: SegmentationSettings,
        instances: InstanceSettings,
        block: Sequence[int] | None,
    ) -> Plan:
        """Begin the work in a folder, or go on with what was begun there."""
        reading, shape = self._reading, self._reading.shape
        if block is not None:
            _check_block(block, shape)
        job: dict[str, Any] = {
            "image": [list(reading.own_shape), *(asdict(each.scaling) for each in reading.sources)],
            "stack": list(reading.stack),
            "model": [network_digest(each) for each in self._networks],
            "settings": {**asdict(settings), "tile_px": None},
            "instances": asdict(instances),
            "precision": None,
            "device": None,
            "tile_px": settings.tile_px,
            "block": None if block is None else [int(n) for n in block],
        }
        scratch.note(scratch.begin(job))
        machine = self._scorer.machine(scratch)
        job = scratch.begin({**job, "precision": machine.precision, "device": machine.device})
        if job["tile_px"] is None:
            job["tile_px"] = machine.tile_px
        if job["block"] is None:
            job["block"] = self._usual_block(machine, job["tile_px"])
        scratch.note(job)
        self._machine = replace(machine, tile_px=int(job["tile_px"]))
        grid = Grid(reading.stack, shape, tuple(job["block"]))
        if reading.voxel_px is not None:
            instances = sizes_of_balls(instances, reading.voxel_px)
        return Plan(scratch, grid, instances, reading.own_shape, types_of(self._roles))

    def _usual_block(self, machine: Machine, tile_px: int) -> tuple[int, ...]:
        """Of whole tiles; of volumes whose slices are computed whole, of any size."""
        shape = self._reading.shape
        if self._reading.anisotropy is not None:
            each = (1,) * len(shape)
            return default_block(shape, each, each)
        multiples = machine.size_multiples
        tile_px = _up(tile_px, math.lcm(*multiples))
        axes = zip(shape, multiples, strict=True)
        steps = [split_axis(n, tile_px, multiple)[0][1] for n, multiple in axes]
        return default_block(shape, steps, multiples)

    def reports(
        self, plan: Plan, out: LabelTarget, hands: Hands, growing: GrowingLabels | None
    ) -> Iterator[BlocksReport]:
        """Do all stages."""
        if growing is not None:
            growing.begin(plan, out)
        tile_px = self._machine.tile_px
        if self._reading.anisotropy is not None:
            yield from self._slices(plan)
        keys = plan.grid.keys
        missing = plan.scratch.missing("scores", keys)
        done = len(keys) - len(missing)
        yield BlocksReport("scores", done, len(keys), tile_px, notes=self._costs(plan, missing))
        for key in self._scored(plan, missing, hands):
            if key is not None:
                done += 1
                if growing is not None:
                    growing.scored(key)
            yield BlocksReport("scores", done, len(keys), tile_px)
        for step in find_cells(plan, out, hands):
            if growing is not None and step.written is not None:
                growing.written(step.written)
            report = BlocksReport(step.stage, step.done, step.total, tile_px)
            if step.cell_count is not None:
                report = replace(
                    report,
                    cell_count=step.cell_count,
                    notes=self._scorer.notes,
                    types=step.types,
                )
            yield report

    def _costs(self, plan: Plan, missing: Sequence[Key]) -> tuple[str, ...]:
        """What is to be said of the size of blocks before they are computed."""
        if self._reading.anisotropy is not None or not missing:
            return ()
        config = self._networks[0].description.architecture
        note = cost_note(plan.grid, plan.own_shape, config, self._machine.tile_px)
        return () if note is None else (note,)

    def _slices(self, plan: Plan) -> Iterator[BlocksReport]:
        """Compute the slices of volumes, of all three directions."""
        slabs = all_slabs(plan.grid, len(self._roles))
        missing = missing_slabs(plan, slabs)
        done, tile_px = len(slabs) - len(missing), self._machine.tile_px
        yield BlocksReport("slices", done, len(slabs), tile_px)
        for slab in self._scorer.sliced(plan, missing, self._machine):
            done += slab is not None
            yield BlocksReport("slices", done, len(slabs), tile_px)

    def _scored(self, plan: Plan, missing: Sequence[Key], hands: Hands) -> Iterator[Key | None]:
        if self._reading.anisotropy is None:
            return self._scorer.scored(plan, missing, self._machine)
        done = hands.done("scores", partial(gather_block, plan, self._roles), missing)
        return (key for key, _ in done)


def _check_block(block: Sequence[int], shape: tuple[int, ...]) -> None:
    if len(block) != len(shape) or min(block) < 1:
        raise SettingsError(
            f"The block is {' x '.join(map(str, block))} pixels; give {len(shape)} numbers of 1 or "
            "more, one for each axis that the model reads."
        )


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def network_digest(network: Network) -> str:
    """What tells a network from others, in hexadecimal digits."""
    # 100 and 100.0 are one: which of them it is changes when a model is saved and loaded.
    told = json.loads(network.description.to_json(), parse_int=float)
    digest = hashlib.blake2b(json.dumps(told, sort_keys=True).encode(), digest_size=16)
    for name, value in sorted(network.unet.state_dict().items()):
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        flat = value.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
