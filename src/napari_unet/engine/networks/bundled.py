"""The models that come with the package, a row each."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_unet.engine.networks.network import NetworkDescription

_BANK = ".bank.zip"

FOLDER = Path(str(resources.files("napari_unet") / "bundled"))


def bank_file(model: Path) -> Path:
    """Where labelled images of what a model knows lie, if there are any: beside its file."""
    return model.with_name(model.stem + _BANK)


@dataclass(frozen=True, slots=True)
class BundledModel:
    """A model that comes with the package.

    Parameters
    ----------
    name : str
        What it is loaded by; `<name>.safetensors` and `<name>.md` lie in `FOLDER`.
    finds : str
        For what images it is, as in "try it for ...".
    samples : tuple of str
        Bundled images of the kind that it was trained on, none of which it has seen.
    now : str
        Of an earlier model, the name of the one that has followed it.
    """

    name: str
    finds: str
    samples: tuple[str, ...]
    now: str = ""

    @property
    def file(self) -> Path:
        """The model file."""
        return FOLDER / f"{self.name}.safetensors"

    @property
    def card(self) -> Path:
        """What it is, how well it does and on what: Markdown."""
        return FOLDER / f"{self.name}.md"

    @property
    def sample_images(self) -> tuple[Path, ...]:
        """Files of its samples: (H, W) or (H, W, 3) uint8 PNG."""
        return tuple(FOLDER / "samples" / "images" / f"{name}.png" for name in self.samples)


BUNDLED_MODELS = (
    BundledModel(
        "nuclei",
        finds="nuclei in fluorescence, stained tissue and brightfield",
        samples=(
            "fluorescence",
            "crowded",
            "large",
            "noisy",
            "histology",
            "histology-large",
            "brightfield",
        ),
    ),
    BundledModel(
        "cells",
        finds="whole cells without stain, in phase contrast and DIC",
        samples=("phase-contrast", "dic"),
    ),
)
"""The first is the one that is taken where none is named."""

EARLIER_MODELS = (
    BundledModel("nuclei-0.1.0", finds="nuclei, as up to version 0.1.0", samples=(), now="nuclei"),
)
"""What models were before they were trained anew: for work that was begun with them."""

BUNDLED_NAMES = tuple(row.name for row in (*BUNDLED_MODELS, *EARLIER_MODELS))

DEFAULT_MODEL = BUNDLED_MODELS[0].name


def model_name(name_or_path: str) -> str:
    """Return the name of a bundled model as it is, of a file that without its ending."""
    return name_or_path if name_or_path in BUNDLED_NAMES else Path(name_or_path).stem


def descended_from(description: NetworkDescription) -> BundledModel | None:
    """Return the bundled model that a network is, or was trained from; None if from no such one.

    The last training counts: what was begun with another model knows most of that.
    """
    origins = [entry.get("started_from") for entry in reversed(description.history)]
    rows = {row.name: row for row in BUNDLED_MODELS}
    rows |= {row.name: rows[row.now] for row in EARLIER_MODELS if row.now in rows}
    return next((rows[name] for name in (*origins, description.name) if name in rows), None)


def bundled_ancestor(description: NetworkDescription) -> BundledModel:
    """Return the bundled model that a network is, or was trained from; for others the default."""
    return descended_from(description) or BUNDLED_MODELS[0]
