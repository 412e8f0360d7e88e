"""Where the network runs, in which precision, and how much memory is there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import get_args

import torch

from napari_unet.engine.base.errors import DeviceError, SettingsError
from napari_unet.engine.base.host_memory import free_host_bytes
from napari_unet.engine.base.settings import Precision

_GIB = 1 << 30
"""What shops and most operating systems call a GB of memory."""

_LOST = (RuntimeError, AssertionError)
"""What torch raises for a GPU that another program has for itself, or that is gone."""


@dataclass(frozen=True, slots=True)
class DeviceState:
    """A device of this machine, as it is at the moment.

    Parameters
    ----------
    name : str
        As `resolve_device` takes it.
    model : str
        For people, for example "NVIDIA A100".
    free_bytes : int, optional
        Memory that can still be taken; None if the device does not answer.
    is_preferred : bool
        Whether it is what "auto" stands for.
    host_number_bytes : int
        Of a number of the network in the computer's memory; 0 for a GPU,
        which has its own.
    """

    name: str
    model: str
    free_bytes: int | None
    is_preferred: bool = False
    host_number_bytes: int = 0

    @property
    def text(self) -> str:
        """One line for people: "NVIDIA A100 (cuda:0), 37.2 GB free"."""
        label = f"{self.model} ({self.name})" if self.name != "cpu" else self.model
        if self.free_bytes is None:
            return f"{label}, does not answer"
        return f"{label}, {self.free_bytes / _GIB:.1f} GB free"


def device_states() -> tuple[DeviceState, ...]:
    """Every device of this machine with its free memory, the preferred one first.

    Asking a GPU takes some of its memory, and seconds the first time.
    """
    states = tuple(device_state(torch.device(name)) for name in device_names())
    preferred = preferred_device(states)
    return tuple(replace(state, is_preferred=state.name == preferred) for state in states)


def device_state(device: torch.device) -> DeviceState:
    """Model and free memory of one device."""
    try:
        free: int | None = free_memory_bytes(device)
    except _LOST:
        free = None
    number_bytes = resolve_precision("auto", device).itemsize if device.type == "cpu" else 0
    return DeviceState(str(device), _model(device), free, host_number_bytes=number_bytes)


def _model(device: torch.device) -> str:
    if device.type == "cuda":
        try:
            return str(torch.cuda.get_device_name(device))
        except _LOST:
            return "GPU"
    if device.type == "mps":
        return "Apple GPU"
    return "CPU"


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
        return torch.device(next(state.name for state in device_states() if state.is_preferred))
    if wanted == "cuda":
        wanted = "cuda:0"
    if wanted not in available:
        raise DeviceError(
            f"Device {name!r} is not there; this machine has {', '.join(available)}. "
            "Choose one of these or 'auto'."
        )
    return torch.device(wanted)


def preferred_device(states: tuple[DeviceState, ...]) -> str:
    """What "auto" stands for: the GPU with the most free memory, or the CPU.

    A busy neighbour is left alone, and so is a GPU that does not answer.
    """
    gpus = [state for state in states if state.name != "cpu" and state.free_bytes is not None]
    return max(gpus, key=lambda state: state.free_bytes or 0).name if gpus else "cpu"


def free_memory_bytes(device: torch.device) -> int:
    """Bytes that can still be taken on `device` without swapping."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free + reserved)
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory())
    return free_host_bytes()


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
    found: torch.dtype = getattr(torch, precision)
    return found
