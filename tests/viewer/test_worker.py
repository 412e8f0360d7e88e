"""Engine jobs beside the Qt thread: reports arrive, stops are prompt, nothing outlives the end."""

import itertools
import threading
from collections.abc import Iterator
from functools import partial

import pytest
import torch
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QEventLoop, QObject, QThread, QTimer
from qtpy.QtWidgets import QApplication, QWidget

from napari_unet.engine.base.errors import UNetError
from napari_unet.viewer.worker import Job, Worker, failure_sentence, stop_all


class Heard:
    """What a worker's signals said, in order, and on which thread."""

    def __init__(self, worker: Worker) -> None:
        self.events: list[tuple[str, object]] = []
        self.threads: set[object] = set()
        worker.reported.connect(lambda report: self.note("reported", report))
        worker.finished.connect(lambda report: self.note("finished", report))
        worker.failed.connect(lambda error: self.note("failed", error))
        worker.stopped.connect(lambda: self.note("stopped", None))
        worker.ended.connect(lambda: self.note("ended", None))

    def note(self, kind: str, value: object) -> None:
        self.events.append((kind, value))
        self.threads.add(QThread.currentThread())

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.events]


def wait_for_threads(qtbot: QtBot, *workers: Worker) -> None:
    qtbot.waitUntil(lambda: not any(worker.has_thread for worker in workers), timeout=5000)


class Endless:
    """Reports every millisecond for ever."""

    def __init__(self) -> None:
        self.reports = 0
        self.was_closed = threading.Event()

    def __call__(self) -> Iterator[int]:
        try:
            while True:
                self.reports += 1
                yield self.reports
                threading.Event().wait(0.001)
        finally:
            self.was_closed.set()


def test_reports_arrive_on_the_qt_thread_and_the_last_one_is_the_result(qtbot: QtBot) -> None:
    worker = Worker(lambda: iter([1, 2, 3]))
    heard = Heard(worker)

    with qtbot.waitSignal(worker.ended, timeout=10_000):
        worker.start()

    assert heard.events == [
        ("reported", 1),
        ("reported", 2),
        ("reported", 3),
        ("finished", 3),
        ("ended", None),
    ]
    assert heard.threads == {QApplication.instance().thread()}
    wait_for_threads(qtbot, worker)


@pytest.mark.parametrize("error", [ValueError("bad"), RuntimeError("out of memory")])
def test_any_error_arrives_as_failed(qtbot: QtBot, error: Exception) -> None:
    def work() -> Iterator[int]:
        yield 1
        raise error

    worker = Worker(work)
    heard = Heard(worker)

    with qtbot.waitSignal(worker.ended, timeout=10_000):
        worker.start()

    assert heard.events == [("reported", 1), ("failed", error), ("ended", None)]


def test_stop_answers_at_once_and_nothing_comes_after_it(qtbot: QtBot) -> None:
    endless = Endless()
    worker = Worker(endless)
    heard = Heard(worker)
    with qtbot.waitSignal(worker.reported, timeout=10_000):
        worker.start()

    worker.stop()

    assert heard.kinds[-2:] == ["stopped", "ended"]
    assert not worker.is_running
    heard.events.clear()
    wait_for_threads(qtbot, worker)
    QApplication.processEvents()
    assert heard.events == []
    assert endless.was_closed.is_set()


