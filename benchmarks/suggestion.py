r"""Count how often the right model is suggested for images that another model never learned on.

    python benchmarks/suggestion.py --models nuclei MINE.safetensors \
        --fits nuclei NUCLEI/images --fits MINE.safetensors MINE/images --fits none EM/slices

Every model segments images of every folder. Where its result is in doubt, the others are tried:
the suggestion is right if it is the model that the folder is said to fit, and wrong if it is
another one. Of each folder so many images are taken at equal distances (`--images`), whole.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from pathlib import Path

import numpy as np

from napari_unet import load_checkpoint, segment, suggest_model
from napari_unet.engine.images.image import AnyImage
from napari_unet.engine.networks.network import Network
from napari_unet.files.images import read_image


def images_of(folder: Path, count: int) -> list[AnyImage]:
    """Some images of a folder."""
    files = [file for file in sorted(folder.iterdir()) if file.is_file()]
    places = np.linspace(0, len(files) - 1, min(len(files), count)).round().astype(int)
    return [read_image(files[place]).array for place in sorted(set(places.tolist()))]


def outcome(
    image: AnyImage, used: str, networks: dict[str, Network], fitting: str
) -> tuple[str, float]:
    """Name what came of it, and how many seconds of the processor a candidate took."""
    if not segment(image, networks[used], keep_scores=False).doubt:
        return "no doubt", 0.0
    others = {name: each for name, each in networks.items() if name != used}
    started = time.process_time()
    suggestion = suggest_model(image, networks[used], list(others.values()))
    seconds = (time.process_time() - started) / max(1, len(others))
    if suggestion is None:
        return "nothing", seconds
    return "right" if suggestion.model is networks.get(fitting) else "wrong", seconds


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Count right and wrong suggestions of a model.")
    parser.add_argument("--models", nargs="+", required=True)
    parser.add_argument(
        "--fits", nargs=2, action="append", required=True, metavar=("MODEL", "FOLDER")
    )
    parser.add_argument("--images", type=int, default=6, help="of each folder")
    arguments = parser.parse_args()
    networks = {name: load_checkpoint(name) for name in arguments.models}
    columns = ("no doubt", "right", "wrong", "nothing")
    print(f"{'images':<40} {'used':<12}", *(f"{each:>9}" for each in columns), "seconds, most")
    for fitting, folder in arguments.fits:
        images = images_of(Path(folder), arguments.images)
        name = str(Path(*Path(folder).parts[-3:]))
        for used in networks:
            outcomes = [outcome(image, used, networks, fitting) for image in images]
            counts = Counter(each for each, _ in outcomes)
            numbers = (f"{counts[each]:>9}" for each in columns)
            most = max((seconds for _, seconds in outcomes), default=0.0)
            print(f"{name:<40} {Path(used).stem:<12}", *numbers, f"{most:.2f}", flush=True)


if __name__ == "__main__":
    main()
