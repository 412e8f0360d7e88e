"""What a model says about itself, in plain words and as rich text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Words of `engine.annotation`, which would load torch.
BACKGROUND, CELL = "background", "cell"

if TYPE_CHECKING:
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
_COLUMN_PERCENT = 16
_AP_TEXT = (
    "AP 0.5 is the share of right cells among all that were found or missed: 1 is perfect. A cell "
    "is right if it and the true one share half of the area that they cover together; for AP 0.9, "
    "nine tenths."
)
_TITLES = {"": "Test images", "pooled": "All cells together"}


def model_html(model: LoadedModel) -> str:
    """All that is known about a loaded model; every text of the file is escaped."""
    description = model.network.description
    sections = {
        "What it expects": _expectations(description),
        "What it finds": _classes(description),
        "Trained on": [description.training_data or _UNKNOWN],
        "How well it does": [],
        "Licence": [_sentence(description.licence) or _UNKNOWN],
        "History": [_training(entry) for entry in description.history] or [_UNKNOWN],
        "The network": _network(model),
        "The file": _file(model),
    }
    parts = [f"<h2>{escape(description.name)}</h2>", _paragraphs([description.summary])]
    for heading, lines in sections.items():
        body = _paragraphs(lines) if lines else _scores(description.metrics)
        parts.append(f"<h4>{heading}</h4>{body}")
    return "".join(parts)


def _paragraphs(lines: Iterable[str]) -> str:
    return "".join(f"<p>{escape(line)}</p>" for line in lines if line)


def _sentence(text: str) -> str:
    return text if not text or text.endswith(".") else f"{text}."


def _number(value: object, digits: int = 3) -> str:
    """Show a number shortly, and anything else as it is: the file may hold whatever it likes."""
    if isinstance(value, float):
        return str(round(value)) if abs(value) >= 10**digits else f"{value:.{digits}g}"
    return str(value)


def _expectations(description: NetworkDescription) -> list[str]:
    channels = description.unet.in_channels
    kinds = {1: "grey images; colour is turned to grey", 3: "grey or colour (RGB) images"}
    if not description.history:
        # Nobody knows whether it has ever seen grey ones.
        kinds[3] = "colour images (RGB); a single channel is repeated"
    kind = kinds.get(channels, f"images of {channels} channels; a single one is repeated")
    flat = "3-D " if description.unet.ndim == 3 else ""
    return [
        f"Images: {flat}{kind}.",
        _cell_size(description),
        _intensities(description),
    ]


def _cell_size(description: NetworkDescription) -> str:
    diameter, pixel = description.object_diameter_px, description.pixel_size_um
    if diameter is None and pixel is None:
        return "Cell size: it does not say which it was trained on."
    at = f"at {_number(pixel)} µm per pixel"
    if diameter is None:
        return f"Cell size: images {at}; those of another pixel size are resized to it."
    size = f"Cell size: about {_number(diameter, 2)} px across"
    if pixel is not None:
        size += f" {at}, which is {_number(diameter * pixel, 2)} µm"
    scale = _of(description.history[-1] if description.history else {}, "settings", "augmentation")
    if isinstance(scale.get("scale"), float) and scale["scale"] > 1:
        size += f"; in training also {_number(scale['scale'])} times smaller and larger"
    return f"{size}. If yours differ, set the cell size in 'Segment cells': the image is resized."


def _intensities(description: NetworkDescription) -> str:
    text, seen = description.normalization.expectation, description.intensity
    if seen is not None:
        text += (
            f" In training they were {seen.dtype}, the dark parts at about {_number(seen.low)} and "
            f"the bright ones at about {_number(seen.high)}."
        )
    return f"Intensities: {text}"


def _classes(description: NetworkDescription) -> list[str]:
    roles, tuned = description.class_roles, description.instances
    if BACKGROUND not in roles or CELL not in roles:
        told = _list_of(roles, "and")
        return [f"At each pixel {told}: none is called a cell, so it cannot segment as it is."]
    lines = [f"At each pixel, how likely it is {_list_of(roles)}."]
    if "border" in roles:
        lines.append("The border class keeps touching cells apart.")
    how = "Tuned for it" if description.history else "To begin with"
    lines.append(
        f"{how}: a cell where the score is above {_number(tuned.foreground_threshold)}, "
        f"seeds above {_number(tuned.seed_threshold)}, cells of at least {tuned.min_size_px} px"
        + (f" and a mean score of {_number(tuned.min_score)}." if tuned.min_score else ".")
    )
    return lines


def _list_of(words: Iterable[str], last_word: str = "or") -> str:
    *others, last = words
    return f"{', '.join(others)} {last_word} {last}" if others else last


def _training(entry: object) -> str:
    if not isinstance(entry, Mapping):
        return str(entry)
    date, steps = str(entry.get("date", ""))[:10], entry.get("steps")
    origin = f"the model '{entry['started_from']}'" if entry.get("started_from") else "nothing"
    seen = [f"{entry[key]} {key}" for key in ("images", "cells") if key in entry]
    text = f"{steps} steps from {origin}" if steps is not None else f"trained from {origin}"
    text += f" on {' with '.join(seen)}" if seen else ""
    note = f" ({entry['note']})" if entry.get("note") else ""
    return _sentence(f"{date}: {text}{note}" if date else f"{text}{note}")


def _network(model: LoadedModel) -> list[str]:
    network, config = model.network, model.network.description.unet
    count = network.parameter_count
    return [
        _sentence(f"{config.sentence[:1].upper()}{config.sentence[1:]}"),
        f"{count / 1e6:.2f} million parameters." if count else "",
        ""
        if config.is_trainable
        else "Ready-made: it finds cells as it is, and cannot be fine-tuned.",
        f"Large images are computed in tiles, which differ a little: {config.inexact_because}."
        if config.inexact_because
        else "",
        "Changed by hand after it was opened: "
        + ", ".join(
            f"{guess.title.lower()} is {guess.value}"
            for guess in network.description.guesses
            if guess.about in model.guesses
        )
        + "."
        if model.guesses
        else "",
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


def _of(values: object, *keys: str) -> Mapping[str, Any]:
    """Look into nested dictionaries; empty where one is missing."""
    for key in keys:
        values = values.get(key) if isinstance(values, Mapping) else None
    return values if isinstance(values, Mapping) else {}


def _scores(metrics: object) -> str:
    if not isinstance(metrics, Mapping) or not metrics:
        return _paragraphs(["Never measured on test images."])
    plain = [f"{name}: {_number(value)}." for name, value in metrics.items() if not _of(value)]
    tables = {name: _of(value) for name, value in metrics.items() if _of(value)}
    # "AP 0.5, pooled" is the column "AP 0.5" of the table "pooled".
    kinds = dict.fromkeys(_kind(key) for values in tables.values() for key in values)
    text = _paragraphs(plain) + "".join(_table(kind, tables) for kind in kinds)
    if any(str(key).startswith("AP ") for values in tables.values() for key in values):
        text += _paragraphs([_AP_TEXT])
    return text


def _kind(key: object) -> str:
    return str(key).partition(", ")[2]


def _table(kind: str, tables: Mapping[Any, Mapping[Any, Any]]) -> str:
    columns = dict.fromkeys(
        key for values in tables.values() for key in values if _kind(key) == kind
    )
    name_percent = max(40, 100 - _COLUMN_PERCENT * len(columns))
    head = "".join(f"<th>{escape(str(key).partition(', ')[0])}</th>" for key in columns)
    rows = "".join(
        f"<tr><td>{escape(str(name))}</td>"
        + "".join(f"<td>{escape(_score(values.get(key)))}</td>" for key in columns)
        + "</tr>"
        for name, values in tables.items()
    )
    title = _TITLES.get(kind, f"{kind[:1].upper()}{kind[1:]}")
    return (
        f'<table width="100%"><tr><th width="{name_percent}%">{escape(title)}</th>{head}</tr>'
        f"{rows}</table>"
    )


def _score(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if isinstance(value, float) else str(value)
