"""What torch raises where memory runs out or a GPU is gone, and what a person is told then."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch

from napari_unet.engine.base.errors import DeviceError

Result = TypeVar("Result")

# torch has a class of its own for a GPU only; these are what its other allocators say.
_OUT_OF_MEMORY = ("out of memory", "not enough memory", "can't allocate memory", "alloc_failed")

# What torch says when a GPU is unplugged, reset, or its driver restarts.
_LOST_GPU = ("cuda error", "cudnn_status", "cublas_status", "driver shutting down", "mps backend")


def result_if_it_fits(compute: Callable[[], Result], device: torch.device) -> Result | None:
    """Compute something, or return None where memory runs out, to try again with less.

    Raises
    ------
    DeviceError
        If the GPU stopped answering; any other error of `compute` as it is.
    """
    try:
        return compute()
    except (MemoryError, RuntimeError) as error:
        if is_out_of_memory(error):
            return None
        _explain_if_lost(device, error)
        raise


@contextmanager
def gpu_errors_explained(device: torch.device) -> Iterator[None]:
    """Say what to do where a GPU is lost, or too full for what must be there.

    Raises
    ------
    DeviceError
        In place of torch's own error.
    """
    try:
        yield
    except RuntimeError as error:
        if device.type != "cpu" and is_out_of_memory(error):
            raise DeviceError(
                f"There is not enough free memory on {device} for the model; close other programs "
                "that use the GPU, or choose another device."
            ) from error
        _explain_if_lost(device, error)
        raise


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or in the computer."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return _says(error, _OUT_OF_MEMORY)


def _explain_if_lost(device: torch.device, error: Exception) -> None:
    if device.type != "cpu" and _says(error, _LOST_GPU):
        raise DeviceError(
            f"The GPU ({device}) stopped answering ({str(error).splitlines()[0]}); choose the CPU "
            "as device and run again, or restart napari to use the GPU."
        ) from error


def _says(error: BaseException, phrases: Sequence[str]) -> bool:
    text = str(error).lower()
    return any(phrase in text for phrase in phrases)
