"""A U-Net together with everything that is known about it, and what of that was guessed."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Required

import torch
from typing_extensions import TypedDict

from napari_unet.engine.base.errors import CheckpointError, SettingsError
from napari_unet.engine.base.settings import InstanceSettings
from napari_unet.engine.base.typed_values import typed
from napari_unet.engine.images.normalization import (
    Normalization,
    Percentiles,
    normalization_from_json,
)
from napari_unet.engine.networks.annotation import labels_are_classes
from napari_unet.engine.networks.architecture import Architecture, NetworkModule
from napari_unet.engine.networks.class_roles import BACKGROUND, CELL, types_of
from napari_unet.engine.networks.contact_border import BorderKind
from napari_unet.engine.networks.graph_network import GraphNetwork
from napari_unet.engine.networks.layer_graph import GraphConfig
from napari_unet.engine.networks.unet import UNet, UNetConfig


@dataclass(frozen=True, slots=True)
class Guess:
    """One thing that was guessed."""

    about: str
    """What it is, for programs: "activation", "skip_order", ..."""
    title: str
    """What it is, for people: "Activation"."""
    value: str
    """What is taken."""
    options: tuple[str, ...]
    """What it could be; `value` is one of them."""
    reason: str
    """Why this is taken, in one sentence."""


@dataclass(frozen=True, slots=True)
class TrainingIntensity:
    """Raw intensities of the training images: medians over images of their percentiles."""

    dtype: str
    """Of most images."""
    low: float
    median: float
    high: float
    """`low`, `median`, `high`: at the 1st, 50th and 99.8th percentile."""


@dataclass(frozen=True, slots=True)
class NetworkDescription:
    """What a checkpoint says about itself.

    Parameters
    ----------
    name : str
    architecture : Architecture
        `UNetConfig`, or what another program's network is; "unet" in files.
    class_roles : tuple of str
        Meaning of each class: "background", "cell", "border", a type of cells
        as in "cell: mitotic", or a free name.
    normalization : Normalization
    object_diameter_px : float, optional
        Median diameter, in pixels, of the cells it was trained on.
    pixel_size_um : float, optional
        Pixel size, in micrometres, of the images it was trained on.
    anisotropy : float, optional
        Distance between slices of the volumes it was trained on, in pixel sizes.
    border_kind : {"rim", "even", "contact"}
        What it learns as border, if that is a class, as in `training_target`. What was
        begun before 0.2 has rims with a gap on one side, and goes on so.
    intensity : TrainingIntensity, optional
    instances : InstanceSettings
        Thresholds tuned for it.
    summary, training_data, licence : str
        One sentence each, for people.
    metrics : dict
        Name of a test set to its scores.
    history : tuple of dict
        One entry for each training: date, settings, steps, starting point.
    guesses : tuple of Guess
        What its file did not tell and somebody may know better.
    """

    name: str
    architecture: Architecture
    class_roles: tuple[str, ...] = (BACKGROUND, CELL)
    normalization: Normalization = field(default_factory=Percentiles)
    object_diameter_px: float | None = None
    pixel_size_um: float | None = None
    anisotropy: float | None = None
    border_kind: BorderKind = "rim"
    intensity: TrainingIntensity | None = None
    instances: InstanceSettings = field(default_factory=InstanceSettings)
    summary: str = ""
    training_data: str = ""
    licence: str = ""
    metrics: dict[str, Any] = field(default_factory=dict)
    history: tuple[dict[str, Any], ...] = ()
    guesses: tuple[Guess, ...] = ()

    def __post_init__(self) -> None:
        if len(self.class_roles) != self.architecture.classes:
            raise SettingsError(
                f"The network has {self.architecture.classes} classes but {len(self.class_roles)} "
                f"names for them ({', '.join(self.class_roles)}); name each class once."
            )
        if self.anisotropy is not None and not 0 < self.anisotropy < math.inf:
            raise SettingsError(f"anisotropy is {self.anisotropy:g}; use a positive number.")

    @property
    def unet(self) -> Architecture:
        """Another name of `architecture`, from version 0.1.0."""
        return self.architecture

    @property
    def spacing(self) -> tuple[float, ...] | None:
        """Size of a voxel along each axis, in pixel sizes; None of planes, or if not known."""
        if self.architecture.ndim == 2 or self.anisotropy is None:
            return None
        return (self.anisotropy, 1.0, 1.0)

    @property
    def not_trainable_because(self) -> str:
        """Why it cannot be trained, in a sentence; empty if it can."""
        if self.architecture.is_trainable:
            return ""
        return (
            f"The model '{self.name}' is ready-made ({self.architecture.sentence}) and cannot be "
            "fine-tuned; start from a model whose weights are known, or from nothing."
        )

    @property
    def cell_types(self) -> tuple[str, ...]:
        """Types of cells that it tells apart; () if a cell is a cell."""
        return types_of(self.class_roles)

    @property
    def gives_classes(self) -> bool:
        """Whether it gives each pixel a class and tells no cells apart.

        Not while what its channels mean is only guessed.
        """
        is_guessed = any(guess.about == "roles" for guess in self.guesses)
        return labels_are_classes(self.class_roles) and not is_guessed

    def to_json(self) -> str:
        """Text that `from_json` reads."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        # Under the name that files have had since version 0.1.0.
        values["unet"] = values.pop("architecture").to_json()
        values["normalization"] = self.normalization.to_json()
        if self.anisotropy is None:
            # Versions that do not know it yet can read all other descriptions.
            del values["anisotropy"]
        if self.border_kind == "rim":
            del values["border_kind"]
        for name in ("intensity", "instances"):
            if values[name] is not None:
                values[name] = dataclasses.asdict(values[name])
        values["guesses"] = [dataclasses.asdict(guess) for guess in self.guesses]
        return json.dumps(values, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> NetworkDescription:
        """Read a description; unknown fields of a newer version are refused by name.

        Raises
        ------
        CheckpointError
            If the text is no description of a network.
        """
        try:
            values = json.loads(text)
            architecture = _architecture(values.pop("unet"))
            normalization = normalization_from_json(values.pop("normalization", {}))
            others = typed(_OtherValues, values)
            return cls(architecture=architecture, normalization=normalization, **others)
        except (AttributeError, LookupError, TypeError, ValueError, SettingsError) as error:
            raise CheckpointError(
                f"The model's description cannot be read ({error}); it may come from a newer "
                "version of napari-unet-cells: update it, or export the model again."
            ) from error


class _OtherValues(TypedDict, total=False):
    """Fields of `NetworkDescription` beside those with kinds of their own."""

    name: Required[str]
    class_roles: tuple[str, ...]
    object_diameter_px: float | None
    pixel_size_um: float | None
    anisotropy: float | None
    border_kind: BorderKind
    intensity: TrainingIntensity | None
    instances: InstanceSettings
    summary: str
    training_data: str
    licence: str
    metrics: dict[str, Any]
    history: tuple[dict[str, Any], ...]
    guesses: tuple[Guess, ...]


_READERS: dict[str, Callable[[dict[str, Any]], Architecture]] = {
    "unet": partial(typed, UNetConfig),
    "graph": GraphConfig.from_json,
}
"""How an architecture is read, by the kind that files name."""

_MODULES: dict[type[Any], Callable[[Any], NetworkModule]] = {
    UNetConfig: UNet,
    GraphConfig: GraphNetwork,
}


def _architecture(values: dict[str, Any]) -> Architecture:
    kind = values.get("kind", "unet")
    if kind not in _READERS:
        raise SettingsError(f"the kind of network '{kind}' is unknown")
    return _READERS[kind](values)


def build_module(config: Architecture) -> NetworkModule:
    """Make a network of this shape, with weights that mean nothing yet."""
    if type(config) not in _MODULES:
        raise SettingsError(f"A network of the shape {config!r} cannot be made.")
    return _MODULES[type(config)](config)


class Network:
    """A U-Net and its description; what `load_checkpoint` returns and `segment` takes.

    Parameters
    ----------
    unet : NetworkModule
        `UNet`, or another program's network.
    description : NetworkDescription
    """

    def __init__(self, unet: NetworkModule, description: NetworkDescription) -> None:
        self.unet = unet
        self.description = description
        self._fused: tuple[torch.device, torch.dtype, NetworkModule] | None = None

    def __repr__(self) -> str:
        config = self.description.architecture
        return (
            f"Network({self.description.name!r}, {config.ndim}-D, "
            f"{config.in_channels} channels in, classes {', '.join(self.description.class_roles)}, "
            f"{self.parameter_count / 1e6:.1f} M parameters)"
        )

    @property
    def parameter_count(self) -> int:
        """Number of trained values."""
        return sum(parameter.numel() for parameter in self.unet.parameters())

    def for_inference(self, device: torch.device, dtype: torch.dtype) -> NetworkModule:
        """Return the network fused for `device` and `dtype`; the last one is kept."""
        if self._fused is None or self._fused[:2] != (device, dtype):
            self._fused = (device, dtype, self.unet.fused(device, dtype))
        return self._fused[2]


def new_network(description: NetworkDescription, seed: int) -> Network:
    """Make a network that has learned nothing."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Network(build_module(description.architecture), description)
