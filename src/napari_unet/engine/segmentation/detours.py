"""What goes another way than asked for while a network is at work, and what is said of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from napari_unet.engine.networks.network import NetworkDescription


@dataclass(frozen=True, slots=True)
class Detours:
    """What went another way than asked for while a network was at work."""

    overflowed_tiles: int = 0
    """Tiles that held numbers beyond half precision and were computed in float32."""
    smallest_tile_px: int | None = None
    """To which tiles were made smaller because memory ran out."""
    is_tiled: bool = False
    """Whether the image was computed in tiles, and not as a whole."""

    def joined(self, other: Detours) -> Detours:
        """These, and others of the same network."""
        smallest = [
            each.smallest_tile_px for each in (self, other) if each.smallest_tile_px is not None
        ]
        return Detours(
            self.overflowed_tiles + other.overflowed_tiles,
            min(smallest, default=None),
            self.is_tiled or other.is_tiled,
        )

    def notes(self, description: NetworkDescription, dtype: torch.dtype) -> list[str]:
        """One sentence for each."""
        notes = []
        if self.overflowed_tiles:
            name = str(dtype).removeprefix("torch.")
            notes.append(
                f"{self.overflowed_tiles} tiles held numbers beyond {name} and were computed "
                "in float32; choose precision float32 to spare the detour."
            )
        if self.smallest_tile_px is not None:
            notes.append(
                f"Memory ran out, so the tiles were made smaller ({self.smallest_tile_px} "
                "pixels); the result is the same."
            )
        reason = description.architecture.inexact_because
        if reason and self.is_tiled:
            notes.append(
                f"The image was computed in tiles, and cells at their borders may differ a little "
                f"from the image as a whole: {reason}. A larger tile_px lessens it."
            )
        return notes
