"""Memory that the computer, a container or a cluster's job can still give."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from napari_unet.engine.base import host_memory
from napari_unet.engine.base.host_memory import free_host_bytes, granted_bytes


def group(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_a_job_of_a_cluster_has_only_what_it_was_granted(tmp_path):
    group(tmp_path / "proc/self", cgroup="0::/slurm/job_7/step_0\n")
    job = tmp_path / "sys/fs/cgroup/slurm/job_7"
    group(
        job, memory__max="1000\n", memory__current="700\n", memory__stat="anon 1\ninactive_file 50"
    )
    group(job / "step_0", memory__max="max\n", memory__current="700\n", memory__stat="anon 1\n")

    assert granted_bytes(tmp_path) == 350


def test_a_container_of_the_older_kind_has_only_what_it_was_granted(tmp_path):
    group(tmp_path / "proc/self", cgroup="5:cpu:/docker/a\n4:memory:/docker/a\n")
    group(
        tmp_path / "sys/fs/cgroup/memory",
        memory__limit_in_bytes="500\n",
        memory__usage_in_bytes="600\n",
        memory__stat="total_inactive_file 30\n",
    )

    assert granted_bytes(tmp_path) == 0


def test_a_machine_without_limits_has_all_that_is_free(tmp_path):
    assert granted_bytes(tmp_path) is None
    group(tmp_path / "proc/self", cgroup="0::/user\n")
    assert granted_bytes(tmp_path) is None


def test_free_memory_is_the_smaller_of_what_is_free_and_what_is_granted(monkeypatch):
    monkeypatch.setattr(host_memory, "granted_bytes", lambda: 7)
    assert free_host_bytes() == 7


FAULTS = """
import resource
import numpy as np
from napari_unet.engine.base.host_memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        np.ones(2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

given_back = faults()
keep_freed_memory()
faults()
print(given_back, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is asked")
def test_a_worker_of_dask_does_not_ask_for_the_same_memory_again_and_again():
    environment = os.environ | {"MALLOC_TRIM_THRESHOLD_": "65536"}  # as dask starts it
    command = [sys.executable, "-c", FAULTS]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    given_back, kept = map(int, said.stdout.split())
    assert kept < given_back / 10
