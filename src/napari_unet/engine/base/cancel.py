"""A cancel flag that reaches its thread inside a network, where no report comes for seconds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from torch.overrides import TorchFunctionMode


class CancelsTorch(TorchFunctionMode):
    """While it is entered, a set flag ends what its thread does before the next torch function.

    Parameters
    ----------
    cancel : threading.Event
        The flag; any thread may set it.
    error : type of BaseException
        What is raised. Not derived from `Exception`, lest something on the way
        takes it for a failure; one of its own for each flag.
    before : str
        Part of the names of functions before which it is raised, for work that
        may be left only there; before all by default.
    """

    def __init__(
        self, cancel: threading.Event, error: type[BaseException], *, before: str = ""
    ) -> None:
        super().__init__()
        self._cancel, self._error, self._before = cancel, error, before

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call the function, unless the flag is set."""
        if self._cancel.is_set() and self._before in getattr(func, "__name__", ""):
            raise self._error
        return func(*args, **(kwargs or {}))
