"""A trained network that is written as a version, in a worker's thread."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from napari_unet.session import LoadedModel, read_model
from napari_unet.versions.autosave import InterruptedTraining
from napari_unet.versions.history import ModelHistory
from napari_unet.widgets.train.review.comparison import Compared

if TYPE_CHECKING:
    from napari_unet.engine.networks.network import Network
    from napari_unet.widgets.train.reports import Trained


def keep_trained(
    history: ModelHistory, trained: Trained, compared: Compared | None, parent: str | None
) -> LoadedModel:
    """Keep what came of a training, and how it differs from the version with the id `parent`.

    Raises
    ------
    CheckpointError
        If it cannot be written.
    """
    metrics = {"steps": trained.steps} | (compared.metrics if compared else {})
    sentence = compared.sentence if compared else ""
    return _kept(history, trained.network, metrics, sentence, parent)


def keep_interrupted(history: ModelHistory, interrupted: InterruptedTraining) -> LoadedModel:
    """Keep what a training had learned that ended with an earlier napari.

    Raises
    ------
    CheckpointError
        If its state is gone or damaged, or the version cannot be written.
    """
    from napari_unet.engine.training.state import load_interrupted

    sentence = f"Interrupted after step {interrupted.step}."
    metrics = {"steps": interrupted.step}
    return _kept(history, load_interrupted(interrupted.state), metrics, sentence)


def _kept(
    history: ModelHistory,
    network: Network,
    metrics: Mapping[str, Any],
    sentence: str,
    parent: str | None = None,
) -> LoadedModel:
    # Never the name of what it started from; "nuclei 2", then "nuclei 3".
    stem = re.sub(r" \d+$", "", network.description.name)
    version = history.keep(
        network, metrics=metrics, parent=parent, sentence=sentence, name=f"{stem} 2"
    )
    return read_model(str(version.path))
