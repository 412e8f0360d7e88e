"""The wheel scrolls a form, and changes only what has the focus."""

from typing import Any

import pytest
from magicgui.widgets import SpinBox
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import (
    QApplication,
    QComboBox,
    QDoubleSpinBox,
    QLabel,
    QSlider,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)
from superqt import QLabeledDoubleSlider

from napari_unet.widgets.shared.choices import OfferBox
from napari_unet.widgets.shared.docked_form import DockedForm
from napari_unet.widgets.shared.parts import Scrolled, in_column


class Form(DockedForm):
    """A form that is much higher than its window."""

    def __init__(self, control: QWidget) -> None:
        super().__init__(ViewerModel())
        self.inside = QWidget()
        below = QLabel("far below")
        below.setFixedHeight(2000)
        self.column = in_column(control, below, within=self.inside)
        self.area = Scrolled(self.inside)
        in_column(self.area, within=self)

    def stop_all(self) -> None:
        pass

    @property
    def is_scrolled(self) -> bool:
        return self.area.verticalScrollBar().value() > 0


def spin_box() -> QSpinBox:
    box = QSpinBox()
    box.setRange(0, 100)
    box.setValue(50)
    return box


def double_spin_box() -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setValue(50)
    return box


def slider() -> QSlider:
    slider = QSlider(Qt.Orientation.Horizontal)
    slider.setValue(50)
    return slider


def labelled_slider() -> QLabeledDoubleSlider:
    slider = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
    slider.setRange(0, 100)
    slider.setValue(50)
    return slider


def combo_box(kind: type[QComboBox] = QComboBox) -> QComboBox:
    box = kind()
    box.addItems(["a", "b", "c"])
    box.setCurrentIndex(1)
    return box


def offer_box() -> OfferBox:
    return combo_box(OfferBox)


def magicgui_number() -> QWidget:
    return SpinBox(value=50).native


CONTROLS = [
    spin_box,
    double_spin_box,
    slider,
    labelled_slider,
    combo_box,
    offer_box,
    magicgui_number,
]


def value_of(control: Any) -> Any:
    return control.currentIndex() if isinstance(control, QComboBox) else control.value()


def has_focus(control: QWidget) -> bool:
    """Whether keys go to a control or to a part of it."""
    focused = QApplication.focusWidget()
    return focused is not None and (control is focused or control.isAncestorOf(focused))


def turn(widget: QWidget) -> None:
    """Turn the wheel towards the user, over the middle of whatever lies there.

    As Qt does with turns of a real wheel, what one widget ignores goes to the one that it lies in.
    """
    middle = widget.rect().center()
    target: QWidget | None = widget.childAt(middle) or widget
    while target is not None:
        at = QPointF(target.mapFromGlobal(widget.mapToGlobal(middle)))
        event = QWheelEvent(
            at,
            QPointF(target.mapToGlobal(at.toPoint())),
            QPoint(0, 0),
            QPoint(0, -120),
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(target, event)
        target = None if event.isAccepted() or target.isWindow() else target.parentWidget()


@pytest.fixture(params=CONTROLS, ids=lambda make: make.__name__)
def control(request: pytest.FixtureRequest, qtbot: QtBot) -> QWidget:
    made: QWidget = request.param()
    return made


@pytest.fixture
def form(control: QWidget, qtbot: QtBot) -> Form:
    form = Form(control)
    qtbot.addWidget(form)
    form.resize(300, 200)
    with qtbot.waitExposed(form):
        form.show()
    form.activateWindow()
    form.area.setFocus()
    return form


def test_the_wheel_over_a_control_scrolls_the_form(form: Form, control: QWidget) -> None:
    before = value_of(control)

    turn(control)

    assert value_of(control) == before
    assert form.is_scrolled
    assert not control.hasFocus()


def test_the_wheel_changes_a_control_that_has_the_focus(
    form: Form, control: QWidget, qtbot: QtBot
) -> None:
    qtbot.mouseClick(control.childAt(control.rect().center()) or control, Qt.MouseButton.LeftButton)
    if isinstance(control, QComboBox):
        control.hidePopup()
    # The window becomes active when the display gets to it.
    form.activateWindow()
    if not has_focus(control):
        control.setFocus()
    qtbot.waitUntil(lambda: has_focus(control))
    before = value_of(control)

    turn(control)

    assert value_of(control) != before
    assert not form.is_scrolled


def test_a_control_that_is_made_later_is_guarded_too(qtbot: QtBot) -> None:
    form = Form(QLabel("first"))
    qtbot.addWidget(form)
    form.resize(300, 200)
    with qtbot.waitExposed(form):
        form.show()
    box, row = spin_box(), QWidget()
    QVBoxLayout(row).addWidget(box)
    form.column.insertWidget(0, row)
    qtbot.waitUntil(box.isVisible, timeout=5000)

    turn(box)

    assert box.value() == 50
    assert form.is_scrolled
