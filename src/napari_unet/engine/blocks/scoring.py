"""Stage "scores" of a block: from the image and the networks to what cells are made of."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from napari_unet.engine.base.device import resolve_device, resolve_precision
from napari_unet.engine.base.errors import ClusterError
from napari_unet.engine.base.settings import SegmentationSettings
from napari_unet.engine.blocks.grid import Key
from napari_unet.engine.blocks.plan import Plan
from napari_unet.engine.blocks.slabs import Slab, missing_slabs, score_slab
from napari_unet.engine.images.image import AnyImage
from napari_unet.engine.images.resampling import ZoomedSource, at_scale, zoomed_shape
from napari_unet.engine.images.source import ImageSource
from napari_unet.engine.models.checkpoint import load_checkpoint
from napari_unet.engine.networks.network import Network
from napari_unet.engine.segmentation.detours import Detours
from napari_unet.engine.segmentation.ensemble import axis_zooms_of
from napari_unet.engine.segmentation.planes import PlaneScores, room_for
from napari_unet.engine.segmentation.predictor import PlanePredictor
from napari_unet.engine.segmentation.segmentation import opened, stack_shape
from napari_unet.engine.segmentation.volumes.three_planes import slice_zooms, voxel_volume_px
from napari_unet.engine.segmentation.volumes.ways import check_volume


@dataclass(frozen=True, slots=True)
class Reading:
    """An image as each network reads it, plane by plane; small where the image is in a file.

    Parameters
    ----------
    stack : tuple of int
        Lengths of the axes of planes; () without any.
    sources : tuple of ImageSource
        In the image's own pixels, for each network.
    zooms : tuple of tuple of float
        Factors for each axis to the scale at which each reads.
    anisotropy : float, optional
        Distance between the slices of volumes, in pixels, of which scores are
        those of slices in all three directions; None elsewhere.
    """

    stack: tuple[int, ...]
    sources: tuple[ImageSource, ...]
    zooms: tuple[tuple[float, ...], ...]
    anisotropy: float | None = None

    @classmethod
    def of(
        cls,
        image: AnyImage,
        networks: Sequence[Network],
        settings: SegmentationSettings,
        intensity_reference: AnyImage | None,
    ) -> Reading:
        """Measure the image's intensities, and find how it is read."""
        descriptions = [each.description for each in networks]
        stack = stack_shape(image, descriptions[0], settings)
        check_volume(descriptions[0], settings, stack)
        sources = [
            opened(image, each, settings, intensity_reference, slice_axes=len(stack))
            for each in networks
        ]
        zooms = tuple(axis_zooms_of(descriptions, settings))
        if settings.volume == "three_planes":
            return cls(stack[:-1], tuple(sources), zooms, settings.anisotropy or 1.0)
        return cls(stack, tuple(sources), zooms)

    @property
    def own_shape(self) -> tuple[int, ...]:
        """Of a plane in the image's own pixels."""
        return self.sources[0].shape[len(self.stack) :]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a plane as cells are found in it: of volumes their own, else as networks read it."""
        if self.anisotropy is not None:
            return self.own_shape
        return self.plane((0,) * len(self.stack))[0].shape

    @property
    def read_shapes(self) -> list[tuple[int, ...]]:
        """Of what the first network reads at once: of volumes the slices of each direction."""
        if self.anisotropy is None:
            return [self.shape]
        return [
            zoomed_shape(
                self.own_shape[:axis] + self.own_shape[axis + 1 :],
                slice_zooms(self.zooms[0][-1], axis, self.anisotropy),
            )
            for axis in range(len(self.own_shape))
        ]

    @property
    def voxel_px(self) -> float | None:
        """Of volumes, size of a voxel in cubic pixels of the slices as the first network reads."""
        if self.anisotropy is None:
            return None
        return voxel_volume_px(self.zooms[0][-1], self.anisotropy)

    def own_plane(self, place: tuple[int, ...]) -> list[ImageSource]:
        """A plane or volume of the image in its own pixels, for each network."""
        if not self.stack:
            return list(self.sources)
        where: Any = (slice(None), *place)
        return [replace(each, array=each.array[where]) for each in self.sources]

    def plane(self, place: tuple[int, ...]) -> list[ImageSource | ZoomedSource]:
        """A plane of the image as each network reads it."""
        pairs = zip(self.own_plane(place), self.zooms, strict=True)
        return [at_scale(each, zooms) for each, zooms in pairs]


@dataclass(frozen=True, slots=True)
class Machine:
    """With what scores are computed: all of it decides over their last digits.

    Parameters
    ----------
    device, precision : str
        Kind of device, and number format of the network's arithmetic.
    tile_px : int
        Length of the network's tiles.
    size_multiples : tuple of int
        Tiles begin at multiples of so many pixels, along each axis.
    """

    device: str
    precision: str
    tile_px: int
    size_multiples: tuple[int, ...]


class Scoring:
    """Computes the scores of blocks, in this process.

    Parameters
    ----------
    reading : Reading
    networks : sequence of Network
    settings : SegmentationSettings
    device : str
        As `resolve_device` takes it.
    """

    def __init__(
        self,
        reading: Reading,
        networks: Sequence[Network],
        settings: SegmentationSettings,
        device: str,
    ) -> None:
        self._reading, self._roles = reading, networks[0].description.class_roles
        where = resolve_device(device)
        self._kind = (where.type, str(resolve_precision(settings.precision, where)))
        self.predictor = PlanePredictor(networks, settings, str(where))

    @property
    def machine(self) -> Machine:
        """With what scores are computed here, if nobody says otherwise."""
        tile_px = min(map(self.predictor.tile_px, self._reading.read_shapes))
        return Machine(*self._kind, tile_px, self.predictor.size_multiples)

    def tiles(self, plan: Plan, key: Key) -> Iterator[None]:
        """Compute the scores of a block and write them, with a pause after each tile."""
        box, shape = plan.grid.box(key), plan.grid.shape
        room = room_for(box, self._roles)
        part = PlaneScores(room, self._roles, plan.own_shape, shape, box)
        sources = self._reading.plane(plan.grid.plane(key))
        for _ in self.predictor.predict_into(part, sources, whole_grid=True):
            yield
        plan.scratch.save("scores", key, **plan.kept_scores(part.scores, self._roles))

    def slices(self, plan: Plan, slab: Slab) -> Iterator[None]:
        """Compute the scores of the slices of a slab and write them, with pauses."""
        return score_slab(
            plan,
            slab,
            self._reading.own_plane(slab.plane),
            [zooms[-1] for zooms in self._reading.zooms],
            self.predictor,
            classes=len(self._roles),
            anisotropy=self._reading.anisotropy or 1.0,
        )


@dataclass(frozen=True, slots=True)
class Order:
    """What another process needs to compute scores: small, with the names of files.

    Parameters
    ----------
    token : str
        Tells orders apart; a process keeps what it opened for the last one.
    reading : Reading
        Of an image in a file.
    networks : tuple of (Path, str)
        Model files, and the digest of each.
    settings : SegmentationSettings
    device : str
    """

    token: str
    reading: Reading = field(compare=False)
    networks: tuple[tuple[Path, str], ...] = field(compare=False)
    settings: SegmentationSettings = field(compare=False)
    device: str = field(compare=False)


_ONE_BY_ONE = threading.Lock()
"""A process may do several tasks at once, but the network has all of its processors."""


def introduce(order: Order) -> Machine:
    """With what this process computes scores; image and networks are opened."""
    with _ONE_BY_ONE:
        return _scoring(order).machine


def score_block(order: Order, machine: Machine, plan: Plan, key: Key) -> tuple[Detours, ...]:
    """Stage "scores", in any process.

    Parameters
    ----------
    order : Order
    machine : Machine
        With what all processes compute.
    plan : Plan
    key : Key

    Returns
    -------
    tuple of Detours
        Of each network.

    Raises
    ------
    ClusterError
        If this process computes with another device or number format.
    """
    with _ONE_BY_ONE:
        if plan.scratch.has("scores", key):
            return ()
        scoring = _scoring_as(order, machine)
        for _ in scoring.tiles(plan, key):
            pass
        return scoring.predictor.taken_detours()


def score_slices(order: Order, machine: Machine, plan: Plan, slab: Slab) -> tuple[Detours, ...]:
    """Compute the slices of a slab, in any process; as `score_block`."""
    with _ONE_BY_ONE:
        scoring = _scoring_as(order, machine)
        if missing_slabs(plan, [slab]):
            for _ in scoring.slices(plan, slab):
                pass
        return scoring.predictor.taken_detours()


def _scoring_as(order: Order, machine: Machine) -> Scoring:
    """Return what computes scores here, in the way of all."""
    scoring = _scoring(order)
    scoring.predictor.fix_tile_px(machine.tile_px)
    check_same(machine, [replace(scoring.machine, tile_px=machine.tile_px)])
    return scoring


def check_same(machine: Machine, others: Sequence[Machine]) -> None:
    """Raise unless all processes compute in one way."""
    for other in others:
        for name, remedy in (("device", "device"), ("precision", "precision")):
            one, its = getattr(machine, name), getattr(other, name)
            if one != its:
                raise ClusterError(
                    f"Some workers compute on {name} {one}, others on {its}, and labels would "
                    f"depend on who did what; choose one {remedy} for all, for example {its}."
                )


@lru_cache(maxsize=1)
def _scoring(order: Order) -> Scoring:
    networks = []
    for path, digest in order.networks:
        if file_digest(path) != digest:
            raise ClusterError(
                f"'{path}' is not the model that was sent; let all workers see the same folder "
                "under this name, and begin again in another one."
            )
        networks.append(load_checkpoint(path))
    return Scoring(order.reading, networks, order.settings, order.device)


def file_digest(path: Path) -> str:
    """What tells a file's contents from others, in hexadecimal digits.

    Raises
    ------
    ClusterError
        If this process does not see it.
    """
    try:
        return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
    except OSError as error:
        raise ClusterError(
            f"'{path}' cannot be read here ({(error.strerror or str(error)).lower()}); choose a "
            "folder for unfinished work that all workers see under the same name."
        ) from error
