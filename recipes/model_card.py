"""All that follows a training: tune, measure, write the card and the bundled model.

python recipes/MODEL/finish.py DATA TRAINING

TRAINING is the folder that `train.py` wrote; its `MODEL.safetensors` is taken, or --model. What is
tuned goes to TRAINING/tuned (--tuned: is there already), the card and the model in float16 to where
bundled models lie (--out), the pictures to those of the documentation (--pictures).

The test images are for the last look. Until then, --validation measures the held-out images alone,
and --few 2 only two images of each set.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from card_pictures import failure_sheet, reliability_chart, training_chart, worst_images
from card_text import Words, card
from measurement import Look, Method, Sets
from picture_sets import Parts, Picture
from recipe import Recipe
from reliability import Cells, reliability_rows, reliability_table
from tuning import cells_in, scored_images, tuned

from napari_unet import load_checkpoint, save_checkpoint
from napari_unet.engine.labels.evaluation import Evaluation
from napari_unet.engine.networks.bundled import FOLDER
from napari_unet.engine.networks.network import Network

PICTURES = Path(__file__).parents[1] / "docs" / "images"
TUNED, CELLS, VALIDATIONS = "tuned.safetensors", "cells.csv", "validation.csv"


@dataclass(frozen=True, slots=True)
class Finish:
    """What the card of a model has that others have not.

    Parameters
    ----------
    recipe : Recipe
    test_sets, held_out_sets : callable
        Given DATA and its parts, the images that are measured at full size, by
        what the card calls them: in the last look, and until then.
    methods : callable
        Given the tuned network and the command line, how they are segmented.
        Failures and scores are those of the first.
    shown : dict of str to str
        Of the sets whose failures are shown, what their images are called.
    words : Words
    add_options : callable
        Given the parser.
    """

    recipe: Recipe
    test_sets: Callable[[Path, Parts], dict[str, list[Picture]]]
    held_out_sets: Callable[[Path, Parts], dict[str, list[Picture]]]
    methods: Callable[[Network, argparse.Namespace], Iterable[Method]]
    shown: dict[str, str]
    words: Words
    add_options: Callable[[argparse.ArgumentParser], object] = lambda _parser: None


def finish(own: Finish, text: str | None) -> None:
    """Do it as the command line asks; `text` is what the script says of itself."""
    arguments = read_arguments(own, text)
    started = time.perf_counter()
    parts = own.recipe.split(arguments.data)
    name, folder = own.recipe.description.name, arguments.training / "tuned"
    if not arguments.tuned:
        model = arguments.model or arguments.training / f"{name}.safetensors"
        tune(own.recipe, load_checkpoint(model), parts, folder, device=arguments.device)
    network, tuned_on = load_checkpoint(folder / TUNED), Cells.read(folder / CELLS)
    # Before anything is written: one of them may be the bundled model.
    methods = list(own.methods(network, arguments))
    sets_of = own.held_out_sets if arguments.validation else own.test_sets
    sets = {k: items[: arguments.few] for k, items in sets_of(arguments.data, parts).items()}
    look = Look({name: [replace(i, zoom=1.0) for i in items] for name, items in sets.items()})
    for method in methods:
        look.measure(method)
    print(look.table())
    tested = test_cells(sets, parts, network, device=arguments.device)
    pictures = draw_pictures(own, network, look, tuned_on, arguments)
    scored = with_scores(network, look.methods[methods[0].name])
    arguments.out.mkdir(parents=True, exist_ok=True)
    words = card(scored, look, tuned_on, tested, pictures, own.words)
    (arguments.out / f"{name}.md").write_text(words, encoding="utf-8")
    save_checkpoint(scored, arguments.out / f"{name}.safetensors", overwrite=True, half=True)
    print(f"{time.perf_counter() - started:.0f} s in all")


def tune(recipe: Recipe, network: Network, parts: Parts, folder: Path, *, device: str) -> None:
    """Write the tuned model, and a table of the cells that its calibration was fitted to."""
    network, cells = tuned(with_own_start(recipe, network), parts, device=device)
    calibration = network.description.instances.score_calibration
    assert calibration is not None
    print(f"\n{calibration}; min_score {network.description.instances.min_score:g} of it\n")
    print(reliability_table(reliability_rows(cells, calibration, leave_out=True)), flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    cells.write(folder / CELLS)
    save_checkpoint(network, folder / TUNED, overwrite=True, half=True)


def with_own_start(recipe: Recipe, network: Network) -> Network:
    """Network whose history says which model it began with, where it began with one."""
    if recipe.starts_from is None:
        return network
    *before, last = network.description.history
    # Neither from nothing nor a further training, whose texts would be those of its start.
    last = {key: value for key, value in last.items() if key != "started_from"}
    last["note"] = f"begun with the weights of '{recipe.starts_from}'"
    description = replace(network.description, history=(*before, last))
    return Network(network.unet, description)


def test_cells(sets: Sets, parts: Parts, network: Network, *, device: str) -> Cells | None:
    """Cells that it finds in images on which nothing was tuned, if there are such."""
    known = {item.name for items in parts.held.values() for item in items}
    items = {item.name: item for items in sets.values() for item in items}
    tested = [item for name, item in items.items() if name not in known]
    if not tested:
        return None
    roles, instances = network.description.class_roles, network.description.instances
    return cells_in(scored_images(tested, network, device=device), roles, instances)


def draw_pictures(
    own: Finish, network: Network, look: Look, tuned_on: Cells, arguments: argparse.Namespace
) -> Sequence[str]:
    """Write the pictures and return the names of those of its failures."""
    calibration = network.description.instances.score_calibration
    assert calibration is not None
    folder = arguments.pictures / own.recipe.description.name
    folder.mkdir(parents=True, exist_ok=True)
    charts = {
        "reliability.svg": reliability_chart(tuned_on, calibration),
        "training.svg": training_chart(arguments.training / VALIDATIONS),
    }
    for name, text in charts.items():
        (folder / name).write_text(text, encoding="utf-8")
    failures = list(_failures(own, look, folder))
    for name in (*charts, *failures):
        print(f"{folder / name} ({(folder / name).stat().st_size / 1000:.0f} kB)")
    return failures


def _failures(own: Finish, look: Look, folder: Path) -> Iterator[str]:
    for set_name, kind in own.shown.items():
        if items := look.sets.get(set_name):
            name = f"worst-{kind.replace(' ', '-')}.webp"
            failure_sheet(worst_images(items, look.found), folder / name)
            yield name


def with_scores(network: Network, evaluations: dict[str, Evaluation]) -> Network:
    """Network whose description tells how well it does."""
    metrics = {
        name: {
            **{f"AP {t:g}, pooled": _rounded(e.pooled(t).average_precision) for t in e.thresholds},
            **{f"AP {t:g}, mean over images": _rounded(e.mean_ap(t)) for t in e.thresholds},
        }
        for name, e in evaluations.items()
    }
    return Network(network.unet, replace(network.description, metrics=metrics))


def _rounded(value: float) -> float:
    return float(np.round(value, 3))


def read_arguments(own: Finish, text: str | None) -> argparse.Namespace:
    """Of the command line."""
    parser = argparse.ArgumentParser(
        description=f"{text}\n{__doc__}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, metavar="DATA", help="folder with the sets of images")
    parser.add_argument("training", type=Path, metavar="TRAINING", help="what train.py wrote")
    parser.add_argument("--model", type=Path, help="another state of the training")
    parser.add_argument("--tuned", action="store_true", help="tuned before; only measure")
    parser.add_argument("--out", type=Path, default=FOLDER, help="for the card and the model")
    parser.add_argument("--pictures", type=Path, default=PICTURES, help="for the pictures")
    parser.add_argument("--validation", action="store_true", help="no test image is opened")
    parser.add_argument("--few", type=int, metavar="N", help="only so many images of each set")
    parser.add_argument("--device", default="auto")
    own.add_options(parser)
    return parser.parse_args()
