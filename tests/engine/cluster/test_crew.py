"""What a crew does with tasks that come back in any order, get lost, or fail; with no cluster."""

import random
import re
import threading
from types import SimpleNamespace

import pytest

distributed = pytest.importorskip("distributed")

from napari_unet.engine.base.errors import ClusterError, FileError  # noqa: E402
from napari_unet.engine.cluster import clusters, crew  # noqa: E402
from napari_unet.engine.cluster.crew import CancelledWaitError, Crew  # noqa: E402


class Future:
    def __init__(self, key, status, given):
        self.key, self.status, self._given = key, status, given

    def result(self, timeout):
        return self._given

    def exception(self):
        return self._given

    def add_done_callback(self, call):
        self.call = call


class Scheduler:
    address = "tcp://there:8786"

    def __init__(self, workers):
        self.workers = workers

    def ncores(self, workers):
        return dict.fromkeys(self.workers, 1)

    def identity(self, n_workers):
        return {"workers": {name: {"resources": {}} for name in self.workers}}


class Client:
    """Ends tasks in a random order, some of them badly."""

    status = "running"

    def __init__(self, workers=("a", "b"), fates=lambda item: "finished"):
        self.scheduler, self.fates = Scheduler(list(workers)), fates
        self.flying, self.most, self.given, self.keys = [], 0, [], []
        self.random, self.cancelled = random.Random(5), []  # noqa: S311

    def sync(self, question, callback_timeout, **options):
        # Asked in each round of the loop: then a task has ended.
        self.land()
        return question(**options)

    def run(self, function, *given, on_error):
        return dict.fromkeys(self.scheduler.workers, "1.2")

    def submit(self, task, item, *, key, pure, retries, resources):
        self.given.append(item)
        self.keys.append((key.partition("-")[0], pure, retries, resources))
        fate = self.fates(item)
        given = task.task(item) if fate == "finished" else fate
        status = fate if isinstance(fate, str) else "error"
        future = Future(key, status, given)
        self.flying.append(future)
        self.most = max(self.most, len(self.flying))
        return future

    def land(self):
        if self.flying:
            future = self.flying.pop(self.random.randrange(len(self.flying)))
            future.call(future)

    def cancel(self, futures):
        self.cancelled += futures


@pytest.fixture(autouse=True)
def same_version(monkeypatch):
    monkeypatch.setattr(crew, "version", lambda name: "1.2")
    monkeypatch.setattr(crew, "_LOOK_S", 0)


def twice(item):
    return 2 * item


def test_every_item_comes_back_once_whatever_becomes_of_tasks():
    fates = {3: ["cancelled", "lost"], 5: [distributed.KilledWorker("t", None, 4)]}
    client = Client(fates=lambda item: (fates.get(item) or ["finished"]).pop(0))
    found = list(Crew(client).done("pieces", twice, list(range(40))))
    assert sorted(found) == [(n, 2 * n) for n in range(40)]
    assert found != sorted(found)
    assert len(client.given) == 43
    # Four for each of two workers.
    assert client.most <= 8
    assert set(client.keys) == {("pieces", False, 3, None)}


def test_only_scores_ask_for_a_gpu_where_workers_have_one():
    client = Client()
    client.scheduler.identity = lambda n_workers: {"workers": {"a": {"resources": {"GPU": 1}}}}
    team = Crew(client)
    list(team.done("scores", twice, [1]))
    list(team.done("flood", twice, [1]))
    assert [each[-1] for each in client.keys] == [{"GPU": 1}, None]


def test_a_task_that_ends_its_worker_each_time_is_named():
    client = Client(fates=lambda item: distributed.KilledWorker("t", None, 4))
    with pytest.raises(ClusterError, match=r"began block \(0, 1\) of the stage 'scores' was lost"):
        list(Crew(client).done("scores", str, [(0, 1)]))
    assert len(client.given) == 3


def test_what_a_task_says_reaches_the_user_and_the_others_are_given_up():
    client = Client(fates=lambda item: FileError("The disk is full.") if item == 0 else "finished")
    with pytest.raises(FileError, match="The disk is full"):
        list(Crew(client).done("scores", twice, list(range(8))))
    assert client.cancelled == client.flying != []


def test_a_scheduler_without_workers_is_told_after_a_while():
    with pytest.raises(ClusterError, match=r"tcp://there:8786 has had no worker for 0 s; start"):
        Crew(Client(workers=()), patience_s=0.02)


def test_own_workers_that_do_not_come_up_are_told_without_a_command_to_start_others():
    with pytest.raises(ClusterError, match=r"none that was started has come up; .* run the same"):
        Crew(Client(workers=()), patience_s=0.02, refill=lambda: None)


