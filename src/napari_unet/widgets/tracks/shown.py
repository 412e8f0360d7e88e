"""The layers in which followed cells are shown: labels that keep their numbers, and lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_unet.viewer.label_edits import LabelEdit, edit_labels
from napari_unet.viewer.results import add_in_parts
from napari_unet.widgets.tracks.layers import take_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari.components import ViewerModel
    from napari.layers import Labels
    from napari.layers import Tracks as TracksLayer

    from napari_unet.widgets.tracks.work import Followed


class ShownTracks:
    """Adds them to a viewer, and changes them when the cells are followed anew."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._numbered: Labels | None = None
        self._lines: TracksLayer | None = None

    @property
    def numbered(self) -> Labels | None:
        """The labels that keep their numbers, while they are in the viewer."""
        layer = self._numbered
        return layer if layer is not None and layer in self._viewer.layers else None

    def show(self, followed: Followed, source: Labels | None) -> Iterator[None]:
        """Show what was followed; the window may be drawn at each `yield`, see `Job.start`.

        Parameters
        ----------
        source : Labels, optional
            Whose cells were followed.
        """
        if not isinstance(followed.numbered, LabelEdit):
            before = (self._numbered, self._lines, source)
            self._numbered, self._lines = followed.numbered, None
            # Below it the others would only mix their colours with its own.
            hidden = [each for each in before if each is not None and each in self._viewer.layers]
            yield from add_in_parts(self._viewer, followed.numbered, in_place_of=hidden)
        elif self._numbered is not None:
            edit_labels(self._numbered, followed.numbered)
        yield
        yield from self._show_lines(followed.lines)

    def _show_lines(self, lines: TracksLayer | None) -> Iterator[None]:
        before = self._lines
        if before is None or before not in self._viewer.layers:
            self._lines = lines
            if lines is not None:
                yield from add_in_parts(self._viewer, lines)
        elif lines is not None:
            take_lines(before, lines)
        else:
            self._lines = None
            self._viewer.layers.remove(before)
