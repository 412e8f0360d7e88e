"""Train the bundled model `nuclei`: python recipes/nuclei/train.py DSB2018 -o nuclei.safetensors.

Learns from the split `train` without one fold, keeps the state that segments that fold best, and
tunes the thresholds on it. No test image, and no neighbour of one, is ever seen. On two CPU cores
with bfloat16 the default takes about two hours; on a GPU, minutes. Ctrl-C stops it, the same
command with --resume goes on.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from dsb2018 import lay_out, read_index

from napari_unet.cli import main

STEPS = 4900

SETTINGS = {
    "steps": STEPS,
    "batch-size": 4,
    "patch-size": 256,
    "learning-rate": 1e-3,
    "warmup-steps": 100,
    "average": 0.998,
    "validation-interval": 1000,
    "base-width": 32,
    "depth": 4,
    "max-width": 160,
}


def run() -> int:
    """Lay out the images and hand them to `napari-unet train`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, metavar="DSB2018", help="folder with index.csv")
    parser.add_argument("-o", "--out", type=Path, default=Path("nuclei.safetensors"))
    parser.add_argument("--fold", default="0", help="held out for validation (default: 0)")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--resume", action="store_true")
    arguments = parser.parse_args()
    nuclei = [item for item in read_index(arguments.data) if item.split == "train"]
    with tempfile.TemporaryDirectory() as folder:
        learn = lay_out([n for n in nuclei if n.fold != arguments.fold], Path(folder) / "learn")
        check = lay_out([n for n in nuclei if n.fold == arguments.fold], Path(folder) / "check")
        command = ["train", *learn, "-o", arguments.out, "--device", arguments.device]
        command += ["--validation-images", check[0], "--validation-labels", check[1]]
        for name, value in {**SETTINGS, "steps": arguments.steps}.items():
            command += [f"--{name}", value]
        command += ["--licence", "BSD-3-Clause; trained on CC0 images"]
        command += ["--training-data", TRAINING_DATA, "--summary", SUMMARY]
        if arguments.resume:
            command.append("--resume")
        return main([str(word) for word in command])


SUMMARY = "Nuclei in fluorescence, histology and brightfield images, grey or RGB."
TRAINING_DATA = (
    "2018 Data Science Bowl, stage 1 (BBBC038, CC0): the images of its split 'train', "
    "one fold of five held out."
)


if __name__ == "__main__":
    sys.exit(run())
