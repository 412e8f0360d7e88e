"""The number format and the layout in memory in which a network learns."""

from __future__ import annotations

import torch
from torch import nn

from napari_unet.engine.base.device import resolve_precision
from napari_unet.engine.base.settings import Precision
from napari_unet.engine.networks.architecture import NetworkModule


def learning_precision(
    wanted: Precision, device: torch.device, unet: NetworkModule, shape: tuple[int, ...]
) -> torch.dtype:
    """Number format in which a network learns from patches of a shape.

    Parameters
    ----------
    unet : NetworkModule
        On the device.
    shape : tuple of int
        Of a patch as it goes in.
    """
    precision = resolve_precision(wanted, device)
    if precision == torch.float16:
        precision = torch.bfloat16  # float16 gradients would need loss scaling
    is_half = precision != torch.float32
    if is_half and device.type == "cpu" and len(shape) == 3 and _sees_two_slices(unet, shape):
        return torch.float32
    return precision


@torch.no_grad()
def _sees_two_slices(unet: NetworkModule, shape: tuple[int, ...]) -> bool:
    """Whether any convolution of it reads exactly two slices.

    Their bfloat16 gradients by the weights are memory that nobody has written (oneDNN of torch
    2.13, with AVX512); with any other number of slices they are right.
    """
    depths: set[int] = set()

    def note(_module: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        depths.add(given[0].shape[2])

    convolutions = [each for each in unet.modules() if isinstance(each, nn.Conv3d)]
    hooks = [each.register_forward_pre_hook(note) for each in convolutions]
    was_training = unet.training
    try:
        unet.eval()(torch.zeros(1, unet.config.in_channels, *shape))
    finally:
        unet.train(was_training)
        for hook in hooks:
            hook.remove()
    return 2 in depths


def learning_format(unet: NetworkModule, device: torch.device) -> torch.memory_format:
    """Layout in which a network learns fastest, which need not be that of segmentation."""
    if device.type != "cpu" or unet.config.ndim != 2:
        return unet.memory_format
    # With AVX2 oneDNN's gradients of 2-D convolutions are a quarter to a half slower in
    # channels-last; elsewhere nobody has measured it.
    if torch.backends.cpu.get_cpu_capability() == "AVX2":
        return torch.contiguous_format
    return unet.memory_format
