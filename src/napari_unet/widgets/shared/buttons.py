"""Buttons with more behind them: work beside the Qt thread, and a copy of the form as a script."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtGui import QAction, QGuiApplication
from qtpy.QtWidgets import QMenu, QPushButton

from napari_unet.engine.base.errors import UNetError
from napari_unet.script import command_line, python_lines
from napari_unet.viewer.worker import Job


class JobButton(QPushButton):
    """A button that is pressed once until its work is done.

    Parameters
    ----------
    prepare : callable
        Returns the work for the thread, and what is called with its result;
        raises a `UNetError` if something is missing.
    """

    failed = Signal(object)
    """Carries the exception."""

    def __init__(
        self,
        text: str,
        tooltip: str,
        prepare: Callable[[], tuple[Callable[[], Any], Callable[[Any], None]]],
    ) -> None:
        super().__init__(text)
        self.setToolTip(f"<qt>{tooltip}</qt>")
        self._prepare = prepare
        self._job = Job(self)
        self.clicked.connect(self._on_clicked)

    def stop(self) -> None:
        """Let go of what is not finished."""
        self._job.stop()

    def _on_clicked(self) -> None:
        try:
            work, show = self._prepare()
        except UNetError as error:
            self.failed.emit(error)
            return
        self.setEnabled(False)
        self._job.start(
            work,
            on_result=show,
            on_error=self.failed.emit,
            on_end=self._on_end,
        )

    def _on_end(self) -> None:
        # A method, so that Qt forgets it with the button; a partial would be called after its end.
        self.setEnabled(True)


class ScriptButton(QPushButton):
    """A button with a menu: copy what the form does as Python, or as a command.

    Parameters
    ----------
    read_form : callable
        Returns what the form says; raises a `UNetError` if it is not complete.
    write_python, write_command : callable
        Make text of that.
    """

    copied = Signal(str)
    """Carries a sentence about what is in the clipboard."""
    failed = Signal(object)
    """Carries the error."""

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
