"""With which model and settings images are segmented: what a queue keeps of it, and gives back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, Self, TypeAlias

import numpy as np

from napari_unet.batch.images.part import ImagePart, WantedPart
from napari_unet.engine.base.errors import CheckpointError, FileError
from napari_unet.engine.base.settings import (
    LEARNED_SETTINGS,
    InstanceSettings,
    SegmentationSettings,
    in_present_names,
    scale_settings,
)
from napari_unet.engine.images.image import AnyImage, without_alpha

_ID_LENGTH = 12

Checks: TypeAlias = Literal["refuse", "tell", "none"]


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model, as it can be loaded again.

    Parameters
    ----------
    source : str
        Bundled name or file.
    file_hash : str
        First digits of the file's SHA-256; empty if unknown.
    """

    source: str
    file_hash: str = ""


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """How images are segmented, each in the same way.

    Parameters
    ----------
    models : tuple of ModelFile
        Whose scores are averaged; most often one.
    settings : SegmentationSettings
    instances : InstanceSettings
    part : WantedPart
        Which part of each image.
    guesses : mapping of str to str
        What a person said about things that the file of the first model does not tell.
    intensities : {"stack", "slice"}
        Where the range of intensities of a single slice is measured.
    diameter_um : float, optional
        Of the cells, which is as many pixels as the file of each image says.
    every_stack : bool
        Where an image has slices, each is segmented on its own, whatever `settings` say.
    left_to_model : tuple of str
        Names of `instances` that are as the model says, which a training may have yet to make.
    checks : {"refuse", "tell", "none"}
        Look at each image first, and refuse what is none, or tell of it; changes no result.
    """

    models: tuple[ModelFile, ...]
    settings: SegmentationSettings
    instances: InstanceSettings
    part: WantedPart = WantedPart()  # noqa: RUF009 - frozen
    guesses: Mapping[str, str] = field(default_factory=dict)
    intensities: Literal["stack", "slice"] = "stack"
    diameter_um: float | None = None
    every_stack: bool = False
    left_to_model: tuple[str, ...] = ()
    checks: Checks = "refuse"

    def __post_init__(self) -> None:
        """Leave what the model has learned to its file, and what is left to it."""
        usual = InstanceSettings()
        own = {name: getattr(usual, name) for name in self._of_the_model}
        object.__setattr__(self, "instances", replace(self.instances, **own))

    @property
    def _of_the_model(self) -> tuple[str, ...]:
        return (*LEARNED_SETTINGS, *self.left_to_model)

    @property
    def id(self) -> str:
        """Tells settings with which an image gives another result."""
        values = {key: value for key, value in self.to_json().items() if key != "checks"}
        text = json.dumps(values, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:_ID_LENGTH]

    def instances_of(self, model: InstanceSettings) -> InstanceSettings:
        """How cells are told apart, with what the model says of it."""
        return replace(
            self.instances, **{name: getattr(model, name) for name in self._of_the_model}
        )

    def with_made(self, model: str, before: InstanceSettings) -> Self:
        """Segment with a model that a training makes, or has yet to make.

        Parameters
        ----------
        model : str
            Its file.
        before : InstanceSettings
            Of the model that these settings were for: what is as it says is left to the new one.
        """
        names = (each.name for each in fields(before) if each.name not in LEARNED_SETTINGS)
        as_before = [
            name for name in names if getattr(self.instances, name) == getattr(before, name)
        ]
        return replace(self, models=(ModelFile(model),), guesses={}, left_to_model=tuple(as_before))

    def settings_for(self, part: ImagePart, *, ndim: int) -> SegmentationSettings:
        """Take from an image's file what the settings leave open.

        Parameters
        ----------
        part : ImagePart
        ndim : int
            Spatial axes that the network reads.

        Raises
        ------
        FileError
            If the size of a cell is in micrometres, and that of a pixel is not known.
        """
        settings = replace(self.settings, channel_axis=part.channel_axis)
        if self.every_stack:
            spatial = part.image.array.ndim - (part.channel_axis is not None)
            has_slices = spatial > ndim
            volume = settings.volume if has_slices else "slices"
            settings = replace(settings, every_slice=has_slices, volume=volume)
        if settings.anisotropy is None and settings.volume == "three_planes":
            settings = replace(settings, anisotropy=part.anisotropy)
        size_um = part.image.pixel_size_um
        if size_um is not None:
            told = scale_settings(size_um[-ndim:])
            # What was asked for counts, whatever the file says.
            missing = {key: each for key, each in told.items() if getattr(settings, key) is None}
            settings = replace(settings, **missing)
        if self.diameter_um is None:
            return settings
        if size_um is None:
            raise FileError(
                f"'{part.image.path}' does not say how large its pixels are, and the cell size is "
                "in micrometres; give it in pixels."
            )
        return replace(settings, diameter_px=self.diameter_um / size_um[-1])

    def intensity_reference(self, part: ImagePart, *, in_channels: int) -> AnyImage | None:
        """Return all slices, with the channels in front, for one slice of them.

        Parameters
        ----------
        part : ImagePart
        in_channels : int
            Channels that the network reads.
        """
        if part.stack is None or self.intensities == "slice":
            return None
        if part.stack_channel_axis is None:
            return part.stack[np.newaxis]
        channels = np.moveaxis(part.stack, part.stack_channel_axis, 0)
        return channels if in_channels == 4 else without_alpha(channels)

    def check_model(self, number: int, file_hash: str) -> None:
        """See that a model is still the one that was meant.

        Raises
        ------
        CheckpointError
            If its file is another one.
        """
        model = self.models[number]
        if model.file_hash and file_hash and model.file_hash != file_hash:
            raise CheckpointError(
                f"The model '{model.source}' is not the file with which this queue was begun "
                f"({file_hash}, then {model.file_hash}); bring that file back, or begin anew in "
                "another folder."
            )

    def to_json(self) -> dict[str, Any]:
        """Return plain values, which `from_json` takes."""
        instances = asdict(self.instances)
        return {
            "models": [asdict(model) for model in self.models],
            "settings": _plain(asdict(self.settings)),
            "instances": {k: v for k, v in instances.items() if k not in LEARNED_SETTINGS},
            "part": _plain(asdict(self.part)),
            "guesses": dict(self.guesses),
            "intensities": self.intensities,
            "diameter_um": self.diameter_um,
            "every_stack": self.every_stack,
            "left_to_model": list(self.left_to_model),
            "checks": self.checks,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Make settings of plain values.

        Raises
        ------
        FileError
            If they are none, such as those of a newer version.
        """
        try:
            rest = {each.name for each in fields(cls)} - {
                "models",
                "settings",
                "instances",
                "part",
            }
            return cls(
                tuple(ModelFile(**model) for model in values["models"]),
                SegmentationSettings(**_tuples(in_present_names(values["settings"]))),
                InstanceSettings(**values["instances"]),
                WantedPart(**_tuples(values["part"])),
                **_tuples({name: values[name] for name in rest if name in values}),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise FileError(
                f"The settings of the queue cannot be read ({error}); it was written by another "
                "version, which can go on with it."
            ) from error


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: list(each) if isinstance(each, tuple) else each for key, each in values.items()}


def _tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(each) if isinstance(each, list) else each for key, each in values.items()}
