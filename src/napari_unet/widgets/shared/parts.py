"""What forms are built from: their place in a dock, layouts without margins, buttons, timers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QObject, QSize, Qt, QTimer
from qtpy.QtWidgets import (
    QBoxLayout,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLayout,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

_Owner = TypeVar("_Owner", bound=QObject)
_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")
_NO_LIMIT_PX = (1 << 24) - 1
"""Qt's `QWIDGETSIZE_MAX`, which not all of its bindings have."""


class Fold(QCollapsible):
    """A part of a form that is folded away until its title is clicked."""

    def __init__(self, title: str, inside: QWidget) -> None:
        super().__init__(title, expandedIcon="▾", collapsedIcon="▸")
        self.setDuration(0)
        layout = self.layout()
        assert layout is not None  # noqa: S101 - QCollapsible has just made it
        layout.setContentsMargins(0, 0, 0, 0)
        self.addWidget(inside)
        self.toggled.connect(self._on_toggled)

    def _on_toggled(self, is_open: bool) -> None:  # noqa: FBT001 - as Qt calls it
        # QCollapsible allows for rows as they are in a wide dock. In a narrow one labels stand
        # above their fields, so the rows need more height.
        self.content().setMaximumHeight(_NO_LIMIT_PX if is_open else 0)

    def eventFilter(self, _watched: QObject | None, _event: QEvent | None) -> bool:  # noqa: N802 - Qt's name
        """Leave the height to the layout; QCollapsible would set it whenever a part changes."""
        return False


def while_alive(
    slot: Callable[Concatenate[_Owner, _Arguments], _Result],
) -> Callable[Concatenate[_Owner, _Arguments], _Result | None]:
    """Make a method that does nothing, and returns None, once Qt has deleted its object.

    The signals of napari and of the session outlive a widget until Python collects it.
    """

    @wraps(slot)
    def guarded(
        self: _Owner, /, *args: _Arguments.args, **kwargs: _Arguments.kwargs
    ) -> _Result | None:
        return slot(self, *args, **kwargs) if isalive(self) else None

    return guarded


def single_shot(owner: QObject, due: Callable[[], Any], *, after_ms: int = 0) -> QTimer:
    """Make a timer that calls once, so long after it was last started."""
    timer = QTimer(owner)
    timer.setSingleShot(True)
    timer.setInterval(after_ms)
    timer.timeout.connect(due)
    return timer


class Scrolled(QScrollArea):
    """Lets a form be higher than its dock, never wider: unfolded and in large type it is high.

    The dock is told the width that the form cannot do without, and gets it.
    """

    def __init__(self, form: QWidget) -> None:
        super().__init__()
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidgetResizable(True)
        self.setWidget(form)

    def minimumSizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """As wide as the form at its narrowest, beside a scroll bar."""
        size, form, bar = super().minimumSizeHint(), self.widget(), self.verticalScrollBar()
        if form is not None and bar is not None:
            # napari's own style draws a frame, whatever its shape.
            beside_px = bar.sizeHint().width() + 2 * self.frameWidth()
            size.setWidth(form.minimumSizeHint().width() + beside_px)
        return size

    def bring_up(self, part: QWidget) -> None:
        """Scroll to a part of the form once it has got its place."""
        QTimer.singleShot(0, partial(self._on_placed, part))

    @while_alive
    def _on_placed(self, part: QWidget) -> None:
        self.ensureWidgetVisible(part)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802 - Qt's name
        """Ask for another width when the form needs one."""
        if event is not None and event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return super().eventFilter(watched, event)


def narrow_form() -> QFormLayout:
    """Make a layout of rows whose labels move above their fields where the dock is narrow."""
    layout = QFormLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    layout.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapLongRows)
    return layout


def in_column(
    *parts: QWidget | QLayout, within: QWidget | None = None, spacing: int | None = None
) -> QVBoxLayout:
    """Put parts one below the other, without margins; `within` a widget if it is given."""
    layout = QVBoxLayout()
    _fill(layout, parts, within, spacing)
    return layout


def in_row(
    *parts: QWidget | QLayout, within: QWidget | None = None, spacing: int | None = None
) -> QHBoxLayout:
    """Put parts beside each other, without margins; `within` a widget if it is given."""
    layout = QHBoxLayout()
    _fill(layout, parts, within, spacing)
    return layout


def _fill(
    layout: QBoxLayout,
    parts: tuple[QWidget | QLayout, ...],
    within: QWidget | None,
    spacing: int | None,
) -> None:
    layout.setContentsMargins(0, 0, 0, 0)
    if spacing is not None:
        layout.setSpacing(spacing)
    for part in parts:
        if isinstance(part, QLayout):
            layout.addLayout(part)
        else:
            layout.addWidget(part)
    if within is not None:
        within.setLayout(layout)


def action_button(text: str, tooltip: str, clicked: Any) -> QPushButton:
    """Make a button that says what it does; `clicked`, a callable or a signal, follows a click."""
    button = QPushButton(text)
    button.setToolTip(f"<qt>{tooltip}</qt>")
    button.clicked.connect(clicked)
    return button
