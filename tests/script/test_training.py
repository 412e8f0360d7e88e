"""The Train form as a script: it runs as it stands, and says the same as the form."""

import dataclasses
import shlex
from types import SimpleNamespace

import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_unet.cli.program import main
from napari_unet.engine.base.errors import CheckpointError, TrainingError
from napari_unet.engine.labels.look_over import seen_area
from napari_unet.engine.models.checkpoint import load_checkpoint
from napari_unet.engine.training.settings import AugmentationSettings, TrainingSettings
from napari_unet.files.images import write_labels
from napari_unet.script import TrainRecipe, training_command, training_python
from napari_unet.viewer.label_files import write_layer

QUICK = TrainingSettings.fine_tuning(
    seconds=None,
    steps=2,
    batch_size=1,
    patch_size_px=32,
    keep_knowledge=0.0,
    augmentation=AugmentationSettings(flip=False, scale=1.2),
)
RECIPE = TrainRecipe((("my cells", "my cells: nuclei"),), settings=QUICK, holds_out=False)


def photographed(labels: np.ndarray) -> np.ndarray:
    """Their image, with the noise of a camera: flat squares would be taken for a mask."""
    noise = np.random.default_rng(0).normal(0, 5, labels.shape)
    return np.where(labels > 0, 100, 20) + noise.round()


def cells() -> np.ndarray:
    labels = np.zeros((64, 64), np.int32)
    labels[5:20, 5:20], labels[30:50, 30:50] = 1, 2
    return labels


