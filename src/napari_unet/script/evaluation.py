"""What the Evaluate form does, as lines of Python and as a command line, to copy and run again."""

from __future__ import annotations

import os
from dataclasses import dataclass

from napari_unet.engine.labels.truth.cell_errors import RIGHT_IOU
from napari_unet.script.words import as_path, call, command, file_stem, option_words

_ENDING = ".tif"


@dataclass(frozen=True, slots=True)
class EvaluationRecipe:
    """Everything that decides about a comparison of the form.

    Parameters
    ----------
    truth, found : str
        Names of the labels layers.
    image : str
        Name of the layer that the pictures of the report show; empty for none.
    right_iou : float
        From which a found cell is right.
    by_slice : bool
        Each slice of a stack is an image of its own.
    multiscale : tuple of str
        Those of the layers that hold their pixels at several sizes.
    """

    truth: str
    found: str
    image: str = ""
    right_iou: float = RIGHT_IOU
    by_slice: bool = False
    multiscale: tuple[str, ...] = ()


def evaluation_python(recipe: EvaluationRecipe) -> str:
    """Return a script that compares as the form does, for napari's console."""
    options = [f"right_iou={recipe.right_iou:g}"] if recipe.right_iou != RIGHT_IOU else []
    options += ["ndim=2"] if recipe.by_slice else []
    return "\n".join(
        [
            "from napari_unet import find_errors",
            "",
            "# In napari's console, where `viewer` is the window.",
            f"truth = {_pixels(recipe, recipe.truth)}",
            f"cells = {_pixels(recipe, recipe.found)}",
            call("found = find_errors", ["truth", "cells", *options]),
            f"score = found.evaluation.pooled({recipe.right_iou:g})",
            'print(f"F1 {score.f1:.3f}, AP {score.average_precision:.3f}")',
            "for error in found.errors:",
            "    print(error.kind, error.true_ids, error.found_ids, round(error.iou, 3))",
            "",
        ]
    )


def evaluation_command(recipe: EvaluationRecipe, *, for_windows: bool = os.name == "nt") -> str:
    """Return a command line that writes the report of the form, once the layers are files."""
    names = [recipe.truth, recipe.found, *filter(None, [recipe.image])]
    files = dict(zip(names, _files(names), strict=True))
    words = ["napari-unet", "evaluate", as_path(files[recipe.truth]), as_path(files[recipe.found])]
    words += ["--slices"] if recipe.by_slice else []
    if recipe.right_iou != RIGHT_IOU:
        words += option_words({"right_iou": recipe.right_iou})
    words += ["--report", as_path(f"{file_stem(recipe.found)}_evaluation.html")]
    words += ["--images", as_path(files[recipe.image])] if recipe.image else []
    saved = ", ".join(f"'{' '.join(name.split())}' as {file}" for name, file in files.items())
    remark = f"# First save the layers {saved} (File > Save Selected Layers)."
    return "\n".join([remark, command(words, for_windows=for_windows)])


def _pixels(recipe: EvaluationRecipe, name: str) -> str:
    return f"viewer.layers[{name!r}].data{'[0]' if name in recipe.multiscale else ''}"


def _files(names: list[str]) -> list[str]:
    """File of each layer: two names may differ in nothing that a file's name can hold."""
    files: list[str] = []
    for name in names:
        stem, number = file_stem(name), 2
        file = f"{stem}{_ENDING}"
        while file in files:
            file, number = f"{stem}_{number}{_ENDING}", number + 1
        files.append(file)
    return files
