"""A button that says what it does."""

from typing import Any

from qtpy.QtWidgets import QPushButton


def action_button(text: str, tooltip: str, clicked: Any) -> QPushButton:
    """Make a button.

    Parameters
    ----------
    text : str
    tooltip : str
        What it does; broken into lines as needed.
    clicked : callable or signal
        What follows a click.
    """
    button = QPushButton(text)
    button.setToolTip(f"<qt>{tooltip}</qt>")
    button.clicked.connect(clicked)
    return button
