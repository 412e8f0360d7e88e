"""What a training tells after each of its steps."""

from __future__ import annotations

from dataclasses import dataclass

from napari_unet.engine.labels.evaluation import Evaluation


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """What one training step did.

    Parameters
    ----------
    step, steps : int
        Steps done, and wanted.
    loss : float
        Of this batch.
    validation : Evaluation or None
        Where this step ended with a validation that has cells to find. It has
        `mean_ap`, and `mean_matched_iou` for the outlines.
    is_best : bool
        Whether that validation was the best so far.
    step_s, preparation_s : float
        Seconds this step took, and of these to wait for the batch.
    validation_loss : float or None
        Of the held-out images, where this step ended with a validation.
    share : float
        How much of the training is done, 0 to 1: of the steps or of the
        seconds, whichever is more.
    notes : tuple of str
        Sentences about anything that went another way than asked for, since
        the training began.
    """

    step: int
    steps: int
    loss: float
    validation: Evaluation | None
    is_best: bool
    step_s: float
    preparation_s: float
    validation_loss: float | None = None
    share: float = 0.0
    notes: tuple[str, ...] = ()
