"""The words of a model card, as Markdown."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from measurement import DRAWS, Look
from reliability import Cells, reliability_rows, reliability_table

from napari_unet.engine.base.settings import LEARNED_SETTINGS
from napari_unet.engine.networks.network import Network, NetworkDescription
from napari_unet.engine.training.knowledge.bank import known_bank


@dataclasses.dataclass(frozen=True, slots=True)
class Words:
    """What only this model's card says.

    Parameters
    ----------
    cell : str
        What it finds, in the plural.
    curves : str
        What else is to be known of the sets that the training chart shows.
    measured : str
        And of the images and methods in the table.
    pictured : str
        Whose images the failures are, and what allows to show them.
    limits : str
    attribution : str
        That the licences of its training images ask for.
    """

    cell: str
    curves: str
    measured: str
    pictured: str
    limits: str
    attribution: str = ""


def card(
    network: Network,
    look: Look,
    tuned_on: Cells,
    tested: Cells | None,
    pictures: Sequence[str],
    own: Words,
) -> str:
    """The model card as Markdown; `pictures` are the names of those of its failures."""
    description = network.description
    return f"""# Model card: {description.name}

{_facts(network, own)}
## Training

{_training(description)}
![AP 0.5 of each kind of image while it was trained]({_link(description, "training.svg")})

Some of the held-out images, and dashed some of those that it learns from, both with the thresholds
that training began with. {own.curves}

## Measured

AP is TP / (TP + FP + FN) at an IoU of at least the threshold, counted over the cells of all
images together, with the interval of 95 % over {DRAWS:,} draws of as many images (of fewer than
five images it is too narrow). It has learned from no image of the table. No *test* image was tuned
on; on the *held out* ones the thresholds and the calibration were chosen. By
`recipes/{description.name}/finish.py`.

{look.table()}

{own.measured}

## How sure it is

{_sureness(description, tuned_on, tested)}
![Share of right cells over their score, before and after]({_link(description, "reliability.svg")})

## Where it fails

The images of each kind with the lowest AP 0.5, true outlines in blue, found ones in
orange; of large images the part with most errors, while the caption counts those of the
whole. {own.pictured}

{_failures(description, pictures)}

## Limits

{own.limits}
"""


def _facts(network: Network, own: Words) -> str:
    description = network.description
    config = description.architecture
    instances = "\n".join(
        f"  - `{key}`: {value}"
        for key, value in dataclasses.asdict(description.instances).items()
        if key not in LEARNED_SETTINGS
    )
    intensity = description.intensity
    assert intensity is not None
    scale = description.history[-1]["settings"]["augmentation"]["scale"]
    attribution = f"\n- **Attribution**: {own.attribution}" if own.attribution else ""
    return f"""{description.summary}

- **Network**: U-Net, {config.ndim}-D, {config.in_channels} input channels (grey is repeated, RGB is
  read as it is), levels of {", ".join(map(str, config.widths))} features,
  {network.parameter_count / 1e6:.2f} M parameters; classes {", ".join(description.class_roles)}.
- **Expects**: {own.cell} of about {description.object_diameter_px:.0f} pixels in diameter (it saw
  these {scale:g} times smaller and larger in training; give your own diameter otherwise).
  Intensities in training: {intensity.dtype}, background about {intensity.low:.0f}, brightest about
  {intensity.high:.0f}, then brought to the same range by percentiles.
- **Training data**: {description.training_data}{attribution}
- **Licence**: {description.licence}.
- **Bank**: {_bank(description)}
- **Cells that touch** are parted at waists; a small network, fitted to the borders in the training
  images, judges each.
- **Thresholds**, tuned on the held-out images by the mean of the three AP, in which each kind
  weighs the root of the number of its images:
{instances}
"""


def _bank(description: NetworkDescription) -> str:
    bank = known_bank(description)
    learned, judging = (len(bank.pairs(use)) for use in ("learn", "judge"))
    return (
        f"{learned} labelled pictures of what it knows, which further trainings learn again, and\n"
        f"  {judging} that were held out, by which they are judged."
    )


def _training(description: NetworkDescription) -> str:
    sittings = "\n".join(
        f"- {entry['date'][:10]}: {entry['steps']} steps{_beginning(entry, description.name)}, "
        f"{entry['images']} images with {entry['cells']} cells"
        + (f"; {entry['note']}" if "note" in entry else "")
        for entry in description.history
    )
    return f"""\
By `recipes/{description.name}/train.py`: softmax cross-entropy weighted by the paper's boundary
weight map, recomputed after each elastic deformation.

{sittings}
"""


def _beginning(entry: dict[str, object], own: str) -> str:
    """What a training started from; its own name is that of an earlier sitting."""
    if "started_from" not in entry:
        return ""
    start = entry["started_from"]
    return " from nothing" if start in (None, own) else f" from {start}"


def _sureness(description: NetworkDescription, tuned_on: Cells, tested: Cells | None) -> str:
    calibration = description.instances.score_calibration
    assert calibration is not None
    rows = reliability_rows(tuned_on, calibration, leave_out=True)
    rows = [(f"held out, {kind}", *rest) for kind, *rest in rows]
    if tested is not None:
        own = reliability_rows(tested, calibration, leave_out=False)
        rows += [(f"test, {kind}", *rest) for kind, *rest in own]
    sign = "-" if calibration.offset < 0 else "+"
    return f"""\
The score of a cell is the mean, over its pixels, of not being background. From it comes
the probability that the cell is right (that a true one overlaps it with an IoU of at least 0.5),
which is what `min_score` means for this model:

    logit(probability) = {calibration.slope:g} * logit(score) {sign} {abs(calibration.offset):g}

It was fitted to the held-out images with each kind counting alike. *Error* is the expected
calibration error over ten bins of as many cells each, of all cells that `min_score` 0 keeps; the
last column tells it for a map that was fitted to the other kinds alone. A network that is trained
further loses the map, because it becomes more or less sure.

{reliability_table(rows)}
"""


def _failures(description: NetworkDescription, pictures: Sequence[str]) -> str:
    return "\n\n".join(
        f"![The images of {_kind_of(name)} with the lowest AP 0.5]({_link(description, name)})"
        for name in pictures
    )


def _kind_of(picture: str) -> str:
    return Path(picture).stem.removeprefix("worst-").replace("-", " ")


def _link(description: NetworkDescription, name: str) -> str:
    """Where the card finds a picture in the repository; in docs/ its page lies beside images/."""
    return f"../../../docs/images/{description.name}/{name}"
