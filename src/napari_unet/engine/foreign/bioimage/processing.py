"""The processing that bioimage.io describes, as what the engine does around a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from napari_unet.engine.base.errors import CheckpointError
from napari_unet.engine.foreign.bioimage.description import ProcessingStep, TensorFacts, axis_letter
from napari_unet.engine.images.normalization import (
    Normalization,
    Raw,
    normalization_of_bioimage_step,
)
from napari_unet.engine.networks.layers import Clip, Layer, Standardize

_FLOATS = ("float16", "float32", "float64")

Final: TypeAlias = Literal["softmax", "sigmoid", "probability"]


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How an image is brought to what a network reads."""

    normalization: Normalization
    """Measured on the image."""
    prelude: tuple[Layer, ...] = ()
    """What comes after it, in constant numbers."""
    measures_dataset: bool = False
    """Whether its author measured many images together; here each is measured."""


_NOTHING = Preprocessing(Raw())


@dataclass(frozen=True, slots=True)
class Postprocessing:
    """How the output of a network is read."""

    final: Final | None = None
    """None if nothing tells it."""
    threshold: float | None = None
    """Above which a pixel belongs to a cell."""


def preprocessing(tensor: TensorFacts, in_channels: int) -> Preprocessing:
    """Read the preprocessing of an input.

    Raises
    ------
    CheckpointError
        If a step of it cannot be done here; it is never left out. The message
        is a predicate.
    """
    before = _Before(tensor, in_channels)
    for step in tensor.steps:
        before.read(step)
    return before.found


def postprocessing(tensor: TensorFacts) -> Postprocessing:
    """Read the postprocessing of an output.

    Raises
    ------
    CheckpointError
        If a step of it cannot be done here; it is never left out. The message
        is a predicate.
    """
    found = Postprocessing()
    for step in tensor.steps:
        read = _AFTER.get(step.name)
        if read is None:
            raise _unknown(step, "after")
        found = read(found, step)
    return found


def _unknown(step: ProcessingStep, where: str, how: str = "") -> CheckpointError:
    how = f" {how}" if how else ""
    return CheckpointError(
        f"asks for '{step.name}'{how} {where} its network, which is not done here; without it "
        "the result would be wrong, so it was not opened. Run it with bioimageio.core."
    )


class _Before:
    """Reads the steps before a network, one after the other."""

    def __init__(self, tensor: TensorFacts, in_channels: int) -> None:
        self._tensor, self._in_channels = tensor, in_channels
        self.found = _NOTHING

    def read(self, step: ProcessingStep) -> None:
        """Take in the next step; what measures the image is a kind of normalisation."""
        options = step.options
        is_fixed = options.get("mode") == "fixed" or options.get("mean") is not None
        normalization = normalization_of_bioimage_step(step.name, options)
        if normalization is not None and not is_fixed:
            if options.get("reference_tensor") not in (None, self._tensor.name):
                raise _unknown(step, "before", "of another tensor")
            self._measured(step, normalization)
        elif step.name in _BEFORE:
            _BEFORE[step.name](self, step)
        else:
            raise _unknown(step, "before")

    def fixed(self, step: ProcessingStep) -> None:
        mean, deviation = self._numbers(step, "mean", 0.0), self._numbers(step, "std", 1.0)
        self._append(Standardize((), mean, deviation))

    def scale_linear(self, step: ProcessingStep) -> None:
        gain, offset = self._numbers(step, "gain", 1.0), self._numbers(step, "offset", 0.0)
        if 0 in gain:
            raise _unknown(step, "before", "by 0")
        mean = tuple(-b / a for a, b in zip(gain, offset, strict=True))
        self._append(Standardize((), mean, tuple(1 / a for a in gain)))

    def clip(self, step: ProcessingStep) -> None:
        options = step.options
        if any(key.endswith("_percentile") and options[key] is not None for key in options):
            raise _unknown(step, "before", "at percentiles")
        limits = (options.get("min"), options.get("max"))
        self._append(Clip((), *(None if limit is None else float(limit) for limit in limits)))

    def ensure_dtype(self, step: ProcessingStep) -> None:
        dtype = step.options.get("dtype")
        if dtype not in _FLOATS and not (self.found == _NOTHING and dtype == self._tensor.dtype):
            raise _unknown(step, "before", f"({dtype})")

    def _measured(self, step: ProcessingStep, normalization: Normalization) -> None:
        """Take what is measured on the image as it is."""
        axes, own = step.options.get("axes"), self._tensor.axes
        letters = own if axes is None else "".join(map(axis_letter, axes))
        if not set("zyx") & set(own) <= set(letters):
            raise _unknown(step, "before", "of each row or slice on its own")
        if self.found != _NOTHING:
            # Programs differ in whether they measure before or after the steps that come first.
            raise _unknown(step, "before", "after another step")
        self.found = Preprocessing(
            # A channel axis left out of the axes is what is measured on its own.
            replace(normalization, per_channel="c" in own and "c" not in letters),
            measures_dataset="b" in letters or step.options.get("mode") == "per_dataset",
        )

    def _numbers(self, step: ProcessingStep, name: str, default: float) -> tuple[float, ...]:
        """One number for each channel."""
        given = step.options.get(name, default)
        numbers = given if isinstance(given, list) else [given] * self._in_channels
        along = step.options.get("axis", "channel")
        fits = len(numbers) == self._in_channels and "c" in self._tensor.axes
        if not fits or axis_letter(along) != "c":
            raise _unknown(step, "before", f"with {len(numbers)} numbers along '{along}'")
        return tuple(map(float, numbers))

    def _append(self, step: Layer) -> None:
        self.found = replace(self.found, prelude=(*self.found.prelude, step))


_BEFORE: dict[str, Callable[[_Before, ProcessingStep], None]] = {
    "zero_mean_unit_variance": _Before.fixed,
    "fixed_zero_mean_unit_variance": _Before.fixed,
    "scale_linear": _Before.scale_linear,
    "clip": _Before.clip,
    "ensure_dtype": _Before.ensure_dtype,
}


def _activated(found: Postprocessing, step: ProcessingStep) -> Postprocessing:
    over_channels = step.options.get("axis", "channel") in ("channel", "c")
    if found != Postprocessing() or not (step.name == "sigmoid" or over_channels):
        raise _unknown(step, "after")
    return Postprocessing("sigmoid" if step.name == "sigmoid" else "softmax")


def _binarized(found: Postprocessing, step: ProcessingStep) -> Postprocessing:
    if found.threshold is not None:
        raise _unknown(step, "after")
    thresholds = step.options["threshold"]
    thresholds = thresholds if isinstance(thresholds, list) else [thresholds]
    if len(set(thresholds)) != 1 or not 0 < float(thresholds[0]) < 1:
        raise _unknown(step, "after", "with its thresholds")
    return Postprocessing(found.final or "probability", thresholds[0])


def _clipped(found: Postprocessing, step: ProcessingStep) -> Postprocessing:
    if (step.options.get("min"), step.options.get("max")) != (0, 1):
        raise _unknown(step, "after")
    # Probabilities are within these limits; others become so.
    return replace(found, final=found.final or "probability")


def _typed(found: Postprocessing, step: ProcessingStep) -> Postprocessing:
    if step.options.get("dtype") not in _FLOATS and found.threshold is None:
        raise _unknown(step, "after")
    return found


_AFTER: dict[str, Callable[[Postprocessing, ProcessingStep], Postprocessing]] = {
    "sigmoid": _activated,
    "softmax": _activated,
    "binarize": _binarized,
    "clip": _clipped,
    "ensure_dtype": _typed,
}
