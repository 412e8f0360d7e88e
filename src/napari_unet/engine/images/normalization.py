"""How intensities are brought to the range a network was trained at: one class for each kind.

A new kind is a class here and its place in `KINDS`; files, texts, guesses and exports ask it.
"""

from __future__ import annotations

import itertools
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike, NDArray
from typing_extensions import override

from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.base.typed_values import typed
from napari_unet.engine.images.image import AnyImage
from napari_unet.engine.images.pixels import check_kind, check_pixels, surveyed, values_at

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
    label_form, choice_form, sentence_form, expectation_form : str
        Of the properties of these names, with parameters in braces and
        "{together}" for whether channels are measured apart.
    measures_image : bool
        Whether each image's own pixels decide; otherwise its dtype at most.
    bioimage_step : str
        The step of a bioimage.io package that measures an image in this way;
        empty if nothing is measured. No default: a package without it would
        be read in another way.
    bioimage_options : dict of str to (str, float)
        How a parameter is called in that step, and what it is if left out.
    keeps_brightness : bool
        Whether a network sees how bright an image is, so that this can be
        compared with the training images; otherwise each image is measured,
        or what the network's own first steps make of it is not known here.
    """

    kind: ClassVar[str]
    label_form: ClassVar[str]
    choice_form: ClassVar[str] = ""
    sentence_form: ClassVar[str]
    expectation_form: ClassVar[str]
    measures_image: ClassVar[bool]
    bioimage_step: ClassVar[str]
    bioimage_options: ClassVar[Mapping[str, tuple[str, float]]] = {}
    keeps_brightness: ClassVar[bool] = False

    per_channel: bool = False
    epsilon: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.epsilon < math.inf:
            raise SettingsError(f"epsilon is {self.epsilon}; use 0 or a small positive number.")

    @abstractmethod
    def measure(self, image: AnyImage) -> IntensityScaling:
        """Measure over the whole image what is needed, and check its pixels.

        Parameters
        ----------
        image : real array of any shape
            Read in parts, chunk by chunk if it is a dask array.

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

    @property
    def label(self) -> str:
        """Short name with its parameters, which `normalization_of_label` reads."""
        return self._filled(self.label_form)

    @property
    def choice(self) -> str:
        """Words of a choice in a form."""
        return self._filled(self.choice_form or self.label_form)

    @property
    def sentence(self) -> str:
        """What somebody elsewhere must do with an image, in formulas."""
        return self._filled(self.sentence_form)

    @property
    def expectation(self) -> str:
        """Which brightness the model can read, for whoever looks for a model; no capital letter."""
        return self._filled(self.expectation_form)

    def _filled(self, text: str) -> str:
        together = "each channel on its own" if self.per_channel else "all channels together"
        return text.format(together=together, **asdict(self))

    def to_json(self) -> dict[str, Any]:
        """Return values that `normalization_from_json` reads."""
        return {"kind": self.kind, **_PERCENTILES_0_1_0, **asdict(self)}

    def bioimage_steps(self, axes: Sequence[str], *, gain: float) -> list[dict[str, Any]]:
        """Say it as "preprocessing" of a bioimage.io package; what cannot be said there raises.

        Parameters
        ----------
        axes : sequence of str
            Names of the spatial axes.
        gain : float
            `gain` of the dtype of the training images: in a package all
            images are floats.
        """
        if not self.bioimage_step:
            linear = {"id": "scale_linear", "kwargs": {"gain": gain, "offset": 0.0}}
            return [] if gain == 1 else [linear]
        options = {
            "axes": list(axes) if self.per_channel else ["channel", *axes],
            "eps": max(_LEAST_BIOIMAGE_EPSILON, self.epsilon),
            **{theirs: getattr(self, ours) for ours, (theirs, _) in self.bioimage_options.items()},
        }
        return [{"id": self.bioimage_step, "kwargs": options}]