def test_the_python_lines_run_in_the_console(
    tmp_path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    labels = cells()
    layers = {
        "my cells": SimpleNamespace(data=(labels > 0).astype(np.float32)),
        "my cells: nuclei": SimpleNamespace(data=labels),
    }
    lines = training_python(RECIPE)

    exec(lines, {"viewer": SimpleNamespace(layers=layers)})  # noqa: S102 - our own lines

    assert (tmp_path / "mine.safetensors").exists()
    assert capsys.readouterr().out.splitlines()[0] == "Nothing is held out, as it was asked for."
    assert "AugmentationSettings(flip=False, scale=1.2)" in lines


def test_what_was_said_about_a_model_is_said_again() -> None:
    recipe = dataclasses.replace(RECIPE, model="m.pth", guesses={"final": "sigmoid"})

    assert "load_checkpoint('m.pth', guesses={'final': 'sigmoid'})" in training_python(recipe)
    assert "--from m.pth --guess final=sigmoid" in training_command(recipe, for_windows=False)


def test_the_command_trains_once_the_layers_are_saved(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = dataclasses.replace(RECIPE, meaning="painted", background_label=2)
    remark, command = training_command(recipe, for_windows=False).splitlines()
    assert remark == (
        "# First save layer 'my cells' as images/my_cells.tif and layer 'my cells: nuclei' as "
        "labels/my_cells.tif (File > Save Selected Layers)."
    )
    for folder, array in (("images", photographed(cells())), ("labels", cells())):
        (tmp_path / folder).mkdir()
        write_labels(tmp_path / folder / "my_cells.tif", array.astype(np.int32))

    program, *words = shlex.split(command)

    assert program == "napari-unet"
    assert main(words) == 0
    assert (tmp_path / "mine.safetensors").exists()
    assert "--unlabelled ignore --background-label 2" in command


def test_what_no_script_can_do_is_said() -> None:
    with pytest.raises(CheckpointError, match="in memory alone"):
        training_python(dataclasses.replace(RECIPE, model=""))
    with pytest.raises(TrainingError, match="Regions drawn in napari are in no file"):
        training_command(dataclasses.replace(RECIPE, meaning="regions"))


def test_a_new_network_needs_no_model() -> None:
    recipe = dataclasses.replace(RECIPE, model="", begins_anew=True)

    assert "network = None" in training_python(recipe)
    assert "description=new_description(pairs, ndim=2)" in training_python(recipe)
    assert "--from" not in training_command(recipe)
    assert "--ndim" not in training_command(recipe)


def test_a_new_3d_network_is_one_in_both_scripts(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = dataclasses.replace(RECIPE, model="", begins_anew=True, ndim=3)
    labels = np.repeat(cells()[np.newaxis], 4, axis=0)
    layers = {
        "my cells": Image((labels > 0).astype(np.float32), scale=(3, 1, 1)),
        "my cells: nuclei": SimpleNamespace(data=labels),
    }

    exec(training_python(recipe), {"viewer": SimpleNamespace(layers=layers)})  # noqa: S102 - our own lines

    description = load_checkpoint(tmp_path / "mine.safetensors").description
    assert (description.architecture.ndim, description.architecture.flat_levels) == (3, 1)
    assert description.anisotropy == 3
    assert "--ndim 3" in training_command(recipe)


def test_a_new_network_of_classes_is_one_in_both_scripts(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    classes = {"label_kind": "classes", "class_names": ("gland", "fat"), "meaning": "painted"}
    recipe = dataclasses.replace(RECIPE, model="", begins_anew=True, **classes)
    layers = {
        "my cells": SimpleNamespace(data=photographed(cells())),
        "my cells: nuclei": SimpleNamespace(data=cells()),
    }

    exec(training_python(recipe), {"viewer": SimpleNamespace(layers=layers)})  # noqa: S102 - our own lines

    path = tmp_path / "mine.safetensors"
    assert load_checkpoint(path).description.class_roles == ("gland", "fat")
    path.unlink()
    for folder, array in (("images", photographed(cells())), ("labels", cells())):
        (tmp_path / folder).mkdir()
        write_labels(tmp_path / folder / "my_cells.tif", array.astype(np.int32))
    command = training_command(recipe, for_windows=False).splitlines()[-1]
    assert main(shlex.split(command)[1:]) == 0
    assert load_checkpoint(path).description.class_roles == ("gland", "fat")


def test_folders_are_read_by_both_scripts(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder, array in (("my images", photographed(cells())), ("my labels", cells())):
        (tmp_path / folder).mkdir()
        write_labels(tmp_path / folder / "one.tif", array.astype(np.int32))
    recipe = dataclasses.replace(RECIPE, pairs=(), folders=(("my images", "my labels"),))

    command = training_command(recipe, for_windows=False)
    assert main(shlex.split(command)[1:]) == 0
    (tmp_path / "mine.safetensors").unlink()
    exec(training_python(recipe), {})  # noqa: S102 - our own lines

    assert (tmp_path / "mine.safetensors").exists()
    with pytest.raises(TrainingError, match="the form has 2"):
        training_command(dataclasses.replace(recipe, folders=recipe.folders * 2))


def test_types_of_cells_are_read_from_the_layer_and_by_no_command(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = dataclasses.replace(RECIPE, typed=("my cells: nuclei",))
    features = {"index": [1, 2], "type": ["a", "b"]}
    layers = {
        "my cells": SimpleNamespace(data=photographed(cells())),
        "my cells: nuclei": Labels(cells(), features=features),
    }

    exec(training_python(recipe), {"viewer": SimpleNamespace(layers=layers)})  # noqa: S102

    description = load_checkpoint("mine.safetensors").description
    assert description.cell_types == ("a", "b")
    with pytest.raises(TrainingError, match="'my cells: nuclei' are in its layer's features"):
        training_command(recipe)


def pair_lines(recipe: TrainRecipe) -> str:
    """The script up to where a model is loaded."""
    return training_python(recipe).partition("\nnetwork = ")[0]


def test_cells_that_were_looked_over_are_the_truth_in_both_scripts(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    labels = Labels(cells(), features={"index": [1], "looked over": ["right"]})
    recipe = dataclasses.replace(RECIPE, meaning="seen")
    image = SimpleNamespace(data=photographed(cells()))
    layers = {"my cells": image, "my cells: nuclei": labels}
    names = {"viewer": SimpleNamespace(layers=layers)}
    exec(pair_lines(recipe), names)  # noqa: S102 - our own lines
    assert names["pairs"][0].reviewed[10, 10]
    assert not names["pairs"][0].reviewed[40, 40]

    remark, command = training_command(recipe, for_windows=False).splitlines()
    assert "'my cells: nuclei' as labels/my_cells.ome.tif" in remark
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    write_labels(tmp_path / "images" / "my_cells.tif", image.data.astype(np.int32))
    write_layer("labels/my_cells.ome.tif", *labels.as_layer_data_tuple()[:2])
    _, *words = shlex.split(command)
    assert main([*words, "--overwrite", "--no-checks"]) == 0

    folders = dataclasses.replace(recipe, pairs=(), folders=(("images", "labels"),))
    exec(pair_lines(folders), names)  # noqa: S102 - our own lines
    (pair,) = names["pairs"]
    assert np.array_equal(pair.reviewed, seen_area(cells(), {1: "right"}))
