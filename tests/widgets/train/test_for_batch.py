"""A training of the form for a queue learns the same as the form itself would."""

from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image

from napari_unet.engine.base.errors import UNetError
from napari_unet.engine.networks.network import Network
from napari_unet.engine.training.settings import TrainingSettings
from napari_unet.files.images import write_image, write_labels
from napari_unet.script import TrainRecipe
from napari_unet.viewer.layers import read_layer
from napari_unet.widgets.train.for_batch import QueuedTraining
from napari_unet.widgets.train.plan import PairSource, Plan, annotation


def source(**changes: object) -> PairSource:
    labels = np.zeros((2, 32, 32), np.int32)
    labels[0, 4:10, 4:10], labels[1, 8:14, 8:14] = 1, 2
    viewer = ViewerModel()
    layer = viewer.add_layer(Image((labels > 0).astype(np.float32), name="picture"))
    image = read_layer(layer, viewer.dims, network_ndim=2, extent="stack")
    return PairSource(image, labels, "picture", **changes)  # type: ignore[arg-type]


def plan_of(network: Network | None, one: PairSource, **changes: object) -> Plan:
    settings = TrainingSettings.fine_tuning(steps=3)
    usual = {"pairs": (("picture", "labels"),), "model": "/a/model.safetensors"}
    recipe = TrainRecipe(**{**usual, "settings": settings, **changes})  # type: ignore[arg-type]
    return Plan(recipe, (one,), network)


def test_layers_and_files_are_the_pairs_that_the_form_would_learn_from(
    tmp_path: Path, threshold_network: Network
) -> None:
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    pixels = np.arange(32 * 32, dtype=np.uint8).reshape(32, 32)
    write_image(tmp_path / "images" / "b.tif", pixels, "YX")
    write_labels(tmp_path / "labels" / "b.tif", (pixels > 200).astype(np.int32))
    folders = ((str(tmp_path / "images"), str(tmp_path / "labels")),)
    plan = plan_of(
        threshold_network, source(types={1: "mitotic"}), folders=folders, meaning="painted"
    )

    queued = QueuedTraining(plan, "abc").written(tmp_path / "queue")

    assert queued.start is not None
    assert (queued.start.source, queued.start.file_hash) == ("/a/model.safetensors", "abc")
    assert queued.settings == plan.recipe.settings
    pairs, held_out = queued.files.read(tmp_path / "queue" / "trainings")
    assert held_out == []
    wanted = annotation(plan)
    assert [pair.name for pair in pairs] == ["picture, slice 1", "picture, slice 2", "b.tif"]
    for found, pair in zip(pairs, wanted, strict=True):
        assert (found.name, found.types, found.channel_axis) == (
            pair.name,
            pair.types or None,
            pair.channel_axis,
        )
        for part in ("image", "labels", "reviewed", "corrected", "intensity_reference"):
            one, two = getattr(found, part), getattr(pair, part)
            assert (one is None) == (two is None), part
            np.testing.assert_array_equal(one, two)


def test_a_model_in_memory_alone_is_refused(threshold_network: Network) -> None:
    with pytest.raises(UNetError, match="The model has no file, so that nobody could go on"):
        QueuedTraining(plan_of(threshold_network, source(), model=""))


def test_layers_without_labels_are_refused(tmp_path: Path, threshold_network: Network) -> None:
    one = source()
    one.labels[:] = 0
    with pytest.raises(UNetError, match="No layer has labels to learn from"):
        QueuedTraining(plan_of(threshold_network, one)).written(tmp_path)


def test_a_new_network_is_named_so_and_one_of_a_model_after_it(threshold_network: Network) -> None:
    assert QueuedTraining(plan_of(threshold_network, source())).name == "threshold_trained"
    assert QueuedTraining(plan_of(None, source(), begins_anew=True)).name == "new"
