"""Tune, measure and bundle `nuclei`.

python recipes/nuclei/finish.py DATA TRAINING --before nuclei-0.1.0.safetensors --stardist FOLDER

FOLDER holds the published PyTorch StarDist (`stardist_reference.py`), which is then measured in the
same run, as is the model of 0.1.0.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from dsb2018 import read_index
from stardist_reference import load_stardist, stardist_labels
from train import NUCLEI

from napari_unet import load_checkpoint
from napari_unet.engine.networks.network import Network

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from card_text import Words
from measurement import Method, ours
from model_card import Finish, finish
from picture_sets import Parts, Picture

STARDIST_TEST = "StarDist's 50 test images"
MODALITIES = ("fluorescence", "histology", "brightfield")

GREY_ALONE = (STARDIST_TEST, "held out, U2OS", "held out, tissue DAPI")
"""Sets without colours that StarDist has not learned from."""


def test_sets(data: Path, parts: Parts) -> dict[str, list[Picture]]:
    """Test images, and what was held out of the kinds that have none."""
    nuclei = [item for item in read_index(data / "dsb2018") if item.split == "test"]
    pictures = {
        item.name: Picture(item.modality, item.name, "", item.image, item.labels) for item in nuclei
    }
    sets = {STARDIST_TEST: [pictures[item.name] for item in nuclei if item.in_stardist_test]}
    for modality in MODALITIES:
        sets[f"test, {modality}"] = [p for p in pictures.values() if p.kind == modality]
    sets["test, all"] = list(pictures.values())
    return sets | _held_out(parts, ("U2OS", "tissue DAPI", "other stain"))


def held_out_sets(_data: Path, parts: Parts) -> dict[str, list[Picture]]:
    """Images that were not learned from, but on which thresholds are tuned."""
    return _held_out(parts, list(parts.held))


def _held_out(parts: Parts, kinds: Sequence[str]) -> dict[str, list[Picture]]:
    return {f"held out, {kind}": list(parts.held[kind]) for kind in kinds}


def methods(network: Network, arguments: argparse.Namespace) -> Iterator[Method]:
    """Ours, and what it is compared with."""
    device = arguments.device
    yield ours("ours", network, device=device)
    yield ours("ours, flips averaged", network, device=device, averaging="flips")
    if arguments.before:
        yield ours("0.1.0", load_checkpoint(arguments.before), device=device)
    if arguments.stardist:
        reference = load_stardist(arguments.stardist)
        yield Method(
            "StarDist (PyTorch)", lambda pair: stardist_labels(pair.image, reference), GREY_ALONE
        )


def add_options(parser: argparse.ArgumentParser) -> None:
    """What only this model is compared with."""
    parser.add_argument("--stardist", type=Path, metavar="FOLDER", help="published weights")
    parser.add_argument("--before", type=Path, metavar="MODEL", help="the bundled model of 0.1.0")


WORDS = Words(
    cell="nuclei",
    curves="*Recoloured* is held-out tissue in colours that no training image has.",
    measured="""\
StarDist's own split has a neighbouring tile of 41 of its 50 test images in its training set;
`ours` and 0.1.0 were trained without such neighbours. 0.1.0 has learned from the 4 images of the
other stain.""",
    pictured="Images: 2018 Data Science Bowl (BBBC038) and BBBC039, CC0.",
    limits="""\
Trained on nuclei only: whole cells, bacteria or electron microscopy need fine-tuning. Very dim,
out-of-focus or densely overlapping nuclei are missed or merged more often, and there were few
histology and brightfield images to learn from: look before you trust. On a stain that it has not
seen it finds less, as the table shows; correct some cells and train it on them.""",
)

FINISH = Finish(
    recipe=NUCLEI,
    test_sets=test_sets,
    held_out_sets=held_out_sets,
    methods=methods,
    # Whose images anyone may show: tissue DAPI is not among them.
    shown={f"test, {kind}": kind for kind in MODALITIES}
    | {f"held out, {kind}": kind for kind in ("other stain", "U2OS")},
    words=WORDS,
    add_options=add_options,
)

if __name__ == "__main__":
    finish(FINISH, __doc__)
