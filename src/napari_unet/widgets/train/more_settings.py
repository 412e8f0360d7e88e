"""The settings of a training that are rarely changed, folded away."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QWidget
from superqt import QLabeledDoubleSlider

from napari_unet.engine.training.settings import VOLUME_FIELDS, TrainingSettings
from napari_unet.session import Session
from napari_unet.widgets.shared.device_choice import DeviceChoice
from napari_unet.widgets.shared.parts import Fold, in_column, narrow_form
from napari_unet.widgets.shared.settings_form import SettingsForm

_SHOWN = TrainingSettings.fine_tuning()
_RARE = (
    "batch_size",
    "patch_size_px",
    "bank_share",
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
    "bank_share": (0.0, 0.9),
    "keep_knowledge": (0.0, 20.0),
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


class MoreSettings(Fold):
    """Device, numbers of the method, and how much each patch is varied.

    Parameters
    ----------
    foot : QWidget
        Shown below all of them.
    """

    def __init__(self, session: Session, foot: QWidget) -> None:
        inside, device = QWidget(), narrow_form()
        super().__init__("More settings", inside)
        self.device_choice = DeviceChoice(session)
        self.rare = SettingsForm(_SHOWN, _RARE, _RANGES)
        self.varied = SettingsForm(_SHOWN.augmentation, _VARIED, _RANGES)
        device.addRow("Device", self.device_choice)
        varied = QLabel("How much each patch is varied")
        in_column(device, self.rare, varied, self.varied, foot, within=inside)

    @property
    def settings_fields(self) -> dict[str, QWidget]:
        """The fields of all settings, by their names."""
        return {**self.rare.fields, **self.varied.fields}

    def settings(self, usual: TrainingSettings, *, ndim: int, **changes: Any) -> TrainingSettings:
        """Return `usual` with what is set here, and then with `changes`.

        Of volumes (`ndim` 3) what is left as it is of images is as in `usual`.

        Raises
        ------
        SettingsError
            If a value is outside of what makes sense.
        """
        rare, varied = self.rare.values(), self.varied.values()
        if ndim == 3:
            for values, shown in ((rare, _SHOWN), (varied, _SHOWN.augmentation)):
                for name in VOLUME_FIELDS & values.keys():
                    if values[name] == getattr(shown, name):
                        del values[name]
        augmentation = replace(usual.augmentation, **varied)
        return replace(usual, **{**rare, **changes}, augmentation=augmentation)


def strength_slider() -> QLabeledDoubleSlider:
    """Make the slider that says how boldly the network is changed."""
    slider = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
    slider.setRange(0.1, 3.0)
    slider.setDecimals(2)
    slider.setValue(1.0)
    slider.setToolTip(
        "<qt>How boldly the network is changed: a factor on the learning rate. Lower it if the "
        "curves jump, or if the model is nearly right already.</qt>"
    )
    return slider
