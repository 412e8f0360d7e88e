"""Files that appear under their name only once they are complete."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write to, and rename it when the block has ended well.

    If the block fails, `path` is as it was and nothing is left beside it.

    Raises
    ------
    OSError
        As the system says; the caller knows what was being written.
    """
    # Not made from the name, which may be as long as names can be.
    partial = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        yield partial
        partial.replace(path)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
