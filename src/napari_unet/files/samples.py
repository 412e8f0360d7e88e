"""Real images with their truth that come with the package."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import tifffile
from PIL import Image

from napari_unet.engine.base.errors import FileError
from napari_unet.engine.images.image import AnyImage, LabelImage
from napari_unet.engine.networks.bundled import BUNDLED_MODELS, FOLDER

LayerData: TypeAlias = tuple[Any, dict[str, Any], str]
"""What napari makes a layer of: array, options, kind of layer."""

DEMO_SAMPLE = BUNDLED_MODELS[0].samples[0]
"""The sample that the demo opens for the usual model."""

_TITLES = {
    "fluorescence": "Nuclei, fluorescence",
    "crowded": "Nuclei, fluorescence, crowded",
    "large": "Nuclei, fluorescence, large and dim",
    "noisy": "Nuclei, fluorescence, noisy",
    "histology": "Nuclei, histology",
    "histology-large": "Nuclei, histology, strongly magnified",
    "brightfield": "Nuclei, brightfield smear",
    "phase-contrast": "Cells, phase contrast",
    "dic": "Cells, DIC",
    "embryo": "Nuclei of a mouse embryo, 3-D",
}
_VOLUMES_UM = {"embryo": (1.75, 0.8, 0.8)}
"""Size of a voxel along z, y and x, of samples that are stacks."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A real image and what a person saw in it.

    Parameters
    ----------
    name, title : str
        For programs and for people.
    image : (H, W), (H, W, 3) or (Z, H, W) uint8 array
    labels : (H, W) or (Z, H, W) uint16 array
        0 is background; 1..n are nuclei, in unstained images whole cells.
    """

    name: str
    title: str
    image: AnyImage
    labels: LabelImage

    @property
    def is_rgb(self) -> bool:
        """Whether the last axis of `image` holds red, green and blue."""
        return self.image.ndim > self.labels.ndim

    @property
    def voxel_um(self) -> tuple[float, ...] | None:
        """Size of a voxel along z, y and x in micrometres, of a stack."""
        return _VOLUMES_UM.get(self.name)


def sample_names() -> list[str]:
    """Names that `load_sample` takes, the demo's first."""
    return list(_TITLES)


def sample_files(name: str) -> tuple[Path, Path]:
    """Files that hold a sample's image (PNG, of a stack TIFF) and its labels (TIFF).

    Raises
    ------
    FileError
        If there is no sample of that name; the message lists those there are.
    """
    if name not in _TITLES:
        raise FileError(f"There is no sample {name!r}; choose one of {', '.join(_TITLES)}.")
    folder = FOLDER / "samples"
    image = f"{name}.tif" if name in _VOLUMES_UM else f"{name}.png"
    return folder / "images" / image, folder / "labels" / f"{name}.tif"


def load_sample(name: str = DEMO_SAMPLE) -> Sample:
    """Load a bundled image with its truth.

    Parameters
    ----------
    name : str
        One of `sample_names()`.

    Returns
    -------
    Sample

    Raises
    ------
    FileError
        If there is no sample of that name.

    Examples
    --------
    >>> from napari_unet.files.samples import load_sample
    >>> sample = load_sample("fluorescence")
    >>> sample.image.shape, int(sample.labels.max())
    ((520, 696), 106)
    """
    image_file, labels_file = sample_files(name)
    if name in _VOLUMES_UM:
        image = tifffile.imread(image_file)
    else:
        with Image.open(image_file) as file:
            image = np.asarray(file)
    return Sample(name, _TITLES[name], image, tifffile.imread(labels_file))


def sample_layers(name: str) -> list[LayerData]:
    """Image and, hidden, its truth, in the form napari takes them from a plugin."""
    sample = load_sample(name)
    options: dict[str, Any] = {"name": name, "rgb": sample.is_rgb}
    if not sample.is_rgb:
        # Without limits napari shows the whole range of 8 bits, in which dim nuclei are black.
        low, high = np.percentile(sample.image, (0, 99.9))
        options["contrast_limits"] = (float(low), float(high))
    place: dict[str, Any] = {}
    if sample.voxel_um is not None:
        place = {
            "scale": sample.voxel_um,
            "units": ("um",) * len(sample.voxel_um),
            "axis_labels": ("z", "y", "x"),
        }
    return [
        (sample.image, options | place, "image"),
        (sample.labels, {"name": f"{name} truth", "visible": False} | place, "labels"),
    ]


# The manifest names one function for each entry of File > Open Sample.
open_fluorescence = partial(sample_layers, "fluorescence")
open_crowded = partial(sample_layers, "crowded")
open_large = partial(sample_layers, "large")
open_noisy = partial(sample_layers, "noisy")
open_histology = partial(sample_layers, "histology")
open_histology_large = partial(sample_layers, "histology-large")
open_brightfield = partial(sample_layers, "brightfield")
open_phase_contrast = partial(sample_layers, "phase-contrast")
open_dic = partial(sample_layers, "dic")
open_embryo = partial(sample_layers, "embryo")
