"""Tune, measure and bundle `cells`: python recipes/cells/finish.py DATA TRAINING."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from train import CELLS
from training_images import ZOOM, dic

from napari_unet.engine.networks.network import Network

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from card_text import Words
from measurement import Method, ours
from model_card import Finish, finish
from picture_sets import Parts, Picture


def held_out_sets(_data: Path, parts: Parts) -> dict[str, list[Picture]]:
    """Images that were not learned from, but on which thresholds are tuned."""
    return {f"held out, {kind}": list(items) for kind, items in parts.held.items()}


def test_sets(data: Path, parts: Parts) -> dict[str, list[Picture]]:
    """With the test images of BBBC030; phase contrast has none."""
    return {"test, DIC": dic(data, "test"), **held_out_sets(data, parts)}


def methods(network: Network, arguments: argparse.Namespace) -> Iterator[Method]:
    """Full images, as they are and resized for the model."""
    device, diameter_px = arguments.device, network.description.object_diameter_px
    assert diameter_px is not None
    given = {"diameter_px": diameter_px / ZOOM}
    yield ours("cell size given", network, device=device, **given)
    yield ours("… flips averaged", network, device=device, averaging="flips", **given)
    yield ours("as it is", network, device=device)


WORDS = Words(
    cell="cells",
    attribution="""\
Hsieh-Fu Tsai, Joanna Gajda, Tyler F. W. Sloan, Andrei Rares and Amy Q. Shen,
  SoftwareX 9, 230 (2019), [doi:10.1016/j.softx.2019.02.007](https://doi.org/10.1016/j.softx.2019.02.007);
  Krisztian Koos, József Molnár, Lóránd Kelemen, Gábor Tamás and Peter Horvath, image set
  [BBBC030v1](https://bbbc.broadinstitute.org/BBBC030), Scientific Reports 6, 30420 (2016),
  [doi:10.1038/srep30420](https://doi.org/10.1038/srep30420).""",
    curves="*Not resized* are held-out images at full size.",
    measured=f"""\
The images are full size; with the cell size given they are resized for the model by {ZOOM:g}. All
phase contrast is of one experiment, so expect less on another microscope.""",
    pictured="Images: Usiigaci (MIT) and BBBC030 (CC BY 3.0), as above.",
    limits="""\
Two kinds of cells and two microscopes are all that it has seen. Cells that lie over each other are
cut along one line; thin protrusions may be missed, and debris that looks like a cell is sometimes
taken for one. It knows no nuclei and no fluorescence: `nuclei` is for these. For cells that look
otherwise, correct a few and train further.""",
)

FINISH = Finish(
    recipe=CELLS,
    test_sets=test_sets,
    held_out_sets=held_out_sets,
    methods=methods,
    shown={"held out, phase contrast": "phase contrast", "test, DIC": "DIC"},
    words=WORDS,
)

if __name__ == "__main__":
    finish(FINISH, __doc__)
