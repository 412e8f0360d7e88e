"""Every text of every form can be read whole, at any width and however long the names."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from napari.settings import get_settings
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QPoint, QRect, QSize, Qt
from qtpy.QtGui import QTextDocument
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractScrollArea,
    QAbstractSpinBox,
    QComboBox,
    QLabel,
    QPushButton,
    QScrollArea,
    QStyle,
    QStyleOptionComboBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

from napari_unet.engine.training.settings import TrainingSettings
from napari_unet.files.samples import load_sample
from napari_unet.session import shared_session
from napari_unet.versions import kept_versions
from napari_unet.viewer import worker
from napari_unet.viewer.commands import WIDGETS, open_widget
from napari_unet.widgets.correct.tools import SPLIT
from napari_unet.widgets.shared.choices import StillBox
from napari_unet.widgets.train.form import TrainForm

pytestmark = pytest.mark.viewer

_ROUNDING_PX = 2
_FEWEST = 6
"""Letters of a name that must be in sight."""


def cut_texts(form: QWidget) -> list[str]:
    """Describe each visible label, button and box of a form whose text is cut.

    What an area lets scroll up and down is no cut; what it would have to scroll sideways is.
    """
    found = [
        f"{type(each).__name__} {_text(each)!r}: {reason}"
        for each in form.findChildren(QWidget)
        if _is_shown(each) and (reason := _cut(each, form))
    ]
    return found + [
        f"{type(area).__name__} scrolls {area.horizontalScrollBar().maximum()} px sideways"
        for area in form.findChildren(QScrollArea)
        if area.isVisible() and area.horizontalScrollBar().maximum() > 0
    ]


def _is_shown(widget: QWidget) -> bool:
    """Whether it is neither hidden nor folded away."""
    each: QWidget | None = widget
    while each is not None:
        fold = each.parentWidget()
        if isinstance(fold, QCollapsible) and fold.content() is each and not fold.isExpanded():
            return False
        each = fold
    return widget.isVisible()


def _text(widget: QWidget) -> str:
    if isinstance(widget, QComboBox):
        return widget.currentText()
    if isinstance(widget, QAbstractSpinBox):
        return widget.text()
    return widget.text() if isinstance(widget, QLabel | QAbstractButton) else ""


def _cut(widget: QWidget, form: QWidget) -> str:
    if isinstance(widget, QLabel):
        needed = _label_size(widget)
    elif isinstance(widget, QAbstractButton) and widget.text():
        needed = _button_size(widget)
    elif isinstance(widget, QComboBox):
        return _cut_entry(widget) or _hidden_by_a_parent(widget, form)
    elif isinstance(widget, QAbstractSpinBox):
        edit = widget.lineEdit()
        shown = edit.contentsRect().width() - 2
        needed_px = widget.fontMetrics().horizontalAdvance(edit.text())
        return (
            f"{needed_px} px in {shown}" if needed_px > shown else _hidden_by_a_parent(widget, form)
        )
    else:
        return ""
    size = widget.size()
    if (
        needed.width() > size.width() + _ROUNDING_PX
        or needed.height() > size.height() + _ROUNDING_PX
    ):
        return f"needs {needed.width()} x {needed.height()}, has {size.width()} x {size.height()}"
    return _hidden_by_a_parent(widget, form)


def _label_size(label: QLabel) -> QSize:
    if not label.text():
        return QSize(0, 0)
    if not label.wordWrap():
        return label.sizeHint()
    return QSize(_longest_word(label), label.heightForWidth(label.width()))


def _longest_word(label: QLabel) -> int:
    """Width that a wrapped text cannot do without."""
    document = QTextDocument()
    document.setDefaultFont(label.font())
    is_rich = label.textFormat() == Qt.TextFormat.RichText or (
        label.textFormat() == Qt.TextFormat.AutoText and Qt.mightBeRichText(label.text())
    )
    (document.setHtml if is_rich else document.setPlainText)(label.text())
    document.setDocumentMargin(0)
    document.setTextWidth(label.contentsRect().width())
    # A line that cannot be broken makes the document wider than it was told.
    return round(document.idealWidth()) if document.idealWidth() > document.textWidth() else 0


def _button_size(button: QAbstractButton) -> QSize:
    if isinstance(button, QPushButton | QToolButton):
        margin = 2 * 3
        metrics = button.fontMetrics()
        return QSize(
            metrics.horizontalAdvance(button.text().replace("&", "")) + margin, metrics.height()
        )
    return button.sizeHint()


def _cut_entry(box: QComboBox) -> str:
    option = QStyleOptionComboBox()
    box.initStyleOption(option)
    field = box.style().subControlRect(
        QStyle.ComplexControl.CC_ComboBox, option, QStyle.SubControl.SC_ComboBoxEditField, box
    )
    needed = box.fontMetrics().horizontalAdvance(box.currentText())
    if needed <= field.width() + _ROUNDING_PX:
        return ""
    if isinstance(box, StillBox) and "…" in box.short_text and len(box.short_text) > _FEWEST:
        return ""  # it shows both ends, and the whole when the mouse rests on it
    return f"{needed} px in {field.width()}"


def _hidden_by_a_parent(widget: QWidget, form: QWidget) -> str:
    for parent in _parents(widget, form):
        corner = widget.mapTo(parent, QPoint(0, 0))
        box = QRect(corner, widget.size())
        room = parent.rect()
        if box.left() < -_ROUNDING_PX or box.right() > room.right() + _ROUNDING_PX:
            return (
                f"{box.left()}..{box.right()} in the {room.width()} px of {type(parent).__name__}"
            )
        if isinstance(parent.parentWidget(), QAbstractScrollArea):
            continue  # up and down it scrolls
        if _scrolls_above(parent, widget):
            continue
        if box.bottom() > room.bottom() + _ROUNDING_PX:
            return f"ends at {box.bottom()} in the {room.height()} px of {type(parent).__name__}"
    return ""


def _scrolls_above(parent: QWidget, widget: QWidget) -> bool:
    """Whether an area between the two lets what is below be reached."""
    each = widget.parentWidget()
    while each is not None and each is not parent:
        if isinstance(each, QAbstractScrollArea):
            return True
        each = each.parentWidget()
    return isinstance(parent, QAbstractScrollArea)


def _parents(widget: QWidget, form: QWidget) -> Iterator[QWidget]:
    each = widget.parentWidget()
    while each is not None:
        yield each
        if each is form:
            return
        each = each.parentWidget()


LONG = "20240131_experiment07_HeLa_H2B_mCherry_wellB03_site12_channelDAPI_deconvolved"
SMALL = (1280, 720)
LARGE_TYPE_PT = 15


@pytest.fixture(params=["usual", "small", "large type"])
def viewer(
    make_napari_viewer: Callable[..., Any], request: pytest.FixtureRequest, qtbot: QtBot
) -> Iterator[Any]:
    """A window as it opens, or in a small one, there also in large type."""
    viewer = make_napari_viewer(show=True)
    type_pt = get_settings().appearance.font_size
    if request.param != "usual":
        viewer.window._qt_window.resize(*SMALL)
    if request.param == "large type":
        get_settings().appearance.font_size = LARGE_TYPE_PT
    source = shared_session().source
    yield viewer
    get_settings().appearance.font_size = type_pt
    shared_session().load(source or "nuclei")
    assert worker.stop_all()


def opened(viewer: Any, qtbot: QtBot, name: str) -> Any:
    form = open_widget(viewer, name)
    inner = getattr(form, "form", form)
    choice = getattr(form, "model_choice", None) or getattr(inner, "model_choice", None)
    qtbot.waitUntil(lambda: choice is None or not choice.is_loading, timeout=30_000)
    return form


def check(qtbot: QtBot, form: QWidget) -> None:
    """Wait for the layout to settle; nothing may be cut then."""
    try:
        qtbot.waitUntil(lambda: cut_texts(form) == [], timeout=3000)
    except Exception:
        assert cut_texts(form) == []


def unfold(form: Any) -> None:
    for fold in (
        getattr(form.form, "more", None),
        getattr(form.form, "better_fold", None),
        getattr(form, "versions", None),
    ):
        if fold is not None:
            fold.expand()


def test_a_text_that_is_cut_is_found(qtbot: QtBot) -> None:
    form = QWidget()
    label = QLabel("far too long for so narrow a form", form)
    label.setGeometry(0, 0, 60, 20)
    wrapped = QLabel("wrapped into more lines than there is room for", form)
    wrapped.setWordWrap(True)
    wrapped.setGeometry(0, 30, 60, 20)
    qtbot.addWidget(form)
    form.resize(100, 100)
    form.show()

    assert len(cut_texts(form)) == 2

    other = QWidget()
    QVBoxLayout(other).addWidget(QLabel("short"))
    qtbot.addWidget(other)
    other.show()
    assert cut_texts(other) == []


def test_nothing_is_cut_in_a_form_that_was_just_opened_nor_beside_an_error(
    viewer: Any, qtbot: QtBot
) -> None:
    for name in WIDGETS:
        form = opened(viewer, qtbot, name)
        check(qtbot, form)
        if name == "Correct":
            form.tools.buttons[SPLIT].click()
            check(qtbot, form)
        elif name != "Model":
            (form.panel.button if hasattr(form, "panel") else form.button).click()
            # The others have nothing folded away.
            if name not in ("Cell types", "Measure", "Evaluate", "Batch", "Large images", "Tracks"):
                unfold(form)
            check(qtbot, form)


@pytest.mark.parametrize("viewer", ["small"], indirect=True)
def test_nothing_is_cut_with_long_names_before_during_and_after_work(
    viewer: Any, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = TrainingSettings.fine_tuning(steps=2, batch_size=1, patch_size_px=64, keep_knowledge=0)
    monkeypatch.setattr(TrainForm, "settings", lambda _: few)
    viewer.add_image(load_sample("crowded").image, name=LONG)
    segment = opened(viewer, qtbot, "Segment cells")
    kept_versions().keep(shared_session().network, name=f"{LONG} 2")
    segment.panel.button.click()
    check(qtbot, segment)
    qtbot.waitUntil(lambda: not segment.panel.is_running, timeout=120_000)
    check(qtbot, segment)

    train = opened(viewer, qtbot, "Train")
    qtbot.waitUntil(lambda: not train.advice.is_busy, timeout=30_000)
    unfold(train)
    check(qtbot, train)
    train.panel.button.click()
    check(qtbot, train)
    qtbot.waitUntil(
        lambda: not train.panel.is_running and not train.job.is_running, timeout=120_000
    )
    check(qtbot, train)

    for name in ("Weight map", "Model"):
        form = opened(viewer, qtbot, name)
        if name == "Weight map":
            form.button.click()
        check(qtbot, form)
