"""Texts of a form: one sentence, a paler one, and rich text as high as it needs to be."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import escape
from typing import Any

from qtpy.QtCore import QEvent, QSize, Qt
from qtpy.QtGui import QColor, QResizeEvent
from qtpy.QtWidgets import QFrame, QLabel, QSizePolicy, QTextBrowser

from napari_unet.widgets.shared.parts import single_shot, while_alive

_ERROR_STYLE = "border-left: 3px solid #d9534f; padding-left: 6px;"


class Sentence(QLabel):
    """Text that wraps anywhere, can be copied, and takes no room while there is none.

    It knows what it was about: see `follow`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._subject: Callable[[], object] = _nothing
        self._told_of: object = None
        self._is_error = self._lasts = False
        self._settling = single_shot(self, self._on_settled)
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.show_text("")

    @property
    def message(self) -> str:
        """The sentence that is shown."""
        return self.text().replace("\u200b", "")

    def show_text(self, message: str = "", *, settles: bool = False) -> None:
        """Say how it went; nothing for an empty text.

        Parameters
        ----------
        settles : bool
            What it is about is still changing: it is about what is there at the end of this turn
            of the event loop. So the layers that go together with one do not take away what is
            said of it.
        """
        self._show(message, "")
        if settles:
            self._settling.start()

    def show_error(self, message: str, *, lasts: bool = False) -> None:
        """Say what went wrong and what to do; `lasts` if no choice in the form mends it."""
        self._show(message, _ERROR_STYLE)
        self._lasts = lasts

    def follow(self, subject: Callable[[], object], *changes: Any) -> None:
        """Take a message away once it is not true any more.

        How it went stands as long as it is about what the form shows. An error goes with whatever
        is changed next: that may be the cure, and the same error comes back if it is not.

        Parameters
        ----------
        subject : callable
            Returns what a message would be about: anything that can be compared.
        *changes : signals
            Of Qt, of psygnal or of napari, after which that may be another.
        """
        self._subject = subject
        for change in changes:
            change.connect(self._on_changed)

    @while_alive
    def _on_changed(self, *_values: Any) -> None:
        if self._settling.isActive():
            return
        is_over = self._is_error or self._subject() != self._told_of
        if self.message and is_over and not self._lasts:
            self.show_text()

    def _on_settled(self) -> None:
        self._told_of = self._subject()

    def _show(self, message: str, style: str) -> None:
        self._settling.stop()
        self._told_of, self._is_error = self._subject(), style == _ERROR_STYLE
        self._lasts = False
        self.setStyleSheet(style)
        # A file's path has no spaces: without these places to break it widens the dock.
        self.setText(re.sub(r"([/\\_\-]|\.(?!\d))", "\\1\u200b", message))
        self.setVisible(bool(message))


def _nothing() -> None:
    """What a sentence is about that nobody follows."""


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


_BESIDE_PX = 10


class TextBlock(QTextBrowser):
    """Text that can be selected and copied.

    Parameters
    ----------
    style : str
        CSS of its elements.
    """

    def __init__(self, style: str) -> None:
        super().__init__()
        self.setAcceptDrops(False)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setStyleSheet("QTextBrowser { background: transparent; padding: 6px 0px 0px 5px; }")
        for policy in (self.setHorizontalScrollBarPolicy, self.setVerticalScrollBarPolicy):
            policy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        document = self.document()
        if document is not None:
            document.setDefaultStyleSheet(style)
            document.setDocumentMargin(0)
            document.contentsChanged.connect(self._fit)

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802 - Qt's name
        """Other widths break the lines elsewhere."""
        super().resizeEvent(event)
        self._fit()

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """As high as the text."""
        return QSize(200, self._text_height())

    def _fit(self) -> None:
        height = self._text_height()
        if height != self.minimumHeight():
            self.setFixedHeight(height)

    def _text_height(self) -> int:
        document = self.document()
        return 0 if document is None else int(document.size().height()) + _BESIDE_PX
