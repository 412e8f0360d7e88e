"""Which command was asked for, and what happens when it fails."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from types import FrameType
from typing import NoReturn, Protocol, cast

from napari_unet import __version__
from napari_unet.cli.console import describe_failure, say, speak_of_options
from napari_unet.installation import check_installation

INTERRUPTED = 130


class CommandModule(Protocol):
    """What the module of a command holds."""

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Describe the command's arguments."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Do the work; return the exit status."""


@dataclass(frozen=True, slots=True)
class Command:
    """One line of `napari-unet --help`; its module is imported when it is used."""

    module: str
    summary: str

    def load(self) -> CommandModule:
        """Import the command with all it needs, torch included."""
        return cast("CommandModule", import_module(f"napari_unet.cli.commands.{self.module}"))


COMMANDS = {
    "segment": Command("segment", "find the cells in images"),
    "train": Command("train", "teach a model your own cells"),
    "evaluate": Command("evaluate", "compare found cells with true ones"),
    "compare": Command("compare", "say which cells differ between two results"),
    "measure": Command("measure", "measure each cell, and write tables"),
    "track": Command("track", "follow cells through time"),
    "journal": Command("journal", "show or restore corrections that napari did not save"),
    "convert": Command("convert", "write labels for other programs, and read theirs"),
    "weight-map": Command("weight_map", "draw the boundary weight map of labels"),
    "inspect": Command("inspect", "say what a model is"),
    "export": Command("export", "write a model for other programs"),
    "demo": Command("demo", "segment a bundled image and show it"),
}


class OneLineParser(argparse.ArgumentParser):
    """Says what is wrong in one line instead of repeating the usage."""

    def error(self, message: str) -> NoReturn:
        """Leave with exit status 2."""
        say(f"{message}. Run '{self.prog} --help' for what is possible.")
        sys.exit(2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the program's name; those of the process by default.

    Returns
    -------
    int
        0 when all went well, 1 after a problem, 130 after Ctrl-C; 2, for a
        command line that makes no sense, leaves by SystemExit.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a file name must not stop the program
    debug = "--debug" in words
    try:
        with warnings.catch_warnings(), _signals_interrupt():
            if not debug:
                warnings.simplefilter("ignore")  # remarks of libraries to programmers
            status = _run(words)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # The reader, such as `head`, has had enough; Python must not flush into it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt as interrupt:
        say(f"stopped; no file was left half-written. {interrupt}".rstrip())
        return INTERRUPTED
    except Exception as error:
        if debug:
            traceback.print_exc()
        say(describe_failure(error))
        return 1


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """Let whatever ends a program politely unwind it as Ctrl-C does, so that no litter is left."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    # Windows has no SIGHUP; behind `nohup` it is ignored, and stays so.
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    usual = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    if threading.current_thread() is not threading.main_thread():
        usual = []  # only there may signals be handled
    for number in usual:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in usual:
            signal.signal(number, signal.SIG_DFL)


def _run(words: Sequence[str]) -> int:
    overview = _overview()
    if not words:
        overview.print_help(sys.stderr)
        return 2
    name = overview.parse_args(words[:1]).command
    check_installation()
    command = COMMANDS[name].load()
    parser = OneLineParser(
        prog=f"{overview.prog} {name}",
        description=command.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.add_options(parser)
    parser.add_argument("--debug", action="store_true", help="show where an error comes from")
    speak_of_options(parser)
    given = argparse.Namespace(command_line=list(words))
    return command.run(parser.parse_args(words[1:], given))


def _overview() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS))
    listing = "\n".join(f"  {name:{width}}  {COMMANDS[name].summary}" for name in COMMANDS)
    parser = OneLineParser(
        prog="napari-unet",
        description="Segment cells with a U-Net, and train it on your own.",
        usage="%(prog)s COMMAND ...",
        epilog=f"commands:\n{listing}\n\n'%(prog)s COMMAND --help' explains each.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"napari-unet-cells {__version__}")
    parser.add_argument(
        "command", choices=list(COMMANDS), metavar="COMMAND", help=argparse.SUPPRESS
    )
    return parser
