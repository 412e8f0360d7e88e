"""The workers of a dask scheduler as hands: a few tasks in flight, none lost, one sentence."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from queue import Empty, SimpleQueue
from typing import Any

import torch

from napari_unet.engine.base.errors import ClusterError, UNetError
from napari_unet.engine.base.host_memory import keep_freed_memory
from napari_unet.engine.cluster.hands import Item, Result

_OURS = "napari-unet-cells"

_SAME_EVERYWHERE = (_OURS, "torch")
"""Distributions whose versions decide over the last digit of a score."""

GPU = "GPU"
"""The resource that a worker has one of for each GPU of its own."""

_AT_ONCE = 4
"""Tasks in flight for each worker: one that it does, and some that it need not wait for."""

_RETRIES = 3
"""How often a task is begun again where it raised an error."""

_MOST_LOSSES = 2
"""How often a task is given out anew, when dask has lost many workers with it and gave up."""

_ANSWER_S = 60.0
"""Seconds in which a scheduler must answer, also one that was lost and may come back."""

_LOOK_S = 2.0
"""Seconds after which workers are counted again."""

_STOP_S = 0.3
"""Seconds after which it is asked whether somebody still waits."""


class CancelledWaitError(BaseException):
    """Nobody waits for the workers any more; no `except Exception` may take it for a failure."""


@dataclass(frozen=True, slots=True)
class CrewFacts:
    """What there is to know of workers before the work.

    Parameters
    ----------
    workers, threads, gpus : int
        Of all together.
    versions : mapping of str
        By distribution; workers with others are refused.
    dashboard : str
        Address of a page that shows what they do.
    """

    workers: int
    threads: int
    gpus: int
    versions: Mapping[str, str]
    dashboard: str


@dataclass(frozen=True, slots=True)
class _Checked:
    """A task as it runs on a worker, which must have our version."""

    task: Callable[[Any], Any]
    version: str

    def __call__(self, item: Any) -> Any:
        from distributed import get_worker

        return _on_worker(partial(self.task, item), self.version, dask_worker=get_worker())


def _on_worker(function: Callable[[], Result], wanted: str, dask_worker: Any) -> Result:
    address, threads = dask_worker.address, dask_worker.state.nthreads
    own = version(_OURS)
    if own != wanted:
        raise ClusterError(_other_version(address, own, wanted))
    # As many as the worker was given: several on one computer do not get in each other's way.
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    keep_freed_memory()
    try:
        return function()
    except UNetError as error:
        told = type(error)(f"Worker {address}: {error}")
    # Alone: what an error came from cannot always be sent.
    raise told


class Crew:
    """The workers of a client of dask.distributed, whatever started them.

    Parameters
    ----------
    client : distributed.Client
        A synchronous one.
    patience_s : float
        Seconds in which a worker must be there, at the beginning and after the
        last one is gone.
    refill : callable, optional
        Starts workers anew that are gone for good; called every few seconds.
    cancel : threading.Event, optional
        When it is set, whatever waits for workers ends with `CancelledWaitError`.

    Attributes
    ----------
    address : str
        Of the scheduler.

    Raises
    ------
    ClusterError
        If no worker is there, or one has another version of this package or of
        torch.
    """

    def __init__(
        self,
        client: Any,
        *,
        patience_s: float = 60.0,
        refill: Callable[[], object] | None = None,
        cancel: threading.Event | None = None,
    ) -> None:
        self._client, self._refill = client, refill
        self._cancel = cancel or threading.Event()
        self.address = str(client.scheduler.address)
        self._patience_s = patience_s
        self._counted = -_LOOK_S
        self._seen = time.monotonic()
        self._workers = 0
        while not self._count():
            self._pause()
        self._check_versions()
        self._has_gpus = any(GPU in each.get("resources", {}) for each in self._described())

    @property
    def dashboard(self) -> str:
        """Address of a page that shows what the workers do."""
        return str(self._client.dashboard_link)

    def facts(self) -> CrewFacts:
        """Ask what there is to know of the workers."""
        described = self._described()
        return CrewFacts(
            len(described),
            sum(int(each["nthreads"]) for each in described),
            sum(GPU in each.get("resources", {}) for each in described),
            {name: version(name) for name in _SAME_EVERYWHERE},
            self.dashboard,
        )

    def _described(self) -> list[Any]:
        return list(self._asked("identity", n_workers=-1)["workers"].values())

    def ask(self, function: Callable[[], Result]) -> Mapping[str, Result]:
        """Call a function once on each worker, at the same time.

        Returns
        -------
        mapping of str
            Answers by the worker's address.

        Raises
        ------
        UNetError
            The first that was raised.
        """
        answers = self._run(_on_worker, function, version(_OURS))
        for address, answer in answers.items():
            if isinstance(answer, UNetError):
                raise answer
            if isinstance(answer, Exception):
                raise ClusterError(
                    f"Worker {address} did not answer ({answer}); look into its log, restart it, "
                    "and run again."
                ) from answer
        return answers

    def _run(self, function: Callable[..., Any], *given: Any) -> dict[str, Any]:
        """What a function returns or raises on each worker, of those that are still there then."""
        while True:
            answers = self._client.run(function, *given, on_error="return")
            there = {who: each for who, each in answers.items() if not isinstance(each, OSError)}
            if there:
                return there
            self._counted = -_LOOK_S
            self._count()
            self._pause()

    def _pause(self, seconds: float = 0.1) -> None:
        if self._cancel.wait(seconds):
            raise CancelledWaitError

    def done(
        self, stage: str, task: Callable[[Item], Result], items: Sequence[Item]
    ) -> Iterator[tuple[Item, Result]]:
        """Do a task for each item, at most four in flight for each worker.

        What was on a worker that is gone is given to another one, and so is
        everything if the scheduler was gone and is back. Of a stage "scores"
        each task has a GPU for itself, if workers have the resource "GPU".

        Raises
        ------
        ClusterError
            If there is no scheduler or no worker any more, or the same task
            was lost with its worker again and again.
        UNetError
            That a task raised, with the worker's address in front.
        """
        resources = {GPU: 1} if self._has_gpus and stage == "scores" else None
        flight = _Flight(self._client, stage, _Checked(task, version(_OURS)), resources)
        waiting, lost = deque(range(len(items))), Counter[int]()
        try:
            while waiting or flight.numbers:
                most = _AT_ONCE * max(1, self._count())
                while waiting and len(flight.numbers) < most:
                    number = waiting.popleft()
                    flight.begin(number, items[number])
                landed = flight.landed(min(_LOOK_S, _STOP_S))
                self._pause(0)
                if landed is None:
                    continue
                number, future = landed
                if future.status == "finished":
                    result = self._result(future)
                    if result is not None:
                        yield items[number], result[0]
                        continue
                elif future.status == "error":
                    self._explain(stage, future, items[number], lost, number)
                waiting.appendleft(number)
        finally:
            flight.release()

    def _result(self, future: Any) -> tuple[Any] | None:
        """What a task gave back, or None if it was lost on the way."""
        try:
            return (future.result(timeout=_ANSWER_S),)
        except (asyncio.CancelledError, TimeoutError, OSError):
            return None

    def _explain(self, stage: str, future: Any, item: Any, lost: Counter[int], number: int) -> None:
        """Raise what a task raised, unless another try may help."""
        from distributed import KilledWorker

        error = future.exception()
        if not isinstance(error, KilledWorker):
            raise error
        lost[number] += 1
        if lost[number] > _MOST_LOSSES:
            raise ClusterError(
                f"Every worker that began block {item} of the stage '{stage}' was lost with it; it "
                "may need more memory than they have: give them more, or choose smaller blocks."
            ) from error

    def _count(self) -> int:
        """How many workers there are, asked every few seconds."""
        now = time.monotonic()
        if now - self._counted < _LOOK_S and self._workers:
            return self._workers
        if self._refill is not None and self._client.status == "running":
            self._refill()
        self._workers = len(self._asked("ncores", workers=None))
        self._counted = now
        if self._workers:
            self._seen = now
        elif now - self._seen > self._patience_s:
            remedy = f"start some, for example by 'dask worker {self.address}', and"
            if self._refill is not None:
                remedy = "none that was started has come up; look at this computer's load, then"
            raise ClusterError(
                f"The scheduler at {self.address} has had no worker for {self._patience_s:.0f} s; "
                f"{remedy} run the same again."
            )
        return self._workers

    def _asked(self, question: str, **options: Any) -> Any:
        """What the scheduler answers; a client that lost it may find it again meanwhile."""
        until = time.monotonic() + _ANSWER_S
        while True:
            try:
                # Without one there is nothing to call, and soon another status.
                if self._client.status == "running" and self._client.scheduler is not None:
                    call = getattr(self._client.scheduler, question)
                    return self._client.sync(call, **options, callback_timeout=_ANSWER_S)
            except (OSError, TimeoutError, asyncio.CancelledError):
                pass
            if self._client.status == "closed" or time.monotonic() > until:
                raise ClusterError(
                    f"The scheduler at {self.address} does not answer any more; what is finished "
                    "is kept: start it and its workers, and run the same again."
                )
            self._pause()

    def _check_versions(self) -> None:
        for name in _SAME_EVERYWHERE:
            # Of the standard library, so that workers without this package answer, too.
            own = version(name)
            for address, answer in self._run(version, name).items():
                found = None if isinstance(answer, Exception) else str(answer)
                if found != own:
                    raise ClusterError(_other_version(address, found, own, name))


def _other_version(worker: str, found: str | None, own: str, name: str = _OURS) -> str:
    has = f"{name} {found}" if found else f"no {name}"
    return (
        f"Worker {worker} has {has}, this process {own}, and labels are the same to the bit with "
        f"the same versions alone; install {name} {own} there and restart the worker."
    )


class _Flight:
    """Tasks that were given out and have not come back."""

    def __init__(
        self, client: Any, stage: str, task: Callable[[Any], Any], resources: dict[str, int] | None
    ) -> None:
        self._client, self._stage, self._task = client, stage, task
        self._resources = resources
        self._ended: SimpleQueue[Any] = SimpleQueue()
        self._futures: dict[str, Any] = {}
        self.numbers: dict[str, int] = {}

    def begin(self, number: int, item: Any) -> None:
        """Give a task out."""
        future = self._client.submit(
            self._task,
            item,
            key=f"{self._stage}-{uuid.uuid4().hex}",
            pure=False,
            retries=_RETRIES,
            resources=self._resources,
        )
        self.numbers[future.key] = number
        self._futures[future.key] = future
        future.add_done_callback(self._ended.put)

    def landed(self, timeout_s: float) -> tuple[int, Any] | None:
        """Which task has ended in one way or another; None if none does in so many seconds."""
        try:
            future = self._ended.get(timeout=timeout_s)
        except Empty:
            return None
        del self._futures[future.key]
        return self.numbers.pop(future.key), future

    def release(self) -> None:
        """Forget what is still in flight."""
        futures = list(self._futures.values())
        if futures and self._client.status == "running":
            self._client.cancel(futures)
