"""Measure a tuned model and write its card, its pictures, and the model with its scores.

python recipes/nuclei/model_card.py DATA TUNED --stardist FOLDER --before 0.1.0.safetensors

TUNED is the folder that `tune.py` wrote; `validation.csv` of the training is looked for there and
in the folder above. FOLDER holds the published PyTorch StarDist (`stardist_reference.py`), which is
then measured in the same run. The card goes to OUT/nuclei.md, the model to OUT/nuclei.safetensors,
the pictures to PICTURES.

The test images are for the last look. Until then, `--validation` measures the held-out images
alone, and `--few 2` only two images of each set.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np
from card_pictures import CC0, failure_sheet, reliability_chart, training_chart, worst_images
from card_text import card
from measurement import (
    GREY_ALONE,
    HELD_OUT,
    MODALITIES,
    OURS,
    TABLE_HEAD,
    TEST,
    Look,
    Segmenter,
    few_of,
    held_out_sets,
    test_sets,
)
from numpy.typing import NDArray
from reliability import Cells, doubtful_too, found_cells
from stardist_reference import load_stardist, stardist_labels
from training_images import split
from tune import CELLS, TUNED

from napari_unet import load_checkpoint, save_checkpoint, segment
from napari_unet.engine.base.settings import Averaging
from napari_unet.engine.labels.evaluation import Evaluation
from napari_unet.engine.networks.network import Network

ROOT = Path(__file__).parents[2]
BUNDLED, IMAGES = ROOT / "src" / "napari_unet" / "bundled", ROOT / "docs" / "images" / "nuclei"
VALIDATIONS = "validation.csv"
FLIPPED, BEFORE, STARDIST = "ours, flips averaged", "0.1.0", "StarDist (PyTorch)"


def segmenter_of(network: Network, *, device: str, averaging: Averaging = "none") -> Segmenter:
    """Segment as the product does."""

    def labels_of(pair: Any, _kind: str) -> NDArray[Any]:
        return segment(
            pair.image,
            network,
            channel_axis=pair.channel_axis,
            averaging=averaging,
            device=device,
            keep_scores=False,
        ).labels

    return labels_of


def observed(network: Network, cells: list[Cells], tested: set[str], device: str) -> Segmenter:
    """Segment as the product does, and add the cells of test images to `cells`."""
    roles, instances = network.description.class_roles, network.description.instances

    def labels_of(pair: Any, kind: str) -> NDArray[Any]:
        result = segment(pair.image, network, channel_axis=pair.channel_axis, device=device)
        if pair.name in tested:
            assert result.scores is not None
            doubtful = doubtful_too(result.scores, roles, instances)
            cells.append(found_cells(kind, result.scores, roles, pair.labels, doubtful))
        return result.labels

    return labels_of


def draw_pictures(
    network: Network, look: Look, tuned_on: Cells, validations: Path, folder: Path
) -> list[str]:
    """Write the pictures and return the names of those of its failures."""
    calibration = network.description.instances.score_calibration
    assert calibration is not None
    folder.mkdir(parents=True, exist_ok=True)
    charts = {
        "reliability.svg": reliability_chart(tuned_on, calibration),
        "training.svg": training_chart(validations),
    }
    for name, text in charts.items():
        (folder / name).write_text(text, encoding="utf-8")
    by_kind = {f"{TEST}, {kind}": kind for kind in MODALITIES}
    if not any(name in look.sets for name in by_kind):
        by_kind = {f"{HELD_OUT}, {kind}": kind for kind in CC0}
    failures = []
    for set_name, kind in by_kind.items():
        if items := look.sets.get(set_name):
            failures.append(f"worst-{kind.replace(' ', '-')}.webp")
            failure_sheet(worst_images(items, look.found), folder / failures[-1])
    for name in (*charts, *failures):
        print(f"{folder / name} ({(folder / name).stat().st_size / 1000:.0f} kB)")
    return failures


def with_scores(network: Network, evaluations: dict[str, Evaluation]) -> Network:
    """Network whose description tells how well it does."""
    metrics = {
        name: {
            **{f"AP {t:g}, pooled": _rounded(e.pooled(t).average_precision) for t in e.thresholds},
            **{f"AP {t:g}, mean over images": _rounded(e.mean_ap(t)) for t in e.thresholds},
        }
        for name, e in evaluations.items()
    }
    return Network(network.unet, dataclasses.replace(network.description, metrics=metrics))


def _rounded(value: float) -> float:
    return float(np.round(value, 3))


# -- from the command line -----------------------------------------------------------------------


def add_options(parser: argparse.ArgumentParser) -> None:
    """What `finish.py` has as well."""
    parser.add_argument("--stardist", type=Path, metavar="FOLDER", help="published weights")
    parser.add_argument("--before", type=Path, metavar="MODEL", help="the bundled model of 0.1.0")
    parser.add_argument("--out", type=Path, default=BUNDLED, help="for the card and the model")
    parser.add_argument("--pictures", type=Path, default=IMAGES, help="for the pictures")
    parser.add_argument("--validation", action="store_true", help="no test image is opened")
    parser.add_argument("--few", type=int, metavar="N", help="only so many images of each set")
    parser.add_argument("--device", default="auto")


def look_at(network: Network, arguments: argparse.Namespace) -> Look:
    """Measure all methods on all sets."""
    # Loaded first: --out may be the folder in which it lies.
    before = load_checkpoint(arguments.before) if arguments.before else None
    parts = split(arguments.data)
    held_out = held_out_sets(parts, list(parts.held))
    sets = held_out if arguments.validation else test_sets(arguments.data, parts)
    look = Look(few_of(sets, arguments.few) if arguments.few else sets)
    device = arguments.device
    tested = {item.name for item in look.sets.get(f"{TEST}, all", ())}
    look.measure(OURS, observed(network, look.cells, tested, device))
    look.measure(FLIPPED, segmenter_of(network, device=device, averaging="flips"))
    if before is not None:
        look.measure(BEFORE, segmenter_of(before, device=device))
    if arguments.stardist:
        reference = load_stardist(arguments.stardist)
        look.measure(STARDIST, lambda pair, _: stardist_labels(pair.image, reference), GREY_ALONE)
    return look


def validation_table(tuned: Path) -> Path:
    """What train.py wrote while it trained."""
    for folder in (tuned, tuned.parent):
        if (folder / VALIDATIONS).exists():
            return folder / VALIDATIONS
    raise SystemExit(f"There is no {VALIDATIONS} in '{tuned}' or above; copy that of the training.")


def write(arguments: argparse.Namespace) -> None:
    """Measure, print, and write card, pictures and model."""
    started = time.perf_counter()
    validations = validation_table(arguments.tuned)
    network = load_checkpoint(arguments.tuned / TUNED)
    tuned_on = Cells.read(arguments.tuned / CELLS)
    look = look_at(network, arguments)
    print("\n".join([TABLE_HEAD, *look.rows()]))
    pictures = draw_pictures(network, look, tuned_on, validations, arguments.pictures)
    arguments.out.mkdir(parents=True, exist_ok=True)
    text = card(network, look, tuned_on, pictures)
    (arguments.out / "nuclei.md").write_text(text, encoding="utf-8")
    scored = with_scores(network, look.methods[OURS])
    save_checkpoint(scored, arguments.out / "nuclei.safetensors", overwrite=True, half=True)
    print(f"{time.perf_counter() - started:.0f} s in all")


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, metavar="DATA", help="folder with the sets of images")
    parser.add_argument("tuned", type=Path, metavar="TUNED", help="what tune.py wrote")
    add_options(parser)
    write(parser.parse_args())


if __name__ == "__main__":
    main()
