"""What is remembered from one napari to the next, in the user's settings."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from napari.utils.notifications import show_warning
from qtpy.QtCore import QObject, QSettings, Signal
from qtpy.QtWidgets import (
    QAbstractSlider,
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QPushButton,
    QWidget,
)

from napari_unet.widgets.shared.parts import action_button, single_shot

_REPAIRED = "repaired"
_SOON_MS = 300
_SAME = 1e-6


def user_settings() -> QSettings:
    """Open the settings of this user; a damaged file is told of once, and written anew.

    Qt writes the file whole or not at all, and what two programs write at once is merged.
    """
    settings = QSettings(
        # A file on every system, so that it can be looked at, copied and deleted.
        QSettings.Format.IniFormat,
        QSettings.Scope.UserScope,
        "napari-unet-cells",
        "napari-unet-cells",
    )
    if settings.status() == QSettings.Status.FormatError:
        # Writing anything leaves out what could not be read.
        settings.setValue(_REPAIRED, True)
        settings.sync()
        show_warning(
            f"The settings in '{settings.fileName()}' are damaged; what could be read of them is "
            "kept, and the rest is as at first."
        )
    return settings


@dataclass(frozen=True, slots=True)
class Setting:
    """Something in a form that a person sets."""

    get: Callable[[], Any]
    set: Callable[[Any], Any]
    changed: Any
    """Signal after each change."""

    def is_like(self, value: object, usual: object) -> bool:
        """Whether a value that was kept can be that of this setting."""
        if isinstance(usual, bool | str):
            return type(value) is type(usual)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and math.isfinite(value)  # type: ignore[arg-type]


_KINDS: tuple[tuple[type[QWidget], str, str, str], ...] = (
    (QCheckBox, "isChecked", "setChecked", "toggled"),
    (QComboBox, "currentText", "setCurrentText", "currentTextChanged"),
    (QAbstractSpinBox, "value", "setValue", "valueChanged"),
    (QAbstractSlider, "value", "setValue", "valueChanged"),
)


def setting_of(control: QWidget) -> Setting:
    """Make the setting that a control shows."""
    for kind, *names in _KINDS:
        if isinstance(control, kind):
            return Setting(*(getattr(control, name) for name in names))
    raise TypeError(f"{type(control).__name__} holds no value")


class Remembered(QObject):
    """Keeps what differs from the usual settings of a form, and puts it back in the next napari.

    Only differences are kept: who never changed a setting gets a better one with the next version.
    What is tied to one image or one model does not belong here: it would be silently wrong for
    the next one.

    Parameters
    ----------
    name : str
        Of the form, for people.
    controls : mapping of str to QWidget or Setting
        By the names under which they are kept; set in this order.
    present_names : callable, optional
        Brings what an older version kept under the names of this one.
    """

    was_reset = Signal()

    def __init__(
        self,
        name: str,
        controls: Mapping[str, QWidget | Setting],
        parent: QObject,
        *,
        present_names: Callable[[Mapping[str, Any]], dict[str, Any]] = dict,
    ) -> None:
        super().__init__(parent)
        self._present_names = present_names
        self._name, self._key = name, f"forms/{name}"
        self._settings = {
            key: each if isinstance(each, Setting) else setting_of(each)
            for key, each in controls.items()
        }
        self._usual = self._values()
        self._restore()
        self._soon = single_shot(self, self.keep, after_ms=_SOON_MS)
        for each in self._settings.values():
            each.changed.connect(self._on_changed)

    def keep(self) -> None:
        """Write what differs from the usual settings."""
        self._soon.stop()
        values = self._values()
        self._write({key: each for key, each in values.items() if not self._is_usual(key, each)})

    def reset(self) -> None:
        """Bring the usual settings back."""
        for key, value in self._usual.items():
            self._settings[key].set(value)
        self.keep()
        self.was_reset.emit()

    def reset_button(self) -> QPushButton:
        """Make the button that does so."""
        return action_button(
            "Reset settings",
            "Bring the settings of this form back to how they were at first; what was remembered "
            "of them is forgotten.",
            self.reset,
        )

    def _values(self) -> dict[str, Any]:
        return {key: each.get() for key, each in self._settings.items()}

    def _is_usual(self, key: str, value: Any) -> bool:
        usual = self._usual[key]
        if isinstance(usual, bool | str):
            return bool(value == usual)
        return math.isclose(value, usual, abs_tol=_SAME)

    def _on_changed(self, _value: Any = None) -> None:
        # A slider tells of each pixel on its way.
        self._soon.start()

    def _restore(self) -> None:
        text = user_settings().value(self._key)
        if text is None:
            return
        try:
            kept = json.loads(str(text))
        except ValueError:
            kept = None
        if _is_map(kept):
            kept = self._present_names(kept)
        # What an older or newer version knew and this one does not is no matter.
        known = {key: kept[key] for key in self._settings if key in kept} if _is_map(kept) else {}
        refused = [key for key, value in known.items() if not self._take(key, value)]
        if refused or not _is_map(kept):
            what = ", ".join(f"'{key}'" for key in refused) or "all of them"
            show_warning(
                f"What was remembered of the settings of '{self._name}' makes no sense ({what}); "
                "there the usual ones hold again."
            )
            # Told once only.
            self._write({key: value for key, value in known.items() if key not in refused})

    def _take(self, key: str, value: Any) -> bool:
        """Set a value that was kept; return whether the form takes it."""
        setting, usual = self._settings[key], self._usual[key]
        if setting.is_like(value, usual):
            setting.set(value)
            got = setting.get()
            is_text = isinstance(usual, bool | str)
            if got == value or (not is_text and math.isclose(got, value, rel_tol=0.01)):
                return True
            setting.set(usual)
        return False

    def _write(self, values: dict[str, Any]) -> None:
        settings = user_settings()
        if values:
            settings.setValue(self._key, json.dumps(values))
        else:
            settings.remove(self._key)


def _is_map(kept: object) -> bool:
    return isinstance(kept, dict)
