"""Many files in a row: one that fails does not lose the others."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from napari_unet.cli.console import count, describe_failure, listing, say, say_of

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
    failed = []
    for item in items:
        path = name(item)
        try:
            work(item)
        except BrokenPipeError:
            raise
        except Exception as error:  # whatever is wrong with this one, the next may be fine
            if debug:
                traceback.print_exc()
            say_of(path, describe_failure(error))
            failed.append(path.name)
    if failed and len(items) > 1:
        say(f"{len(failed)} of {count(len(items), noun)} failed: {listing(failed)}.")
    return 1 if failed else 0
