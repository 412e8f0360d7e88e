"""What a file says of a network beside its weights: hyper-parameters under the usual names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_unet.engine.foreign.graph_choices import (
    ACTIVATION,
    ALIGNED,
    INSTANCE,
    LINEAR,
    NEAREST,
    NORM,
    OPTIONS,
    PADDING,
    REFLECTED,
    REPEATED,
    UNPADDED,
    UPSAMPLING,
    ZEROS,
)

_DEEPEST = 3
_MOST_NUMBERS = 16

_ACTIVATIONS = {
    "relu": "ReLU",
    "leakyrelu": "leaky ReLU (0.01)",
    "lrelu": "leaky ReLU (0.01)",
    "elu": "ELU",
    "selu": "SELU",
    "gelu": "GELU",
    "silu": "SiLU",
    "swish": "SiLU",
    "mish": "Mish",
}
_PADDINGS = {
    "same": ZEROS,
    "zeros": ZEROS,
    "reflect": REFLECTED,
    "replicate": REPEATED,
    "valid": UNPADDED,
}
_ENLARGEMENTS = {"nearest": NEAREST, "bilinear": LINEAR, "trilinear": LINEAR, "upsample": LINEAR}

_SAID: tuple[tuple[str, str, Mapping[Any, str]], ...] = (
    (ACTIVATION, "activation act nonlin nonlinearity", _ACTIVATIONS),
    (PADDING, "padding", {True: ZEROS, False: UNPADDED}),
    (PADDING, "padding padding_mode conv_mode", _PADDINGS),
    (UPSAMPLING, "align_corners", {True: ALIGNED, False: LINEAR}),
    (UPSAMPLING, "upsampling upsample_mode up_mode interpolation", _ENLARGEMENTS),
    (NORM, "norm normalization", {"instance": INSTANCE, "in": INSTANCE}),
)
"""A choice, names that hyper-parameters about it have, and what their values mean."""


class StoredFacts:
    """Looks up what a file says.

    Parameters
    ----------
    facts : mapping
        Whatever stood beside the weights; dicts within it are looked into.
    """

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self._facts: dict[str, Any] = {}
        self._gather(facts, 0)

    def _gather(self, facts: Mapping[Any, Any], depth: int) -> None:
        for key, value in facts.items():
            if isinstance(value, Mapping) and depth < _DEEPEST:
                self._gather(value, depth + 1)
            elif isinstance(key, str):
                self._facts.setdefault(key.lower(), value)

    def choice(self, about: str) -> tuple[str, str] | None:
        """Value of a choice that the file names, and the words in which it does.

        Parameters
        ----------
        about : str
            A key of `graph_choices.OPTIONS`.
        """
        groups = self.numbers("num_groups", "n_groups", "norm_groups") if about == NORM else None
        for value in (f"{groups[0]:g} groups", f"{groups[0]:g} group") if groups else ():
            if value in OPTIONS[NORM]:
                return value, f"num_groups = {value.split()[0]}"
        for choice, names, meanings in _SAID:
            for name in names.split() if choice == about else ():
                said = self._facts.get(name)
                key = _plain(said) if isinstance(said, str) else said
                # A number is no answer: 1 would be taken for True.
                if isinstance(key, str | bool) and key in meanings:
                    return meanings[key], f"{name} = {said}"
        return None

    def numbers(self, *names: str) -> tuple[float, ...] | None:
        """Numbers, one or a few, that the file gives under one of these names."""
        for name in names:
            value = self._facts.get(name)
            values = value if isinstance(value, list | tuple) else [value]
            if 0 < len(values) <= _MOST_NUMBERS and all(type(v) in (int, float) for v in values):
                return tuple(map(float, values))
        return None


def _plain(value: str) -> str:
    """The word in "torch.nn.LeakyReLU()" or "leaky_relu": "leakyrelu"."""
    return value.lower().rpartition(".")[2].replace("_", "").replace("()", "")
