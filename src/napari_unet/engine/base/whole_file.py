"""Files that appear under their name only once they are complete."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from napari_unet.engine.base.errors import UNetError

_FULL_BYTES = 1 << 20
"""Free on a disk that is full: what is left are the last blocks, too few for the next write."""


@contextmanager
def whole_file(
    path: Path,
    *,
    refused: type[UNetError],
    library_errors: tuple[type[Exception], ...] = (),
) -> Iterator[Path]:
    """Give a file beside `path` to write to, and rename it when the block has ended well.

    If the block fails, `path` is as it was and nothing is left beside it. The
    file gets the permissions that files made here usually have, or those of
    the one that it replaces; a link goes on pointing where it does.

    Parameters
    ----------
    path : Path
    refused : type of UNetError
        What is raised, in a sentence, where the system does not let it be
        written.
    library_errors : tuple of exception types
        What the library that writes raises then, besides OSError.
    """
    target = Path(os.path.realpath(path))
    refusals: tuple[type[Exception], ...] = (OSError, *library_errors)
    # Not made from the name, which may be as long as names can be.
    partial = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        partial.touch(exist_ok=False)
        mode = stat.S_IMODE((target if target.exists() else partial).stat().st_mode)
        yield partial
        # Some libraries make private files: safetensors writes with the mode 0600.
        if stat.S_IMODE(partial.stat().st_mode) != mode:
            with suppress(PermissionError):  # shares of Windows know no modes
                partial.chmod(mode)
        partial.replace(target)
    except refusals as error:
        raise refused(write_problem(path, error)) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def system_reason(error: Exception) -> str:
    """Say what the system says, in small letters, to stand in brackets."""
    return (getattr(error, "strerror", None) or str(error)).lower()


def write_problem(path: Path, error: Exception) -> str:
    """Say in a sentence why a file could not be written."""
    number = getattr(error, "errno", None)
    if _is_full(path, error):
        return f"The disk is full, '{path}' was not written; make room or choose another disk."
    if isinstance(error, PermissionError) or number == errno.EROFS:
        return (
            f"Cannot write '{path}' ({system_reason(error)}); choose a folder that you may write "
            "to, and close the file in other programs."
        )
    if isinstance(error, FileExistsError | NotADirectoryError):
        return (
            f"Cannot write '{path}', because a part of this path is a file; choose another folder."
        )
    if number == errno.ENAMETOOLONG:
        return f"Cannot write '{path}', because its name is too long; choose a shorter one."
    return (
        f"Cannot write '{path}' ({system_reason(error)}); choose a folder that exists and has "
        "room, or another name."
    )


def _is_full(path: Path, error: Exception) -> bool:
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return True
    # safetensors tells the number only in its text, torch only that less was written than it gave.
    if f"os error {errno.ENOSPC}" in str(error):
        return True
    try:
        free = shutil.disk_usage(Path(os.path.realpath(path)).parent).free
    except OSError:
        return False
    return "unexpected pos" in str(error) and free < _FULL_BYTES
