"""The foot of a form: a button that runs and stops, progress, a sentence; and a copy as script."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from typing import Any

from napari.utils import progress
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QAction, QGuiApplication
from qtpy.QtWidgets import QMenu, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_unet.engine.base.errors import UNetError
from napari_unet.script import command_line, python_lines
from napari_unet.widgets.shared.texts import Sentence


class RunPanel(QWidget):
    """Run button that turns into Stop, a progress bar, and a message.

    Parameters
    ----------
    action : str
        Caption of the button while nothing runs.
    tooltip : str
        What it does then.

    Attributes
    ----------
    run_clicked, stop_clicked : Signal
    """

    run_clicked = Signal()
    stop_clicked = Signal()

    def __init__(self, action: str, tooltip: str) -> None:
        super().__init__()
        self._action = action
        self._tooltip = tooltip
        self._activity: progress | None = None
        self._is_running = False
        self._started_s: float | None = None
        self._done_then = 0
        self.button = QPushButton(action)
        self.button.clicked.connect(self._on_button_clicked)
        self.bar = QProgressBar()
        self.bar.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.label = Sentence()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.button, self.bar, self.label):
            layout.addWidget(widget)
        self.destroyed.connect(self._close_activity)
        self.show_idle()

    @property
    def is_running(self) -> bool:
        """Whether the button says Stop."""
        return self._is_running

    @property
    def message(self) -> str:
        """The sentence that is shown."""
        return self.label.message

    def show_running(self, text: str) -> None:
        """Turn the button into Stop and keep the bar moving until progress is known."""
        self._is_running = True
        self.button.setText("Stop")
        self.button.setToolTip("Stop; what is finished is kept.")
        self._started_s = None
        self.label.show_text("")
        self._show_bar(0, 0, text)
        # tqdm would write to the terminal too, and fail where there is none.
        activity = progress(total=0, desc=text, file=io.StringIO())
        self._close_activity()
        self._activity = activity
        if not self._is_running:
            self._close_activity()

    def show_progress(self, done: int, total: int, text: str) -> None:
        """Show `done` of `total` steps, what they are, and how long the rest will take."""
        text += self._time_left(done, total)
        self._show_bar(done, total, text)
        # napari's bars run the event loop whenever they change, so the job may end in between.
        if self._activity is not None:
            self._activity.total = total
        if self._activity is not None:
            self._activity.set_description(text)
        if self._activity is not None:
            self._activity.update(done - self._activity.n)

    def _time_left(self, done: int, total: int) -> str:
        now = time.perf_counter()
        if self._started_s is None:
            self._started_s, self._done_then = now, done
        if done <= self._done_then or done >= total:
            return ""
        left_s = (now - self._started_s) / (done - self._done_then) * (total - done)
        if left_s < 2:
            return ""
        return f", {left_s:.0f} s left" if left_s < 90 else f", {left_s / 60:.0f} min left"

    def _show_bar(self, done: int, total: int, text: str) -> None:
        self.bar.setVisible(True)
        self.bar.setRange(0, total)
        self.bar.setValue(done)
        self.bar.setFormat(text)

    def show_idle(self, message: str = "") -> None:
        """Turn the button into Run and say how it went."""
        self._end()
        self.label.show_text(message)

    def show_error(self, message: str) -> None:
        """Turn the button into Run and say what went wrong and what to do."""
        self._end()
        self.label.show_error(message)

    def _end(self) -> None:
        self._is_running = False
        self.button.setText(self._action)
        self.button.setToolTip(self._tooltip)
        self.bar.setVisible(False)
        self._close_activity()

    def _close_activity(self) -> None:
        if self._activity is not None:
            self._activity.close()
            self._activity = None

    def _on_button_clicked(self) -> None:
        (self.stop_clicked if self._is_running else self.run_clicked).emit()


class ScriptButton(QPushButton):
    """A button with a menu: copy what the form does as Python, or as a command.

    Parameters
    ----------
    read_form : callable
        Returns what the form says; raises a `UNetError` if it is not complete.
    write_python, write_command : callable
        Make text of that.

    Attributes
    ----------
    copied : Signal
        Carries a sentence about what is in the clipboard.
    failed : Signal
        Carries the error.
    """

    copied = Signal(str)
    failed = Signal(object)

    def __init__(
        self,
        read_form: Callable[[], Any],
        write_python: Callable[[Any], str] = python_lines,
        write_command: Callable[[Any], str] = command_line,
    ) -> None:
        super().__init__()
        self._read_form = read_form
        self._write_python = write_python
        self._write_command = write_command
        self.setText("Copy as script")
        self.setToolTip(
            "<qt>Put lines into the clipboard that do the same as this form: Python for a notebook "
            "or a cluster, or a command for the terminal.</qt>"
        )
        menu = QMenu(self)
        self.python_action = QAction("Python", self)
        self.python_action.triggered.connect(self._on_python)
        self.command_action = QAction("Command line", self)
        self.command_action.triggered.connect(self._on_command)
        menu.addActions([self.python_action, self.command_action])
        self.setMenu(menu)

    def _on_python(self) -> None:
        self._copy("The Python lines are in the clipboard.", self._write_python)

    def _on_command(self) -> None:
        self._copy("The command is in the clipboard.", self._write_command)

    def _copy(self, sentence: str, write: Callable[[Any], str]) -> None:
        try:
            text = write(self._read_form())
        except UNetError as error:
            self.failed.emit(error)
            return
        clipboard = QGuiApplication.clipboard()
        if clipboard is not None:
            clipboard.setText(text)
            self.copied.emit(sentence)
