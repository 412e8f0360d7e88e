"""The part of the form that leads from cell to cell: what, in which order, and marks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QStandardItemModel
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QLabel, QPushButton, QWidget
from superqt.utils import signals_blocked

from napari_unet.engine.labels.look_over import Choice, Mark, Order, progress, usual_limits
from napari_unet.widgets.correct.review.look_over import LookOver
from napari_unet.widgets.shared.choices import keep_narrow
from napari_unet.widgets.shared.parts import in_column, in_row, narrow_form
from napari_unet.widgets.shared.texts import FaintLabel

if TYPE_CHECKING:
    from napari.layers import Labels

_CHOICES: dict[Choice, str] = {
    "unseen": "Not yet seen",
    "all": "All cells",
    "wrong": "Marked wrong",
    "look again": "To look at again",
    "border": "Touching the border",
    "small": "Smaller than",
    "large": "Larger than",
    "low score": "Score below",
}
_ORDERS: dict[Order, str] = {
    "doubt": "Most doubtful first",
    "position": "By position",
    "small": "Smallest first",
    "large": "Largest first",
    "number": "By number",
}
_WITH_SCORES = ("doubt", "low score")
_NO_SCORES = (
    "Nothing is known of how sure a model was of these cells: Segment has not found them, or all "
    "were changed since. Choose another order, or run Segment."
)
_MARKS: dict[Mark, tuple[str, str, str]] = {
    "right": ("Right", "G", "This cell is as it should be."),
    "wrong": ("Wrong", "W", "This cell is wrong, and stays so for now."),
    "look again": ("Look again", "U", "You are unsure, and come back to it."),
}
NEXT_KEY, BACK_KEY = "N", "Shift-N"
_MOST_SIZE = 1e9


class LookOverPanel(QWidget):
    """Boxes and buttons over a `LookOver`."""

    asked = Signal()
    """A button or a key was pressed."""

    def __init__(self, look_over: LookOver) -> None:
        super().__init__()
        self._look_over = look_over
        self._is_fresh = True
        self.choice_box, self.order_box = QComboBox(), QComboBox()
        self.limit_box = QDoubleSpinBox()
        self.progress_label, self.cell_label = QLabel(), FaintLabel()
        self._build()
        self.choice_box.currentIndexChanged.connect(self._on_choice)
        self.order_box.currentIndexChanged.connect(self._on_walk)
        self.limit_box.valueChanged.connect(self._on_walk)
        look_over.listed.connect(self._show_list)
        look_over.visited.connect(self._show_cell)
        self._show_list()
        self._show_cell()

    def _build(self) -> None:
        for box, entries in ((self.choice_box, _CHOICES), (self.order_box, _ORDERS)):
            keep_narrow(box)
            for value, text in entries.items():
                box.addItem(text, value)
        self.order_box.setCurrentIndex(list(_ORDERS).index(self._look_over.order))
        self.choice_box.setToolTip("Cells that you go to; boxes on the canvas show where they are.")
        self.order_box.setToolTip(
            "<qt>In which order you go to them. Doubt is known of cells that the Segment form has "
            "found: those that the model was least sure of come first. Cells that were changed "
            "since have none, unless the form shows scores; they come last.</qt>"
        )
        self.limit_box.setKeyboardTracking(False)
        self.limit_box.setRange(0, _MOST_SIZE)
        self.limit_box.hide()
        self._acts: dict[str, Callable[[], None]] = {}
        looked = self._look_over
        self.back_button = self._button("Back", BACK_KEY, "To the cell before.", looked.go_back)
        self.next_button = self._button("Next", NEXT_KEY, "To the next cell.", looked.go_on)
        self.mark_buttons: dict[Mark, QPushButton] = {}
        for mark, (text, key, tooltip) in _MARKS.items():
            tooltip += " Then go on; again to take the mark away."
            button = self._button(text, key, tooltip, partial(looked.give, mark))
            button.setCheckable(True)
            self.mark_buttons[mark] = button
        self.progress_label.setToolTip(
            "<qt>A cell is seen once it is marked right or wrong, or was corrected. Marks are in "
            "the layer's features, and are saved with it.</qt>"
        )
        self.progress_label.setWordWrap(True)
        rows = narrow_form()
        rows.addRow("Go to", in_row(self.choice_box, self.limit_box, spacing=4))
        rows.addRow("Order", self.order_box)
        marks = in_row(*self.mark_buttons.values(), spacing=3)
        steps = in_row(self.back_button, self.next_button, spacing=3)
        parts = (rows, steps, marks, self.progress_label, self.cell_label)
        in_column(*parts, within=self, spacing=4)

    def _button(self, text: str, key: str, tooltip: str, act: Callable[[], None]) -> QPushButton:
        button = QPushButton(f"{text} ({key})")
        button.setToolTip(f"<qt>{tooltip}<br>Key on the canvas: <b>{key}</b></qt>")
        # The keys are the canvas's: a click must not take its focus away.
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self._acts[key] = self._asking(act)
        button.clicked.connect(self._acts[key])
        return button

    def _asking(self, act: Callable[[], None]) -> Callable[[], None]:
        def asked() -> None:
            self.asked.emit()
            act()
            # Of a mark that was not given the button is not pressed.
            self._show_cell()

        return asked

    @property
    def keys(self) -> dict[str, Callable[[Labels], None]]:
        """What the keys of a layer do: the same as the buttons, also where these are greyed out."""
        return {key: _of_key(act) for key, act in self._acts.items()}

    @property
    def choice(self) -> Choice:
        """Which cells are gone to."""
        return list(_CHOICES)[self.choice_box.currentIndex()]

    def _on_choice(self, _index: int) -> None:
        self._show_limit()
        self._on_walk()

    def _show_limit(self) -> None:
        """Ask for a limit where there is one, beginning with the usual one."""
        cells, choice = self._look_over.cells, self.choice
        limits = {} if cells is None else usual_limits(cells)
        self.limit_box.setVisible(choice in ("small", "large", "low score"))
        if choice in limits:
            is_score = choice == "low score"
            with signals_blocked(self.limit_box):
                self.limit_box.setDecimals(2 if is_score else 0)
                self.limit_box.setSingleStep(0.05 if is_score else 5)
                self.limit_box.setMaximum(1 if is_score else _MOST_SIZE)
                self.limit_box.setSuffix("" if is_score else " px")
                self.limit_box.setValue(limits[choice])

    def _on_walk(self, _value: object = None) -> None:
        has_limit = not self.limit_box.isHidden()
        self._look_over.walk(
            order=list(_ORDERS)[self.order_box.currentIndex()],
            choice=self.choice,
            limit=self.limit_box.value() if has_limit else None,
        )

    def _show_list(self) -> None:
        cells, marks = self._look_over.cells, self._look_over.marks
        has_scores = self._look_over.has_scores
        self._show_what_applies(has_scores=has_scores, is_known=cells is not None)
        if cells is None:
            self._is_fresh = True
            self.progress_label.setText("")
        else:
            count = len(self._look_over.chosen)
            told = progress(cells, marks)
            self.progress_label.setText(
                f"{told}; {count:,} chosen" if self._look_over.shows_chosen else told
            )
            if self._is_fresh:
                self._is_fresh = False
                self._begin(has_scores=has_scores)

    def _show_what_applies(self, *, has_scores: bool, is_known: bool) -> None:
        """Offer what needs scores where there are some, and say why not."""
        boxes: tuple[tuple[QComboBox, dict[Any, str], str], ...] = (
            (self.choice_box, _CHOICES, "unseen"),
            (self.order_box, _ORDERS, "position"),
        )
        for box, entries, other in boxes:
            for row, (value, text) in enumerate(entries.items()):
                if value in _WITH_SCORES:
                    _enable(box, row, text, is_on=has_scores)
                    if is_known and not has_scores and box.currentIndex() == row:
                        box.setCurrentIndex(box.findText(entries[other]))

    def _begin(self, *, has_scores: bool) -> None:
        """Begin with doubt where it is known; sizes of other cells are other ones."""
        if has_scores or self.order_box.currentData() == "doubt":
            wanted: Order = "doubt" if has_scores else "position"
            self.order_box.setCurrentIndex(list(_ORDERS).index(wanted))
        if not self.limit_box.isHidden():
            self._show_limit()
            self._on_walk()

    def _show_cell(self) -> None:
        cells, number = self._look_over.cells, self._look_over.number
        row = None if cells is None or number is None else cells.row(number)
        mark = "" if number is None else self._look_over.marks.get(number, "")
        for each, button in self.mark_buttons.items():
            button.setEnabled(row is not None)
            button.setChecked(row is not None and each == mark)
        if cells is None or row is None:
            self.cell_label.show_text("")
            return
        parts = [f"Cell {number}: {cells.areas[row]:,} px"]
        if cells.scores is not None and cells.doubts is not None:
            is_known = not np.isnan(cells.doubts[row])
            known = [f"score {cells.scores[row]:.2f}", f"doubt {cells.doubts[row]:.2f}"]
            parts += known if is_known else ["no score, as it was changed"]
        parts.append(mark or "not yet seen")
        self.cell_label.show_text(", ".join(parts))


def _of_key(act: Callable[[], None]) -> Callable[[Labels], None]:
    # napari asks for its name, which a partial has not.
    def press(_layer: Labels) -> None:
        act()

    return press


def _enable(box: QComboBox, row: int, text: str, *, is_on: bool) -> None:
    model = box.model()
    assert isinstance(model, QStandardItemModel)  # noqa: S101 - what Qt gives a new box
    item = model.item(row)
    if item is not None:
        item.setEnabled(is_on)
        item.setText(text if is_on else f"{text} (no scores)")
        item.setToolTip("" if is_on else _NO_SCORES)
