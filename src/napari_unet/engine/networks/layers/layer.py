"""What the engine asks of a layer, whatever its kind, and the kinds by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor, nn

from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.base.typed_values import typed

Axes: TypeAlias = tuple[int, ...]
"""One number for each spatial axis."""

Interval: TypeAlias = tuple[int, int]
"""First and last pixel along one axis."""

Device: TypeAlias = torch.device | str | None

_LONGEST_PX = 64
"""Of a kernel, a stride, ...: what is beyond comes from a damaged file."""

_KINDS: dict[str, type[Layer]] = {}


class NotWholeError(Exception):
    """A size that a stride does not divide."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One step of what a network computes.

    A new kind is a subclass whose `op` is its name in model files. It answers
    by methods of its own where it does something else than to compute each
    pixel from the same one of its input.
    """

    op: ClassVar[str] = ""
    """Name of the kind in files."""
    least_px: ClassVar[Mapping[str, int]] = {}
    """Attributes that hold a number of pixels for each axis, and their least."""
    is_image: ClassVar[bool] = False
    """Whether it is what the network reads."""
    is_drawn: ClassVar[bool] = False
    """Whether it counts as part of its level in a picture of the U."""

    inputs: tuple[int, ...]
    """Numbers of the layers that it reads."""

    def __init_subclass__(cls) -> None:
        # `slots=True` makes each class a second time; the later one stays.
        if cls.op:
            _KINDS[cls.op] = cls

    # -- its shape ------------------------------------------------------------------------------

    def channels_out(self, given: Sequence[int]) -> int:
        """Channels of its output.

        Raises
        ------
        SettingsError
            If it cannot read so many.
        """
        return given[0]

    def check_lengths(self, ndim: int) -> None:
        """Raise `SettingsError` unless it has a sensible number of pixels for each of its axes."""
        for name, least in self.least_px.items():
            values = getattr(self, name)
            if values is not None and (
                len(values) != ndim or any(not least <= value <= _LONGEST_PX for value in values)
            ):
                raise SettingsError(f"A {self.op} has the {name} {values}.")

    @property
    def shrinks(self) -> Axes | None:
        """How many times smaller it makes the image; None if it does not."""
        return None

    @property
    def enlarges(self) -> Axes | None:
        """How many times larger it makes the image; None if it does not."""
        return None

    def output_size(self, sizes: Sequence[int], axis: int) -> int:  # noqa: ARG002
        """Pixels along an axis, for inputs of these; `NotWholeError` if these do not fit."""
        return sizes[0]

    def reads(self, low: int, high: int, axis: int) -> Interval:  # noqa: ARG002
        """Input pixels behind the output pixels `low` to `high`."""
        return low, high

    @property
    def kernel_px(self) -> Axes:
        """Pixels that a convolution reads along each axis; () of another layer."""
        return ()

    @property
    def reach_px(self) -> int:
        """Pixels that it takes off an axis at most, where it does not pad."""
        return 0

    @property
    def pads(self) -> bool:
        """Whether it continues the image by pixels of its own, unlike those of the next tile."""
        return False

    @property
    def reads_beyond(self) -> bool:
        """Whether enlarging reads pixels beside the one that is enlarged."""
        return False

    @property
    def inexact_because(self) -> str:
        """Why it computes tiles otherwise than the whole image; empty if it does not."""
        return ""

    # -- what it computes -----------------------------------------------------------------------

    @property
    def weights_name(self) -> str | None:
        """Where its weights are; None if it has none."""
        return None

    def with_weights_named(self, names: Mapping[str, str]) -> Layer:
        """Return the layer with another name for its weights, if it has any."""
        if self.weights_name is None:
            return self
        changes: dict[str, Any] = {"name": names[self.weights_name]}
        return replace(self, **changes)

    def module(self, ndim: int, device: Device) -> nn.Module:
        """Make what holds its weights and computes with them."""
        raise NotImplementedError(self.op)

    def compute(self, given: Sequence[Tensor], module: nn.Module | None) -> Tensor:
        """Compute its output (N, C', *S') from its inputs (N, C, *S).

        Parameters
        ----------
        module : torch module, optional
            As `module` has made it; None for a layer without weights.
        """
        if module is None:
            raise NotImplementedError(self.op)
        y: Tensor = module(given[0])
        return y

    # -- in files -------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """Values that JSON can hold, and from which `made_layer` makes it again."""
        return {"op": self.op, **asdict(self)}


def made_layer(values: Mapping[str, Any]) -> Layer:
    """Make a layer of what a file says of it.

    Raises
    ------
    SettingsError
        If its kind is unknown, or a value is not what its kind has there.
    LookupError, TypeError
        If these are no values of a layer.
    """
    kind = _KINDS.get(values["op"])
    if kind is None:
        raise SettingsError(
            f"the kind of layer '{values['op']}' is unknown; known are {', '.join(_KINDS)}"
        )
    return typed(kind, {key: value for key, value in values.items() if key != "op"})


class _Uninitialised:
    """Leaves out random weights where there is no place for them yet, which takes long."""

    def reset_parameters(self) -> None:
        """Initialise the weights, if there are any."""
        weight: Tensor | None = getattr(self, "weight", None)
        if weight is None or not weight.is_meta:
            super().reset_parameters()  # type: ignore[misc]


def with_its_settings(kind: type[nn.Module], layer: Layer, device: Device) -> nn.Module:
    """Make a module of torch's with the settings of a layer that is named alike."""
    settings = {field.name: getattr(layer, field.name) for field in fields(layer)}
    del settings["inputs"], settings["name"]
    kernel = settings.pop("kernel")
    return uninitialised(kind)(kernel_size=kernel, device=device, **settings)


_UNINITIALISED: dict[type[nn.Module], type[nn.Module]] = {}


def uninitialised(kind: type[nn.Module]) -> type[nn.Module]:
    """Return a class of the same modules, which on the device "meta" initialises no weights."""
    if kind not in _UNINITIALISED:
        _UNINITIALISED[kind] = type(kind.__name__, (_Uninitialised, kind), {})
    return _UNINITIALISED[kind]
