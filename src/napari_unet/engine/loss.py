"""The paper's training loss: softmax cross-entropy, weighted pixel by pixel."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def weighted_cross_entropy(logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Mean softmax cross-entropy of a batch, each pixel counting by its weight.

    Parameters
    ----------
    logits : (N, C, *S) tensor
    target : (N, *S) int64 tensor
        Class index of each pixel.
    weights : (N, *S) float32 tensor
        Not negative; pixels of weight 0 are ignored.

    Returns
    -------
    scalar tensor
        Weighted mean, so that it does not depend on how many pixels count; 0
        if none does.

    References
    ----------
    Ronneberger et al. (2015), Eq. 1. https://arxiv.org/abs/1505.04597
    """
    losses = functional.cross_entropy(logits.float(), target, reduction="none")
    return (losses * weights).sum() / weights.sum().clamp_min(1e-6)
