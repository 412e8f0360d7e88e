"""What weights do not tell of a network, decided by what evidence there is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from napari_unet.engine.foreign.graph_choices import (
    ACTIVATION,
    ACTIVATION_PLACE,
    AFTER_NORM,
    AFTER_SUM,
    ALIGNED,
    BEFORE_NORM,
    INSTANCE,
    LARGEST,
    LINEAR,
    NEAREST,
    NORM,
    OPTIONS,
    PADDING,
    POOLING,
    RAW_OUTPUT,
    REFLECTED,
    REPEATED,
    SECOND_INPUT,
    SKIP_LAST,
    SKIP_ORDER,
    SUM_ACTIVATION,
    UNPADDED,
    UPSAMPLING,
    ZEROS,
    chosen,
    open_choices,
)
from napari_unet.engine.foreign.guesses import guess_of
from napari_unet.engine.foreign.recognition.conventions import Convention
from napari_unet.engine.foreign.recognition.running_statistics import best_choice
from napari_unet.engine.foreign.recognition.weights import words
from napari_unet.engine.networks.layer_list import LayerList
from napari_unet.engine.networks.layers import Activation, Norm
from napari_unet.engine.networks.network import Guess

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


_COMMON = {
    ACTIVATION: ("ReLU", "most U-Nets have it"),
    ACTIVATION_PLACE: (AFTER_NORM, "most networks have it there"),
    SUM_ACTIVATION: (AFTER_SUM, "residual networks have it there"),
    SKIP_ORDER: (SKIP_LAST, "a few more U-Nets join them in this order than in the other"),
    UPSAMPLING: (LINEAR, "most U-Nets without transposed convolutions enlarge so"),
    POOLING: (LARGEST, "the paper has it"),
    PADDING: (ZEROS, "most U-Nets keep the size of the image"),
    NORM: (INSTANCE, "there are no running means"),
    SECOND_INPUT: (RAW_OUTPUT, "the simplest way"),
}


def decided(
    graph: LayerList,
    tensors: Mapping[str, Tensor],
    convention: Convention,
    stored: StoredFacts,
) -> tuple[LayerList, list[Guess]]:
    """Take the likeliest of each choice, and say why.

    Facts that the file names come first, then what the running means tell,
    the public layout, and what most networks have.
    """
    guesses = []
    for about in open_choices(graph):
        value, reason = _decision(graph, about, tensors, convention, stored)
        if value != _COMMON[about][0]:
            graph = chosen(graph, about, value)
        guesses.append(guess_of(about, value, reason))
    return graph, guesses


def _decision(
    graph: LayerList,
    about: str,
    tensors: Mapping[str, Tensor],
    convention: Convention,
    stored: StoredFacts,
) -> tuple[str, str]:
    said = stored.choice(about)
    if said is not None:
        return said[0], f"the file says {said[1]}"
    measured = _measured(graph, about, tensors)
    if measured is not None:
        return measured, "the running means in the file fit this best"
    if about in convention.choices:
        return convention.choices[about], convention.reason
    if about == ACTIVATION_PLACE and _first_norm_is_late(graph):
        return BEFORE_NORM, "the numbers of its layers leave room for it there"
    if about == NORM:
        return _named_norm(graph)
    value, reason = _COMMON[about]
    return value, f"the file does not tell; {reason}"


def _measured(graph: LayerList, about: str, tensors: Mapping[str, Tensor]) -> str | None:
    if about in (ACTIVATION, SKIP_ORDER):
        return best_choice(graph, tensors, about, OPTIONS[about])
    return None


def _first_norm_is_late(graph: LayerList) -> bool:
    """Whether numbering has put activations before norms already."""
    activations = dict(graph.each(Activation))
    return any(norm.inputs[0] in activations for _, norm in graph.each(Norm))


def _named_norm(graph: LayerList) -> tuple[str, str]:
    norms = [norm for _, norm in graph.each(Norm) if not norm.tracks]
    named = {word.lower() for norm in norms for word in words(norm.name)}
    if named & {"in", "instance", "instancenorm", "inst"}:
        return INSTANCE, "its layers are named so"
    why = (
        "its layers are named so"
        if named & {"gn", "group", "groupnorm"}
        else ("there are no running means, and most networks without have it")
    )
    divided = [n for n in (8, 4, 2, 1) if all(x.channels % n == 0 or x.channels < n for x in norms)]
    return f"{divided[0]} group{'s' * (divided[0] > 1)}", why
