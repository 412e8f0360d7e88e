"""How intensities are brought to the range a network was trained at: one class for each kind.

A new kind is a class here and its place in `KINDS`; files, texts, guesses and exports ask it.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray
from typing_extensions import override

from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.base.typed_values import typed
from napari_unet.engine.images.image import AnyImage
from napari_unet.engine.images.pixels import check_kind, check_pixels, finite_pieces, values_at

_BIOIMAGE_EPSILON = 1e-6
"""What bioimage.io adds to a range or a deviation if a package does not tell."""

_LEAST_BIOIMAGE_EPSILON = 1e-12
"""Ours divides by the range as it is; the format adds a number above 0 to it."""

_PERCENTILES_0_1_0 = {"low_percentile": 1.0, "high_percentile": 99.8}
"""What version 0.1.0 wrote for every kind; it is still written and read, and means nothing."""


@dataclass(frozen=True, slots=True)
class IntensityScaling:
    """The line that maps raw to normalised intensities: (raw - offset) * scale.

    Parameters
    ----------
    offset, scale : float or tuple of float
        One for each channel where these are measured apart.
    """

    offset: float | tuple[float, ...]
    scale: float | tuple[float, ...]

    @property
    def is_constant(self) -> bool:
        """Whether all intensities become 0."""
        return not np.any(self.scale)

    def applied(self, values: NDArray[Any]) -> NDArray[Any]:
        """Normalise raw (C, *spatial) floats in place and return them."""
        np.subtract(values, _of_channels(self.offset, values), out=values)
        np.multiply(values, _of_channels(self.scale, values), out=values)
        return values


def _of_channels(number: float | tuple[float, ...], values: NDArray[Any]) -> Any:
    """Give a number for each channel the axes of (C, *spatial) values."""
    if not isinstance(number, tuple):
        return number
    return np.asarray(number, values.dtype).reshape(-1, *(1,) * (values.ndim - 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalization(ABC):
    """How intensities are brought to the range the network was trained at.

    Parameters
    ----------
    per_channel : bool
        Whether each channel is measured on its own, or all together.
    epsilon : float
        Added to the width of the range that becomes 1.

    Attributes
    ----------
    kind : str
        Its name in model files.
    keeps_brightness : bool
        Whether a network sees how bright an image is, so that this can be
        compared with the training images; otherwise each image is measured,
        or what the network's own first steps make of it is not known here.
    """

    kind: ClassVar[str]
    keeps_brightness: ClassVar[bool] = False

    per_channel: bool = False
    epsilon: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.epsilon < math.inf:
            raise SettingsError(f"epsilon is {self.epsilon}; use 0 or a small positive number.")

    # -- arithmetic --------------------------------------------------------------------------------

    @abstractmethod
    def measure(self, image: AnyImage) -> IntensityScaling:
        """Measure over the whole image what is needed, and check its pixels.

        The image is read in parts, chunk by chunk if it is a dask array.

        Parameters
        ----------
        image : real array of any shape

        Returns
        -------
        IntensityScaling
            With a single offset and scale. A constant image that is measured
            gives scale 0, so that it becomes all zeros.

        Raises
        ------
        ImageShapeError, ImageValueError
            See `check_pixels`.
        """

    def measure_channels(self, array: AnyImage, *, in_channels: int) -> IntensityScaling:
        """Measure (C, *spatial) intensities, each channel apart where that is asked for."""
        # Channels that are to become one, or one that is to become many, have one range.
        if not self.per_channel or not 1 < array.shape[0] == in_channels:
            return self.measure(array)
        lines = [self.measure(channel) for channel in array]
        offsets, scales = zip(*((line.offset, line.scale) for line in lines), strict=True)
        return IntensityScaling(offsets, scales)

    def gain(self, dtype: DTypeLike) -> float:  # noqa: ARG002
        """Factor that an image's dtype alone, and no pixel, brings with it."""
        return 1.0

    def _inverse(self, width: float) -> float:
        return 1.0 / (width + self.epsilon) if width > 0 else 0.0

    # -- for people --------------------------------------------------------------------------------

    @property
    @abstractmethod
    def sentence(self) -> str:
        """What somebody elsewhere must do with an image, in formulas."""

    @property
    @abstractmethod
    def expectation(self) -> str:
        """Which brightness the model can read, for whoever looks for a model; no capital letter."""

    @property
    def label(self) -> str:
        """Short name with its parameters, which `normalization_of_label` reads."""
        return self.kind

    @property
    def choice(self) -> str:
        """Words of a choice in a form."""
        return self.label

    @classmethod
    def offered(cls) -> Iterator[Self]:
        """Give what is worth trying where nothing is known."""
        yield cls()

    @classmethod
    def of_label(cls, label: str) -> Self | None:
        """Return what has this `label`; None if it is of another kind."""
        return cls() if label == cls.kind else None

    @property
    def _together(self) -> str:
        return "each channel on its own" if self.per_channel else "all channels together"

    # -- for files ---------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """Return values that `normalization_from_json` reads."""
        return {"kind": self.kind, **_PERCENTILES_0_1_0, **asdict(self)}

    @abstractmethod
    def bioimage_steps(self, axes: Sequence[str], *, gain: float) -> list[dict[str, Any]]:
        """Say it as "preprocessing" of a bioimage.io package.

        Parameters
        ----------
        axes : sequence of str
            Names of the spatial axes.
        gain : float
            `gain` of the dtype of the training images: in a package all
            images are floats.
        """

    @classmethod
    def of_bioimage_step(cls, name: str, options: Mapping[str, Any]) -> Self | None:  # noqa: ARG003
        """Read a step of a bioimage.io package that measures an image; None if it is another's."""
        return None

    def _measuring_step(self, name: str, axes: Sequence[str], **options: float) -> dict[str, Any]:
        together = list(axes) if self.per_channel else ["channel", *axes]
        epsilon = max(_LEAST_BIOIMAGE_EPSILON, self.epsilon)
        return {"id": name, "kwargs": {"axes": together, "eps": epsilon, **options}}


