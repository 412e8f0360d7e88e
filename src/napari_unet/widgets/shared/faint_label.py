"""Text in the second line of importance: paler than the rest in every theme."""

from __future__ import annotations

from html import escape

from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QLabel

_STRENGTH = 0.68
_SMALLER = 0.9


class FaintLabel(QLabel):
    """Wraps, and mixes its colour from those of the theme."""

    def __init__(self, text: str = "") -> None:
        super().__init__()
        self._plain = ""
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.RichText)
        self.show_text(text)

    @property
    def message(self) -> str:
        """The text that is shown."""
        return self._plain

    def show_text(self, text: str) -> None:
        """Show a plain text; nothing, and no room, for an empty one."""
        self._plain = text
        self._paint_text()
        self.setVisible(bool(text))

    def event(self, event: QEvent | None) -> bool:
        """Take another theme's colours over."""
        if event is not None and event.type() in (
            QEvent.Type.StyleChange,
            QEvent.Type.PaletteChange,
            QEvent.Type.FontChange,
        ):
            self._paint_text()
        return bool(super().event(event))

    def _paint_text(self) -> None:
        palette = self.palette()
        text = palette.color(self.foregroundRole())
        ground = palette.color(self.backgroundRole())
        mixed = [
            round(_STRENGTH * a + (1 - _STRENGTH) * b)
            for a, b in zip(text.getRgb()[:3], ground.getRgb()[:3], strict=True)
        ]
        size = max(1, round(_SMALLER * self.fontInfo().pixelSize()))
        self.setText(
            f'<span style="color: {QColor(*mixed).name()}; font-size: {size}px">'
            f"{escape(self._plain)}</span>"
        )
