"""What a model says about itself, in plain words and as rich text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.engine.base.settings import InstanceSettings
from napari_unet.widgets.model.rich_text import look_into, number, paragraphs, score_tables

# Words of `engine.annotation`, which would load torch.
BACKGROUND = "background"

if TYPE_CHECKING:
    from napari_unet.engine.models.scores import Ancestor
    from napari_unet.engine.networks.network import NetworkDescription
    from napari_unet.session import LoadedModel

STYLE = """
h2 { margin: 0 0 2px 0; }
h4 { margin: 10px 0 1px 0; }
p { margin: 0 0 3px 0; }
th, td { padding: 0 4px 1px 0; }
th { text-align: left; }
"""

_UNKNOWN = "Not recorded."


def model_html(model: LoadedModel) -> str:
    """All that is known about a loaded model; every text of the file is escaped."""
    from napari_unet.engine.models.facts import training_data_sentences
    from napari_unet.engine.models.scores import measured_ancestor

    description = model.network.description
    ancestor = measured_ancestor(description)
    sections = {
        "What it expects": _expectations(description),
        "What it finds": _classes(description),
        "Trained on": training_data_sentences(description) or [_UNKNOWN],
        "How well it does": score_tables(description.metrics, _unmeasured(description)),
        _of_ancestor(ancestor): score_tables(ancestor.metrics, "") if ancestor else "",
        "Licence": [_sentence(description.licence) or _UNKNOWN],
        "History": [_training(entry) for entry in description.history] or [_UNKNOWN],
        "The network": _network(model),
        "The file": _file(model),
    }
    parts = [f"<h2>{escape(description.name)}</h2>", paragraphs([description.summary])]
    for heading, told in sections.items():
        body = told if isinstance(told, str) else paragraphs(told)
        if body:
            parts.append(f"<h4>{escape(heading)}</h4>{body}")
    return "".join(parts)


def _unmeasured(description: NetworkDescription) -> str:
    last: object = description.history[-1] if description.history else {}
    origin = last.get("started_from") if isinstance(last, Mapping) else None
    since = f" since it was trained further from '{origin}'" if origin else ""
    return f"Never measured on test images{since}."


def _of_ancestor(ancestor: Ancestor | None) -> str:
    return "" if ancestor is None else f"How well '{ancestor.name}' did, which is another model"


def _sentence(text: str) -> str:
    return text if not text or text.endswith(".") else f"{text}."


def _expectations(description: NetworkDescription) -> list[str]:
    channels = description.architecture.in_channels
    kinds = {1: "grey images; colour is turned to grey", 3: "grey or colour (RGB) images"}
    if not description.history:
        # Nobody knows whether it has ever seen grey ones.
        kinds[3] = "colour images (RGB); a single channel is repeated"
    kind = kinds.get(channels, f"images of {channels} channels; a single one is repeated")
    flat = "3-D " if description.architecture.ndim == 3 else ""
    return [
        f"Images: {flat}{kind}.",
        _cell_size(description),
        *_slices(description),
        _intensities(description),
    ]


def _cell_size(description: NetworkDescription) -> str:
    diameter, pixel = description.object_diameter_px, description.pixel_size_um
    if diameter is None and pixel is None:
        return "Cell size: it does not say which it was trained on."
    at = f"at {number(pixel)} µm per pixel"
    if diameter is None:
        return f"Cell size: images {at}; those of another pixel size are resized to it."
    size = f"Cell size: about {number(diameter, 2)} px across"
    if pixel is not None:
        size += f" {at}, which is {number(diameter * pixel, 2)} µm"
    scale = look_into(
        description.history[-1] if description.history else {}, "settings", "augmentation"
    )
    if isinstance(scale.get("scale"), float) and scale["scale"] > 1:
        size += f"; in training also {number(scale['scale'])} times smaller and larger"
    return f"{size}. If yours differ, set the cell size in 'Segment cells': the image is resized."


def _slices(description: NetworkDescription) -> list[str]:
    if description.spacing is None or description.anisotropy is None:
        return []
    apart = number(description.anisotropy, 2)
    return [f"Slices: {apart} pixels apart; a volume with others is interpolated to that."]


def _intensities(description: NetworkDescription) -> str:
    text, seen = description.normalization.expectation, description.intensity
    if seen is not None:
        text += (
            f" In training they were {seen.dtype}, the dark parts at about {number(seen.low)} and "
            f"the bright ones at about {number(seen.high)}."
        )
    return f"Intensities: {text}"


def _classes(description: NetworkDescription) -> list[str]:
    from napari_unet.engine.networks.class_roles import is_cell

    roles, tuned = description.class_roles, description.instances
    if description.gives_classes:
        numbers = [
            f"{0 if role == BACKGROUND else number} {role}" for number, role in enumerate(roles, 1)
        ]
        return [f"At each pixel, which class it is: {', '.join(numbers)}."]
    if BACKGROUND not in roles or not any(map(is_cell, roles)):
        told = _list_of(roles, "and")
        return [f"At each pixel {told}: none is called a cell, so it cannot segment as it is."]
    lines = [f"At each pixel, how likely it is {_list_of(roles)}."]
    if description.cell_types:
        types = _list_of(description.cell_types, "and")
        lines.append(f"It tells types of cells apart: {types}.")
    if "border" in roles:
        lines.append("The border class keeps touching cells apart.")
    if tuned.judges_borders:
        lines.append("It has learned to judge the borders between cells that touch.")
    how = "Tuned for it" if description.history else "To begin with"
    lines.append(
        f"{how}: a cell where the score is above {number(tuned.foreground_threshold)}, "
        f"seeds above {number(tuned.seed_threshold)}, cells of at least {tuned.min_size_px} px"
        + (f"{_least_score(tuned)}." if tuned.min_score else ".")
    )
    return lines


def _least_score(tuned: InstanceSettings) -> str:
    if tuned.score_calibration is None:
        return f" and a mean score of {number(tuned.min_score)}"
    return f" that are right with a probability of {100 * tuned.min_score:.0f} % or more"


def _list_of(words: Iterable[str], last_word: str = "or") -> str:
    *others, last = words
    return f"{', '.join(others)} {last_word} {last}" if others else last


def _training(entry: object) -> str:
    from napari_unet.engine.models.facts import training_sentence

    if not isinstance(entry, Mapping):
        return str(entry)
    return _sentence(training_sentence(entry, model_word="the model "))


def _network(model: LoadedModel) -> list[str]:
    from napari_unet.engine.models.facts import (
        parameters_sentence,
        ready_made_sentence,
        tiles_sentence,
    )

    network, config = model.network, model.network.description.architecture
    changed = ", ".join(
        f"{guess.title.lower()} is {guess.value}"
        for guess in network.description.guesses
        if guess.about in model.guesses
    )
    return [
        _sentence(f"{config.sentence[:1].upper()}{config.sentence[1:]}"),
        _sentence(parameters_sentence(network.parameter_count)),
        ready_made_sentence(config),
        tiles_sentence(config),
        f"Changed by hand after it was opened: {changed}." if model.guesses else "",
    ]


def _file(model: LoadedModel) -> list[str]:
    source = model.source
    size = f"{model.file_bytes / 1e6:.1f} MB." if model.file_bytes else ""
    where = "Only in memory, not saved." if not source else f"File: {source}"
    if source and Path(source).name == source and not Path(source).suffix:
        where = "Comes with the plugin."
    return [
        where,
        size,
        f"SHA-256 starts with {model.file_hash}." if model.file_hash else "",
    ]