@dataclass(frozen=True, slots=True)
class Percentiles(Normalization):
    """Maps `low_percentile` to 0 and `high_percentile` to 1, unclipped.

    For a large image of 32-bit pixels it is read twice, of 64-bit ones up to
    four times. Percentiles are exact.

    Parameters
    ----------
    low_percentile, high_percentile : float
        In percent of all pixels of the whole image.
    """

    kind = "percentile"

    low_percentile: float = 1.0
    high_percentile: float = 99.8

    def __post_init__(self) -> None:
        if not 0 <= self.low_percentile < self.high_percentile <= 100:
            raise SettingsError(
                f"Percentiles are {self.low_percentile:g} and {self.high_percentile:g}; "
                "the low one must be below the high one, both between 0 and 100."
            )
        Normalization.__post_init__(self)

    @override
    def measure(self, image: AnyImage) -> IntensityScaling:
        check_kind(image)
        percents = (self.low_percentile, self.high_percentile, 0.0, 100.0)
        low, high, lowest, highest = _percentiles(image, percents)
        if high <= low:
            # Fewer bright pixels than the percentile leaves out: use the full range.
            low, high = lowest, highest
        return IntensityScaling(low, self._inverse(high - low))

    @property
    @override
    def sentence(self) -> str:
        return (
            f"Intensities are (image - low) / (high - low), unclipped, where low and high are the "
            f"percentiles {self.low_percentile:g} and {self.high_percentile:g} "
            f"of all pixels of the whole image, {self._together}."
        )

    @property
    @override
    def expectation(self) -> str:
        return (
            f"any brightness; percentile {self.low_percentile:g} of each image is taken as dark, "
            f"percentile {self.high_percentile:g} as bright."
        )

    @property
    @override
    def label(self) -> str:
        return f"percentile {self.low_percentile:g} to {self.high_percentile:g}"

    @classmethod
    @override
    def offered(cls) -> Iterator[Self]:
        yield cls()
        yield cls(0.0)

    @classmethod
    @override
    def of_label(cls, label: str) -> Self | None:
        found = re.fullmatch(r"percentile ([\d.]+) to ([\d.]+)", label)
        return cls(*map(float, found.groups())) if found else None

    @override
    def bioimage_steps(self, axes: Sequence[str], *, gain: float) -> list[dict[str, Any]]:
        limits = {"min_percentile": self.low_percentile, "max_percentile": self.high_percentile}
        return [self._measuring_step("scale_range", axes, **limits)]

    @classmethod
    @override
    def of_bioimage_step(cls, name: str, options: Mapping[str, Any]) -> Self | None:
        if name != "scale_range":
            return None
        return cls(
            float(options.get("min_percentile", 0)),
            float(options.get("max_percentile", 100)),
            epsilon=float(options.get("eps", _BIOIMAGE_EPSILON)),
        )


def _percentiles(image: AnyImage, percents: Sequence[float]) -> list[float]:
    """NumPy's percentiles, interpolated linearly, of an image that is read in parts."""
    ranks = [(image.size - 1) * percent / 100 for percent in percents]
    around = {whole for rank in ranks for whole in (math.floor(rank), math.ceil(rank))}
    value_at = values_at(image, sorted(around))
    return [
        value_at[math.floor(rank)]
        + (rank % 1) * (value_at[math.ceil(rank)] - value_at[math.floor(rank)])
        for rank in ranks
    ]


