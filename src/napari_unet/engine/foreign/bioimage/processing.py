"""The processing that bioimage.io describes, as what the engine does around a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from napari_unet.engine.base.errors import CheckpointError
from napari_unet.engine.foreign.bioimage.description import ProcessingStep, TensorFacts
from napari_unet.engine.foreign.prelude import Step
from napari_unet.engine.images.normalization import (
    Normalization,
    Raw,
    normalization_of_bioimage_step,
)
from napari_unet.engine.networks.layer_graph import Clip, Standardize

_FLOATS = ("float16", "float32", "float64")

Final: TypeAlias = Literal["softmax", "sigmoid", "probability"]


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How an image is brought to what a network reads.

    Parameters
    ----------
    normalization : Normalization
        Measured on the image.
    prelude : tuple of Step
        What comes after it, in constant numbers.
    measures_dataset : bool
        Whether its author measured many images together; here each is measured.
    """

    normalization: Normalization
    prelude: tuple[Step, ...] = ()
    measures_dataset: bool = False


_NOTHING = Preprocessing(Raw())


@dataclass(frozen=True, slots=True)
class Postprocessing:
    """How the output of a network is read.

    Parameters
    ----------
    final : {"softmax", "sigmoid", "probability"}, optional
        None if nothing tells it.
    threshold : float, optional
        Above which a pixel belongs to a cell.
    """

    final: Final | None = None
    threshold: float | None = None


def preprocessing(tensor: TensorFacts, in_channels: int) -> Preprocessing:
    """Read the preprocessing of an input.

    Raises
    ------
    CheckpointError
        If a step of it cannot be done here; it is never left out. The message
        is a predicate.
    """
    found = _NOTHING
    for step in tensor.steps:
        found = _before(found, step, tensor, in_channels)
    return found


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
        options = step.options
        is_first = found == Postprocessing()
        if step.name in ("sigmoid", "softmax") and is_first and _is_over_channels(step):
            found = Postprocessing("sigmoid" if step.name == "sigmoid" else "softmax")
        elif step.name == "binarize" and found.threshold is None:
            thresholds = options["threshold"]
            thresholds = thresholds if isinstance(thresholds, list) else [thresholds]
            if len(set(thresholds)) != 1 or not 0 < float(thresholds[0]) < 1:
                raise _unknown(step, "after", "with its thresholds")
            found = replace(found, final=found.final or "probability", threshold=thresholds[0])
        elif step.name == "clip" and (options.get("min"), options.get("max")) == (0, 1):
            # Probabilities are within these limits; others become so.
            found = replace(found, final=found.final or "probability")
        elif step.name == "ensure_dtype" and (
            options.get("dtype") in _FLOATS or found.threshold is not None
        ):
            pass
        else:
            raise _unknown(step, "after")
    return found


def _is_over_channels(step: ProcessingStep) -> bool:
    return step.name == "sigmoid" or step.options.get("axis", "channel") in ("channel", "c")


def _unknown(step: ProcessingStep, where: str, how: str = "") -> CheckpointError:
    how = f" {how}" if how else ""
    return CheckpointError(
        f"asks for '{step.name}'{how} {where} its network, which is not done here; without it "
        "the result would be wrong, so it was not opened. Run it with bioimageio.core."
    )


# -- before the network ---------------------------------------------------------------------------


def _before(
    found: Preprocessing, step: ProcessingStep, tensor: TensorFacts, in_channels: int
) -> Preprocessing:
    is_fixed = step.options.get("mode") == "fixed" or step.options.get("mean") is not None
    normalization = normalization_of_bioimage_step(step.name, step.options)
    if normalization is not None and not is_fixed:
        if step.options.get("reference_tensor") not in (None, tensor.name):
            raise _unknown(step, "before", "of another tensor")
        return _measured(found, step, tensor, normalization)
    if step.name not in _BEFORE:
        raise _unknown(step, "before")
    return _BEFORE[step.name](found, step, tensor, in_channels)