def test_stop_reaches_a_network_in_the_middle_of_a_tile(qtbot: QtBot) -> None:
    inside, let_go = threading.Event(), threading.Event()
    layers_run = []

    class Layer(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x + 1
            layers_run.append(1)
            inside.set()
            let_go.wait(5)
            return x

    tile = torch.nn.Sequential(*[Layer() for _ in range(20)])

    def work() -> Iterator[torch.Tensor]:
        yield tile(torch.zeros(1))

    worker = Worker(work)
    worker.start()
    assert inside.wait(10)

    worker.stop()
    let_go.set()

    wait_for_threads(qtbot, worker)
    assert len(layers_run) == 1


def test_a_stopped_job_may_clean_up_with_torch(qtbot: QtBot) -> None:
    sums: list[float] = []

    def work() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            sums.append(torch.ones(3).sum().item())

    worker = Worker(work)
    with qtbot.waitSignal(worker.reported, timeout=10_000):
        worker.start()

    worker.stop()

    wait_for_threads(qtbot, worker)
    assert sums == [3.0]


def test_a_stop_leaves_networks_of_other_threads_alone(qtbot: QtBot) -> None:
    worker = Worker(Endless())
    with qtbot.waitSignal(worker.reported, timeout=10_000):
        worker.start()
    worker.stop()

    assert torch.nn.Identity()(torch.ones(1)).item() == 1

    wait_for_threads(qtbot, worker)


def test_stop_before_the_thread_has_done_anything_reports_nothing(qtbot: QtBot) -> None:
    worker = Worker(Endless())
    heard = Heard(worker)

    worker.start()
    worker.stop()

    wait_for_threads(qtbot, worker)
    QApplication.processEvents()
    assert heard.kinds == ["stopped", "ended"]


def test_stopping_twice_or_after_the_end_says_nothing_more(qtbot: QtBot) -> None:
    worker = Worker(lambda: iter([1]))
    heard = Heard(worker)
    with qtbot.waitSignal(worker.ended, timeout=10_000):
        worker.start()
    before = list(heard.events)

    worker.stop()
    worker.stop()

    assert heard.events == before


def test_a_core_is_left_to_the_window(qtbot: QtBot) -> None:
    counts: list[int] = []

    def work() -> Iterator[int]:
        counts.append(torch.get_num_threads())
        yield 0

    worker = Worker(work)
    with qtbot.waitSignal(worker.ended, timeout=10_000):
        worker.start()

    cores = torch.multiprocessing.cpu_count()
    assert 1 <= counts[0] <= max(1, cores - 1)


def test_leaving_the_application_stops_every_worker_and_waits_for_it(qtbot: QtBot) -> None:
    workers = [Worker(Endless()) for _ in range(3)]
    for worker in workers:
        with qtbot.waitSignal(worker.reported, timeout=10_000):
            worker.start()

    QApplication.instance().aboutToQuit.emit()

    assert not any(worker.has_thread for worker in workers)
    assert stop_all()


def test_nothing_is_kept_of_a_worker_that_is_over(qtbot: QtBot) -> None:
    worker = Worker(lambda: iter([1]))
    with qtbot.waitSignal(worker.destroyed, timeout=10_000):
        worker.start()
        del worker


class Stubborn:
    """Hears no stop before it is let go."""

    def __init__(self) -> None:
        self.has_begun = threading.Event()
        self.let_go = threading.Event()

    def __call__(self) -> Iterator[int]:
        self.has_begun.set()
        self.let_go.wait(10)
        yield 1


def test_a_new_job_waits_until_the_thread_of_a_stopped_one_is_over(qtbot: QtBot) -> None:
    stubborn = Stubborn()
    stopped = Worker(stubborn)
    stopped.start()
    assert stubborn.has_begun.wait(10)
    stopped.stop()
    threads_met: list[bool] = []

    def work() -> Iterator[int]:
        threads_met.append(stopped.has_thread)
        yield 1

    worker = Worker(work)
    QTimer.singleShot(100, stubborn.let_go.set)
    with qtbot.waitSignal(worker.finished, timeout=10_000):
        worker.start()

    assert threads_met == [False]


def test_a_job_beside_one_that_runs_does_not_wait_for_it(qtbot: QtBot) -> None:
    stubborn = Stubborn()
    running = Worker(stubborn)
    running.start()
    assert stubborn.has_begun.wait(10)
    worker = Worker(lambda: iter([1]))

    with qtbot.waitSignal(worker.finished, timeout=10_000):
        worker.start()

    assert running.is_running
    with qtbot.waitSignal(running.finished, timeout=10_000):
        stubborn.let_go.set()


def test_a_job_that_waits_for_a_stopped_one_can_be_stopped(qtbot: QtBot) -> None:
    stubborn = Stubborn()
    stopped, worker = Worker(stubborn), Worker(Endless())
    stopped.start()
    assert stubborn.has_begun.wait(10)
    stopped.stop()
    worker.start()

    worker.stop()

    wait_for_threads(qtbot, worker)
    assert stopped.has_thread
    stubborn.let_go.set()
    wait_for_threads(qtbot, stopped)


def test_the_event_loop_comes_round_between_two_reports(qtbot: QtBot) -> None:
    worker = Worker(lambda: iter(range(50)))
    heard: list[str] = []
    worker.reported.connect(lambda _: heard.append("report"))
    timer = QTimer()
    timer.timeout.connect(lambda: heard.append("round"))
    timer.start(0)

    with qtbot.waitSignal(worker.ended, timeout=10_000):
        worker.start()

    assert heard.count("report") == 50
    assert ("report", "report") not in set(itertools.pairwise(heard))


def test_a_slot_that_runs_the_event_loop_is_not_called_again_meanwhile(qtbot: QtBot) -> None:
    worker = Worker(lambda: iter(range(5)))
    inside: list[int] = []
    most = 0

    def on_reported(report: int) -> None:
        nonlocal most
        inside.append(report)
        most = max(most, len(inside))
        loop = QEventLoop()
        QTimer.singleShot(5, loop.quit)
        loop.exec()
        inside.remove(report)

    worker.reported.connect(on_reported)
    with qtbot.waitSignal(worker.ended, timeout=10_000):
        worker.start()

    assert most == 1


def test_work_that_is_far_ahead_of_the_window_waits_for_it(qtbot: QtBot) -> None:
    reports = 0
    tenth = threading.Event()

    def work() -> Iterator[int]:
        nonlocal reports
        while True:
            reports += 1
            if reports == 10:
                tenth.set()
            yield reports

    worker = Worker(work)
    worker.start()

    # This thread does not run the event loop.
    assert not tenth.wait(1)
    assert reports == 9

    worker.stop()
    wait_for_threads(qtbot, worker)
    assert reports == 9


def test_a_torch_that_cannot_be_loaded_gets_a_sentence_with_a_way_out(
    qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise OSError("[WinError 1114] A dynamic link library initialization routine failed")

    monkeypatch.setattr("napari_unet.viewer.worker.import_torch", fail)
    worker = Worker(lambda: iter([1]))

    with qtbot.waitSignal(worker.failed, timeout=5000) as failed:
        worker.start()

    assert str(failed.args[0]).startswith(
        "PyTorch is installed but cannot be loaded ([WinError 1114] A dynamic link library"
    )
    wait_for_threads(qtbot, worker)


def test_what_a_function_returns_is_the_result(qtbot: QtBot) -> None:
    worker = Worker(lambda: (1, 2))
    heard = Heard(worker)

    with qtbot.waitSignal(worker.ended, timeout=10_000):
        worker.start()

    assert heard.events == [("finished", (1, 2)), ("ended", None)]
    wait_for_threads(qtbot, worker)


def test_job_tells_its_reports_its_result_and_its_end(qtbot: QtBot) -> None:
    owner, told = QObject(), []
    job = Job(owner)
    assert not job.is_running

    job.start(
        lambda: iter([1, 2]),
        on_report=lambda report: told.append(("report", report)),
        on_result=lambda result: told.append(("result", result, job.is_running)),
        on_end=lambda: told.append(("end",)),
    )

    assert job.is_running
    qtbot.waitUntil(lambda: not job.is_running, timeout=10_000)
    assert told == [("report", 1), ("report", 2), ("result", 2, False), ("end",)]


def test_job_shows_a_result_in_parts_between_which_the_window_answers(qtbot: QtBot) -> None:
    owner, told = QObject(), []
    job = Job(owner)

    def show(result: str) -> Iterator[None]:
        for part in (1, 2):
            told.append((result, part, job.is_running))
            QTimer.singleShot(0, partial(told.append, "answered"))
            yield
        told.append((result, 3))

    job.start(lambda: "all", on_result=show, on_end=lambda: told.append("end"))

    qtbot.waitUntil(lambda: not job.is_running, timeout=10_000)
    shown = [("all", 1, True), "answered", ("all", 2, True), "answered", ("all", 3), "end"]
    assert told == shown


def test_job_that_is_stopped_shows_no_further_part_and_ends_once(qtbot: QtBot) -> None:
    owner, told = QObject(), []
    job = Job(owner)

    def show(_result: None, *, stops_itself: bool) -> Iterator[None]:
        told.append("part")
        if stops_itself:
            job.stop()
        while True:
            yield

    def start(*, stops_itself: bool) -> None:
        told.clear()
        job.start(
            lambda: None,
            on_result=partial(show, stops_itself=stops_itself),
            on_stop=lambda: told.append("stop"),
            on_end=lambda: told.append("end"),
        )

    start(stops_itself=False)
    qtbot.waitUntil(lambda: "part" in told, timeout=10_000)
    job.stop()
    assert told == ["part", "stop", "end"]
    start(stops_itself=True)
    qtbot.waitUntil(lambda: not job.is_running, timeout=10_000)
    assert told == ["part", "stop", "end"]


def test_job_that_starts_anew_stops_what_ran(qtbot: QtBot) -> None:
    owner, told = QObject(), []
    job = Job(owner)
    job.start(Endless(), on_stop=lambda: told.append("stop"), on_end=lambda: told.append("end"))

    job.start(lambda: "new", on_result=told.append)

    assert told == ["stop", "end"]
    qtbot.waitUntil(lambda: not job.is_running, timeout=10_000)
    assert told == ["stop", "end", "new"]


def test_job_ends_with_its_owner(qtbot: QtBot) -> None:
    owner, endless = QWidget(), Endless()
    Job(owner).start(endless)
    qtbot.waitUntil(lambda: endless.reports > 0, timeout=10_000)

    owner.deleteLater()

    qtbot.waitUntil(endless.was_closed.is_set, timeout=10_000)


def test_failure_that_nobody_asks_for_is_in_the_log(
    qtbot: QtBot, caplog: pytest.LogCaptureFixture
) -> None:
    def work() -> None:
        raise ValueError("bad")

    owner = QObject()
    job = Job(owner)

    job.start(work)

    qtbot.waitUntil(lambda: not job.is_running, timeout=10_000)
    assert "ValueError: bad" in caplog.text


def test_failure_sentence_is_the_engines_or_says_where_the_details_are() -> None:
    assert failure_sentence(UNetError("Choose one slice."), kept="All is well.") == (
        "Choose one slice."
    )
    assert failure_sentence(ValueError("bad"), kept="The model is as it was.") == (
        "Something went wrong that should not (ValueError: bad); the log has the details. "
        "The model is as it was."
    )
