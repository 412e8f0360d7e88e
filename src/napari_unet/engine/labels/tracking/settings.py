"""What counts as the same cell in the next frame; form and command line are made from this."""

from __future__ import annotations

from dataclasses import dataclass

from napari_unet.engine.base.errors import SettingsError


@dataclass(frozen=True, slots=True)
class TrackingSettings:
    """How cells are followed through time.

    Parameters
    ----------
    largest_move_px : int, optional
        Farthest that the middle of a cell goes from one frame to the next, in
        pixels. The median diameter of the cells if left out.
    longest_gap_frames : int
        Frames in a row in which a cell may be missing and still be the same
        when it is back; 0 ends its track at once.
    divisions : bool
        Make two alike cells on either side of where one was its daughters, with
        tracks of their own. Without this the nearer one goes on as the same
        cell, and the other one begins.
    """

    largest_move_px: int | None = None
    longest_gap_frames: int = 2
    divisions: bool = True

    def __post_init__(self) -> None:
        if self.largest_move_px is not None and self.largest_move_px < 1:
            raise SettingsError(f"largest_move_px is {self.largest_move_px}; use 1 or more pixels.")
        if self.longest_gap_frames < 0:
            raise SettingsError(
                f"longest_gap_frames is {self.longest_gap_frames}; use 0 or more frames."
            )
