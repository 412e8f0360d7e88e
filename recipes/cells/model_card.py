"""Tune a trained `cells`, measure it, and write its card and the model as it is bundled.

python recipes/cells/model_card.py DATA MODEL [--test]

MODEL is what `train.py` wrote: `OUT/cells.safetensors`, or a state of it. `tuning.py` chooses its
border test and thresholds. `--test` also looks at the test images of BBBC030, once, at the end. The
card goes to FOLDER/cells.md and the model to FOLDER/cells.safetensors, in float16; FOLDER is where
bundled models lie unless `--out` names another.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from train import CELLS
from training_images import ZOOM, dic, split
from tuning import tuned

from napari_unet import evaluate, load_checkpoint, save_checkpoint, segment
from napari_unet.engine.base.settings import LEARNED_SETTINGS
from napari_unet.engine.labels.evaluation import Evaluation
from napari_unet.engine.networks.bundled import FOLDER
from napari_unet.engine.networks.network import Network

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from picture_sets import Picture

AS_IT_IS, RESIZED, FLIPPED = "as it is", "cell size given", "cell size given, flips averaged"
HEAD = (
    "| images | segmented | AP 0.5 / 0.7 / 0.9, pooled | mean over images | F1 at 0.5 "
    "| missed | extra | merged cells |\n| --- | --- | --- | --- | --- | --- | --- | --- |"
)


def measured(
    sets: dict[str, Sequence[Picture]], network: Network, *, device: str
) -> Iterator[tuple[str, str, Evaluation, int]]:
    """Name of the set, way to segment, evaluation at full size, and how many are doubted."""
    diameter_px = network.description.object_diameter_px
    assert diameter_px is not None
    ways: dict[str, dict[str, Any]] = {
        AS_IT_IS: {},
        RESIZED: {"diameter_px": diameter_px / ZOOM},
        FLIPPED: {"diameter_px": diameter_px / ZOOM, "averaging": "flips"},
    }
    for name, items in sets.items():
        pairs = [dataclasses.replace(item, zoom=1.0).pair() for item in items]
        for way, options in ways.items():
            results = [
                segment(pair.image, network, device=device, keep_scores=False, **options)
                for pair in pairs
            ]
            doubted = sum("not to be trusted" in " ".join(each.notes) for each in results)
            evaluation = evaluate([p.labels for p in pairs], [each.labels for each in results])
            yield name, way, evaluation, doubted


def row(name: str, way: str, evaluation: Evaluation) -> str:
    """One line of the card's table."""
    scores = [evaluation.pooled(t) for t in evaluation.thresholds]
    pooled = " / ".join(f"{score.average_precision:.3f}" for score in scores)
    mean = " / ".join(f"{evaluation.mean_ap(t):.3f}" for t in evaluation.thresholds)
    half = evaluation.pooled(0.5)
    return (
        f"| {name} ({len(evaluation.images)}) | {way} | {pooled} | {mean} | {half.f1:.3f} "
        f"| {half.false_negatives} | {half.false_positives} | {evaluation.merged_cells} |"
    )


