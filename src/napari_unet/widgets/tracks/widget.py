"""The Tracks widget: cells that keep their number over time, as layers, a curve and a table."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QWidget

from napari_unet.engine.base.errors import UNetError
from napari_unet.viewer.gestures import LEFT, Click, Gestures
from napari_unet.viewer.label_edits import LabelEdit, labels_in_memory
from napari_unet.viewer.viewpoint import look_at
from napari_unet.viewer.worker import Job, failure_sentence
from napari_unet.widgets.shared.buttons import SaveButton
from napari_unet.widgets.shared.cells.table import CellTable
from napari_unet.widgets.shared.docked_form import DockedForm
from napari_unet.widgets.shared.parts import Scrolled, in_column, while_alive
from napari_unet.widgets.shared.run_panel import RunPanel
from napari_unet.widgets.tracks.changes import ChangedSince
from napari_unet.widgets.tracks.counts_plot import CountsPlot
from napari_unet.widgets.tracks.form import TracksForm
from napari_unet.widgets.tracks.shown import ShownTracks
from napari_unet.widgets.tracks.work import Before, Followed, Progress, Request, follow, save

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from napari.components import ViewerModel
    from napari.layers import Labels

_COLUMN_PX = 48
_STOPPED = "Stopped; nothing was changed."
_EDITED_SINCE = "The labels were edited meanwhile, and stay as they are; press Follow anew again."
_RUN_TOOLTIP = (
    "<qt>Link the cells of each frame with those of the next. The result are two new layers: "
    "labels in which a cell keeps its number and colour, and the way that each has gone. The "
    "labels that were chosen stay as they are.</qt>"
)


class TracksWidget(DockedForm):
    """Choose the labels of a film, press Run, and go through frames and tracks."""

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__(napari_viewer)
        self.job = Job(self)
        self.gestures = Gestures(napari_viewer, self)
        self._source: Labels | None = None
        """The layer that is being followed, or was last."""
        self._followed: Followed | None = None
        self.shown = ShownTracks(napari_viewer)
        self._anew: Labels | None = None
        """The edited layer whose cells are being followed anew."""
        self._build()
        self.panel.run_clicked.connect(self.run)
        self.panel.stop_clicked.connect(self._on_stop_clicked)
        self.changed.wanted.connect(self._on_follow_anew)
        self.panel.label.follow(
            lambda: self.form.layer_choice.subject,
            self.form.layer_choice.currentIndexChanged,
            self.form.layer_choice.listed,
        )
        self.plot.frame_clicked.connect(self._on_frame_clicked)
        self.table.cell_chosen.connect(self._on_track_chosen)
        self.gestures.clicked.connect(self._on_clicked)
        napari_viewer.dims.events.point.connect(self._show_frame)
        napari_viewer.layers.events.removed.connect(self._on_removed)

    def _build(self) -> None:
        self.form = TracksForm(self._viewer)
        self.panel, self.changed = RunPanel("Run", _RUN_TOOLTIP), ChangedSince()
        self.plot, self.table = CountsPlot(), CellTable(column_px=_COLUMN_PX)
        self.table.setToolTip(
            "<qt>A row for each track, with the frames that it begins and ends in, counted from 0 "
            "as below the image. A click goes to where it begins.</qt>"
        )
        self.save_button = SaveButton(
            "Save…",
            "Write masks and a table of tracks in the form of the Cell Tracking Challenge, into a "
            "new folder. Other programs read it, and napari does: open its res_track.txt.",
            self.panel.label,
            self._read_tracks,
            title="Save the tracks into a folder",
            told="The tracks are in '{}'.",
            kinds={},
        )
        inside = QWidget()
        parts = (self.form, self.panel, self.changed, self.plot, self.table, self.save_button)
        below = self.form.remembered.reset_button()
        in_column(*parts, below, within=inside).setStretchFactor(self.table, 1)
        in_column(Scrolled(inside), within=self).setContentsMargins(4, 4, 4, 4)

    def stop_all(self) -> None:
        """Follow no more, write no more, and let go of the viewer."""
        self.job.stop()
        self.save_button.stop()
        self.gestures.stop()
        self.changed.watch([])

    def run(self) -> None:
        """Follow the cells of the chosen layer."""
        if self.job.is_running:
            return
        try:
            request = self.form.request()
        except UNetError as error:
            self.panel.show_error(str(error))
            return
        self._source, self._anew = self.form.layer_choice.layer, None
        self._start(request)

    def _on_follow_anew(self) -> None:
        edited, numbered = self.changed.layer, self.shown.numbered
        if self.job.is_running or edited is None or self._followed is None:
            return
        if numbered is None or edited not in self._viewer.layers:
            self.panel.show_error("The layers of the tracks are not there any more; press Run.")
            return
        try:
            labels_in_memory(numbered)
            request = self.form.request(edited)
        except UNetError as error:
            self.panel.show_error(str(error))
            return
        before = Before(self._followed.tracks, numbered.data, edited == numbered)
        name = self._followed.request.name
        # Edits from here on are others than those that are followed.
        self._watch()
        self._anew = edited
        self._start(replace(request, name=name, before=before))

    def _watch(self) -> None:
        layers = (self._source, self.shown.numbered)
        self.changed.watch([each for each in layers if each is not None])

    def _start(self, request: Request) -> None:
        self.panel.show_running("reading the labels")
        self.job.start(
            partial(follow, request),
            on_report=self._on_report,
            on_result=self._on_followed,
            on_error=self._on_failed,
        )

    def _on_stop_clicked(self) -> None:
        if self.job.is_showing:
            return  # it is too late
        self.job.stop()
        self.panel.show_idle(_STOPPED)
        self._offer_again()

    @while_alive
    def _on_report(self, report: Progress) -> None:
        if report.followed is None:
            self.panel.show_progress(report.done, report.total, report.text)

    @while_alive
    def _on_followed(self, report: Progress) -> Iterator[None]:
        followed = report.followed
        assert followed is not None  # noqa: S101 - the last report has it
        if isinstance(followed.numbered, LabelEdit) and self.changed.layer is not None:
            self.panel.show_idle(_EDITED_SINCE)
            return
        # What is written now is no edit of a person.
        self.changed.watch([])
        self._followed = followed
        yield from self.shown.show(followed, self._source)
        yield
        self.table.show_columns(followed.columns)
        yield
        self.plot.show_counts(followed.tracks.cells_per_frame)
        self._show_frame()
        if self.shown.numbered is not None:
            self.gestures.start(self.shown.numbered, yields=True)
        if self._source is not None:
            # Another run is about the same labels, not about its own result.
            self.form.layer_choice.choose_layer(self._source)
        self._watch()
        self.panel.show_idle(_summary(followed), settles=True)

    @while_alive
    def _on_failed(self, error: Exception) -> None:
        self.panel.show_error(failure_sentence(error, kept="The labels are as they were."))
        self._offer_again()

    def _offer_again(self) -> None:
        if self._anew is not None:
            self.changed.offer(self._anew)

    def _on_frame_clicked(self, frame: int) -> None:
        shown = self.shown.numbered
        if shown is not None:
            place = shown.data_to_world((frame, *[0] * (shown.ndim - 1)))
            self._viewer.dims.set_point(self._viewer.dims.ndim - shown.ndim, float(place[0]))

    @while_alive
    def _show_frame(self, _event: Any = None) -> None:
        shown = self.shown.numbered
        if shown is not None:
            point = self._viewer.dims.point[-shown.ndim :]
            self.plot.show_frame(round(float(shown.world_to_data(point)[0])))

    def _on_track_chosen(self, track: int) -> None:
        shown = self.shown.numbered
        if shown is None or self._followed is None:
            return
        tracks = self._followed.tracks
        entry = int((tracks.numbers == track).argmax())
        centre = tracks.appearances.centres[entry]
        half_px = 0.5 * float(tracks.appearances.areas[entry]) ** (1 / centre.size)
        frame = int(tracks.appearances.frames[entry])
        sides = ((math.floor(each - half_px), math.ceil(each + half_px) + 1) for each in centre)
        look_at(self._viewer, shown, (slice(frame, frame + 1), *(slice(*side) for side in sides)))
        shown.selected_label = track

    def _on_clicked(self, click: Click) -> None:
        if click.label > 0 and click.button == LEFT:
            self.table.choose(click.label)

    @while_alive
    def _on_removed(self, event: Any) -> None:
        if self.job.is_running and event.value == self._source:
            self.job.stop()
            self.panel.show_idle(f"'{event.value.name}' was removed while it was followed.")

    def _read_tracks(self) -> tuple[str, Callable[[Path], Any]]:
        if self._followed is None:
            raise UNetError("There are no tracks yet; press Run.")
        return f"{self._followed.request.name}_RES", partial(save, followed=self._followed)


def _summary(followed: Followed) -> str:
    tracks = followed.tracks
    if not tracks.count:
        return f"There are no cells in '{followed.request.name}'."
    counted = f"{tracks.count:,} track{'s' * (tracks.count > 1)}"
    divided = tracks.division_count
    divisions = f", {divided:,} division{'s' * (divided > 1)}" if divided else ", no divisions"
    return (
        f"{counted}{divisions} in {tracks.frame_count} frames. Cells were taken to move "
        f"{tracks.largest_move_px:.0f} px at most."
    )
