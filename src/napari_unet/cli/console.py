"""What the user sees while a command works, and how it is stopped."""

from __future__ import annotations

import argparse
import re
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any, Self

from tqdm import tqdm

from napari_unet.engine.base.errors import UNetError
from napari_unet.engine.base.words import failure

PROGRAM = "napari-unet"


_option_words: dict[str, str] = {}
"""What the parameters of Python are called among the options of the command that runs."""

_PYTHON_WORDS = re.compile(
    r"(?<![\w/.'=-])(?P<name>[a-z][a-z0-9_]*)"
    r"(=(?P<quote>'?)(?P<value>[\w.-]*\w)(?P=quote)|(?P<is> is(?= [-\d'])))?(?![\w/.'=-]\w)"
)
"""`min_size_px=5`, `w0 is 0` or `channel_axis`, but not within the name of a file."""

_CHOICES = {
    "Choose one channel to segment": "channel",
    "choose one by its number or name": "series",
}
"""What is an option, and in Python none: there an image is an array already."""

_PYTHON_ALONE = re.compile(
    r", for example (with )?(np|image)\.\w+\([^()]*\)"
    r"| \(([a-z]+_[a-z_]+=[\w.'-]+|[a-z]+=True)\)(?=[.,;]?(\s|$))"
)
"""`, for example with np.abs(image)` or ` (every_slice=True)`, where the command has no option."""


def speak_of_options(parser: argparse.ArgumentParser) -> None:
    """Say from now on `--min-size 5` where a message has `min_size_px=5`, as Python calls it."""
    _option_words.clear()
    for action in parser._actions:  # argparse has no other way to list them
        long = [word for word in action.option_strings if word.startswith("--")]
        if long:
            _option_words[action.dest.rpartition(".")[2]] = long[0]


def in_option_words(message: str) -> str:
    """Write a message of the engine, which knows Python, with the options of the command."""

    def option(match: re.Match[str]) -> str:
        name, value, verb = match["name"], match["value"], match["is"] or ""
        word = _option_words.get(name)
        before = message[: match.start()]
        is_subject = bool(verb) and (not before or before.endswith((": ", ". ")))
        if word is None or not (value or is_subject or "_" in name):
            return match[0]
        if value == "False":
            return word.replace("--", "--no-", 1)
        return f"{word}{verb}" if value in (None, "True") else f"{word} {value}"

    for choice, name in _CHOICES.items():
        if name in _option_words:
            message = message.replace(choice, f"{choice} ({_option_words[name]})")
    return _PYTHON_ALONE.sub("", _PYTHON_WORDS.sub(option, message))


def say(message: str) -> None:
    """Write one line to the user on standard error, above any progress bar."""
    tqdm.write(f"{PROGRAM}: {in_option_words(message)}", file=sys.stderr)


def say_of(path: Path, message: str) -> None:
    """Say something of a file, with its name where the message does not have it."""
    say(message if str(path) in message else f"{path}: {message}")


def report(line: str) -> None:
    """Write one line of the result to standard output, above any progress bar."""
    tqdm.write(line, file=sys.stdout)


def describe_failure(error: Exception) -> str:
    """One sentence for the user, whatever went wrong."""
    if isinstance(error, UNetError | MemoryError):
        return failure(error)
    return (
        f"Something unexpected went wrong ({type(error).__name__}: {error}); run the command "
        "again with --debug for the details."
    )


def progress_bar(total: int, title: str, *, forced: bool = False) -> tqdm[Any]:
    """Return a bar on standard error that shows only on a terminal, or when `forced`."""
    hidden = not (forced or sys.stderr.isatty())
    return tqdm(total=total, desc=title, disable=hidden, leave=False, file=sys.stderr)


def with_article(noun: str) -> str:
    """Write "a label image" or "an image"."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


class StopRequest:
    """Turns the first Ctrl-C (or a cluster's SIGTERM) into a wish to stop after this step.

    A second one interrupts at once. Use as a context manager and ask
    `requested` between steps.
    """

    def __init__(self) -> None:
        self.requested = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        say("stopping after this step; press Ctrl-C again to stop at once.")
