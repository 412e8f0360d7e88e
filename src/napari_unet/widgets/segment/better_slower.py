"""What makes a result better and takes longer: copies of the image averaged, and a second model."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QWidget

from napari_unet.engine.base.errors import CodeInFileError, SettingsError, UNetError
from napari_unet.engine.base.setting_texts import setting_texts
from napari_unet.engine.base.settings import Averaging, SegmentationSettings
from napari_unet.session import LoadedModel, Session, read_model
from napari_unet.viewer.worker import Job
from napari_unet.widgets.shared.choices import OfferBox
from napari_unet.widgets.shared.model_choice import ModelChoice
from napari_unet.widgets.shared.parts import in_column, narrow_form, single_shot, while_alive
from napari_unet.widgets.shared.remembered import Setting
from napari_unet.widgets.shared.texts import FaintLabel

_COPIES: dict[Averaging, int] = {"none": 1, "flips": 4, "flips+rotations": 8}
_CAPTIONS: dict[Averaging, str] = {
    "none": "the image alone",
    "flips": "flips, 4 times slower",
    "flips+rotations": "flips and rotations, 8 times slower",
}

# By recipes/nuclei/averaging_gain.py; docs/segment-form.md has the table.
_GAINS: dict[Averaging, str] = {"none": "", "flips": "0.005", "flips+rotations": "0.002"}
_COPIES_MEASURED = (
    "Measured on the cells of 37 held-out images of nuclei, AP at an IoU of 0.5 was 0.762 without, "
    "0.767 with flips and 0.764 with flips and rotations."
)
_SECOND_MEASURED = (
    "That helps where both are about as good: measured on the cells of 37 held-out images of "
    "nuclei, models with an AP of 0.762 and 0.735 at an IoU of 0.5 had 0.765 together."
)


class BetterSlower(QWidget):
    """Chooses what is averaged, and says how much longer that takes.

    Parameters
    ----------
    session : Session
        Its network is the first one.
    model_choice : ModelChoice
        Its models are offered as a second one.
    """

    changed = Signal()
    """Something else is averaged, or a second model is on its way."""
    load_finished = Signal()
    """The second model is there."""
    failed = Signal(object)
    """Carries the exception; there is no second model."""

    def __init__(self, session: Session, model_choice: ModelChoice) -> None:
        super().__init__()
        self._session, self._models = session, model_choice
        self._job = Job(self)
        self._second: LoadedModel | None = None
        self._build()
        self.copies_box.currentIndexChanged.connect(self._on_changed)
        self.second_box.activated.connect(self._on_activated)
        model_choice.box.listed.connect(self._offer)
        # Once everything else has followed, which takes errors away.
        self._soon = single_shot(self, self._check)
        session.network_loaded.connect(self._on_network_loaded)
        self._offer()
        self._on_changed()

    def _build(self) -> None:
        self.copies_box, self.second_box = OfferBox(), OfferBox()
        self.copies_box.offer([(text, each) for each, text in _CAPTIONS.items()])
        copies = setting_texts(SegmentationSettings)["averaging"]
        self.copies_box.setToolTip(f"<qt>{copies} {_COPIES_MEASURED}</qt>")
        self.second_box.setToolTip(
            "<qt>Average the scores of the model above with those of another one that finds the "
            "same classes: twice as slow. Each is given the cells at the size that it was trained "
            f"on; the thresholds are those of the model above. {_SECOND_MEASURED}</qt>"
        )
        self.caption = FaintLabel()
        rows = narrow_form()
        # Beside a label there is no room for what the entries say.
        rows.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapAllRows)
        rows.addRow("Average over", self.copies_box)
        rows.addRow("Second model", self.second_box)
        in_column(rows, self.caption, within=self)

    @property
    def averaging(self) -> Averaging:
        """Copies of the image whose scores are averaged."""
        averaging: Averaging = self.copies_box.chosen
        return averaging

    @property
    def second(self) -> LoadedModel | None:
        """The model whose scores are averaged with those of the session's."""
        return self._second

    @property
    def is_loading(self) -> bool:
        """Whether the second model is on its way."""
        return self._job.is_running

    @property
    def times_slower(self) -> int:
        """How much longer a run takes than with the image and the model alone, about."""
        return _COPIES[self.averaging] * (2 if self.second_box.chosen else 1)

    @property
    def subject(self) -> object:
        """What is averaged, for a `Sentence` that tells of it."""
        return self.averaging, self.second_box.chosen

    def averaging_setting(self) -> Setting:
        """What is remembered: a second model belongs to the first, and is not."""
        box = self.copies_box
        return Setting(lambda: self.averaging, self.choose_averaging, box.currentIndexChanged)

    def choose_averaging(self, averaging: str) -> None:
        """Choose the copies, if there are such."""
        self.copies_box.choose_value(averaging)

    def choose_second(self, source: str) -> None:
        """Load a model that is listed as the second one; none for an empty text."""
        self._job.stop()
        self._second = None
        self.second_box.choose_value(source)
        if source:
            self._job.start(
                partial(read_model, source), on_result=self._on_loaded, on_error=self._on_failed
            )
        self._on_changed()

    def stop(self) -> None:
        """Drop a model that is on its way."""
        if self.is_loading:
            self.choose_second("")

    def _on_activated(self, _index: int) -> None:
        self.choose_second(self.second_box.chosen)

    def _on_loaded(self, model: LoadedModel) -> None:
        self._second = model
        self._check()
        if self._second is not None:
            self.load_finished.emit()

    def _on_failed(self, error: Exception) -> None:
        source = self.second_box.chosen
        self.choose_second("")
        if isinstance(error, CodeInFileError):
            error = SettingsError(
                f"'{source}' carries a program, and a second model must not; choose it as the "
                "first one, or another one here."
            )
        self.failed.emit(error)

    @while_alive
    def _on_network_loaded(self, _network: object) -> None:
        self._soon.start()

    def _check(self) -> None:
        """Drop a second model that does not fit the first one, and say why."""
        from napari_unet.engine.segmentation.ensemble import check_fits

        first, second = self._session.network, self._second
        if first is None or second is None:
            return
        try:
            check_fits(second.network.description, first.description)
        except UNetError as error:
            self._on_failed(error)

    @while_alive
    def _offer(self) -> None:
        """List the models that the form lists, but for the one that it shows."""
        box = self._models.box
        listed = [(box.itemText(n), str(box.itemData(n))) for n in range(box.count())]
        others = [(text, each) for text, each in listed if each and each != box.currentData()]
        chosen = self.second_box.chosen
        self.second_box.offer([("none", ""), *others])
        if self.second_box.chosen != chosen and chosen:
            # It is the first one now, or its file is gone.
            self.choose_second("")

    def _on_changed(self) -> None:
        slower = self.times_slower
        sentences = [f"About {slower} times slower."] if slower > 1 else []
        if gain := _GAINS[self.averaging]:
            sentences.append(f"Measured gain of the copies: {gain} AP, on nuclei.")
        if self.second_box.chosen:
            sentences.append("A second model gains where it is about as good as the first.")
        self.caption.show_text(" ".join(sentences))
        self.changed.emit()
