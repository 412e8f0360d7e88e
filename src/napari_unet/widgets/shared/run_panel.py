"""The foot of a form: a button that runs and stops, progress, and a sentence."""

from __future__ import annotations

import io
import time

from napari.utils import progress
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QProgressBar, QPushButton, QWidget

from napari_unet.widgets.shared.parts import in_column
from napari_unet.widgets.shared.texts import Sentence


class RunPanel(QWidget):
    """Run button that turns into Stop, a progress bar, and a message.

    Parameters
    ----------
    action : str
        Caption of the button while nothing runs.
    tooltip : str
        What it does then.
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
        in_column(self.button, self.bar, self.label, within=self)
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
        """Turn the button into Stop and say what is done until progress is known.

        A bar that moves of itself would say nothing, and have the window drawn all the time:
        where the processor does that, at the expense of the work.
        """
        self._is_running = True
        self.button.setText("Stop")
        self.button.setToolTip("Stop; what is finished is kept.")
        self._started_s = None
        self.label.show_text("")
        self._show_bar(0, 1, text)
        # tqdm would write to the terminal too, and fail where there is none.
        activity = progress(total=0, desc=text, file=io.StringIO())
        self._close_activity()
        self._activity = activity
        if not self._is_running:
            self._close_activity()

    def show_progress(self, done: int, total: int, text: str, *, says_time: bool = False) -> None:
        """Show `done` of `total` steps, what they are, and how long the rest will take.

        Parameters
        ----------
        says_time : bool
            The text says how long it takes already.
        """
        text += "" if says_time else self._time_left(done, total)
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

    def show_idle(self, message: str = "", *, settles: bool = False) -> None:
        """Turn the button into Run and say how it went; `settles` as for `Sentence.show_text`."""
        self._end()
        self.label.show_text(message, settles=settles)

    def show_error(self, message: str, *, lasts: bool = False) -> None:
        """Turn the button into Run and say what went wrong and what to do; as `Sentence` does."""
        self._end()
        self.label.show_error(message, lasts=lasts)

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
