"""Who does the tasks of a stage: this process, or whoever else has such hands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Hands(Protocol):
    """Does one task for each of many items, in any order."""

    def done(
        self, stage: str, task: Callable[[Item], Result], items: Sequence[Item]
    ) -> Iterator[tuple[Item, Result]]:
        """Do a task for each item.

        Parameters
        ----------
        stage : str
            What it is called.
        task : callable
            A function of a module, or a `partial` of one: it may be sent
            elsewhere, begun again where it was lost, and done twice.
        items : sequence

        Yields
        ------
        tuple of item and result
            As they are done.
        """


class OneProcess:
    """Does each task here, one after the other."""

    def done(
        self,
        stage: str,  # noqa: ARG002 - as `Hands` has it
        task: Callable[[Item], Result],
        items: Sequence[Item],
    ) -> Iterator[tuple[Item, Result]]:
        """Do a task for each item, in their order."""
        return ((item, task(item)) for item in items)
