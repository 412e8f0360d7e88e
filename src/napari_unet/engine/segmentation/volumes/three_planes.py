"""Scores of a volume from slices in all three directions, averaged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from napari_unet.engine.base.regions import whole
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
    # In pixels of the network, in which sizes are given.
    voxel_px = anisotropy * zooms[0] ** len(shape)
    volume = PlaneScores(
        scores, tuple(class_roles), shape, shape, whole(shape), voxel_volume_px=voxel_px
    )
    done, total = 0, sum(shape)
    for axis, length in enumerate(shape):
        factors = [anisotropy, 1.0, 1.0]
        del factors[axis]
        for number in range(length):
            cut: tuple[slice | int, ...] = (*(slice(None),) * (axis + 1), number)
            planes = [
                at_scale(replace(each, array=each.array[cut]), [zoom * each for each in factors])
                for each, zoom in zip(sources, zooms, strict=True)
            ]
            plane = predictor.empty_plane(
                tuple(n for each, n in enumerate(shape) if each != axis), planes[0].shape
            )
            for _ in predictor.predict_into(plane, planes):
                yield done, total, volume
            scores[cut] += plane.on_own_grid() / DIRECTIONS
            done += 1
            yield done, total, volume
