"""Every setting of a segmentation; the form and the command line are made from these classes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass, replace
from typing import Any, Literal, TypeAlias, get_args

from napari_unet.engine.base.border_test import BorderTest
from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.base.score_calibration import ScoreCalibration

LEARNED_SETTINGS = ("border_test", "score_calibration")
"""Those that come from training and that nobody sets by hand."""

Precision: TypeAlias = Literal["auto", "float32", "bfloat16", "float16"]

Averaging: TypeAlias = Literal["none", "flips", "flips+rotations"]
"""Copies of an image whose scores are averaged: 1, 4 or 8."""

Volume: TypeAlias = Literal["slices", "linked", "three_planes"]
"""What a network that reads planes makes of a stack."""

LINK_OVERLAP = 0.4
"""Chosen on one crop of plant nuclei, 1135 of GoNuclear, by benchmarks/volumes.py."""


_SAME_STEP = 1.1
"""Distances between slices so near to each other are one."""


def scale_settings(size_um: Sequence[float]) -> dict[str, Any]:
    """Fields of `SegmentationSettings` that tell the scale of an image.

    Parameters
    ----------
    size_um : sequence of float
        Of a pixel along Y and X, or of a voxel along Z, Y and X.
    """
    pixel = math.sqrt(size_um[-2] * size_um[-1])
    anisotropy = {"anisotropy": size_um[0] / pixel} if len(size_um) == 3 else {}
    return {"pixel_size_um": pixel, **anisotropy}


def slice_factor(given: float | None, learned: float | None) -> float:
    """How many slices are computed for each of a volume's.

    Parameters
    ----------
    given, learned : float, optional
        Distance between slices in pixel sizes, in the volume and where the model
        learned. If one is not known, or they are about the same, it is 1.
    """
    if given is None or learned is None or 1 / _SAME_STEP <= given / learned <= _SAME_STEP:
        return 1.0
    return given / learned


def slices_note(given: float | None, learned: float | None) -> str | None:
    """Say that slices are interpolated; None if they are not."""
    factor = slice_factor(given, learned)
    if factor == 1.0:
        return None
    return (
        f"Slices are {given:.3g} pixels apart and the model learned on {learned:.3g}, so that "
        f"{factor:.3g} are computed for each of the image's."
    )


def in_present_names(kept: Mapping[str, Any]) -> dict[str, Any]:
    """Values of `SegmentationSettings` that any version wrote, under the names of this one.

    Version 0.1.0 knew `flips`, on or off, where `averaging` is now.
    """
    values = dict(kept)
    if isinstance(values.get("flips"), bool):
        values["averaging"] = "flips" if values.pop("flips") else "none"
    return values


@dataclass(frozen=True, slots=True)
class SegmentationSettings:
    """How an image is read and computed; how cells are told apart is `InstanceSettings`.

    Parameters
    ----------
    diameter_px : float, optional
        Median diameter of the cells in the image, in pixels. The image is
        resized so that they are as large as those the model was trained on;
        labels come back at the image's own size.
    pixel_size_um : float, optional
        Pixel size of the image in micrometres, which does the same without a
        diameter, for a model that knows the pixel size it was trained at.
    every_slice : bool
        Segment each slice of a stack by itself; its cells get numbers of their
        own, unless `volume` says more.
    volume : {"slices", "linked", "three_planes"}
        What a network that reads planes makes of a stack (Z, Y, X): discs, one
        in each slice; whole cells, the discs linked from slice to slice where
        they overlap; or whole cells from the scores of slices in all three
        directions, averaged, which takes three times as long or more. Axes
        before these, such as time, are not linked. The last two imply every
        slice.
    link_overlap : float
        Linked are two cells of neighbouring slices whose IoU, the pixels that
        they share divided by those of both, is this or more, 0 to 1. Higher
        parts more cells that lie above each other.
    link_gaps : bool
        Link, in the same way, also over one slice in which the cell was missed,
        and fill the gap with what both of its neighbours share.
    anisotropy : float, optional
        Distance between the slices of a volume in pixel sizes; command and form
        take it from the file or layer. Where a model of volumes learned on another
        one, slices are interpolated to that; labels come back at the image's own.
        For "three_planes" it is 1 if left out.
    channel_axis : int, optional
        Axis of the channels; without it a last axis of 3 or 4 is colours.
    region : tuple of int, optional
        Find only the cells that reach into this box: start and stop along
        each axis of the (last) plane, in pixels. Their labels are those of the whole image.
    tile_px : int, optional
        Length of a tile in pixels; smaller takes less memory. Chosen from the
        free memory if left out.
    averaging : {"none", "flips", "flips+rotations"}
        Average the scores over copies of the image (test-time augmentation):
        mirrored, which makes four and takes four times as long, or also turned
        by 90 degrees, which makes eight. Volumes are mirrored and turned in
        the plane alone.
    precision : {"auto", "float32", "bfloat16", "float16"}
        Number format of the network's arithmetic; "auto" takes the fastest
        that is safe on the device.

    Notes
    -----
    The older name `flips`, of 0.1.0, is still taken when settings are made: True
    is `averaging` "flips", False is "none".
    """

    diameter_px: float | None = None
    pixel_size_um: float | None = None
    every_slice: bool = False
    volume: Volume = "slices"
    link_overlap: float = LINK_OVERLAP
    link_gaps: bool = True
    anisotropy: float | None = None
    channel_axis: int | None = None
    region: tuple[int, ...] | None = None
    tile_px: int | None = None
    averaging: Averaging = "none"
    precision: Precision = "auto"
    flips: InitVar[bool | None] = None

    def __post_init__(self, flips: bool | None) -> None:
        if flips is not None:
            named = in_present_names({"flips": flips})
            object.__setattr__(self, "averaging", named.get("averaging", flips))
        if self.averaging not in get_args(Averaging):
            raise SettingsError(
                f"averaging is {self.averaging!r}; use one of {', '.join(get_args(Averaging))}."
            )
        if self.volume not in get_args(Volume):
            raise SettingsError(
                f"volume is {self.volume!r}; use one of {', '.join(get_args(Volume))}."
            )
        if self.volume != "slices":
            object.__setattr__(self, "every_slice", True)
        if not 0 < self.link_overlap <= 1:
            raise SettingsError(
                f"link_overlap is {self.link_overlap:g}; use a number above 0 and at most 1."
            )
        for name in ("diameter_px", "pixel_size_um", "anisotropy"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise SettingsError(f"{name} is {value:g}; use a positive number.")
        if self.tile_px is not None and self.tile_px < 1:
            raise SettingsError(f"tile_px is {self.tile_px}; use 1 or more pixels.")


@dataclass(frozen=True, slots=True)
class InstanceSettings:
    """How scores become cells.

    Parameters
    ----------
    foreground_threshold : float
        Pixels whose score of being a cell or its border is above this, 0 to 1,
        belong to cells. Lower makes cells larger and finds fainter ones.
    seed_threshold : float
        Each group of touching pixels whose cell score is above this, 0 to 1,
        begins one cell. Higher parts more cells that touch and loses faint ones.
    separate_touching : bool
        Part cells that touch, by letting each grow from its own seed
        (watershed). Without this, whatever touches is one cell.
    min_size_px : int
        Smaller cells are dropped. Counted in pixels of the image as the model
        reads it, after resizing.
    min_seed_px : int
        A seed smaller than this begins no cell of its own.
    min_score : float
        Cells whose score is below this, 0 to 1, are dropped. Higher drops more
        doubtful cells; 0 keeps all. The score is the mean over the cell or, of
        a model with calibrated scores, the probability that the cell is right.
    fill_holes : bool
        Give holes inside a cell to the cell.
    drop_border_cells : bool
        Leave out cells that the image border cuts.
    judge_borders : bool
        Part cells that touch by what the model has learned of borders between
        cells: at every waist, unless it judges that both sides are one cell.
        Without this, or with a model that has not learned it, each seed
        begins one cell.
    border_test : BorderTest, optional
        What the model has learned of such borders, in planes.
    score_calibration : ScoreCalibration, optional
        How likely cells of some score are right; it holds for the weights that
        it was fitted to alone. With it `min_score` is a probability.
    """

    foreground_threshold: float = 0.5
    seed_threshold: float = 0.6
    separate_touching: bool = True
    min_size_px: int = 16
    min_seed_px: int = 4
    min_score: float = 0.0
    fill_holes: bool = True
    drop_border_cells: bool = False
    judge_borders: bool = True
    border_test: BorderTest | None = None
    score_calibration: ScoreCalibration | None = None

    @property
    def judges_borders(self) -> bool:
        """Whether cells that touch are parted by the border test."""
        return self.separate_touching and self.judge_borders and self.border_test is not None

    def for_three_planes(self) -> InstanceSettings:
        """Return what suits scores that are averaged over three directions.

        They are lower than those of one where the three do not agree, and a seed
        must be told by its size: what parts cells in planes is not for volumes.
        Chosen as `LINK_OVERLAP`.
        """
        return replace(
            self,
            foreground_threshold=round(0.7 * self.foreground_threshold, 3),
            seed_threshold=0.5,
            min_seed_px=24,
            min_score=0.0,
            judge_borders=False,
        )

    @property
    def least_mean_score(self) -> float:
        """Mean score below which cells are dropped, in whichever unit `min_score` is."""
        if self.score_calibration is None:
            return self.min_score
        return self.score_calibration.score(self.min_score)

    def __post_init__(self) -> None:
        for name in ("foreground_threshold", "seed_threshold"):
            if not 0 < getattr(self, name) < 1:
                raise SettingsError(
                    f"{name} is {getattr(self, name):g}; use a score between 0 and 1."
                )
        if not 0 <= self.min_score < 1:
            raise SettingsError(f"min_score is {self.min_score:g}; use a score from 0 to 1.")
        for name in ("min_size_px", "min_seed_px"):
            if getattr(self, name) < 0:
                raise SettingsError(f"{name} is {getattr(self, name)}; use 0 or more pixels.")