def _measured(
    found: Preprocessing, step: ProcessingStep, tensor: TensorFacts, normalization: Normalization
) -> Preprocessing:
    """Take what is measured on the image as it is."""
    axes = step.options.get("axes")
    letters = tensor.axes if axes is None else "".join(_letter(axis) for axis in axes)
    if not set("zyx") & set(tensor.axes) <= set(letters):
        raise _unknown(step, "before", "of each row or slice on its own")
    # A channel axis left out of the axes is what is measured on its own.
    per_channel = "c" in tensor.axes and "c" not in letters
    if found != _NOTHING:
        # Programs differ in whether they measure before or after the steps that come first.
        raise _unknown(step, "before", "after another step")
    return Preprocessing(
        replace(normalization, per_channel=per_channel),
        measures_dataset="b" in letters or step.options.get("mode") == "per_dataset",
    )


def _letter(axis: str) -> str:
    return {"batch": "b", "channel": "c", "index": "i", "time": "t"}.get(axis, axis)


def _fixed(
    found: Preprocessing, step: ProcessingStep, tensor: TensorFacts, in_channels: int
) -> Preprocessing:
    mean = _numbers(step, "mean", 0.0, tensor, in_channels)
    deviation = _numbers(step, "std", 1.0, tensor, in_channels)
    return _with(found, Standardize((), mean, deviation))


def _scale_linear(
    found: Preprocessing, step: ProcessingStep, tensor: TensorFacts, in_channels: int
) -> Preprocessing:
    gain = _numbers(step, "gain", 1.0, tensor, in_channels)
    offset = _numbers(step, "offset", 0.0, tensor, in_channels)
    if 0 in gain:
        raise _unknown(step, "before", "by 0")
    mean = tuple(-b / a for a, b in zip(gain, offset, strict=True))
    return _with(found, Standardize((), mean, tuple(1 / a for a in gain)))


def _numbers(
    step: ProcessingStep, name: str, default: float, tensor: TensorFacts, in_channels: int
) -> tuple[float, ...]:
    """One number for each channel."""
    given = step.options.get(name, default)
    numbers = given if isinstance(given, list) else [given] * in_channels
    along = step.options.get("axis", "channel")
    if len(numbers) != in_channels or _letter(along) != "c" or "c" not in tensor.axes:
        raise _unknown(step, "before", f"with {len(numbers)} numbers along '{along}'")
    return tuple(map(float, numbers))


def _clip(
    found: Preprocessing,
    step: ProcessingStep,
    tensor: TensorFacts,  # noqa: ARG001
    in_channels: int,  # noqa: ARG001
) -> Preprocessing:
    low, high = step.options.get("min"), step.options.get("max")
    if any(key.endswith("_percentile") and step.options[key] is not None for key in step.options):
        raise _unknown(step, "before", "at percentiles")
    limits = (None if limit is None else float(limit) for limit in (low, high))
    return _with(found, Clip((), *limits))


def _ensure_dtype(
    found: Preprocessing,
    step: ProcessingStep,
    tensor: TensorFacts,
    in_channels: int,  # noqa: ARG001
) -> Preprocessing:
    dtype = step.options.get("dtype")
    if dtype not in _FLOATS and not (found == _NOTHING and dtype == tensor.dtype):
        raise _unknown(step, "before", f"({dtype})")
    return found


def _with(found: Preprocessing, step: Step) -> Preprocessing:
    return replace(found, prelude=(*found.prelude, step))


_Reader: TypeAlias = Callable[[Preprocessing, ProcessingStep, TensorFacts, int], Preprocessing]
_BEFORE: Mapping[str, _Reader] = {
    "zero_mean_unit_variance": _fixed,
    "fixed_zero_mean_unit_variance": _fixed,
    "scale_linear": _scale_linear,
    "clip": _clip,
    "ensure_dtype": _ensure_dtype,
}
