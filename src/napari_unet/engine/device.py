"""Where the network runs, in which precision, and how much memory is there."""

from __future__ import annotations

from typing import get_args

import torch

from napari_unet.engine.errors import DeviceError, SettingsError
from napari_unet.engine.settings import Precision

_GIB = 1 << 30


def device_names() -> list[str]:
    """Names that `resolve_device` takes on this machine, the preferred one first."""
    names = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        names.append("mps")
    return [*names, "cpu"]


def resolve_device(name: str = "auto") -> torch.device:
    """Turn "auto", "cpu", "cuda", "cuda:1" or "mps" into a device that is there.

    Raises
    ------
    DeviceError
        If this machine has no such device; the message lists those it has.
    """
    available = device_names()
    wanted = name.strip().lower()
    if wanted == "auto":
        # The GPU with the most free memory; a busy neighbour is left alone.
        gpus = [device for device in available if device.startswith("cuda")]
        if gpus:
            return max(map(torch.device, gpus), key=free_memory_bytes)
        return torch.device(available[0])
    if wanted == "cuda":
        wanted = "cuda:0"
    if wanted not in available:
        raise DeviceError(
            f"Device {name!r} is not there; this machine has {', '.join(available)}. "
            "Choose one of these or 'auto'."
        )
    return torch.device(wanted)


def describe_device(device: torch.device) -> str:
    """One line for people: "NVIDIA A100 (cuda:0), 37.2 GiB free"."""
    free = f"{free_memory_bytes(device) / _GIB:.1f} GiB free"
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} ({device}), {free}"
    if device.type == "mps":
        return f"Apple GPU (mps), {free}"
    return f"CPU ({torch.get_num_threads()} threads), {free}"


def free_memory_bytes(device: torch.device) -> int:
    """Bytes that can still be taken on `device` without swapping."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free + reserved)
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory())
    import psutil

    return int(psutil.virtual_memory().available)


def cpu_has_fast_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware (AVX512-BF16 or AMX)."""
    try:
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    except (AttributeError, RuntimeError):
        return False


def resolve_precision(precision: Precision, device: torch.device) -> torch.dtype:
    """Choose the number format of the network's arithmetic.

    "auto" takes float16 on a CUDA GPU and bfloat16 on a CPU that multiplies
    it in hardware, because both halve the time; float32 elsewhere.

    Raises
    ------
    SettingsError
        If `precision` is unknown.
    """
    if precision not in get_args(Precision):
        raise SettingsError(
            f"Precision is {precision!r}; use one of {', '.join(get_args(Precision))}."
        )
    if precision == "auto":
        if device.type == "cuda":
            return torch.float16
        if device.type == "cpu" and cpu_has_fast_bfloat16():
            return torch.bfloat16
        return torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[
        precision
    ]
