"""The choice of when a training ends, and how long that takes here."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QSpinBox, QWidget

from napari_unet.engine.training.length.pace import duration_in_words
from napari_unet.engine.training.settings import MANY_STEPS, USUAL_PATCH_PX, TrainingSettings
from napari_unet.widgets.shared.choices import OfferBox
from napari_unet.widgets.shared.parts import in_column
from napari_unet.widgets.shared.texts import FaintLabel

_STEPS, _LONGEST_STEPS = 100, MANY_STEPS - 1
_SECONDS, _LONGEST_S = 60, 24 * 3600


class LengthChoice(QWidget):
    """As long as it learns, so many steps, or so long.

    Attributes
    ----------
    is_changed : bool
        Another end was chosen since this was last set to False.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.kind_choice = OfferBox()
        self.kind_choice.offer(
            [("As long as it learns", "learns"), ("A number of steps", "steps"), ("A time", "time")]
        )
        self.kind_choice.setToolTip(
            "<qt>When the training ends. <b>As long as it learns</b>: until the loss has not "
            "fallen for a while, which takes the same steps on every computer, so that the same "
            "images give the same network. Stop keeps the best network so far at any time, and "
            "Train further goes on.</qt>"
        )
        self.steps_box = _box(1, _LONGEST_STEPS, _STEPS, " steps")
        self.steps_box.setToolTip(
            "<qt>Exactly so many steps. Fewer than 30 teach a network hardly anything.</qt>"
        )
        self.seconds_box = _box(5, _LONGEST_S, _SECONDS, " s")
        self.seconds_box.setToolTip(
            "<qt>End after this time, whatever was learned by then: on a slow or busy computer "
            "that is little.</qt>"
        )
        self.time_label = FaintLabel()
        self._patch_s: float | None = None
        self.is_changed = False
        in_column(
            self.kind_choice,
            self.steps_box,
            self.seconds_box,
            self.time_label,
            within=self,
            spacing=2,
        )
        self.kind_choice.currentIndexChanged.connect(self._on_kind_chosen)
        for box in (self.steps_box, self.seconds_box):
            box.valueChanged.connect(self._on_changed)
        self._on_kind_chosen()

    @property
    def controls(self) -> dict[str, QWidget]:
        """What a person sets here, by name."""
        return {"length": self.kind_choice, "steps": self.steps_box, "seconds": self.seconds_box}

    @property
    def end(self) -> dict[str, Any]:
        """`steps` or `seconds` as the settings of a training take them; empty for neither."""
        if self.kind_choice.chosen == "steps":
            return {"steps": self.steps_box.value()}
        if self.kind_choice.chosen == "time":
            return {"seconds": float(self.seconds_box.value())}
        return {}

    def take_pace(self, step_s: float, settings: TrainingSettings) -> None:
        """Remember how long a step took on this machine, with these settings."""
        self._patch_s = step_s / _patch_pixels(settings)

    def show_time(self, settings: TrainingSettings) -> None:
        """Say how long such a training takes on this machine, by what was last measured."""
        if self._patch_s is None:
            self.time_label.show_text("The first steps show how long that takes on this computer.")
            return
        step_s = self._patch_s * _patch_pixels(settings)
        if settings.seconds is not None:
            steps = max(1, round(settings.seconds / step_s))
            few = ", too few to learn much" if steps < settings.fewest_steps else ""
            self.time_label.show_text(f"About {steps} steps on this computer{few}.")
            return
        text = duration_in_words(settings.steps * step_s).capitalize()
        early = " at most; it may end earlier" if settings.patience else ""
        self.time_label.show_text(f"{text} on this computer{early}.")

    def _on_kind_chosen(self, _index: int = 0) -> None:
        self.steps_box.setVisible(self.kind_choice.chosen == "steps")
        self.seconds_box.setVisible(self.kind_choice.chosen == "time")
        self._on_changed()

    def _on_changed(self, _value: int = 0) -> None:
        self.is_changed = True
        self.changed.emit()


def _patch_pixels(settings: TrainingSettings) -> float:
    """What the time of a step goes with; that of three axes is taken for two."""
    return settings.batch_size * (settings.patch_size_px or USUAL_PATCH_PX) ** 2


def _box(least: int, most: int, value: int, suffix: str) -> QSpinBox:
    box = QSpinBox()
    box.setRange(least, most)
    box.setValue(value)
    box.setSuffix(suffix)
    box.setKeyboardTracking(False)
    return box