def test_a_scheduler_that_is_gone_is_told():
    client = Client()
    team = Crew(client)
    client.status = "closed"
    client.submit = lambda *given, **options: pytest.fail("was asked")
    team._counted = -1
    with pytest.raises(ClusterError, match="does not answer any more; what is finished is kept"):
        list(team.done("scores", twice, [1]))


def test_workers_with_another_version_are_told_before_the_work():
    client = Client()
    client.run = lambda *given, on_error: {"tcp://a:1": "1.2", "tcp://b:1": "1.1"}
    message = "Worker tcp://b:1 has napari-unet-cells 1.1, this process 1.2, and"
    with pytest.raises(ClusterError, match=re.escape(message)):
        Crew(client)
    client.run = lambda *given, on_error: {"tcp://a:1": ModuleNotFoundError("napari-unet-cells")}
    with pytest.raises(ClusterError, match=r"has no napari-unet-cells, this process 1\.2"):
        Crew(client)


def test_a_worker_that_came_later_is_asked_for_its_version_too():
    worker = SimpleNamespace(address="tcp://c:1", state=SimpleNamespace(nthreads=1))
    with pytest.raises(ClusterError, match=r"Worker tcp://c:1 has napari-unet-cells 1\.2, this"):
        crew._on_worker(lambda: None, "1.3", dask_worker=worker)


def test_an_address_where_nothing_answers_is_told(monkeypatch):
    monkeypatch.setattr(clusters, "_ANSWER_S", 0.5)
    with (
        pytest.raises(ClusterError, match=r"No scheduler answers at 'tcp://127\.0\.0\.1:9' within"),
        clusters.crew_at("tcp://127.0.0.1:9"),
    ):
        pytest.fail("was connected")


def test_what_is_not_installed_is_told(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "dask_jobqueue", None)
    with (
        pytest.raises(ClusterError, match=r"dask-jobqueue, which is not installed; run .*cluster"),
        clusters.slurm_crew(2, queue=None, memory="2GB", walltime="01:00:00"),
    ):
        pytest.fail("was started")


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (None, "sbatch is not on this computer; start from a computer of the cluster"),
        ("echo 'invalid partition: q' >&2; exit 1", r"not take the jobs \(invalid partition: q\);"),
        ("exit 3", r"not take the jobs \(exit status 3\); check the options"),
        ("exec sleep 9", "SLURM did not answer within 0 s; try again later"),
    ],
)
def test_slurm_that_is_not_there_or_refuses_is_told_at_once(
    tmp_path, monkeypatch, answer, complaint
):
    if answer is not None:
        (tmp_path / "sbatch").write_text(f"#!/bin/sh\n{answer}\n")
        (tmp_path / "sbatch").chmod(0o755)
    monkeypatch.setattr(clusters, "_SLURM_ANSWER_S", 0.3 if answer == "exec sleep 9" else 60.0)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(ClusterError, match=complaint):
        clusters._check_taken("#!/bin/sh")


def test_jobs_are_asked_for_once_slurm_takes_them(tmp_path, monkeypatch):
    pytest.importorskip("dask_jobqueue")
    monkeypatch.setenv("PATH", str(tmp_path))
    with (
        pytest.raises(ClusterError, match="sbatch is not on this computer"),
        clusters.slurm_crew(2, queue=None, memory="2GB", walltime="01:00:00"),
    ):
        pytest.fail("waited for jobs")


def test_workers_that_are_gone_for_good_are_started_anew():
    client = Client(workers=())
    team = Crew(client, refill=lambda: client.scheduler.workers.append("c"))
    assert dict(team.done("pieces", twice, [1, 2])) == {1: 2, 2: 4}


def test_who_waits_no_more_is_let_go_and_what_is_in_flight_is_taken_back():
    cancel = threading.Event()
    client = Client()
    done = Crew(client, cancel=cancel).done("scores", twice, list(range(40)))
    next(done)
    cancel.set()
    with pytest.raises(CancelledWaitError):
        next(done)
    assert client.flying
    assert set(client.flying) <= set(client.cancelled)
    # Nobody has come yet.
    with pytest.raises(CancelledWaitError):
        Crew(Client(workers=()), cancel=cancel)


def test_facts_count_workers_threads_and_cards():
    client = Client()
    workers = {"a": {"nthreads": 2, "resources": {"GPU": 1}}, "b": {"nthreads": 3}}
    client.scheduler.identity = lambda n_workers: {"workers": workers}
    client.dashboard_link = "http://there:8787"
    facts = Crew(client).facts()
    assert (facts.workers, facts.threads, facts.gpus) == (2, 5, 1)
    assert facts.versions == {"napari-unet-cells": "1.2", "torch": "1.2"}
    assert facts.dashboard == "http://there:8787"
