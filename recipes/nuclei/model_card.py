"""Measure a model on the held-out test images and write its model card.

python recipes/nuclei/model_card.py DSB2018 --model nuclei [--stardist FOLDER] [-o nuclei.md]

FOLDER holds the published PyTorch StarDist (`stardist_reference.py`), which is then measured on
the same images in the same run.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from dsb2018 import Nuclei, read_index
from numpy.typing import NDArray
from stardist_reference import load_stardist, stardist_labels

from napari_unet import evaluate, load_checkpoint, save_checkpoint, segment
from napari_unet.engine.labels.evaluation import Evaluation
from napari_unet.engine.networks.network import Network

Segmenter = Callable[[NDArray[Any]], NDArray[Any]]

STARDIST_TEST = "StarDist's 50 test images"


def test_sets(folder: Path) -> dict[str, list[Nuclei]]:
    """Name of each test set and its images."""
    nuclei = [item for item in read_index(folder) if item.split == "test"]
    sets = {STARDIST_TEST: [item for item in nuclei if item.in_stardist_test]}
    for modality in ("fluorescence", "histology", "brightfield"):
        sets[f"test, {modality}"] = [item for item in nuclei if item.modality == modality]
    sets["test, all"] = nuclei
    return sets


def measure(sets: dict[str, list[Nuclei]], segmenter: Segmenter) -> dict[str, Evaluation]:
    """Segment every image once and evaluate it in each set that it belongs to."""
    predictions: dict[str, NDArray[Any]] = {}
    truths: dict[str, NDArray[Any]] = {}
    for item in {item.name: item for items in sets.values() for item in items}.values():
        image, truths[item.name] = item.read()
        predictions[item.name] = segmenter(image)
    return {
        name: evaluate(
            [truths[item.name] for item in items], [predictions[item.name] for item in items]
        )
        for name, items in sets.items()
        if items
    }


def row(name: str, method: str, evaluation: Evaluation) -> str:
    """One line of the card's table."""
    thresholds = evaluation.thresholds
    pooled = " / ".join(f"{evaluation.pooled(t).average_precision:.3f}" for t in thresholds)
    mean = " / ".join(f"{evaluation.mean_ap(t):.3f}" for t in thresholds)
    count = len(evaluation.images)
    f1 = evaluation.pooled(0.5).f1
    return (
        f"| {name} ({count}) | {method} | {pooled} | {mean} | {f1:.3f} "
        f"| {evaluation.merged_cells} |"
    )


TABLE_HEAD = (
    "| images | method | AP 0.5 / 0.7 / 0.9, pooled | mean over images "
    "| F1 at 0.5 | merged cells |\n"
    "| --- | --- | --- | --- | --- | --- |"
)


def card(network: Network, rows: list[str]) -> str:
    """The model card as Markdown."""
    description = network.description
    config = description.architecture
    instances = "\n".join(
        f"  - `{key}`: {value}" for key, value in dataclasses.asdict(description.instances).items()
    )
    intensity = description.intensity
    seen = (
        f"{intensity.dtype}, background about {intensity.low:.0f}, brightest about "
        f"{intensity.high:.0f}, then brought to the same range by percentiles"
        if intensity
        else "not recorded"
    )
    training = "\n".join(
        f"- {entry['date'][:10]}: {entry['steps']} steps "
        f"from {entry['started_from'] or 'nothing'}, "
        f"{entry['images']} images with {entry['cells']} cells"
        + (f"; {entry['note']}" if "note" in entry else "")
        for entry in description.history
    )
    table = "\n".join([TABLE_HEAD, *rows])
    return f"""# Model card: {description.name}

{description.summary}

- **Network**: U-Net, {config.ndim}-D, {config.in_channels} input channels (grey is repeated, RGB is
  read as it is), levels of {", ".join(map(str, config.widths))} features,
  {network.parameter_count / 1e6:.2f} M parameters; classes {", ".join(description.class_roles)}.
- **Expects**: nuclei of about {description.object_diameter_px:.0f} pixels in diameter (it saw
  these 1.4 times smaller and larger in training; give your own diameter otherwise).
  Intensities in training: {seen}.
- **Training data**: {description.training_data}
- **Licence**: {description.licence}.
- **Thresholds**, tuned on the held-out fold:
{instances}

## Training

By `recipes/nuclei/train.py`: softmax cross-entropy weighted by the paper's boundary weight map,
recomputed after each elastic deformation.

{training}

## Measured

AP is TP / (TP + FP + FN) at an IoU of at least the threshold; *pooled* counts the cells of all
images together. No test image was learned from or tuned on. By `recipes/nuclei/model_card.py`.

{table}

StarDist's own split has a neighbouring tile of 41 of its 50 test images in its training set;
this model was trained without such neighbours.

## Limits

Trained on nuclei only: whole cells, bacteria or electron microscopy need fine-tuning. Very dim,
out-of-focus or densely overlapping nuclei are missed or merged more often, and there were few
histology and brightfield images to learn from: look before you trust.
"""


def run() -> None:
    """Measure, print, and write the card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, metavar="DSB2018", help="folder with index.csv")
    parser.add_argument("--model", default="nuclei")
    parser.add_argument("--stardist", type=Path, metavar="FOLDER", help="published weights")
    parser.add_argument("-o", "--out", type=Path, help="where to write the card")
    parser.add_argument(
        "--record", type=Path, metavar="MODEL", help="write the model, with its scores, here"
    )
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    network = load_checkpoint(arguments.model)
    sets = test_sets(arguments.data)
    rows: list[str] = []
    print(TABLE_HEAD, flush=True)

    def add(method: str, evaluations: dict[str, Evaluation]) -> None:
        for name, evaluation in evaluations.items():
            rows.append(row(name, method, evaluation))
            print(rows[-1], flush=True)

    started = time.perf_counter()
    plain = measure(sets, lambda image: segment(image, network, device=arguments.device).labels)
    print(f"{time.perf_counter() - started:.0f} s for all", flush=True)
    add("ours", plain)
    add(
        "ours, flips averaged",
        measure(
            sets,
            lambda image: (
                segment(image, network, device=arguments.device, averaging="flips").labels
            ),
        ),
    )
    if arguments.stardist:
        reference = load_stardist(arguments.stardist)
        grey_sets = {STARDIST_TEST: sets[STARDIST_TEST]}
        add(
            "StarDist (PyTorch)",
            measure(grey_sets, lambda image: stardist_labels(image, reference)),
        )
    rows.sort(key=lambda line: [*map(line.__contains__, sets)].index(True))
    if arguments.out:
        arguments.out.write_text(card(network, rows), encoding="utf-8")
    if arguments.record:
        scores = {
            name: {
                **{f"AP {t:g}, pooled": e.pooled(t).average_precision for t in e.thresholds},
                **{f"AP {t:g}, mean over images": e.mean_ap(t) for t in e.thresholds},
            }
            for name, e in plain.items()
        }
        rounded = {
            name: {key: float(np.round(value, 3)) for key, value in values.items()}
            for name, values in scores.items()
        }
        description = dataclasses.replace(network.description, metrics=rounded)
        save_checkpoint(
            Network(network.unet, description), arguments.record, overwrite=True, half=True
        )


if __name__ == "__main__":
    run()
