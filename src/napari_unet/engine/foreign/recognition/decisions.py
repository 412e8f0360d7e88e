"""What weights do not tell of a network, decided by what evidence there is."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from napari_unet.engine.foreign.graph_choices import (
    ACTIVATION,
    ACTIVATION_PLACE,
    AFTER_NORM,
    AFTER_SUM,
    BEFORE_NORM,
    INSTANCE,
    LARGEST,
    LINEAR,
    NORM,
    OPTIONS,
    PADDING,
    POOLING,
    RAW_OUTPUT,
    SECOND_INPUT,
    SKIP_LAST,
    SKIP_ORDER,
    SUM_ACTIVATION,
    UPSAMPLING,
    ZEROS,
    chosen,
    open_choices,
)
from napari_unet.engine.foreign.guess_options import guess_of
from napari_unet.engine.foreign.recognition.conventions import Convention
from napari_unet.engine.foreign.recognition.running_statistics import best_choice
from napari_unet.engine.foreign.recognition.stored_facts import StoredFacts
from napari_unet.engine.foreign.recognition.weight_layers import words
from napari_unet.engine.networks.guess import Guess
from napari_unet.engine.networks.layer_list import LayerList
from napari_unet.engine.networks.layers import Activation, Norm

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
    convention: Convention | None,
    stored: StoredFacts,
) -> tuple[LayerList, list[Guess]]:
    """Take the likeliest of each choice, and say why.

    Facts that the file names come first, then what the running means tell,
    the public layout, and what most networks have.

    Parameters
    ----------
    graph : LayerList
    tensors : mapping of str to Tensor
        The state dict.
    convention : Convention, optional
        The public layout that the layers are named as.
    stored : StoredFacts

    Returns
    -------
    LayerList
    list of Guess
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
    convention: Convention | None,
    stored: StoredFacts,
) -> tuple[str, str]:
    said = stored.choice(about)
    if said is not None:
        return said[0], f"the file says {said[1]}"
    measured = _measured(graph, about, tensors)
    if measured is not None:
        return measured, "the running means in the file fit this best"
    if convention is not None and about in convention.choices:
        return convention.choices[about], f"its layers are named as in {convention.whose}"
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
