"""The fields of the Train widget: what is common in sight, the rest folded away."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QLabel, QPushButton, QSpinBox, QVBoxLayout, QWidget
from superqt import QCollapsible, QLabeledDoubleSlider

from napari_unet.engine.training.augmentation_settings import AugmentationSettings
from napari_unet.engine.training.settings import TrainingSettings
from napari_unet.session import Session
from napari_unet.widgets.shared.choices import narrow_form
from napari_unet.widgets.shared.device_choice import DeviceChoice
from napari_unet.widgets.shared.findings_panel import FindingsPanel
from napari_unet.widgets.shared.model_choice import ModelChoice
from napari_unet.widgets.shared.run_panel import RunPanel
from napari_unet.widgets.shared.settings_form import SettingsForm
from napari_unet.widgets.train.curves.curves import TrainingCurves
from napari_unet.widgets.train.pairs_list import PairsList
from napari_unet.widgets.train.unlabelled_choice import UnlabelledChoice

if TYPE_CHECKING:
    from napari.components import ViewerModel

_USUAL_S = 60
_LONGEST_S = 24 * 3600
_RARE = (
    "batch_size",
    "patch_size_px",
    "keep_knowledge",
    "w0",
    "border_sigma_px",
    "border_width_px",
    "background_share",
    "corrected_share",
    "class_balance",
    "adapt_norms",
    "validation_interval",
    "seed",
)
_RANGES = {
    "batch_size": (1, 256),
    "patch_size_px": (32, 1024),
    "keep_knowledge": (0.0, 5.0),
    "w0": (0.5, 100.0),
    "border_sigma_px": (0.5, 30.0),
    "border_width_px": (0.5, 10.0),
    "background_share": (0.0, 1.0),
    "corrected_share": (0.0, 1.0),
    "scale": (1.0, 3.0),
    "elastic_sigma_px": (0.0, 40.0),
    "brightness": (0.0, 1.0),
    "contrast": (1.0, 4.0),
    "gamma": (1.0, 4.0),
    "noise": (0.0, 1.0),
    "blur_px": (0.0, 5.0),
    "colour": (1.0, 3.0),
}
_VARIED = (
    "flip",
    "rotate",
    "scale",
    "elastic_sigma_px",
    "brightness",
    "contrast",
    "gamma",
    "noise",
    "blur_px",
    "colour",
)


class TrainForm(QWidget):
    """Builds the fields and says what they hold; it runs nothing.

    Parameters
    ----------
    viewer : napari viewer
    session : Session

    Attributes
    ----------
    input_changed : Signal
        Other pairs, another meaning of their labels, or another start.
    """

    input_changed = Signal()

    def __init__(self, viewer: ViewerModel, session: Session) -> None:
        super().__init__()
        self.pairs = PairsList(viewer)
        self.unlabelled = UnlabelledChoice(viewer)
        self.pairs.changed.connect(self.input_changed)
        self.unlabelled.changed.connect(self.input_changed)
        self._build_start(session)
        self._build_more(session)
        self.panel = RunPanel(
            "Train",
            "<qt>Teach the model what is labelled above. What comes out is a version of its own, "
            "which you keep or discard at the end.</qt>",
        )
        self.findings = FindingsPanel()
        self.curves = TrainingCurves()
        self.curves.hide()
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        for part in (
            QLabel("Images, and their labels"),
            self.pairs,
            self.unlabelled,
            self._start_fields,
            self.panel,
            self.findings,
            self.curves,
        ):
            self._layout.addWidget(part)
        self._results = QVBoxLayout()
        self._layout.addLayout(self._results)
        self._layout.addWidget(self.more)
        self._foot = QVBoxLayout()
        self._layout.addLayout(self._foot)
        self._layout.addStretch()

    def _build_start(self, session: Session) -> None:
        self.model_choice = ModelChoice(session)
        self.anew_box = QCheckBox("Begin with nothing")
        self.anew_box.setToolTip(
            "<qt>Make a new network instead of going on from the model above. It needs far more "
            "labelled cells and time.</qt>"
        )
        self.anew_box.toggled.connect(self.model_choice.setDisabled)
        self.anew_box.toggled.connect(self._on_anew_toggled)
        self.seconds_box = QSpinBox()
        self.seconds_box.setRange(5, _LONGEST_S)
        self.seconds_box.setValue(_USUAL_S)
        self.seconds_box.setSuffix(" s")
        self.seconds_box.setKeyboardTracking(False)
        self.seconds_box.setToolTip(
            "<qt>How long to train. A minute is enough to go on from a model with a few dozen "
            "cells; Stop keeps the best network so far at any time.</qt>"
        )
        self.strength_slider = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
        self.strength_slider.setRange(0.1, 3.0)
        self.strength_slider.setDecimals(2)
        self.strength_slider.setValue(1.0)
        self.strength_slider.setToolTip(
            "<qt>How boldly the network is changed: a factor on the learning rate. Lower it if the "
            "curves jump, or if the model is nearly right already.</qt>"
        )
        self.hold_out_box = QCheckBox("Hold some cells out to check")
        self.hold_out_box.setChecked(True)
        self.hold_out_box.setToolTip(
            "<qt>Learn nothing from some images, or from one end of an image, and measure there "
            "how good the network gets. The best state is kept. Where there are too few cells for "
            "that, nothing is held out, and the message says so.</qt>"
        )
        self._start_fields = QWidget()
        layout = narrow_form()
        self._start_fields.setLayout(layout)
        layout.addRow("Start from", self.model_choice)
        layout.addRow(self.anew_box)
        layout.addRow("Train for", self.seconds_box)
        layout.addRow("Strength", self.strength_slider)
        layout.addRow(self.hold_out_box)

    def _build_more(self, session: Session) -> None:
        usual = TrainingSettings.fine_tuning()
        self.rare = SettingsForm(usual, _RARE, _RANGES)
        self.varied = SettingsForm(AugmentationSettings(), _VARIED, _RANGES)
        self.device_choice = DeviceChoice(session)
        self.model_choice.devices_found.connect(self.device_choice.add_devices)
        self.augmented_button = QPushButton("Show what the network gets to see")
        self.augmented_button.setToolTip(
            "<qt>Add layers with some patches as the network learns from them: turned, deformed, "
            "with other grey values, each with its classes and its weights.</qt>"
        )
        inside = QWidget()
        layout = QVBoxLayout(inside)
        layout.setContentsMargins(0, 0, 0, 0)
        device = narrow_form()
        device.addRow("Device", self.device_choice)
        layout.addLayout(device)
        layout.addWidget(self.rare)
        layout.addWidget(QLabel("How much each patch is varied"))
        layout.addWidget(self.varied)
        layout.addWidget(self.augmented_button)
        self.more = QCollapsible("More settings")
        self.more.setDuration(0)
        self.more.addWidget(inside)

    def add_result(self, widget: QWidget) -> None:
        """Put a widget below the curves."""
        self._results.addWidget(widget)

    def add_at_foot(self, widget: QWidget) -> None:
        """Put a widget below all fields."""
        self._foot.addWidget(widget)

    def _on_anew_toggled(self, _anew: bool) -> None:  # noqa: FBT001 - as Qt calls it
        self.input_changed.emit()

    @property
    def begins_anew(self) -> bool:
        """Whether a new network is to be made."""
        return self.anew_box.isChecked()

    def settings(self) -> TrainingSettings:
        """How the network is trained.

        Raises
        ------
        SettingsError
            If a value is outside of what makes sense.
        """
        usual = TrainingSettings.fine_tuning(
            seconds=float(self.seconds_box.value()), strength=self.strength_slider.value()
        )
        changes: dict[str, Any] = self.rare.values()
        if self.begins_anew:
            # There is nothing to keep, and nothing that was measured before.
            changes.update(keep_knowledge=0.0, adapt_norms=True)
        return replace(usual, **changes, augmentation=AugmentationSettings(**self.varied.values()))
