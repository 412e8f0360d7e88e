"""The outermost widget of a form: its place among napari's docks, and what the wheel may change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QChildEvent, QEvent, QObject, Qt
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import (
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QDockWidget,
    QMainWindow,
    QScrollBar,
    QWidget,
)

from napari_unet.viewer.commands import bring_to_front, dock_of, open_widget
from napari_unet.viewer.warm_up import preparation
from napari_unet.widgets.shared.parts import single_shot

if TYPE_CHECKING:
    from napari.components import ViewerModel


class DockedForm(QWidget):
    """A form that is a tab among those of its kind, and stops what it has begun when it goes.

    Parameters
    ----------
    viewer : napari viewer
        It may have no window: then nobody docks the form.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self._wheel_guard = WheelGuard(self)
        self._soon_in_place = single_shot(self, self._on_docked)

    def stop_all(self) -> None:
        """Stop whatever runs, and let go of the viewer."""
        raise NotImplementedError

    def canvases(self) -> list[QOpenGLWidget]:
        """What napari draws on in the window that the form is docked in; none without one."""
        dock = dock_of(self)
        window = None if dock is None else dock.parent()
        middle = window.centralWidget() if isinstance(window, QMainWindow) else None
        return [] if middle is None else middle.findChildren(QOpenGLWidget)

    def event(self, event: QEvent | None) -> bool:
        """Stop when the widget is closed, or leaves its dock, which sends no close event."""
        if event is not None:
            changes_parent = event.type() == QEvent.Type.ParentChange
            if changes_parent and self.parent() is not None:
                # napari makes the dock around the form first, and then places it.
                self._soon_in_place.start()
            elif changes_parent or event.type() == QEvent.Type.Close:
                self.stop_all()
        return bool(super().event(event))

    def open_behind(self, name: str) -> Any:
        """Give another form of the window, which is opened if need be; this one stays in front."""
        viewer: Any = self._viewer
        form = open_widget(viewer, name)
        bring_to_front(self)
        return form

    def join_tabs(self) -> None:
        """Become a tab beside the other forms, in front of them, if one is on the same side.

        napari puts a dock that its menu opens below the others, where none has the room it needs.
        """
        dock = dock_of(self)
        window = None if dock is None else dock.parent()
        if dock is None or not isinstance(window, QMainWindow) or dock.isFloating():
            return
        forms = self._forms()
        area = window.dockWidgetArea(dock)
        # Only the later one comes to the earlier: it is the one that was just asked for.
        for form in forms[: forms.index(self)]:
            other = dock_of(form)
            if other is not None and window.dockWidgetArea(other) == area:
                if dock not in window.tabifiedDockWidgets(other):
                    window.tabifyDockWidget(other, dock)
                    bring_to_front(self)
                return

    def _forms(self) -> list[DockedForm]:
        """Our forms in the docks of the same window, the oldest first."""
        window = self.window()
        docks = [] if window is None else window.findChildren(QDockWidget)
        return [form for dock in docks if isinstance(form := dock.widget(), DockedForm)]

    def _on_docked(self) -> None:
        dock = dock_of(self)
        if dock is None:
            return
        # On its tab, where there is no room for the name of the plugin.
        dock.setWindowTitle(dock.windowTitle().partition(" (")[0])
        self._viewer.layers.events.removing.connect(self._make_canvas_current)
        # Who opens one form opens others, too.
        preparation.ask_for("forms")
        first = next((form for form in self._forms() if type(form) is type(self)), self)
        if first is self:
            self.join_tabs()
            return
        # A script, or `napari --with`, opens a form under another title than the menu, so that
        # napari does not know it again. There is one of each: the one that is in use.
        window: Any = self._viewer.window
        window.remove_dock_widget(dock)
        bring_to_front(first)

    def _make_canvas_current(self) -> None:
        """Have OpenGL free what a layer held where it was made.

        napari frees it at once, in whichever context is current. Between two pictures that is the
        one in which Qt puts the window together: there it is freed under the canvas's feet, and
        with some drivers the next picture crashes (napari issues 6472 and 8471).
        """
        for canvas in self.canvases():
            if canvas.isValid():
                canvas.makeCurrent()


_CONTROLS = (QAbstractSpinBox, QComboBox, QAbstractSlider)


class WheelGuard(QObject):
    """Lets the wheel change a slider, a number or a box only while that has the focus.

    Anywhere else it scrolls the form. All controls within the form are guarded, also those that
    are made later, whoever makes them.
    """

    def __init__(self, form: QWidget) -> None:
        super().__init__(form)
        self._watch(form)

    def _watch(self, widget: QWidget) -> None:
        for each in (widget, *widget.findChildren(QWidget)):
            each.installEventFilter(self)
            if isinstance(each, _CONTROLS) and each.focusPolicy() == Qt.FocusPolicy.WheelFocus:
                # Or else the first turn of the wheel would give it the focus.
                each.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802 - Qt's name
        """Watch what is new in the form, and leave turns of the wheel to what lies below."""
        # Polished is what is complete, with all that is in it.
        if isinstance(event, QChildEvent) and event.type() == QEvent.Type.ChildPolished:
            child = event.child()
            if isinstance(child, QWidget):
                self._watch(child)
        elif event is not None and event.type() == QEvent.Type.Wheel and _is_idle(watched):
            event.ignore()
            return True
        return False


def _is_idle(watched: QObject | None) -> bool:
    """Whether it is a control that nobody is using."""
    if not isinstance(watched, _CONTROLS) or isinstance(watched, QScrollBar):
        return False
    focused = QApplication.focusWidget()
    return focused is None or not (focused is watched or watched.isAncestorOf(focused))
