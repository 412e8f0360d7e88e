"""A network at the end of its training: thresholds that suit, and how good it is."""

from __future__ import annotations

from dataclasses import dataclass, replace

from napari_unet.engine.labels.cell_types import TypeEvaluation
from napari_unet.engine.labels.evaluation import Evaluation
from napari_unet.engine.models.scores import measured
from napari_unet.engine.networks.network import Network
from napari_unet.engine.training.run import TrainingRun


@dataclass(frozen=True, slots=True, eq=False)
class Tuned:
    """What came out of a training, measured on the cells that were held out.

    Parameters
    ----------
    network : Network
        Its file says how good it is, where cells were held out.
    is_tuned : bool
        Its thresholds are others than before.
    evaluation : Evaluation, optional
        None where no cells were held out.
    types : TypeEvaluation, optional
    """

    network: Network
    is_tuned: bool
    evaluation: Evaluation | None = None
    types: TypeEvaluation | None = None

    @property
    def measured_on(self) -> str:
        """What it was measured on."""
        return "held-out images" + (", thresholds tuned" if self.is_tuned else "")


def tuned(run: TrainingRun) -> Tuned:
    """Give the best network of a run thresholds that suit, and measure it."""
    network = run.tuned()
    is_tuned = network.description.instances != run.network.description.instances
    result = run.validate(network) if run.is_validated else None
    if result is None or result.evaluation is None:
        return Tuned(network, is_tuned)
    found = Tuned(network, is_tuned, result.evaluation, result.types)
    metrics = {found.measured_on: measured(result.evaluation)}
    described = Network(network.unet, replace(network.description, metrics=metrics))
    return replace(found, network=described)
