"""Work in threads: nothing is lost, results do not pile up, and processors are shared."""

import threading
import time

import pytest

from napari_unet.batch.attempts import Processors, attempts


def test_what_ends_whole_after_an_interrupt_is_told_and_what_fails_then_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cancel, all_run = threading.Event(), threading.Barrier(4)
    told: list[int] = []

    def work(item: int) -> int:
        all_run.wait(30)
        assert cancel.wait(30)
        if item == 1:
            raise ValueError
        return item

    def interrupt(*_: object, **__: object) -> None:
        all_run.wait(30)
        raise KeyboardInterrupt

    monkeypatch.setattr("napari_unet.batch.attempts.wait", interrupt)
    never = threading.Event()
    tries = attempts(range(9), work, workers=3, cancel=cancel, pause=never, look_s=9.0)
    with pytest.raises(KeyboardInterrupt):
        told.extend(each.item for each in tries if each is not None)

    assert sorted(told) == [0, 2]


def test_reading_and_writing_go_on_beside_computing_and_results_do_not_pile_up() -> None:
    running = most = 0
    lock = threading.Lock()

    def work(item: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.01)
        with lock:
            running -= 1
        if item == 3:
            raise ValueError("three")
        return item

    never = threading.Event()
    ends = list(attempts(range(12), work, workers=3, cancel=never, pause=never, look_s=9.0))

    assert sorted(each.item for each in ends if each and each.error is None) == [
        n for n in range(12) if n != 3
    ]
    assert [each.item for each in ends if each and each.error is not None] == [3]
    assert 1 < most <= 3


def test_a_pause_ends_what_is_begun_and_begins_no_more() -> None:
    pause = threading.Event()
    tries = attempts(
        range(9),
        lambda item: pause.set() if item == 2 else item,
        workers=1,
        cancel=threading.Event(),
        pause=pause,
        look_s=9.0,
    )

    assert [each.item for each in tries if each is not None] == [0, 1, 2]


def test_who_no_longer_iterates_ends_the_work_and_hears_of_long_work_meanwhile() -> None:
    cancel = threading.Event()
    tries = attempts(
        range(3),
        lambda _: cancel.wait(30),
        workers=2,
        cancel=cancel,
        pause=threading.Event(),
        look_s=0.01,
    )

    assert next(tries) is None
    tries.close()

    assert cancel.is_set()


def test_processors_are_shared_or_one_image_has_them_all() -> None:
    processors = Processors(3)
    inside: list[int] = []
    most = {True: 0, False: 0}
    lock = threading.Lock()

    def compute(alone: bool) -> None:
        with processors.taken(alone=alone):
            with lock:
                inside.append(1)
                most[alone] = max(most[alone], len(inside))
            time.sleep(0.02)
            with lock:
                inside.pop()

    threads = [threading.Thread(target=compute, args=(n == 4,)) for n in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert most[True] == 1
    assert 1 < most[False] <= 3
