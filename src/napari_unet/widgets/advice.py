"""Looks at the chosen image before a run, and at the cells after it, and says what may be wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_unet.session import Session
from napari_unet.widgets.segment_form import SegmentForm

if TYPE_CHECKING:
    from napari.components import ViewerModel


class Advice:
    """Keeps the concerns of the form up to date.

    Parameters
    ----------
    viewer : napari viewer
    session : Session
    form : SegmentForm
    """

    def __init__(self, viewer: ViewerModel, session: Session, form: SegmentForm) -> None:
        self._viewer = viewer
        self._session = session
        self._form = form

    def refresh(self) -> None:
        """Look at the image that is chosen now."""

    def show_found(self, diameter_px: float | None, provenance: dict[str, Any]) -> None:
        """Look at the cells that were found."""
