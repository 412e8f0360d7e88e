"""Memory that the computer, a container or a cluster's job can still give."""

from pathlib import Path

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
