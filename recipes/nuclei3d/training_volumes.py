"""What `nuclei-3d` learns from: five volumes of nuclei in four groups, and which are left out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_unet import TrainingPair
from napari_unet.files.images import read_image, read_labels

_PLANT_UM = (0.284, 0.127, 0.127)
_EMBRYO_UM = (1.75, 0.8, 0.8)
_SYNTHETIC = (2.0, 1.0, 1.0)
"""In pixels: nuclei of StarDist's example are half as many slices high as they are pixels wide."""


@dataclass(frozen=True, slots=True)
class Volume:
    """A labelled volume.

    Parameters
    ----------
    name, group : str
        Volumes of a group are left out together.
    image, labels : str
        Files in the folder with the sets.
    spacing : tuple of float
        Size of a voxel along Z, Y and X.
    """

    name: str
    group: str
    image: str
    labels: str
    spacing: tuple[float, float, float]

    def pair(self, folder: Path) -> TrainingPair:
        """Read image and labels."""
        image = read_image(folder / self.image).array
        labels = read_labels(folder / self.labels).array
        return TrainingPair(image, labels, self.name, spacing=self.spacing)


VOLUMES = (
    Volume(
        "plant 1135",
        "1135",
        "nuclei3d_plant/train_1135_raw.tif",
        "nuclei3d_plant/train_1135_labels.tif",
        _PLANT_UM,
    ),
    Volume(
        "plant 1136",
        "1136",
        "nuclei3d_plant/test_1136_raw.tif",
        "nuclei3d_plant/test_1136_labels.tif",
        _PLANT_UM,
    ),
    Volume(
        "embryo of 8 cells",
        "embryo",
        "qcanet_embryo_nuclei3d/images/8_cell_stage.tif",
        "qcanet_embryo_nuclei3d/labels/8_cell_stage.tif",
        _EMBRYO_UM,
    ),
    Volume(
        "embryo of 16 cells",
        "embryo",
        "qcanet_embryo_nuclei3d/images/16_cell_stage.tif",
        "qcanet_embryo_nuclei3d/labels/16_cell_stage.tif",
        _EMBRYO_UM,
    ),
    Volume(
        "synthetic",
        "synthetic",
        "stardist_examples/img3d.tif",
        "stardist_examples/mask3d.tif",
        _SYNTHETIC,
    ),
)

GROUPS = tuple(dict.fromkeys(volume.group for volume in VOLUMES))


def learned(left_out: str | None) -> list[Volume]:
    """Volumes of all groups but one."""
    return [volume for volume in VOLUMES if volume.group != left_out]
