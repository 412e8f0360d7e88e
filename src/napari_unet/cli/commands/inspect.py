"""Say what a model is: its shape, what it was trained on, and how well it does; or list them."""

from __future__ import annotations

import argparse
import json
from typing import Any

from napari_unet.cli.console import report
from napari_unet.cli.model_options import add_loading_options, load_model, model_help
from napari_unet.engine.base.words import count
from napari_unet.engine.models.facts import (
    model_facts,
    parameters_sentence,
    receptive_field_px,
    sight_sentence,
    tiles_sentence,
)
from napari_unet.engine.models.scores import measured_ancestor
from napari_unet.engine.networks.network import Network
from napari_unet.versions.history import bundled_versions, kept_versions

_MOST_LETTERS = 72
_AS_IN_EXPORTS = ("cells", "cell size", "training data", "history", "licence")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument("model", nargs="?", metavar="MODEL", help=model_help())
    parser.add_argument("--json", action="store_true", help="write all of it as JSON")
    add_loading_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the description, or without a model the names of all that there are."""
    if arguments.model is None:
        return _list_models(as_json=arguments.json)
    network = load_model(arguments.model, arguments)
    if arguments.json:
        report(json.dumps(_values(network), indent=2))
        return 0
    facts = _facts(network)
    width = max(map(len, facts))
    for name, value in facts.items():
        report(f"{name:{width}}  {value}")
    for guess in network.description.guesses:
        others = [_shortened(option) for option in guess.options if option != guess.value]
        report(f"guess: {guess.about}={_shortened(guess.value)}")
        report(f"    {guess.reason}")
        if others:
            report(f"    or: {' | '.join(others)}")
    return 0


def _list_models(*, as_json: bool) -> int:
    """Print what can be given as a model by its name, the newest first."""
    versions = (*kept_versions().versions(), *bundled_versions())
    if as_json:
        told = [
            {"name": each.name, "file": str(each.path), "kept": each.date or None}
            for each in versions
        ]
        report(json.dumps(told, indent=2))
        return 0
    width = max(len(each.name) for each in versions)
    for each in versions:
        report(f"{each.name:{width}}  {each.local_date or 'came with the plugin':20}  {each.path}")
    return 0


def _values(network: Network) -> dict[str, Any]:
    config = network.description.architecture
    return {
        **json.loads(network.description.to_json()),
        "parameters": network.parameter_count,
        "receptive_field_px": max(receptive_field_px(config)),
        "size_multiple_px": config.size_multiple,
        "receptive_field_of_axes_px": list(receptive_field_px(config)),
        "size_multiple_of_axes_px": [
            config.along(axis).size_multiple for axis in range(config.ndim)
        ],
        "widths": list(config.widths),
        "can_be_trained": config.is_trainable,
        "tiles_differ_because": config.inexact_because,
    }


def _facts(network: Network) -> dict[str, str]:
    description, config = network.description, network.description.architecture
    told = model_facts(description)
    facts = {
        "name": told["name"],
        "summary": told.get("summary", ""),
        "images": f"{config.ndim}-D, {count(config.in_channels, 'channel')}",
        "classes": ", ".join(description.class_roles),
        # The axes and sizes that it reads are for other programs: here an image may have any.
        "network": ", ".join(
            filter(None, (told["network"], parameters_sentence(network.parameter_count)))
        ),
        "sight": sight_sentence(receptive_field_px(config)),
        "tiles": tiles_sentence(config),
        "training": "" if config.is_trainable else "ready-made, so it cannot be fine-tuned",
        "normalisation": description.normalization.label,
        **{name: told.get(name, "") for name in _AS_IN_EXPORTS},
    }
    for name, metrics in description.metrics.items():
        facts[f"on {name}"] = _metric_facts(metrics)
    ancestor = measured_ancestor(description)
    if ancestor is not None:
        for name, metrics in ancestor.metrics.items():
            facts[f"'{ancestor.name}', not this model, on {name}"] = _metric_facts(metrics)
    return {name: value for name, value in facts.items() if value}


def _shortened(text: str) -> str:
    """Write the roles of many channels in one line."""
    return text if len(text) <= _MOST_LETTERS else f"{text[: _MOST_LETTERS - 4]} ..."


def _metric_facts(metrics: object) -> str:
    if not isinstance(metrics, dict):
        return str(metrics)
    return ", ".join(
        f"{key} {value:.3f}" if isinstance(value, float) else f"{key} {value}"
        for key, value in metrics.items()
    )
