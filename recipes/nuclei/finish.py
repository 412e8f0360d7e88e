"""All that follows a training of `nuclei`: tune, measure, write the card and the bundled model.

python recipes/nuclei/finish.py DATA TRAINING --before 0.1.0.safetensors --stardist FOLDER

TRAINING is the folder that `train.py` wrote; its `nuclei.safetensors` is taken, or --model. What
`tune.py` makes goes to TRAINING/tuned, the rest where `model_card.py` says.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from model_card import add_options, write
from tune import tune


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, metavar="DATA", help="folder with the sets of images")
    parser.add_argument("training", type=Path, metavar="TRAINING", help="what train.py wrote")
    parser.add_argument("--model", type=Path, help="another state of the training")
    add_options(parser)
    arguments = parser.parse_args()
    model = arguments.model or arguments.training / "nuclei.safetensors"
    arguments.tuned = arguments.training / "tuned"
    tune(arguments.data, model, arguments.tuned, device=arguments.device)
    write(arguments)


if __name__ == "__main__":
    main()
