"""A wider U-Net that begins with what a narrower one knows.

The new features have random weights and nothing reads them yet, so that at first the network
computes what the narrow one did; their readers have a gradient from the first step. Copies of
features would keep it, too (Net2Net), but Adam moves copies alike.
"""

from __future__ import annotations

import sys

import torch
from torch import Tensor, nn

from napari_unet.engine.networks.network import Network, NetworkDescription, new_network
from napari_unet.engine.networks.unet import UNetConfig


def widened(narrow: Network, description: NetworkDescription, seed: int) -> Network:
    """`narrow` with the widths of `description`.

    Parameters
    ----------
    narrow : Network
        A U-Net that differs in its widths alone.
    description : NetworkDescription
        Of the result.
    seed : int
        Of the new weights.

    Returns
    -------
    Network
        Of the same scores, up to the arithmetic; the same weights where the widths agree.
    """
    before, after = narrow.description.architecture, description.architecture
    assert isinstance(before, UNetConfig)
    assert isinstance(after, UNetConfig)
    pairs = list(zip(before.widths, after.widths, strict=True))
    if any(wide < old for old, wide in pairs):
        sys.exit(f"The weights are of widths {before.widths}, wider than {after.widths}.")
    result = new_network(description, seed)
    ours, theirs = dict(result.unet.named_modules()), dict(narrow.unet.named_modules())
    with torch.no_grad():
        for name, module in theirs.items():
            parts = _parts(name, pairs)
            for key, old in _tensors(module):
                _place(getattr(ours[name], key), old, module, parts)
    return result


def _tensors(module: nn.Module) -> list[tuple[str, Tensor]]:
    """Its own weights and statistics."""
    return [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]


def _parts(name: str, pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Widths, before and after, of the parts that are joined to the input of a layer."""
    _, _, rest = name.partition("expanding.")
    if not rest.endswith("conv1"):
        return []
    return [pairs[int(rest.partition(".")[0])]] * 2


def _place(new: Tensor, old: Tensor, module: nn.Module, parts: list[tuple[int, int]]) -> None:
    """Put `old` where its features are in `new`, and let them read nothing else."""
    if old.ndim == 0:
        new.copy_(old)
    elif old.ndim == 1:
        new[: len(old)] = old
    else:
        if isinstance(module, nn.ConvTranspose2d | nn.ConvTranspose3d):
            new, old = new.transpose(0, 1), old.transpose(0, 1)
        new[: len(old)] = 0
        there = here = 0
        for before, after in parts or [(old.shape[1], new.shape[1])]:
            new[: len(old), there : there + before] = old[:, here : here + before]
            there, here = there + after, here + before
