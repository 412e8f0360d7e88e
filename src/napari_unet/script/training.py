"""What the Train form does, as lines of Python and as a command line, to copy and run again."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from napari_unet.engine.base.errors import TrainingError
from napari_unet.engine.networks.bundled import DEFAULT_MODEL
from napari_unet.engine.training.settings import MANY_STEPS, AugmentationSettings, TrainingSettings
from napari_unet.script.words import (
    arguments,
    as_path,
    call,
    check_model,
    command,
    differences,
    file_stem,
    guess_words,
    loading,
    option_words,
)

_OUTPUT = "mine.safetensors"
_IMAGES, _LABELS = "images", "labels"


@dataclass(frozen=True, slots=True)
class TrainRecipe:
    """Everything that decides about a training of the form.

    Parameters
    ----------
    pairs : tuple of (str, str)
        Names of the image layers and of their labels layers.
    model : str
        Bundled name or file; empty for a model that is in memory alone.
    begins_anew : bool
        A new network is made.
    meaning : {"reviewed", "regions", "painted", "slices", "seen"}
    background_label : int, optional
    settings : TrainingSettings
    holds_out : bool
    device : str
    folders : tuple of (str, str)
        Of images, and of label images with the same names.
    guesses : mapping of str to str
        What a person said about things that the model's file does not tell.
    label_kind : {"cells", "classes"}
        What the numbers of the labels are.
    ndim : int
        Axes that the network reads at once.
    class_names : tuple of str
        Of a new network that learns classes, as far as they have names.
    typed : tuple of str
        Labels layers whose cells have types.
    """

    pairs: tuple[tuple[str, str], ...]
    model: str = DEFAULT_MODEL
    begins_anew: bool = False
    meaning: Literal["reviewed", "regions", "painted", "slices", "seen"] = "reviewed"
    background_label: int | None = None
    settings: TrainingSettings = field(default_factory=TrainingSettings.fine_tuning)
    holds_out: bool = True
    device: str = "auto"
    folders: tuple[tuple[str, str], ...] = ()
    guesses: Mapping[str, str] = field(default_factory=dict)
    label_kind: Literal["cells", "classes"] = "cells"
    ndim: int = 2
    class_names: tuple[str, ...] = ()
    typed: tuple[str, ...] = ()


def training_python(recipe: TrainRecipe) -> str:
    """Return a script that trains as the form does, for napari's console.

    Raises
    ------
    CheckpointError
        If the model is in no file that a script could load.
    TrainingError
        If the meaning of the labels cannot be said in a script.
    """
    _check(recipe)
    start = "None" if recipe.begins_anew else loading(recipe.model, recipe.guesses)
    names = ["TrainingSettings", "annotated_pair", "hold_out", "save_checkpoint", "train"]
    names += ["new_description"] if recipe.begins_anew else ["load_checkpoint"]
    usual = "from_nothing" if recipe.begins_anew else "fine_tuning"
    changes = arguments(_changes(recipe))
    if recipe.ndim == 3:
        changes.append("ndim=3")
    augmentation = recipe.settings.augmentation
    if augmentation != _usual(recipe).augmentation:
        varied = arguments(differences(augmentation, AugmentationSettings()))
        names.append("AugmentationSettings")
        changes.append(f"augmentation={call('AugmentationSettings', varied)}")
    imports = [f"from napari_unet import {', '.join(sorted(names))}"]
    if recipe.folders:
        is_seen = recipe.meaning == "seen" or recipe.ndim == 3
        if not is_seen:
            imports.append("from napari_unet.files.images import read_image, read_labels")
        pairing = "pair_files, read_pairs" if is_seen else "pair_files"
        imports.append(f"from napari_unet.files.pairs import {pairing}")
        imports.insert(0, "from pathlib import Path\n")
    if recipe.meaning == "seen":
        imports.append("from napari_unet.engine.labels.look_over import seen_area")
        imports.append("from napari_unet.viewer.cells.marks import marks_of_layer")
    if recipe.ndim == 3 and recipe.pairs:
        imports.append("from napari_unet.viewer.layers import spacing_of")
    if recipe.typed:
        imports.append("from napari_unet.viewer.cells.cell_types import types_of_layer")
    options = ["parts.training", "network", "settings=settings", "validation=parts.validation"]
    options += [f"device={recipe.device!r}"] if recipe.device != "auto" else []
    if recipe.begins_anew:
        learns = f", class_names={recipe.class_names!r}" if recipe.label_kind == "classes" else ""
        options.append(f"description=new_description(pairs, ndim={recipe.ndim}{learns})")
    return "\n".join(
        [
            *imports,
            "",
            "# In napari's console, where `viewer` is the window.",
            *_pair_lines(recipe),
            f"network = {start}",
            call("parts = hold_out", ["pairs", *_held_out_options(recipe)]),
            "print(parts.sentence)",
            call(f"settings = TrainingSettings.{usual}", changes),
            call("run = train", options),
            "for report in run:",
            "    print(report.step, report.loss, report.shortfall or '')",
            f"save_checkpoint(run.tuned(), {_OUTPUT!r})",
            "",
        ]
    )


def training_command(recipe: TrainRecipe, *, for_windows: bool = os.name == "nt") -> str:
    """Return a command line that trains as the form does, once the layers are files.

    Raises
    ------
    CheckpointError
        If the model is in no file that could be loaded.
    TrainingError
        If the meaning of the labels cannot be said on a command line, or cells have types.
    """
    _check(recipe)
    if recipe.typed:
        raise TrainingError(
            f"The types of the cells of '{recipe.typed[0]}' are in its layer's features, which no "
            "command line reads; copy the Python lines."
        )
    folders = _folders(recipe)
    words = ["napari-unet", "train", *map(as_path, folders), "-o", _OUTPUT]
    if not recipe.begins_anew:
        words += ["--from", as_path(recipe.model), *guess_words(recipe.guesses)]
    else:
        words += ["--ndim", str(recipe.ndim)] if recipe.ndim != 2 else []
        words += ["--label-kind", "classes"] if recipe.label_kind == "classes" else []
        words += ["--class-names", ",".join(recipe.class_names)] if recipe.class_names else []
    if recipe.meaning == "painted" or (recipe.begins_anew and recipe.label_kind == "classes"):
        words += ["--unlabelled", "ignore"]
    words += ["--slices", "painted"] if recipe.meaning == "slices" else []
    words += ["--only-seen"] if recipe.meaning == "seen" else []
    if recipe.background_label is not None:
        words += ["--background-label", str(recipe.background_label)]
    if recipe.device != "auto":
        words += ["--device", recipe.device]
    if not recipe.holds_out:
        words += ["--validation-fraction", "0"]
    words += option_words(_changes(recipe))
    augmentation = recipe.settings.augmentation
    words += option_words(differences(augmentation, _usual(recipe).augmentation))
    # Plain TIFF has no marks.
    ending, remarks = ".ome.tif" if recipe.meaning == "seen" else ".tif", []
    for image, labels in recipe.pairs:
        stem = file_stem(image)
        image, labels = " ".join(image.split()), " ".join(labels.split())
        remarks.append(
            f"# First save layer '{image}' as {folders[0]}/{stem}.tif and layer '{labels}' as "
            f"{folders[1]}/{stem}{ending} (File > Save Selected Layers)."
        )
    return "\n".join([*remarks, command(words, for_windows=for_windows)])


def _folders(recipe: TrainRecipe) -> tuple[str, str]:
    """Folders that the command reads."""
    if len(recipe.folders) > 1:
        raise TrainingError(
            f"A command learns from one folder of images, and the form has {len(recipe.folders)}; "
            "put the files into one, or copy the Python lines."
        )
    return recipe.folders[0] if recipe.folders else (_IMAGES, _LABELS)


def _check(recipe: TrainRecipe) -> None:
    if not recipe.begins_anew:
        check_model(recipe.model)
    if recipe.meaning == "regions":
        raise TrainingError(
            "Regions drawn in napari are in no file that a script could read; choose 'Everything "
            "was reviewed' or 'Only what I painted', and copy again."
        )


def _changes(recipe: TrainRecipe) -> dict[str, Any]:
    """When it ends, where that is not the usual, and what else differs from the usual settings."""
    settings, usual = recipe.settings, _usual(recipe)
    end: dict[str, Any] = {}
    if (settings.steps, settings.seconds) != (usual.steps, usual.seconds):
        end = {} if settings.steps == MANY_STEPS else {"steps": settings.steps}
        end |= {} if settings.seconds is None else {"seconds": settings.seconds}
    changes = differences(settings, _usual(recipe, **end))
    changes.pop("augmentation", None)
    return {**end, **changes}


def _usual(recipe: TrainRecipe, **end: Any) -> TrainingSettings:
    usual = TrainingSettings.from_nothing if recipe.begins_anew else TrainingSettings.fine_tuning
    return usual(ndim=recipe.ndim, **end)


def _held_out_options(recipe: TrainRecipe) -> list[str]:
    """What the form gives `hold_out` beside the pairs."""
    if not recipe.holds_out:
        return ["share=0"]
    options = []
    if recipe.settings.seed:
        options.append(f"seed={recipe.settings.seed}")
    if not recipe.begins_anew:
        options.append("gap_px=network.description.architecture.margin_px")
    if recipe.label_kind != "cells":
        options.append(f"label_kind={recipe.label_kind!r}")
    return options


def _pair_lines(recipe: TrainRecipe) -> list[str]:
    options = ["unlabelled='ignore'"] if recipe.meaning == "painted" else []
    options += ["slices='painted'"] if recipe.meaning == "slices" else []
    is_seen = recipe.meaning == "seen"
    if recipe.background_label is not None:
        options.append(f"background_label={recipe.background_label}")
    if recipe.label_kind != "cells":
        options.append(f"label_kind={recipe.label_kind!r}")
    lines = ["pairs = ["]
    for image, labels in recipe.pairs:
        data = [f"viewer.layers[{name!r}].data" for name in (image, labels)]
        types = [f"types=types_of_layer(viewer.layers[{labels!r}])"] * (labels in recipe.typed)
        marks = f"marks_of_layer(viewer.layers[{labels!r}])"
        seen = [f"regions=seen_area({data[1]}, {marks})"] * is_seen
        of_volume = f"spacing=spacing_of(viewer.layers[{image!r}], (-3, -2, -1))"
        spacing = [of_volume] * (recipe.ndim == 3)
        known = [*options, *seen, *types, *spacing, f"name={image!r}"]
        made = call("annotated_pair", [*data, *known])
        lines += [f"    {line}" for line in made.splitlines()]
        lines[-1] += ","
    lines.append("]")
    for images, labels in recipe.folders:
        lines += [
            f"for paths in pair_files(Path({images!r}), Path({labels!r})).pairs:",
            *(f"    {line}" for line in _file_lines(options, recipe)),
        ]
    return lines


def _file_lines(options: list[str], recipe: TrainRecipe) -> list[str]:
    """Lines that make pairs of the files in `paths`."""
    is_seen = recipe.meaning == "seen"
    if is_seen or recipe.ndim == 3:
        # The marks are in the file of labels, and the voxel size in that of the image.
        given = ", ".join(["image, labels, name=name", *options, "**known"])
        maker = f"lambda image, labels, name, **known: annotated_pair({given})"
        read = ["*paths", f"ndim={recipe.ndim}", f"make_pair={maker}"]
        return call("pairs += read_pairs", read + ["only_seen=True"] * is_seen).splitlines()
    return [
        "image, labels = read_image(paths[0]).array, read_labels(paths[1]).array",
        call("pairs.append", [call("annotated_pair", ["image", "labels", *options])]),
    ]
