"""The part of an image file that is to be segmented: one of its channels, one of its slices."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from napari_unet.engine.base.errors import ImageShapeError, SettingsError
from napari_unet.engine.base.settings import scale_settings
from napari_unet.engine.base.words import count
from napari_unet.engine.images.image import AnyImage
from napari_unet.files.image_file import ImageFile

PlaneNumbers: TypeAlias = tuple[int | None, ...]
"""For each axis the number of the slice, from 1; None for an axis of the plane itself."""

NO_CHANNELS: Literal["none"] = "none"


@dataclass(frozen=True, slots=True, eq=False)
class ImagePart:
    """What is segmented of an image file.

    Parameters
    ----------
    image : ImageFile
        Only the pixels that are segmented.
    channel_axis : int, optional
        Of `image.array`.
    stack : array, optional
        All slices of which `image` is one, with the same channels.
    stack_channel_axis : int, optional
        Of `stack`.
    """

    image: ImageFile
    channel_axis: int | None
    stack: AnyImage | None = None
    stack_channel_axis: int | None = None

    @property
    def is_movie(self) -> bool:
        """Whether the file says that its slices, or the last axis of them, count time."""
        axes = [name for axis, name in enumerate(self.image.axes) if axis != self.channel_axis]
        return axes[:-2][-1:] == ["T"]

    @property
    def anisotropy(self) -> float | None:
        """Distance between slices divided by the size of a pixel; None if it is not known."""
        sizes = self.image.pixel_size_um
        if sizes is None or len(sizes) < 3:
            return None
        return float(scale_settings(sizes[-3:])["anisotropy"])


@dataclass(frozen=True, slots=True)
class WantedPart:
    """What is asked for of every image.

    Parameters
    ----------
    channel : int, optional
        The only channel, counted from 1; all without it.
    channel_axis : int or "none", optional
        Where the channels are; "none" if what the file calls channels are
        slices. Without it the file's word is taken.
    plane : PlaneNumbers, optional
        The only slice; all without it.
    every_slice : bool
        Each plane is segmented on its own.
    """

    channel: int | None = None
    channel_axis: int | Literal["none"] | None = None
    plane: PlaneNumbers | None = None
    every_slice: bool = False

    def __post_init__(self) -> None:
        if self.plane is not None and self.every_slice:
            raise SettingsError(
                "Both --slice and --every-slice were given, or --volume; choose one of them."
            )

    def of(self, image: ImageFile, *, ndim: int) -> ImagePart:
        """Cut it out of an image; nothing is copied.

        Parameters
        ----------
        image : ImageFile
        ndim : int
            Spatial axes that the network reads.

        Raises
        ------
        ImageShapeError
            If the image has no such channel or slice.
        """
        axis = self._channel_axis(image, ndim)
        if self.channel is not None:
            image, axis = _take_channel(image, axis, self.channel), None
        if self.plane is None:
            return ImagePart(image, axis)
        return _take_plane(image, axis, self.plane, ndim)

    def _channel_axis(self, image: ImageFile, ndim: int) -> int | None:
        if self.channel_axis == NO_CHANNELS:
            return None
        if self.channel_axis is not None:
            return _checked_axis(image, self.channel_axis)
        slices = image.array.ndim - ndim
        asked = 1 if self.every_slice else sum(number is not None for number in self.plane or ())
        # Where there is only room for them, planes named channels are the slices asked for.
        are_slices = slices == asked and not image.axes.endswith("C")
        return None if are_slices and self.channel is None else image.channel_axis


def _checked_axis(image: ImageFile, axis: int) -> int:
    ndim = image.array.ndim
    if not -ndim <= axis < ndim:
        raise ImageShapeError(
            f"There is no axis {axis}, the image has shape {image.array.shape}; choose a channel "
            f"axis from 0 to {ndim - 1}."
        )
    return axis % ndim


def _take_channel(image: ImageFile, axis: int | None, number: int) -> ImageFile:
    channels = 1 if axis is None else image.array.shape[axis]
    if not 1 <= number <= channels:
        raise ImageShapeError(
            f"There is no channel {number}, the image has {count(channels, 'channel')}; "
            "count from 1."
        )
    return image if axis is None else _take(image, {axis: number - 1})


def _take_plane(
    image: ImageFile, channel_axis: int | None, numbers: PlaneNumbers, ndim: int
) -> ImagePart:
    shape = image.array.shape
    spatial = [axis for axis in range(len(shape)) if axis != channel_axis]
    slices = len(spatial) - ndim
    given = sum(number is not None for number in numbers)
    if slices <= 0:
        raise ImageShapeError(
            f"The image has shape {shape} and no slices to choose from; leave out --slice."
        )
    if given != slices or len(numbers) > len(spatial):
        form = f"{slices} numbers with commas, as in 2,7" if slices > 1 else "one number, as in 3"
        raise ImageShapeError(
            f"The image has shape {shape}; to tell one of its slices, --slice needs {form}."
        )
    index: dict[int, int] = {}
    for axis, number in zip(spatial, numbers, strict=False):
        if number is None:
            continue
        if not 1 <= number <= shape[axis]:
            raise ImageShapeError(
                f"There is no slice {number}, the image has {count(shape[axis], 'slice')} along "
                f"axis {axis}; count from 1."
            )
        index[axis] = number - 1
    left = None
    if channel_axis is not None:
        left = channel_axis - sum(axis < channel_axis for axis in index)
    return ImagePart(_take(image, index), left, image.array, channel_axis)


def _take(image: ImageFile, index: dict[int, int]) -> ImageFile:
    """Take one position along some of the axes."""
    parts = tuple(index.get(axis, slice(None)) for axis in range(image.array.ndim))
    axes = "".join(name for axis, name in enumerate(image.axes) if axis not in index)
    sizes = image.pixel_size_um
    if sizes is not None:
        before = [name for name in image.axes if name in "ZYX"]
        # From the end: slices without a known distance still have a scale in the plane.
        pairs = list(zip(reversed(before), reversed(sizes), strict=False))
        sizes = tuple(size for name, size in reversed(pairs) if name in axes)
    return replace(image, array=image.array[parts], axes=axes, pixel_size_um=sizes)