def card(network: Network, rows: Sequence[str]) -> str:
    """The model card as Markdown."""
    description = network.description
    config = description.architecture
    diameter = description.object_diameter_px
    instances = description.instances
    thresholds = "\n".join(
        f"  - `{field.name}`: {getattr(instances, field.name)}"
        for field in dataclasses.fields(instances)
        if field.name not in LEARNED_SETTINGS
    )
    last = description.history[-1]
    table = "\n".join([HEAD, *rows])
    return f"""# Model card: {description.name}

{description.summary}

- **Network**: U-Net, {config.ndim}-D, {config.in_channels} input channels (grey is repeated),
  levels of {", ".join(map(str, config.widths))} features,
  {network.parameter_count / 1e6:.2f} M parameters; classes {", ".join(description.class_roles)}.
- **Expects**: grey images in which a cell is about {diameter:.0f} pixels across. It saw cells half
  and twice as large in training; give your own cell size and the image is resized.
- **Training data**: {description.training_data}
- **Attribution**: Hsieh-Fu Tsai, Joanna Gajda, Tyler F. W. Sloan, Andrei Rares and Amy Q. Shen,
  SoftwareX 9, 230 (2019), [doi:10.1016/j.softx.2019.02.007](https://doi.org/10.1016/j.softx.2019.02.007);
  Krisztian Koos, József Molnár, Lóránd Kelemen, Gábor Tamás and Peter Horvath, image set
  [BBBC030v1](https://bbbc.broadinstitute.org/BBBC030), Scientific Reports 6, 30420 (2016),
  [doi:10.1038/srep30420](https://doi.org/10.1038/srep30420).
- **Licence**: {description.licence}.
- **Cells that touch** are parted at waists; a small network, fitted to the borders in the training
  images, judges each.
- **Thresholds**, tuned on the held-out images:
{thresholds}

## Training

By `recipes/cells/train.py`: softmax cross-entropy weighted by the paper's boundary weight map,
patches zoomed between a half and two, with other contrast, noise, blur, fewer grey values, and one
in ten as a negative.

- {last["date"][:10]}: {last["steps"]} steps on {last["images"]} images with {last["cells"]} cells,
  {last["note"]}

## Measured

AP is TP / (TP + FP + FN) at an IoU of at least the threshold; *pooled* counts the cells of all
images together. The images are full size; with the cell size given they are resized for the model
by {ZOOM:g}. Nothing here was learned from. On the *held out* images, which share no field of view
with what was learned, the thresholds were tuned and the training was watched; the *test* images
were looked at once. All phase contrast is of one experiment, so expect less on another microscope.
By `recipes/cells/model_card.py`.

{table}

## Limits

Two kinds of cells and two microscopes are all that it has seen. Cells that lie over each other are
cut along one line; thin protrusions may be missed, and debris that looks like a cell is sometimes
taken for one. It knows no nuclei and no fluorescence: `nuclei` is for these. For cells that look
otherwise, correct a few and train further.
"""


def main() -> None:
    """Tune, measure, print, and write both files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, metavar="DATA", help="folder with the sets of images")
    parser.add_argument("model", type=Path, metavar="MODEL", help="as train.py wrote it")
    parser.add_argument("--test", action="store_true", help="look at the test images, too")
    parser.add_argument("-o", "--out", type=Path, default=FOLDER, metavar="FOLDER")
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    parts = split(arguments.data)
    held = parts.held
    everything = [item for items in held.values() for item in items]
    network = load_checkpoint(arguments.model)
    network = tuned(network, parts.learn, everything, device=arguments.device)
    *before, last = network.description.history
    # Neither from nothing nor a further training, whose texts would be those of its start.
    last = {key: value for key, value in last.items() if key != "started_from"}
    last["note"] = f"begun with the weights of '{CELLS.starts_from}'"
    network.description = dataclasses.replace(network.description, history=(*before, last))
    chosen = dataclasses.replace(network.description.instances, border_test=None)
    print(f"{chosen}\n\n{HEAD}", flush=True)
    sets: dict[str, Sequence[Picture]] = {f"held out, {kind}": held[kind] for kind in held}
    if arguments.test:
        sets["test, DIC"] = dic(arguments.data, "test")
    rows, metrics = [], {}
    for name, way, evaluation, doubted in measured(sets, network, device=arguments.device):
        rows.append(row(name, way, evaluation))
        print(f"{rows[-1]} {doubted} doubted", flush=True)
        metrics[f"{name}, {way}"] = {
            f"AP {t:g}, pooled": round(evaluation.pooled(t).average_precision, 3)
            for t in evaluation.thresholds
        }
    network.description = dataclasses.replace(network.description, metrics=metrics)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "cells.md").write_text(card(network, rows), encoding="utf-8")
    save_checkpoint(network, arguments.out / "cells.safetensors", overwrite=True, half=True)


if __name__ == "__main__":
    main()
