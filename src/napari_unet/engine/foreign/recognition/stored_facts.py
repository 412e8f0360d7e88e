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
        if about == ACTIVATION:
            return self._word(_ACTIVATIONS, "activation", "act", "nonlin", "nonlinearity")
        if about == PADDING:
            return self._flag({True: ZEROS, False: UNPADDED}, "padding") or self._word(
                _PADDINGS, "padding", "padding_mode", "conv_mode"
            )
        if about == UPSAMPLING:
            aligned = self._flag({True: ALIGNED, False: LINEAR}, "align_corners")
            return aligned or self._word(
                _ENLARGEMENTS, "upsampling", "upsample_mode", "up_mode", "interpolation"
            )
        if about == NORM:
            return self._norm()
        return None

    def numbers(self, *names: str) -> tuple[float, ...] | None:
        """Numbers, one or a few, that the file gives under one of these names."""
        for name in names:
            value = self._facts.get(name)
            values = value if isinstance(value, list | tuple) else [value]
            if 0 < len(values) <= _MOST_NUMBERS and all(type(v) in (int, float) for v in values):
                return tuple(map(float, values))
        return None

    def _norm(self) -> tuple[str, str] | None:
        groups = self.numbers("num_groups", "n_groups", "norm_groups")
        if groups is not None:
            for value in (f"{groups[0]:g} groups", f"{groups[0]:g} group"):
                if value in OPTIONS[NORM]:
                    return value, f"num_groups = {groups[0]:g}"
        return self._word({"instance": INSTANCE, "in": INSTANCE}, "norm", "normalization")

    def _word(self, meanings: Mapping[str, str], *names: str) -> tuple[str, str] | None:
        for name in names:
            value = self._facts.get(name)
            if isinstance(value, str):
                word = value.lower().rpartition(".")[2].replace("_", "").replace("()", "")
                if word in meanings:
                    return meanings[word], f"{name} = {value}"
        return None

    def _flag(self, meanings: Mapping[bool, str], *names: str) -> tuple[str, str] | None:
        for name in names:
            value = self._facts.get(name)
            if isinstance(value, bool):
                return meanings[value], f"{name} = {value}"
        return None
