"""One sentence below a form: how it went, or what went wrong and what to do."""

from __future__ import annotations

import re

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel

_ERROR_STYLE = "border-left: 3px solid #d9534f; padding-left: 6px;"


class Sentence(QLabel):
    """Text that wraps anywhere, can be copied, and takes no room while there is none."""

    def __init__(self) -> None:
        super().__init__()
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.show_text("")

    @property
    def message(self) -> str:
        """The sentence that is shown."""
        return self.text().replace("\u200b", "")

    def show_text(self, message: str) -> None:
        """Say how it went; nothing for an empty text."""
        self._show(message, "")

    def show_error(self, message: str) -> None:
        """Say what went wrong and what to do."""
        self._show(message, _ERROR_STYLE)

    def _show(self, message: str, style: str) -> None:
        self.setStyleSheet(style)
        # A file's path has no spaces: without these places to break it widens the dock.
        self.setText(re.sub(r"([/\\_\-]|\.(?!\d))", "\\1\u200b", message))
        self.setVisible(bool(message))
