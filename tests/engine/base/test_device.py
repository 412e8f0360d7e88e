"""Devices, their free memory, and precision."""

import pytest
import torch

from napari_unet.engine.base import device as device_module
from napari_unet.engine.base.device import (
    DeviceState,
    device_states,
    free_memory_bytes,
    preferred_device,
    resolve_device,
    resolve_precision,
)
from napari_unet.engine.base.errors import DeviceError, SettingsError


def test_cpu_is_always_there_and_has_memory():
    cpu = resolve_device("cpu")
    assert cpu.type == "cpu"
    assert free_memory_bytes(cpu) > 0
    assert device_states()[-1].text.startswith("CPU, ")


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
