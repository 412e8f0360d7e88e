"""Whether the sigmas of the weight map count pixels, or are lengths in the unit of the layer."""

from __future__ import annotations

import math

from napari.layers import Labels

from napari_unet.viewer.layers import lengths
from napari_unet.widgets.shared.choices import OfferBox

_PIXELS = "px"


class SigmaUnit(OfferBox):
    """Offers pixels, and the unit of a layer whose axes are lengths."""

    def __init__(self) -> None:
        super().__init__()
        self.setToolTip(
            "<qt>Unit of the sigmas. Where the layer has a scale and a unit of length they can be "
            "lengths, so that they mean the same at every magnification.</qt>"
        )
        self.show_for(None)

    @property
    def symbol(self) -> str:
        """Such as "px" or "µm"."""
        return str(self.chosen)

    @property
    def is_length(self) -> bool:
        """Whether the layer's unit is chosen."""
        return self.symbol != _PIXELS

    def show_for(self, labels: Labels | None, ndim: int = 2) -> None:
        """Offer what a layer has along the axes of distances; a length stays one if it can."""
        entries = [("pixels", _PIXELS)]
        if labels is not None and lengths(labels, ndim) is not None:
            symbol = f"{labels.units[-1]:~P}"
            entries.append((symbol, symbol))
        was_length, before = self.currentIndex() > 0, self.blockSignals(True)
        self.offer(entries)
        self.setCurrentIndex(1 if was_length and len(entries) > 1 else 0)
        self.blockSignals(before)
        self.setEnabled(len(entries) > 1)

    def spacing(self, labels: Labels, ndim: int) -> tuple[float, ...] | None:
        """Size of a pixel along each axis of distances in this unit; None where pixels count."""
        return lengths(labels, ndim) if self.is_length else None

    def per_pixel(self, labels: Labels | None) -> float:
        """How much of this unit a pixel of the plane is."""
        sizes = None if labels is None else self.spacing(labels, 2)
        return math.sqrt(math.prod(sizes)) if sizes else 1.0