@dataclass(frozen=True, slots=True)
class Percentiles(Normalization):
    """Maps `low_percentile` to 0 and `high_percentile` to 1, unclipped.

    Percentiles are exact. A large image of 32-bit pixels is read twice for
    them, one of 64-bit pixels up to four times.

    Parameters
    ----------
    low_percentile, high_percentile : float
        In percent of all pixels of the whole image.
    """

    kind = "percentile"
    label_form = "percentile {low_percentile:g} to {high_percentile:g}"
    sentence_form = (
        "Intensities are (image - low) / (high - low), unclipped, where low and high are the "
        "percentiles {low_percentile:g} and {high_percentile:g} of all pixels of the whole "
        "image, {together}."
    )
    expectation_form = (
        "any brightness; percentile {low_percentile:g} of each image is taken as dark, "
        "percentile {high_percentile:g} as bright."
    )
    measures_image = True
    bioimage_step = "scale_range"
    bioimage_options: ClassVar = {
        "low_percentile": ("min_percentile", 0.0),
        "high_percentile": ("max_percentile", 100.0),
    }

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
    label_form = "zero-mean"
    choice_form = "mean 0, deviation 1"
    sentence_form = (
        "Intensities are (image - mean) / (standard deviation), both of all pixels of the "
        "whole image, {together}."
    )
    expectation_form = "any brightness; each image is brought to mean 0 and deviation 1."
    measures_image = True
    bioimage_step = "zero_mean_unit_variance"

    @override
    def measure(self, image: AnyImage) -> IntensityScaling:
        check_kind(image)
        count, mean, square_sum = 0, 0.0, 0.0
        for n, piece_mean, own_sum in itertools.chain.from_iterable(surveyed(image, _moments)):
            # Chan's update: no cancellation on images with a large offset.
            delta = piece_mean - mean
            square_sum += own_sum
            square_sum += delta**2 * count * n / (count + n)
            mean += delta * n / (count + n)
            count += n
        return IntensityScaling(mean, self._inverse(math.sqrt(square_sum / count)))


def _moments(pieces: Iterator[NDArray[Any]]) -> list[tuple[int, float, float]]:
    """Of each piece how many pixels it has, their mean and the squares of their distances to it."""
    found = []
    for piece in pieces:
        if piece.size:
            values = piece.astype(np.float64)
            mean = float(values.mean())
            found.append((values.size, mean, float(((values - mean) ** 2).sum())))
    return found


@dataclass(frozen=True, slots=True)
class Raw(Normalization):
    """Leaves numbers as they are; the network's own first layers may bring them to its range."""

    kind = "raw"
    label_form = "raw"
    choice_form = "numbers as they are"
    sentence_form = "Intensities are left as they are."
    expectation_form = "read as they are, so yours must be like those in training."
    measures_image = False
    bioimage_step = ""

    @override
    def measure(self, image: AnyImage) -> IntensityScaling:
        check_pixels(image)
        return IntensityScaling(0.0, self.gain(image.dtype))


@dataclass(frozen=True, slots=True)
class TypeRange(Raw):
    """Leaves floats as they are and maps the range of an integer dtype to 0..1."""

    kind = "none"
    label_form = "none"
    choice_form = "0 to 1 by bit depth"
    sentence_form = (
        "Intensities of real numbers are left as they are; whole numbers are divided by the "
        "largest of their type (255 for uint8, 65535 for uint16)."
    )
    keeps_brightness = True

    @override
    def gain(self, dtype: DTypeLike) -> float:
        found = np.dtype(dtype)
        return 1.0 / float(np.iinfo(found).max) if found.kind in "ui" else 1.0


KINDS: Mapping[str, type[Normalization]] = {
    each.kind: each for each in (Percentiles, ZeroMean, TypeRange, Raw)
}
"""Each kind by its name in model files."""

OFFERED = (Percentiles(), Percentiles(0.0), ZeroMean(), TypeRange(), Raw())
"""What is worth trying where nothing is known of a network, the most usual first."""


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
    for kind in KINDS.values():
        pattern = re.sub(r"\{(\w+):g\}", r"(?P<\1>[\\d.]+)", kind.label_form)
        found = re.fullmatch(pattern, label)
        if found:
            values: dict[str, Any] = {name: float(text) for name, text in found.groupdict().items()}
            return kind(**values)
    return _kind(label)()


def normalization_of_bioimage_step(name: str, options: Mapping[str, Any]) -> Normalization | None:
    """Return what a step of a bioimage.io package measures on an image; None if it does not."""
    for kind in KINDS.values():
        if name == kind.bioimage_step:
            named = {"epsilon": ("eps", _BIOIMAGE_EPSILON), **kind.bioimage_options}
            values: dict[str, Any] = {
                ours: float(options.get(*theirs)) for ours, theirs in named.items()
            }
            return kind(**values)
    return None


def _kind(name: object) -> type[Normalization]:
    if name not in KINDS:
        *others, last = map(repr, KINDS)
        raise SettingsError(f"Normalisation is {name!r}; use {', '.join(others)} or {last}.")
    return KINDS[str(name)]
