"""Many files in a row: one that fails does not lose the others."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from napari_unet.cli.console import describe_failure, say, say_of
from napari_unet.engine.base.words import count, listing

Item = TypeVar("Item")


def for_each(
    items: Sequence[Item],
    work: Callable[[Item], object],
    *,
    name: Callable[[Item], Path],
    noun: str,
    debug: bool = False,
) -> int:
    """Do `work` for every item and say which ones failed.

    Parameters
    ----------
    items : sequence
    work : callable
    name : callable
        The file that an item is about, for messages.
    noun : str
        What the items are, in the singular.
    debug : bool
        Show where errors come from.

    Returns
    -------
    int
        Exit status: 0 if all went well, otherwise 1.
    """
    lost = []
    for item in items:
        try:
            work(item)
        except BrokenPipeError:
            raise
        except Exception as error:  # whatever is wrong with this one, the next may be fine
            if debug:
                traceback.print_exception(error)
            say_of(name(item), describe_failure(error))
            lost.append(name(item).name)
    if lost and len(items) > 1:
        say(f"{len(lost)} of {count(len(items), noun)} failed: {listing(lost)}.")
    return 1 if lost else 0
