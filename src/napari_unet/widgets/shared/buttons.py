"""Buttons with more behind them: work beside the Qt thread, a new file, a copy of the form."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtGui import QAction, QGuiApplication
from qtpy.QtWidgets import QFileDialog, QMenu, QPushButton

from napari_unet.engine.base.errors import UNetError
from napari_unet.script import command_line, python_lines
from napari_unet.viewer.worker import Job, failure_sentence
from napari_unet.widgets.shared.parts import while_alive
from napari_unet.widgets.shared.texts import Sentence


class JobButton(QPushButton):
    """A button that is pressed once until its work is done.

    Parameters
    ----------
    prepare : callable
        Returns the work for the thread, and what is called with its result, or None if nothing
        is wanted; raises a `UNetError` if something is missing.
    """

    failed = Signal(object)
    """Carries the exception."""

    def __init__(
        self,
        text: str,
        tooltip: str,
        prepare: Callable[[], tuple[Callable[[], Any], Callable[[Any], None]] | None],
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
            prepared = self._prepare()
        except UNetError as error:
            self.failed.emit(error)
            return
        if prepared is None:
            return
        work, show = prepared
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


class SaveButton(JobButton):
    """A button that asks for the name of a new file, and writes it.

    Parameters
    ----------
    sentence : Sentence
        In which is told how it went.
    read : callable
        Returns a name to offer, without an ending, and what writes the file; raises a `UNetError`
        if there is nothing to write.
    title : str
        Of the dialog.
    told : str
        What is told once it is written, with a place for the file: "The table is in '{}'."
    kinds : mapping of str to str
        Endings by the name of a kind of file, the usual one first; none of a folder.
    """

    def __init__(
        self,
        text: str,
        tooltip: str,
        sentence: Sentence,
        read: Callable[[], tuple[str, Callable[[Path], Any]]],
        *,
        title: str,
        told: str,
        kinds: Mapping[str, str],
    ) -> None:
        super().__init__(text, tooltip, self._ask)
        self._sentence, self._read = sentence, read
        self._title, self._told, self._kinds = title, told, kinds
        self.failed.connect(self._on_failed)

    def _ask(self) -> tuple[Callable[[], Any], Callable[[Any], None]] | None:
        name, write = self._read()
        usual = next(iter(self._kinds.values()), "")
        offered = re.sub(r"[^\w.-]+", "_", name) + usual
        kinds = ";;".join(self._kinds)
        file, kind = QFileDialog.getSaveFileName(self, self._title, offered, kinds)
        if not file:
            return None
        path, ending = Path(file), self._kinds.get(kind, usual)
        # A file has the ending of its kind, also where the name that was offered had another.
        if path.suffix == "" or (ending != usual and path.suffix == usual):
            path = path.with_suffix(ending)
        return partial(write, path), partial(self._on_written, path)

    @while_alive
    def _on_written(self, path: Path, _result: Any) -> None:
        self._sentence.show_text(self._told.format(path))

    def _on_failed(self, error: Exception) -> None:
        self._sentence.show_error(failure_sentence(error))


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
