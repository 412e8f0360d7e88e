"""The paper's training loss: softmax cross-entropy, weighted pixel by pixel."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def weighted_cross_entropy(
    logits: Tensor, target: Tensor, weights: Tensor, *, total: Tensor | None = None
) -> Tensor:
    """Mean softmax cross-entropy of a batch, each pixel counting by its weight.

    Parameters
    ----------
    logits : (N, C, *S) tensor
    target : (N, *S) int64 tensor
        Class index of each pixel.
    weights : (N, *S) float32 tensor
        Not negative; pixels of weight 0 are ignored.
    total : scalar tensor, optional
        Sum of the weights of the whole batch, where this is part of one.

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
    total = weights.sum() if total is None else total
    return (losses * weights).sum() / total.clamp_min(1e-6)


def distillation_loss(logits: Tensor, scores: Tensor) -> Tensor:
    """How far a network is from what it said before: the mean Kullback-Leibler divergence.

    Parameters
    ----------
    logits : (N, C, *S) tensor
    scores : (N, C, *S) float32 tensor
        Probabilities that the network gave before.

    Returns
    -------
    scalar tensor
        0 where nothing has changed.

    References
    ----------
    Li and Hoiem (2016), Learning without forgetting. https://arxiv.org/abs/1606.09282
    """
    now = functional.log_softmax(logits.float(), 1)
    return (torch.xlogy(scores, scores) - scores * now).sum(1).mean()
