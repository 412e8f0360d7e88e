"""The Batch widget: many images, segmented one after the other, and trainings between them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error

from napari_unet.batch.queue import Entry, noun_of
from napari_unet.batch.settings import BatchSettings
from napari_unet.batch.training.entry import TrainingEntry
from napari_unet.engine.base.errors import UNetError
from napari_unet.session import Session, Turn, shared_session
from napari_unet.viewer.warm_up import preparation
from napari_unet.viewer.worker import failure_sentence
from napari_unet.widgets.batch.form import BatchForm
from napari_unet.widgets.batch.job import BatchJob
from napari_unet.widgets.batch.made_model import MadeModel
from napari_unet.widgets.batch.results import BatchResults
from napari_unet.widgets.batch.rows import Row
from napari_unet.widgets.batch.sources import image_layers
from napari_unet.widgets.batch.work import FormTraining, Queued, Request
from napari_unet.widgets.shared.docked_form import DockedForm
from napari_unet.widgets.shared.parts import Scrolled, in_column, single_shot, while_alive

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_unet.batch.running import BatchReport
    from napari_unet.engine.networks.network import Network

_ASK_AGAIN_MS = 200


class BatchWidget(DockedForm):
    """Add images, choose a folder, press Run; click on a row to look at it.

    Parameters
    ----------
    session : Session, optional
        Owner of the loaded network; without it the process's.
    segment_form : callable, optional
        Gives the Segment widget, whose model and settings are taken; without it the one of the
        window, which is opened if need be.
    """

    def __init__(
        self,
        napari_viewer: ViewerModel,
        session: Session | None = None,
        segment_form: Callable[[], Any] | None = None,
    ) -> None:
        super().__init__(napari_viewer)
        self._session = session or shared_session()
        self._segment_form = segment_form or partial(self.open_behind, "Segment cells")
        self._awaited: Any = None
        """The Segment widget while it loads its model."""
        self._asking_again = single_shot(self, self.run, after_ms=_ASK_AGAIN_MS)
        self.form = BatchForm()
        self.panel, self.table = self.form.panel, self.form.table
        self.job = BatchJob(self)
        self.results = BatchResults(napari_viewer, self.job.live, self)
        self.made_model = MadeModel(self._session, self)
        self._turn: Turn | None = None
        """While what runs are trainings, too."""
        in_column(Scrolled(self.form), within=self).setContentsMargins(4, 4, 4, 4)
        self._connect()
        self._show_model()
        preparation.ask_for("cells", "measurements")

    def _connect(self) -> None:
        form, job = self.form, self.job
        form.files_chosen.connect(self._on_files_chosen)
        form.layers_wanted.connect(self._on_layers_wanted)
        form.folder_changed.connect(self._on_folder_changed)
        form.remove_button.clicked.connect(self._on_remove_clicked)
        form.save_button.clicked.connect(self.results.save)
        form.pause_button.clicked.connect(self._on_pause_clicked)
        self.table.entry_chosen.connect(self._on_entry_chosen)
        self.panel.run_clicked.connect(self.run)
        self.panel.stop_clicked.connect(self.stop)
        job.files_listed.connect(self._add_sources)
        job.queued.connect(self._on_queued)
        job.progressed.connect(self.panel.show_progress)
        job.reported.connect(self._on_reported)
        job.told.connect(self.panel.label.show_text)
        job.ended.connect(self._on_ended)
        job.failed.connect(self._on_failed)
        for part in (self.results, self.made_model):
            part.told.connect(self.panel.label.show_text)
            part.failed.connect(self._on_failed)
        self.results.corrected.connect(self.table.images.show_entry)
        self.results.changed.connect(self._on_result_changed)
        self._session.network_loaded.connect(self._show_model)

    def run(self) -> None:
        """Add new rows to the queue with the settings of the Segment form, and do what waits."""
        if self.job.is_running:
            return
        rows = self.table.images.rows
        sources = [row.source for row in rows if row.source is not None]
        try:
            folder = self.form.results_folder()
            if not rows:
                raise UNetError("There are no images; add files, a folder or the image layers.")
            settings: BatchSettings | None = None
            networks: dict[str, tuple[Network, ...]] = {}
            extras = self.form.extras
            if sources:
                segment, self._awaited = self._awaited or self._segment_form(), None
                if segment.model_choice.is_loading:
                    self._awaited = segment
                    self.panel.show_running("loading the model")
                    self._asking_again.start()
                    return
                settings, loaded = segment.batch_settings()
                networks = {settings.id: loaded}
                made = self.form.model_box.chosen
                if made:
                    settings = settings.with_made(made, loaded[0].description.instances)
                elif loaded[0].description.cell_types:
                    extras |= {"types": ".csv"}
            self._turn = self._turn_at_training()
        except UNetError as error:
            self._on_failed(error)
            return
        replaces = self.form.replace_box.isChecked()
        device = self._session.device
        request = Request(folder, sources, settings, extras, networks, device, replaces)
        self.job.start(request, self._turn)
        self.panel.show_running("looking at the images")
        self.form.show_running(is_running=True)

    def add_training(self, training: FormTraining) -> None:
        """Add a training of the Train form to the queue, with its layers as they are now."""
        try:
            self.job.add_training(self.form.results_folder(), training)
        except UNetError as error:
            self._on_failed(error)

    def _turn_at_training(self) -> Turn | None:
        """Keep other forms from training meanwhile, if one waits.

        Raises
        ------
        TrainingError
            If one trains already.
        """
        entries = (row.entry for row in self.table.images.rows)
        waits = any(isinstance(each, TrainingEntry) and each.state != "done" for each in entries)
        return self._session.begin_training() if waits else None

    def _end_training(self) -> None:
        if self._turn is not None:
            self._turn.end()

    def stop(self) -> None:
        """Stop at once: images in work wait again, and a training goes on where it stood."""
        self._awaited = None
        if self._asking_again.isActive():
            self._asking_again.stop()
            self.panel.show_idle("Stopped.")
        self.job.stop()

    def stop_all(self) -> None:
        """Stop all that this form has begun; the queue can go on later."""
        self.stop()
        self.results.stop()
        self.made_model.stop()

    @while_alive
    def _show_model(self, _network: object = None) -> None:
        network = self._session.network
        model = "the model" if network is None else f"'{network.description.name}'"
        self.form.about.show_text(
            f"New rows are segmented with {model} and the settings of Segment cells, as they are "
            "when you press Run; of stacks, every slice."
        )

    def _on_files_chosen(self, paths: list[Path]) -> None:
        first = paths[0]
        self.form.propose_folder(first if len(paths) == 1 and first.is_dir() else first.parent)
        self.job.list_files(paths)

    def _on_layers_wanted(self) -> None:
        layers = image_layers(self._viewer)
        if not layers:
            self._on_failed(UNetError("There is no image layer; open an image first."))
            return
        self._add_sources(layers)

    def _add_sources(self, sources: list[Any]) -> None:
        rows = self.table.images.rows
        known = {row.file for row in rows if row.entry is None}
        new = [row for row in map(Row, sources) if row.file not in known]
        self.table.images.show_rows([*rows, *new])
        count = len(known) + len(new)
        self.panel.show_idle(f"{count} new {'image' if count == 1 else 'images'}; press Run.")

    def _on_folder_changed(self) -> None:
        if self.form.folder is not None:
            self.job.read(self.form.results_folder())

    def _on_queued(self, queued: Queued) -> None:
        rows = [Row(entry=entry) for entry in queued.entries]
        trainings = [each for each in queued.entries if isinstance(each, TrainingEntry)]
        self.form.offer_models({each.name: str(each.output) for each in trainings})
        if self.job.is_running:
            self.table.images.show_rows(rows)
            return
        new = [row for row in self.table.images.rows if row.source is not None]
        self.table.images.show_rows([*rows, *new])
        done = len(rows) - queued.wanted
        if queued.notes:
            self.panel.show_idle(" ".join(queued.notes))
        elif rows:
            goes_on = "; Run goes on with the others" if queued.wanted else ""
            all_of_them = f"{len(rows)} {noun_of(queued.entries)}s"
            self.panel.show_idle(f"{done} of {all_of_them} in this folder are done{goes_on}.")

    def _on_reported(self, report: BatchReport) -> None:
        self.table.images.show_shares(report.shares)
        if report.entry is not None:
            self.table.images.show_entry(report.entry)

    def _on_pause_clicked(self) -> None:
        self.job.pause()
        self.form.pause_button.setEnabled(False)
        self.form.pause_button.setText("Pausing…")

    def _on_remove_clicked(self) -> None:
        chosen = self.table.chosen
        outputs = [row.entry.output for row in chosen if row.entry is not None]
        gone = set(map(id, chosen))
        rows = [row for row in self.table.images.rows if id(row) not in gone]
        self.table.images.show_rows(rows)
        if outputs:
            self.job.remove(self.form.results_folder(), outputs)

    def _on_entry_chosen(self, entry: Entry) -> None:
        if entry.state == "failed":
            self.panel.label.show_error(entry.error)
            return
        if isinstance(entry, TrainingEntry):
            self.made_model.open(entry)
            return
        self.results.open(entry, self.form.results_folder())

    def _on_result_changed(self) -> None:
        self.form.save_button.setEnabled(self.results.entry is not None)

    def _on_ended(self, sentence: str) -> None:
        self.table.images.show_shares({})
        self._end_training()
        self.form.show_running(is_running=False)
        self.panel.show_idle(sentence)

    def _on_failed(self, error: Exception) -> None:
        message = failure_sentence(error)
        if self.job.is_running:  # what runs goes on, if something else failed
            self.panel.label.show_error(message)
        else:
            self.table.images.show_shares({})
            self._end_training()
            self.form.show_running(is_running=False)
            self.panel.show_error(message)
        show_error(message)
