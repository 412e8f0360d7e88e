"""Scores of a volume from slices in all three directions, averaged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from napari_unet.engine.base.regions import whole
from napari_unet.engine.images.image import Scores
from napari_unet.engine.images.resampling import at_scale
from napari_unet.engine.images.source import ImageSource
from napari_unet.engine.segmentation.planes import PlaneScores, room_for
from napari_unet.engine.segmentation.predictor import PlanePredictor

DIRECTIONS = 3


def predict_volume(
    sources: Sequence[ImageSource],
    zooms: Sequence[float],
    predictor: PlanePredictor,
    class_roles: Sequence[str],
    *,
    anisotropy: float,
) -> Iterator[tuple[int, int, PlaneScores]]:
    """Average the scores of the slices along z, y and x.

    Those that hold z are resized along it, so that cells look to the network
    as they do in the plane. The sum is on the volume's own grid.

    Parameters
    ----------
    sources : sequence of ImageSource
        The volume (C, Z, Y, X) as each network reads it.
    zooms : sequence of float
        Factor by which a plane is resized for each network.
    predictor : PlanePredictor
    class_roles : sequence of str
    anisotropy : float
        Distance between slices divided by the pixel size.

    Yields
    ------
    int, int, PlaneScores
        Slices done, slices in all, and the scores, which are complete when all
        slices are done. A pause comes after each tile.
    """
    shape = sources[0].shape
    scores = room_for(whole(shape), class_roles)
    scores[...] = 0
    voxel_px = voxel_volume_px(zooms[0], anisotropy)
    volume = PlaneScores(
        scores, tuple(class_roles), shape, shape, whole(shape), voxel_volume_px=voxel_px
    )
    done, total = 0, sum(shape)
    for axis, length in enumerate(shape):
        for number in range(length):
            for _ in predict_slice(
                sources, zooms, predictor, scores, axis=axis, number=number, anisotropy=anisotropy
            ):
                yield done, total, volume
            done += 1
            yield done, total, volume


def predict_slice(
    sources: Sequence[ImageSource],
    zooms: Sequence[float],
    predictor: PlanePredictor,
    into: Scores,
    *,
    axis: int,
    number: int,
    anisotropy: float,
) -> Iterator[None]:
    """Add a third of the scores of a slice to those of a volume, with a pause after each tile.

    Parameters
    ----------
    sources, zooms, predictor, anisotropy
        As `predict_volume` takes them.
    into : (C, Z, Y, X) float32 array
    axis, number : int
        Which slice.
    """
    cut: tuple[slice | int, ...] = (*(slice(None),) * (axis + 1), number)
    own = [replace(each, array=each.array[cut]) for each in sources]
    planes = [
        at_scale(each, slice_zooms(zoom, axis, anisotropy))
        for each, zoom in zip(own, zooms, strict=True)
    ]
    plane = predictor.empty_plane(own[0].shape, planes[0].shape)
    for _ in predictor.predict_into(plane, planes):
        yield
    into[cut] += plane.on_own_grid() / DIRECTIONS


def voxel_volume_px(zoom: float, anisotropy: float) -> float:
    """Volume of a voxel in cubic pixels of the slices as a network reads them."""
    return anisotropy * zoom**DIRECTIONS


def slice_zooms(zoom: float, axis: int, anisotropy: float) -> tuple[float, ...]:
    """Factors by which slices that stand on an axis are resized, along both of their own."""
    factors = [anisotropy, 1.0, 1.0]
    del factors[axis]
    return tuple(zoom * each for each in factors)
