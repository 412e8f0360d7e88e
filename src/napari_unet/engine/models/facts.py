"""What is known of a network in plain sentences: for exports, the screen and the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

from napari_unet.engine.models.scores import ancestors, learned_from
from napari_unet.engine.networks.architecture import Architecture, AxisConfig
from napari_unet.engine.networks.class_roles import is_cell
from napari_unet.engine.networks.network import NetworkDescription
from napari_unet.engine.networks.output_meaning import OutputMeaning

PROGRAM = "napari-unet-cells"

_AXES = {2: ("height", "width"), 3: ("depth", "height", "width")}


def model_facts(description: NetworkDescription) -> dict[str, str]:
    """Return what is known of a network, under short headings; what is not known is left out.

    Returns
    -------
    dict of str to str
        "output" is about scores, which `output_gives_scores` tells from other values.
    """
    config = description.architecture
    facts = {
        "name": description.name,
        "summary": description.summary,
        "network": config.sentence,
        "input": input_sentence(description),
        "sizes": sizes_sentence(config),
        "output": output_sentence(description),
        "cells": cells_sentence(description),
        "cell size": _cell_size(description),
        "training data": " ".join(training_data_sentences(description)),
        "history": "; ".join(map(training_sentence, description.history)),
        "licence": description.licence,
        "written by": f"{PROGRAM} {program_version()}".strip(),
    }
    return {name: text for name, text in facts.items() if text}


def program_version() -> str:
    """Version of this program as it was installed; empty where it only lies there."""
    try:
        return metadata.version(PROGRAM)
    except metadata.PackageNotFoundError:
        return ""


def output_gives_scores(config: Architecture) -> bool:
    """Whether softmax makes probabilities of the network's output, and not of colours."""
    return config.meaning is None or config.meaning.final != "none"


def input_sentence(description: NetworkDescription) -> str:
    """Say which axes, type and intensities the network reads."""
    config = description.architecture
    axes = ", ".join(("batch", f"{config.in_channels} channels", *_AXES[config.ndim]))
    axes = axes.replace("1 channels", "1 channel") if config.in_channels == 1 else axes
    repeated = " A grey image is repeated in all channels." if config.in_channels == 3 else ""
    return f"float32 ({axes}). {description.normalization.sentence}{repeated}"


