"""The words of the model card, as Markdown."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from measurement import DRAWS, HELD_OUT, TABLE_HEAD, TEST, Look
from reliability import Cells, reliability_rows, reliability_table

from napari_unet.engine.base.settings import LEARNED_SETTINGS
from napari_unet.engine.networks.network import Network


def card(network: Network, look: Look, tuned_on: Cells, pictures: Sequence[str]) -> str:
    """The model card as Markdown; `pictures` are the names of those of its failures."""
    return f"""# Model card: {network.description.name}

{_facts(network)}
## Training

{_training(network)}
![AP 0.5 of each kind of image while it was trained]({_link("training.svg")})

Some of the held-out images, and dashed some of those that it learns from, both with the thresholds
that training began with. *Recoloured* is held-out tissue in colours that no training image has.

## Measured

{_measured(look)}
## How sure it is

{_sureness(network, look, tuned_on)}
![Share of right cells over their score, before and after]({_link("reliability.svg")})

## Where it fails

{_failures(pictures)}
## Limits

Trained on nuclei only: whole cells, bacteria or electron microscopy need fine-tuning. Very dim,
out-of-focus or densely overlapping nuclei are missed or merged more often, and there were few
histology and brightfield images to learn from: look before you trust. On a stain that it has not
seen it finds less, as the table shows; correct some cells and train it on them.
"""


def _facts(network: Network) -> str:
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
    return f"""{description.summary}

- **Network**: U-Net, {config.ndim}-D, {config.in_channels} input channels (grey is repeated, RGB is
  read as it is), levels of {", ".join(map(str, config.widths))} features,
  {network.parameter_count / 1e6:.2f} M parameters; classes {", ".join(description.class_roles)}.
- **Expects**: nuclei of about {description.object_diameter_px:.0f} pixels in diameter (it saw
  these {scale:g} times smaller and larger in training; give your own diameter otherwise).
  Intensities in training: {intensity.dtype}, background about {intensity.low:.0f}, brightest about
  {intensity.high:.0f}, then brought to the same range by percentiles.
- **Training data**: {description.training_data}
- **Licence**: {description.licence}.
- **Thresholds**, tuned on the held-out images, each kind counting alike, by the mean of the three
  AP:
{instances}
"""


def _training(network: Network) -> str:
    description = network.description
    sittings = "\n".join(
        f"- {entry['date'][:10]}: {entry['steps']} steps from "
        f"{_beginning(entry['started_from'], description.name)}, "
        f"{entry['images']} images with {entry['cells']} cells"
        + (f"; {entry['note']}" if "note" in entry else "")
        for entry in description.history
    )
    return f"""\
By `recipes/nuclei/train.py`: softmax cross-entropy weighted by the paper's boundary weight
map, recomputed after each elastic deformation.

{sittings}
"""


def _beginning(started_from: str | None, own: str) -> str:
    """What a training started from; its own name is that of an earlier sitting."""
    return "nothing" if started_from in (None, own) else str(started_from)


def _measured(look: Look) -> str:
    table = "\n".join([TABLE_HEAD, *look.rows()])
    stain = look.sets.get(f"{HELD_OUT}, other stain", ())
    learned = sum(item.fold != "0" for item in stain)
    return f"""\
AP is TP / (TP + FP + FN) at an IoU of at least the threshold, counted over the cells of all
images together, with the interval of 95 % over {DRAWS:,} draws of as many images (of fewer than
five images it is too narrow). `ours` has learned from no image of the table. No test image was
tuned on; on the *held out* ones the thresholds and the calibration were chosen. By
`recipes/nuclei/model_card.py`.

{table}

StarDist's own split has a neighbouring tile of 41 of its 50 test images in its training set;
`ours` and 0.1.0 were trained without such neighbours. 0.1.0 has learned from {learned} of the
{len(stain)} images of the other stain.
"""


def _sureness(network: Network, look: Look, tuned_on: Cells) -> str:
    calibration = network.description.instances.score_calibration
    assert calibration is not None
    rows = reliability_rows(tuned_on, calibration, leave_out=True)
    rows = [(f"{HELD_OUT}, {kind}", *rest) for kind, *rest in rows]
    if look.cells:
        tested = reliability_rows(Cells.joined(look.cells), calibration, leave_out=False)
        rows += [(f"{TEST}, {kind}", *rest) for kind, *rest in tested]
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


def _failures(pictures: Sequence[str]) -> str:
    lines = [
        f"![The images of {_kind_of(name)} with the lowest AP 0.5]({_link(name)})"
        for name in pictures
    ]
    words = (
        "The images of each kind with the lowest AP 0.5, true outlines in blue, found ones in\n"
        "orange; of large images the part with most errors, while the caption counts those of the\n"
        "whole. Images: 2018 Data Science Bowl (BBBC038) and BBBC039, CC0."
    )
    return "\n\n".join([words, *lines]) + "\n"


def _kind_of(picture: str) -> str:
    return Path(picture).stem.removeprefix("worst-").replace("-", " ")


def _link(name: str) -> str:
    """Where the card finds a picture in the repository; in docs/ its page lies beside images/."""
    return f"../../../docs/images/nuclei/{name}"
