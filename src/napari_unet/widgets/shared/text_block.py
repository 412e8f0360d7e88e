"""Rich text as high as it needs to be, so that what is around it scrolls, not the text itself."""

from __future__ import annotations

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QFrame, QSizePolicy, QTextBrowser

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