@dataclass(frozen=True, slots=True)
class ZeroMean(Normalization):
    """Maps the mean to 0 and the standard deviation to 1."""

    kind = "zero-mean"

    @override
    def measure(self, image: AnyImage) -> IntensityScaling:
        check_kind(image)
        count, mean, square_sum = 0, 0.0, 0.0
        for piece in finite_pieces(image):
            if not piece.size:
                continue
            values = piece.astype(np.float64)
            # Chan's update: no cancellation on images with a large offset.
            n, piece_mean = values.size, float(values.mean())
            delta = piece_mean - mean
            square_sum += float(((values - piece_mean) ** 2).sum())
            square_sum += delta**2 * count * n / (count + n)
            mean += delta * n / (count + n)
            count += n
        return IntensityScaling(mean, self._inverse(math.sqrt(square_sum / count)))

    @property
    @override
    def sentence(self) -> str:
        return (
            "Intensities are (image - mean) / (standard deviation), both of all pixels of the "
            f"whole image, {self._together}."
        )

    @property
    @override
    def expectation(self) -> str:
        return "any brightness; each image is brought to mean 0 and deviation 1."

    @property
    @override
    def choice(self) -> str:
        return "mean 0, deviation 1"

    @override
    def bioimage_steps(self, axes: Sequence[str], *, gain: float) -> list[dict[str, Any]]:
        return [self._measuring_step("zero_mean_unit_variance", axes)]

    @classmethod
    @override
    def of_bioimage_step(cls, name: str, options: Mapping[str, Any]) -> Self | None:
        is_fixed = options.get("mode") == "fixed" or options.get("mean") is not None
        if name != "zero_mean_unit_variance" or is_fixed:
            return None
        return cls(epsilon=float(options.get("eps", _BIOIMAGE_EPSILON)))


@dataclass(frozen=True, slots=True)
class Raw(Normalization):
    """Leaves numbers as they are; the network's own first layers may bring them to its range."""

    kind = "raw"

    @override
    def measure(self, image: AnyImage) -> IntensityScaling:
        check_pixels(image)
        return IntensityScaling(0.0, self.gain(image.dtype))

    @property
    @override
    def sentence(self) -> str:
        return "Intensities are left as they are."

    @property
    @override
    def expectation(self) -> str:
        return "read as they are, so yours must be like those in training."

    @property
    @override
    def choice(self) -> str:
        return "numbers as they are"

    @override
    def bioimage_steps(self, axes: Sequence[str], *, gain: float) -> list[dict[str, Any]]:
        return (
            [] if gain == 1 else [{"id": "scale_linear", "kwargs": {"gain": gain, "offset": 0.0}}]
        )


@dataclass(frozen=True, slots=True)
class TypeRange(Raw):
    """Leaves floats as they are and maps the range of an integer dtype to 0..1."""

    kind = "none"
    keeps_brightness = True

    @override
    def gain(self, dtype: DTypeLike) -> float:
        found = np.dtype(dtype)
        return 1.0 / float(np.iinfo(found).max) if found.kind in "ui" else 1.0

    @property
    @override
    def sentence(self) -> str:
        return (
            "Intensities of real numbers are left as they are; whole numbers are divided by the "
            "largest of their type (255 for uint8, 65535 for uint16)."
        )

    @property
    @override
    def choice(self) -> str:
        return "0 to 1 by bit depth"


KINDS: Mapping[str, type[Normalization]] = {
    each.kind: each for each in (Percentiles, ZeroMean, TypeRange, Raw)
}
"""Each kind by its name in model files, in the order in which they are offered."""


def normalization_from_json(values: Mapping[str, Any]) -> Normalization:
    """Read what `Normalization.to_json` wrote; percentiles where no kind is said.

    Raises
    ------
    SettingsError
        If the kind is unknown, or a value is unknown or of another type.
    """
    kind = _kind(values.get("kind", Percentiles.kind))
    ignored = {"kind", *_PERCENTILES_0_1_0} - {field.name for field in fields(kind)}
    return typed(kind, {name: value for name, value in values.items() if name not in ignored})


def normalization_of_label(label: str) -> Normalization:
    """Return the normalisation that a guess names.

    Raises
    ------
    SettingsError
        If there is none of this name.
    """
    found = (kind.of_label(label) for kind in KINDS.values())
    return next(filter(None, found), None) or _kind(label)()


def normalization_of_bioimage_step(name: str, options: Mapping[str, Any]) -> Normalization | None:
    """Return what a step of a bioimage.io package measures on an image; None if it does not."""
    found = (kind.of_bioimage_step(name, options) for kind in KINDS.values())
    return next(filter(None, found), None)


def offered_normalizations() -> tuple[Normalization, ...]:
    """List what is worth trying where nothing is known of a network."""
    return tuple(each for kind in KINDS.values() for each in kind.offered())


def _kind(name: object) -> type[Normalization]:
    if name not in KINDS:
        *others, last = map(repr, KINDS)
        raise SettingsError(f"Normalisation is {name!r}; use {', '.join(others)} or {last}.")
    return KINDS[str(name)]
