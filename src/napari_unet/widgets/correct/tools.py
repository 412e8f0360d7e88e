"""The tools with which cells are corrected: their buttons, and their keys on a layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QGridLayout, QPushButton, QWidget
from superqt.utils import signals_blocked

if TYPE_CHECKING:
    from napari.layers import Labels

_IN_A_ROW = 2


@dataclass(frozen=True, slots=True)
class Tool:
    """A way to correct cells with the mouse."""

    name: str
    key: str
    """On the layer; napari has no use for it there."""
    gesture: str
    """What the mouse does, as an imperative without a full stop."""
    effect: str
    """What comes of it, as one or two sentences."""
    draws: bool = False
    """Whether it takes a stroke; else clicks."""

    @property
    def tooltip(self) -> str:
        """The gesture, the effect and the key."""
        return (
            f"<qt><b>{self.gesture}.</b> {self.effect}<br>Key on the canvas: <b>{self.key}</b>, "
            "again to end. Ctrl-Z takes each step back.</qt>"
        )


SPLIT = Tool(
    "Split",
    "S",
    "Drag a stroke across a cell",
    "It becomes two, without a gap. The cut follows the lowest scores near the stroke if they are "
    "shown, or else the dark or bright line between the halves in the image.",
    draws=True,
)
MERGE = Tool(
    "Merge",
    "J",
    "Drag from one cell to another",
    "All cells that the stroke touches become one.",
    draws=True,
)
DELETE = Tool("Delete", "D", "Click a cell", "It becomes background.")
ADD = Tool(
    "Add",
    "A",
    "Click where a cell was missed",
    "The loaded model proposes its outline. Click in it again to make it larger, right-click to "
    "make it smaller.",
)
SMOOTH = Tool("Smooth", "R", "Click a cell", "Its outline becomes rounder; click again for more.")
FILL = Tool("Fill holes", "H", "Click a cell", "Background that it encloses becomes part of it.")
TOOLS = (SPLIT, MERGE, DELETE, ADD, SMOOTH, FILL)


class ToolButtons(QWidget):
    """A button for each tool, of which one or none is pressed, and the keys that press them."""

    chosen = Signal(object)
    """Carries the `Tool`; None for none."""

    def __init__(self) -> None:
        super().__init__()
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.buttons: dict[Tool, QPushButton] = {}
        for number, tool in enumerate(TOOLS):
            button = QPushButton(f"{tool.name} ({tool.key})")
            button.setCheckable(True)
            button.setToolTip(tool.tooltip)
            # The keys are the canvas's: a click must not take its focus away.
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            button.toggled.connect(partial(self._on_toggled, tool))
            layout.addWidget(button, number // _IN_A_ROW, number % _IN_A_ROW)
            self.buttons[tool] = button

    @property
    def tool(self) -> Tool | None:
        """The tool whose button is pressed."""
        return next((tool for tool, button in self.buttons.items() if button.isChecked()), None)

    def choose(self, tool: Tool | None) -> None:
        """Press the button of a tool; without one let go of all."""
        if tool is not None:
            self.buttons[tool].setChecked(True)
        elif self.tool is not None:
            self.buttons[self.tool].setChecked(False)

    @property
    def keys(self) -> dict[str, Callable[[Labels], None]]:
        """What the keys of a layer do."""
        return {tool.key: self._press(tool) for tool in TOOLS}

    def _press(self, tool: Tool) -> Callable[[Labels], None]:
        def press_tool(_layer: Labels) -> None:
            self.buttons[tool].toggle()

        return press_tool

    def _on_toggled(self, tool: Tool, is_on: bool) -> None:  # noqa: FBT001 - as Qt calls it
        if is_on:
            for other, button in self.buttons.items():
                with signals_blocked(button):
                    button.setChecked(other is tool)
        self.chosen.emit(tool if is_on else None)
