"""Training by the paper's method: weighted loss, elastic deformation, best state kept."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from napari_unet.engine.models.checkpoint import as_network
from napari_unet.engine.networks.network import Network, NetworkDescription, new_network
from napari_unet.engine.training.knowledge.bank import Bank
from napari_unet.engine.training.pairs import TrainingPair, new_description
from napari_unet.engine.training.run import TrainingRun
from napari_unet.engine.training.scoring import never
from napari_unet.engine.training.settings import TrainingSettings


def train(
    pairs: Sequence[TrainingPair],
    network: Network | str | os.PathLike[str] | None = None,
    *,
    settings: TrainingSettings | None = None,
    validation: Sequence[TrainingPair] = (),
    device: str = "auto",
    description: NetworkDescription | None = None,
    bank: Bank | None = None,
    resume_from: str | Path | None = None,
    should_stop: Callable[[], bool] = never,
) -> TrainingRun:
    """Train a network on images and their true cells.

    Parameters
    ----------
    pairs : sequence of TrainingPair
    network : Network, str or path, optional
        Where to start, also by its name or file; it is not changed. Without
        it a new network is made.
    settings : TrainingSettings, optional
        Without them those for going on from `network`, or for a new one.
    validation : sequence of TrainingPair
        Held-out images; the state that segments them best is kept, or the one
        with the least loss on them where they show fewer than 30 cells.
        Without them the last state is. `hold_out` chooses them.
    device : str
        "auto", "cpu", "cuda:0" or "mps".
    description : NetworkDescription, optional
        Of a new network; `new_description(pairs)` without it.
    bank : Bank, optional
        Labelled images of what `network` knows, to be learned again beside the
        new ones and to judge what was learned; that of the bundled model which
        it is or descends from if left out. `known_bank` has also what lies
        beside a model file.
    resume_from : path, optional
        State written by `TrainingRun.save_state`. One that was interrupted
        goes on exactly as if it had not been; one that had come to its end
        goes on from there for as long again.
    should_stop : callable
        Asked after each tile of a validation; once it is true the validation
        is broken off, and made up for when the run goes on.

    Returns
    -------
    TrainingRun
        An iterator of TrainingReport; stop by no longer iterating. Its
        `network` is the best so far at any moment.

    Raises
    ------
    TrainingError, LabelsError, ImageError, SettingsError
        If there is nothing to learn from, or the data do not fit the network.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_unet import TrainingPair, TrainingSettings, train
    >>> labels = np.zeros((64, 64), int)
    >>> labels[8:24, 8:24] = 1
    >>> pair = TrainingPair(image=100.0 * (labels > 0), labels=labels)
    >>> settings = TrainingSettings(steps=2, batch_size=1, patch_size_px=64)
    >>> run = train([pair], "nuclei", settings=settings)
    >>> [report.step for report in run]
    [1, 2]
    >>> run.shortfall
    'The network has hardly learned: at least 300 steps are needed, and it took 2; train further.'
    >>> run.network.description.history[-1]["cells"]
    1
    """
    network = None if network is None else as_network(network)
    known = network.description if network else description or new_description(pairs)
    if settings is None:
        usual = TrainingSettings.fine_tuning if network else TrainingSettings.from_nothing
        settings = usual(ndim=known.architecture.ndim)
    run = TrainingRun(
        pairs,
        network or new_network(known, settings.seed),
        settings=settings,
        validation=validation,
        device=device,
        bank=bank,
        started_from=network.description.name if network else None,
        should_stop=should_stop,
    )
    if resume_from is not None:
        run.load_state(resume_from)
    return run