def sizes_sentence(config: Architecture) -> str:
    """Say which image sizes fit, and how large the output is."""
    axes = [config.along(axis) for axis in range(config.ndim)]
    lengths = [_length_sentence(each) for each in axes]
    if len(set(lengths)) == 1:
        text = f"The length of each axis of the image is {lengths[0]}; "
    else:
        named = zip(_AXES[config.ndim], lengths, strict=True)
        text = f"{'; '.join(f'The {name} is {length}' for name, length in named)}; "
    if not config.size_loss_px:
        return f"{text}the output has the size of the image."
    lost = [str(each.size_loss_px // 2) for each in axes]
    if len(set(lost)) == 1:
        return f"{text}the output lacks {lost[0]} pixels at both ends of each axis."
    return f"{text}the output lacks {', '.join(lost)} pixels at both ends of its axes."


def _length_sentence(axis: AxisConfig) -> str:
    multiple, least = axis.size_multiple, axis.valid_input_size(1)
    rest = least % multiple
    length = f"{rest} plus a multiple of {multiple}" if rest else f"a multiple of {multiple}"
    return f"{length} pixels, {least} or more"


def output_sentence(description: NetworkDescription) -> str:
    """Say what the exported network gives out, its softmax included."""
    config, roles = description.architecture, description.class_roles
    axes = ", ".join(("batch", f"{len(roles)} channels", *_AXES[config.ndim]))
    if not output_gives_scores(config):
        return f"float32 ({axes}): {', '.join(roles)}."
    return (
        f"float32 ({axes}): the probabilities of {', '.join(roles)}, in this order, which add "
        "up to 1 at each pixel."
    )


def author_output_sentence(description: NetworkDescription) -> str:
    """Say what the author's own network gives out, before anything is made of it."""
    config = description.architecture
    meaning = config.meaning or OutputMeaning("softmax", description.class_roles)
    listed = ", ".join(meaning.channels)
    return {
        "softmax": f"Logits; softmax over the channels makes them the probabilities of {listed}.",
        "sigmoid": f"Logits; a sigmoid makes each channel a probability, of {listed}.",
        "probability": f"Each channel is a probability, of {listed}.",
        "none": f"The channels are {listed}.",
    }[meaning.final]


def cells_sentence(description: NetworkDescription) -> str:
    """Say how cells are made of the scores; empty if the classes are no cells."""
    roles, settings = description.class_roles, description.instances
    if "background" not in roles or not any(map(is_cell, roles)):
        return ""
    foreground = f"1 - background is above {settings.foreground_threshold:g}"
    if not settings.separate_touching:
        return (
            f"Each connected piece of pixels where {foreground} is a cell; those of fewer than "
            f"{settings.min_size_px} pixels are dropped."
        )
    judged = settings.judges_borders and description.architecture.ndim == 2
    cell_score = "the sum of the cells' scores" if description.cell_types else "the cell score"
    parted = ", parted at waists as far as the model takes them for borders between cells,"
    return (
        f"Cells are where {foreground}; each connected piece where {cell_score} is above "
        f"{settings.seed_threshold:g}{parted if judged else ''} begins one, and a watershed gives "
        "the other pixels to them. "
        f"Cells of fewer than {settings.min_size_px} pixels are dropped."
        f"{' A cell has the type of the highest mean score in it.' * bool(description.cell_types)}"
    )


def training_sentence(entry: Mapping[str, Any], *, model_word: str = "") -> str:
    """Say when, from what and on how much a network was trained.

    Parameters
    ----------
    entry : mapping
        One of a description's `history`; it may hold anything.
    model_word : str
        What stands before the name of the model that it started from: "the model ".
    """
    date, steps, origin = str(entry.get("date", ""))[:10], entry.get("steps"), "started_from"
    text = f"{steps} steps" if steps is not None else "trained"
    if origin in entry:
        text += f" from {model_word}'{entry[origin]}'" if entry[origin] else " from nothing"
    seen = learned_from(entry)
    text += f" on {seen}" if seen else ""
    text += f" ({entry['note']})" if entry.get("note") else ""
    return f"{date}: {text}" if date else text


def training_data_sentences(description: NetworkDescription) -> list[str]:
    """Say on what a network was trained, and before on what those that it went on from were."""
    return [
        *([description.training_data] if description.training_data else []),
        *(
            f"Before that, '{each.name}' was trained on: {each.training_data}"
            for each in ancestors(description)
            if each.training_data
        ),
    ]


def parameters_sentence(count: int) -> str:
    """Say how many numbers were trained; empty if that is not known."""
    return f"{count / 1e6:.2f} million parameters" if count else ""


def receptive_field_px(config: Architecture) -> tuple[int, ...]:
    """Pixels along each axis on which one pixel's scores depend."""
    return tuple(2 * config.along(axis).margin_px + 1 for axis in range(config.ndim))


def sight_sentence(field_px: Sequence[int]) -> str:
    """Say on how much of the image one pixel's scores depend; empty if only on that pixel."""
    unit = "pixel" if len(field_px) == 2 else "voxel"
    size = " x ".join(map(str, field_px))
    return f"sees {size} {unit}s around each {unit}" if max(field_px, default=1) > 1 else ""


def tiles_sentence(config: Architecture) -> str:
    """Say why large images come out otherwise than whole ones; empty if they do not."""
    why = config.inexact_because
    return f"Large images are computed in tiles, which differ a little: {why}." if why else ""


def ready_made_sentence(config: Architecture) -> str:
    """Say that a network cannot learn; empty if it can."""
    ready_made = "Ready-made: it finds cells as it is, and cannot be fine-tuned."
    return "" if config.is_trainable else ready_made


def _cell_size(description: NetworkDescription) -> str:
    diameter, pixel = description.object_diameter_px, description.pixel_size_um
    parts = []
    if diameter is not None:
        parts.append(f"cells of about {diameter:.3g} pixels across")
    if pixel is not None:
        parts.append(f"pixels of {pixel:.3g} µm")
    size = f"Trained on {' and '.join(parts)}; resize images to that." if parts else ""
    if description.spacing is None:
        return size
    apart = f"Slices were {description.anisotropy:.3g} pixels apart."
    return f"{size} {apart}".strip()
