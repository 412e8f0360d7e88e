"""Everything that decides about a training, as a queue keeps it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from napari_unet.batch.settings import ModelFile
from napari_unet.batch.training.labelled_files import LabelledFiles
from napari_unet.engine.base.errors import CheckpointError
from napari_unet.engine.networks.class_roles import BACKGROUND, BORDER, CELL
from napari_unet.engine.training.settings import AugmentationSettings, TrainingSettings
from napari_unet.session import measured_file

if TYPE_CHECKING:
    from napari_unet.engine.networks.network import Network, NetworkDescription
    from napari_unet.engine.networks.unet import UNetConfig
    from napari_unet.engine.training.pairs import TrainingPair

_ID_LENGTH = 12


@dataclass(frozen=True, slots=True)
class NewModel:
    """A network that begins with nothing.

    Parameters
    ----------
    ndim : int
        Axes that it reads at once.
    shape : UNetConfig, optional
        All the rest of its shape, but for what the images decide.
    class_roles : tuple of str
        Where the labels are cells.
    class_names : tuple of str, optional
        Where the labels are classes.
    """

    ndim: int = 2
    shape: UNetConfig | None = None
    class_roles: tuple[str, ...] = (BACKGROUND, CELL, BORDER)
    class_names: tuple[str, ...] | None = None

    def described(self, pairs: Sequence[TrainingPair], name: str) -> NetworkDescription:
        """Describe it for these images."""
        from napari_unet.engine.training.pairs import new_description

        return new_description(
            pairs,
            ndim=self.ndim,
            class_roles=self.class_roles,
            class_names=self.class_names,
            shape=self.shape,
            name=name,
        )


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """What is learned, from what on, and how.

    Parameters
    ----------
    files : LabelledFiles
    settings : TrainingSettings
    start : ModelFile, optional
        Model that it begins with.
    guesses : mapping of str to str
        What a person said about things that the file of this model does not tell.
    new : NewModel
        Without `start`.
    tunes : bool
        The thresholds for telling cells apart, too.
    keeps_images : bool
        Write the labelled parts of the images beside the model.
    about : mapping of str to str
        What the model file says of itself: "summary", "training_data", "licence".
    """

    files: LabelledFiles
    settings: TrainingSettings
    start: ModelFile | None = None
    guesses: Mapping[str, str] = field(default_factory=dict)
    new: NewModel = NewModel()
    tunes: bool = True
    keeps_images: bool = False
    about: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Tells a training that gives another network."""
        text = json.dumps(self.to_json(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:_ID_LENGTH]

    @property
    def start_file(self) -> Path | None:
        """File of the model that it begins with."""
        from napari_unet.engine.models.checkpoint import bundled_models

        if self.start is None:
            return None
        return bundled_models().get(self.start.source, Path(self.start.source))

    def load_start(self, *, allow_code: bool = False) -> Network | None:
        """Load the model that it begins with; None for a new one.

        Raises
        ------
        CheckpointError
            If it cannot be loaded, or is not the one that was meant.
        """
        from napari_unet.engine.models.checkpoint import load_checkpoint

        if self.start is None:
            return None
        found, meant = measured_file(self.start.source)[0], self.start.file_hash
        if found and meant and found != meant:
            raise CheckpointError(
                f"The model '{self.start.source}' is not the file with which this training was "
                f"queued ({found}, then {meant}); bring that file back, or queue it anew."
            )
        return load_checkpoint(self.start.source, allow_code=allow_code, guesses=self.guesses)

    def to_json(self) -> dict[str, Any]:
        """Return plain values, which `from_json` takes."""
        return {
            "files": self.files.to_json(),
            "settings": asdict(self.settings),
            "start": None if self.start is None else asdict(self.start),
            "guesses": dict(self.guesses),
            "new": {
                "ndim": self.new.ndim,
                "shape": None if self.new.shape is None else self.new.shape.to_json(),
                "class_roles": list(self.new.class_roles),
                "class_names": None if self.new.class_names is None else list(self.new.class_names),
            },
            "tunes": self.tunes,
            "keeps_images": self.keeps_images,
            "about": dict(self.about),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Make a plan of plain values.

        Raises
        ------
        ValueError, KeyError, TypeError, AttributeError
            If they are none.
        """
        from napari_unet.engine.networks.unet import UNetConfig

        settings, new = dict(values["settings"]), values["new"]
        settings["augmentation"] = AugmentationSettings(**settings["augmentation"])
        names = new["class_names"]
        return cls(
            LabelledFiles.from_json(values["files"]),
            TrainingSettings(**settings),
            None if values["start"] is None else ModelFile(**values["start"]),
            dict(values["guesses"]),
            NewModel(
                new["ndim"],
                None if new["shape"] is None else UNetConfig(**new["shape"]),
                tuple(new["class_roles"]),
                None if names is None else tuple(names),
            ),
            values["tunes"],
            values["keeps_images"],
            dict(values["about"]),
        )
