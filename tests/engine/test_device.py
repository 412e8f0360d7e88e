"""Devices, their free memory, and precision."""

from pathlib import Path

import pytest
import torch

from napari_unet.engine import device as device_module
from napari_unet.engine.device import (
    DeviceState,
    describe_device,
    device_states,
    free_memory_bytes,
    preferred_device,
    resolve_device,
    resolve_precision,
)
from napari_unet.engine.errors import DeviceError, SettingsError


def test_cpu_is_always_there_and_has_memory():
    cpu = resolve_device("cpu")
    assert cpu.type == "cpu"
    assert free_memory_bytes(cpu) > 0
    assert describe_device(cpu).startswith("CPU, ")


def test_missing_device_is_answered_with_those_that_are_there():
    with pytest.raises(DeviceError, match=r"'cuda:17' is not there; this machine has .*cpu"):
        resolve_device("cuda:17")


def test_auto_takes_the_gpu_with_most_free_memory(monkeypatch):
    monkeypatch.setattr(device_module, "device_names", lambda: ["cuda:0", "cuda:1", "cpu"])
    free = {"cuda:0": 1, "cuda:1": 2, "cpu": 3}
    monkeypatch.setattr(device_module, "free_memory_bytes", lambda device: free[str(device)])
    assert resolve_device("auto") == torch.device("cuda:1")
    assert resolve_device("CUDA") == torch.device("cuda:0")


def test_a_gpu_that_does_not_answer_is_passed_over_by_auto(monkeypatch):
    def free_memory(device):
        if str(device) == "cuda:0":
            raise RuntimeError("CUDA error: out of memory")
        return 3 << 30

    monkeypatch.setattr(device_module, "device_names", lambda: ["cuda:0", "cuda:1", "cpu"])
    monkeypatch.setattr(device_module, "free_memory_bytes", free_memory)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA A100")

    lost, answering, _ = device_states()

    assert lost.text == "NVIDIA A100 (cuda:0), does not answer"
    assert answering.text == "NVIDIA A100 (cuda:1), 3.0 GB free"
    assert resolve_device("auto") == torch.device("cuda:1")


def test_without_any_answering_gpu_auto_is_the_cpu():
    cpu = DeviceState("cpu", "CPU", 1)
    assert preferred_device((DeviceState("cuda:0", "GPU", None), cpu)) == "cpu"
    assert preferred_device((DeviceState("mps", "Apple GPU", 0), cpu)) == "mps"


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

    assert device_module._granted_bytes(tmp_path) == 350


def test_a_container_of_the_older_kind_has_only_what_it_was_granted(tmp_path):
    group(tmp_path / "proc/self", cgroup="5:cpu:/docker/a\n4:memory:/docker/a\n")
    group(
        tmp_path / "sys/fs/cgroup/memory",
        memory__limit_in_bytes="500\n",
        memory__usage_in_bytes="600\n",
        memory__stat="total_inactive_file 30\n",
    )

    assert device_module._granted_bytes(tmp_path) == 0


def test_a_machine_without_limits_has_all_that_is_free(tmp_path):
    assert device_module._granted_bytes(tmp_path) is None
    group(tmp_path / "proc/self", cgroup="0::/user\n")
    assert device_module._granted_bytes(tmp_path) is None


def test_free_memory_is_the_smaller_of_what_is_free_and_what_is_granted(monkeypatch):
    monkeypatch.setattr(device_module, "_granted_bytes", lambda: 7)
    assert free_memory_bytes(torch.device("cpu")) == 7


@pytest.mark.parametrize(("fast", "expected"), [(True, torch.bfloat16), (False, torch.float32)])
def test_cpu_uses_half_precision_only_where_it_is_faster(monkeypatch, fast, expected):
    monkeypatch.setattr(device_module, "cpu_has_fast_bfloat16", lambda: fast)
    assert resolve_precision("auto", torch.device("cpu")) == expected


def test_precision_is_what_is_asked_for_or_refused():
    cpu = torch.device("cpu")
    assert resolve_precision("float32", cpu) == torch.float32
    assert resolve_precision("auto", torch.device("cuda:0")) == torch.float16
    with pytest.raises(SettingsError, match="'double'; use one of auto, float32"):
        resolve_precision("double", cpu)
