"""The thread's side of a training: what it reads, reports, previews, and keeps when it ends."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from napari.components import ViewerModel
from napari.layers import Image

from napari_unet.engine.base.errors import TrainingError
from napari_unet.engine.images.image import plane_key
from napari_unet.engine.labels.runs import LabelRuns
from napari_unet.engine.networks.network import Network, NetworkDescription
from napari_unet.engine.networks.unet import UNet, UNetConfig
from napari_unet.engine.training.settings import TrainingSettings
from napari_unet.script import TrainRecipe
from napari_unet.viewer.drawn_regions import DrawnRegion
from napari_unet.viewer.layers import LayerImage, read_layer
from napari_unet.widgets.train.plan import PairSource, Plan, annotation, annotation_in_parts
from napari_unet.widgets.train.preview import Previewed, see
from napari_unet.widgets.train.reports import Begun, Control, Learned, Trained
from napari_unet.widgets.train.review.comparison import Compared
from napari_unet.widgets.train.training import run_training

_MIDDLE = 17
"""A convolution within one of the steps, neither its first one nor its last."""

SETTINGS = TrainingSettings(
    steps=4, batch_size=1, patch_size_px=32, validation_interval=2, warmup_steps=0
)


def squares(shape: tuple[int, ...] = (128, 128)) -> np.ndarray:
    labels = np.zeros(shape, np.int32)
    for number, (y, x) in enumerate(np.ndindex(shape[-2] // 16, shape[-1] // 16), start=1):
        labels[..., y * 16 + 3 : y * 16 + 12, x * 16 + 3 : x * 16 + 12] = number
    return labels


def layer_image(array: np.ndarray, extent: Any = "stack") -> LayerImage:
    viewer = ViewerModel()
    layer = viewer.add_layer(Image(array, name="picture"))
    return read_layer(layer, viewer.dims, network_ndim=2, extent=extent)


def plan_for(
    labels: np.ndarray,
    network: Network | None,
    *,
    source: PairSource | None = None,
    autosave_folder: Path | None = None,
    **changes: Any,
) -> Plan:
    source = source or PairSource(layer_image((labels > 0).astype(np.float32)), labels, "picture")
    usual = {"pairs": (), "settings": SETTINGS, "holds_out": False, "device": "cpu"}
    recipe = TrainRecipe(**{**usual, **changes})
    return Plan(recipe, (source,), network, autosave_folder=autosave_folder)


def weights_of(network: Network) -> torch.Tensor:
    return torch.cat([value.reshape(-1).float() for value in network.unet.state_dict().values()])


def test_a_new_network_is_made_for_the_axes_and_channels_of_the_images() -> None:
    labels = np.repeat(squares((64, 64))[np.newaxis], 4, axis=0)
    viewer = ViewerModel()
    layer = viewer.add_layer(Image((labels > 0).astype(np.float32), name="picture"))
    image = read_layer(layer, viewer.dims, network_ndim=3, extent="stack")
    settings = replace(SETTINGS, steps=1)
    source = PairSource(image, labels, "picture")
    plan = plan_for(labels, None, source=source, settings=settings, begins_anew=True, ndim=3)

    trained = next(each for each in run_training(plan, Control()) if isinstance(each, Trained))

    assert trained.network.description.architecture.ndim == 3
    assert trained.network.description.class_roles == ("background", "cell", "border")


def test_reports_come_in_order_and_the_end_has_a_network(threshold_network: Network) -> None:
    reports = list(run_training(plan_for(squares(), threshold_network), Control()))

    assert isinstance(reports[0], Begun)
    steps = [step for report in reports if isinstance(report, Learned) for step in report.steps]
    assert [step.step for step in steps] == [1, 2, 3, 4]
    last, compared = reports[-2:]
    assert isinstance(last, Trained)
    assert isinstance(compared, Compared)
    assert (compared.before, compared.held_out, compared.view) == (None, (), None)
    assert last.is_finished
    assert last.held_out == "Nothing is held out."
    assert last.steps == 4
    assert not torch.equal(weights_of(last.network), weights_of(threshold_network))


def test_a_part_is_held_out_and_compared_before_and_after(threshold_network: Network) -> None:
    labels = squares((400, 256))

    reports = list(run_training(plan_for(labels, threshold_network, holds_out=True), Control()))

    trained, last = reports[-2:]
    assert "held out" in trained.held_out
    steps = [step for report in reports if isinstance(report, Learned) for step in report.steps]
    assert [step.step for step in steps if step.validation is not None] == [2, 4]
    assert last.before.pooled(0.5).average_precision == 1
    assert last.after is not None
    (held_out,) = last.held_out
    assert held_out.before_score.pooled(0.5).average_precision == 1
    assert held_out.before_cells == last.before.pooled(0.5).true_positives


def test_a_stop_ends_after_the_step_and_a_resume_goes_on_to_the_same_network(
    threshold_network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_unet.widgets.train.training._REPORT_S", 0.0)
    plan = plan_for(squares(), threshold_network, autosave_folder=tmp_path)
    *_, whole, _ = run_training(replace(plan, autosave_folder=None), Control())
    control = Control()
    stopped = None
    for report in run_training(plan, control):
        if isinstance(report, Begun):
            continue
        control.cancel.set()
        stopped = report if isinstance(report, Trained) else stopped

    assert report.verdict is not None
    assert stopped.interrupted.step == stopped.steps
    *_, resumed, _ = run_training(replace(plan, resumes=stopped.interrupted), Control())

    # What was stopped is replaced by what has ended, which can be trained further.
    assert len(list(tmp_path.glob("*.training"))) == 1
    assert resumed.interrupted.about["is_finished"]
    assert not stopped.is_finished
    assert stopped.steps < 4
    assert resumed.steps == 4
    assert torch.equal(weights_of(resumed.network), weights_of(whole.network))


def test_a_stop_in_the_middle_of_a_step_undoes_that_step(
    threshold_network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(SETTINGS, adapt_norms=False)
    plan = plan_for(squares(), threshold_network, settings=settings, autosave_folder=tmp_path)
    *_, whole, _ = run_training(plan, Control())
    control, forwards = Control(), 0
    convolve = torch.nn.functional.conv2d

    def stops_in_the_third_step(*arguments: Any, **options: Any) -> Any:
        nonlocal forwards
        forwards += 1
        if forwards == _MIDDLE:
            control.cancel.set()
        return convolve(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(torch.nn.functional, "conv2d", stops_in_the_third_step)
        *_, stopped, _ = run_training(plan, control)
    *_, resumed, _ = run_training(replace(plan, resumes=stopped.interrupted), Control())

    assert 0 < stopped.steps < 4
    assert torch.equal(weights_of(resumed.network), weights_of(whole.network))


def test_a_training_that_cannot_be_saved_goes_on_and_says_so(
    threshold_network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_unet.widgets.train.training._AUTOSAVE_S", 0.0)
    (tmp_path / "file").touch()
    plan = plan_for(squares(), threshold_network, autosave_folder=tmp_path / "file" / "folder")

    *_, last, _ = run_training(plan, Control())

    assert last.is_finished
    assert "file/folder' cannot be written to" in last.notes[-1]


def test_an_error_of_the_training_keeps_the_network_and_says_so(
    threshold_network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_unet.engine.training.run import TrainingRun

    own = TrainingRun.__next__

    def fails_at_the_third(run: TrainingRun) -> Any:
        if run.step == 2:
            raise TrainingError("The loss became nan at step 3; the best state so far is kept.")
        return own(run)

    monkeypatch.setattr(TrainingRun, "__next__", fails_at_the_third)

    *_, last, _ = run_training(plan_for(squares(), threshold_network), Control())

    assert last.steps == 2
    assert not last.is_finished
    assert last.notes[-1].startswith("The loss became nan at step 3")


def test_the_view_is_seen_before_and_after(threshold_network: Network) -> None:
    labels = squares()
    plan = plan_for(labels, threshold_network)
    control = Control(view=replace(plan.sources[0].image, extent="view", region=(16, 80, 32, 96)))

    *_, last = run_training(plan, control)

    assert last.view.image is control.view
    assert last.view.corner == (16, 32)
    assert last.view.comparison.shape == (64, 64)
    assert last.view.comparison.before_cells == np.unique(labels[16:80, 32:96]).size - 1


def test_previews_come_while_it_learns(
    threshold_network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_unet.widgets.train.training._FIRST_PREVIEW_S", 0.0)
    plan = plan_for(squares(), threshold_network)

    reports = list(run_training(plan, Control(view=plan.sources[0].image)))

    (seen,) = [report for report in reports if isinstance(report, Previewed)]
    assert seen.step == 1
    assert seen.corner == (0, 0)
    assert seen.labels.shape == (128, 128)
    assert seen.layer.data is seen.labels
    assert tuple(seen.layer.translate) == (0, 0)
    assert not seen.layer.editable


def test_of_a_large_view_the_middle_is_seen(
    threshold_network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_unet.widgets.train.preview._MOST_PX", 32)
    image = layer_image((squares((96, 64)) > 0).astype(np.float32))

    labels, corner = see(image, threshold_network, device="cpu", cancel=Control().cancel)

    assert labels.shape == (32, 32)
    assert corner == (32, 16)


def test_of_a_stack_the_labelled_slices_are_learned_from(threshold_network: Network) -> None:
    labels = np.stack([squares((64, 64)), np.zeros((64, 64), np.int32), squares((64, 64))])

    pairs = annotation(plan_for(labels, threshold_network))

    assert [pair.name for pair in pairs] == ["picture, slice 1", "picture, slice 3"]
    assert all(pair.image.shape[-2:] == (64, 64) for pair in pairs)


def test_only_what_was_painted_counts_when_so_asked(threshold_network: Network) -> None:
    labels = np.zeros((64, 64), np.int32)
    labels[10:20, 10:20] = 1
    labels[40:50, 40:50] = 9

    (pair,) = annotation(plan_for(labels, threshold_network, meaning="painted", background_label=9))

    assert pair.reviewed[15, 15]
    assert pair.reviewed[45, 45]
    assert pair.labels[45, 45] == 0
    assert not pair.reviewed[30, 30]


def test_in_drawn_regions_everything_counts(threshold_network: Network) -> None:
    labels = squares((64, 64))
    corners = np.array([[0, 0], [0, 31], [31, 31], [31, 0]], float)
    source = PairSource(
        layer_image((labels > 0).astype(np.float32)),
        labels,
        "picture",
        regions=(DrawnRegion(corners),),
    )

    (pair,) = annotation(plan_for(labels, threshold_network, source=source, meaning="regions"))

    assert pair.reviewed[:32, :32].all()
    assert not pair.reviewed[33:].any()


def test_only_cells_that_were_looked_over_and_their_surroundings_count(
    threshold_network: Network,
) -> None:
    labels = np.zeros((64, 64), np.int32)
    labels[10:20, 10:20], labels[10:20, 24:34], labels[44:54, 44:54] = 1, 2, 3
    source = PairSource(
        layer_image((labels > 0).astype(np.float32)),
        labels,
        "picture",
        marks={1: "right", 2: "wrong", 3: "corrected"},
    )

    (pair,) = annotation(plan_for(labels, threshold_network, source=source, meaning="seen"))

    assert pair.reviewed[np.isin(labels, (1, 3))].all()
    assert not pair.reviewed[labels == 2].any()
    # Half a cell around; beside one that is wrong only what is nearer to one that is right.
    assert pair.reviewed[15, 5]
    assert not pair.reviewed[15, 4]
    assert pair.reviewed[15, 21]
    assert not pair.reviewed[15, 22]
    assert pair.reviewed[56, 50]
    assert not pair.reviewed[35, 15]


@pytest.mark.parametrize("meaning", ["reviewed", "painted"])
def test_corrections_of_a_prediction_are_known_and_reviewed(
    threshold_network: Network, meaning: str
) -> None:
    predicted = squares((64, 64))
    labels = predicted.copy()
    labels[labels == 1] = 0  # a false cell, erased
    labels[labels == 6] = 7  # two that are one
    source = PairSource(
        layer_image((predicted > 0).astype(np.float32)),
        labels,
        "picture",
        predictions={":,:": LabelRuns.of(predicted)},
    )

    (pair,) = annotation(plan_for(labels, threshold_network, source=source, meaning=meaning))

    assert np.array_equal(pair.corrected, labels != predicted)
    if meaning == "painted":
        assert pair.reviewed[predicted == 1].all()
        assert pair.reviewed[labels == 7].all()
        # Nobody touched these.
        assert not pair.reviewed[labels == 16].any()


def test_the_labels_are_copied_before_anything_is_learned(threshold_network: Network) -> None:
    labels = squares((64, 64))
    (pair,) = annotation(plan_for(labels, threshold_network))

    labels[:] = 0

    assert pair.labels.any()


def tissue_network() -> Network:
    """Tells two classes, of which none is a cell."""
    description = NetworkDescription(
        "tissue", UNetConfig(base_width=2, depth=1, classes=2), class_roles=("fat", "muscle")
    )
    return Network(UNet(description.architecture), description)


def test_numbers_are_classes_to_a_network_whose_classes_have_names() -> None:
    network = tissue_network()
    labels = np.zeros((64, 64), np.int32)
    labels[5:20, 5:20], labels[30:50, 30:50] = 1, 2

    (pair,) = annotation(plan_for(labels, network, meaning="painted"))
    *_, trained, _ = run_training(plan_for(labels, network, meaning="painted"), Control())

    # No ring: what lies around a stroke of a class may be of the same class.
    assert np.array_equal(pair.reviewed, labels > 0)
    assert trained.steps == 4


def test_a_block_of_classes_is_held_out_though_there_are_only_two_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = tissue_network()
    labels = np.ones((64, 256), np.int32)
    labels[32:] = 2

    parts = annotation_in_parts(plan_for(labels, network, holds_out=True))
    view = layer_image((labels > 0).astype(np.float32), "slice")
    monkeypatch.setattr("napari_unet.widgets.train.training._FIRST_PREVIEW_S", 0.0)
    control = Control(view=view)
    reports = list(run_training(plan_for(labels, network, holds_out=True), control))

    # As cells they would be too few, and ignored where the cut goes through them.
    (block,) = parts.validation
    assert "with 2 labels, is held out" in parts.sentence
    assert np.unique(block.labels[block.reviewed]).tolist() == [1, 2]
    assert isinstance(reports[-2], Trained)
    assert reports[-2].held_out == parts.sentence
    # Such a network finds no cells that could be shown or compared.
    assert not any(isinstance(report, Previewed) for report in reports)
    assert reports[-1].sentence == ""


def test_of_predicted_classes_only_corrections_are_learned_from(
    threshold_network: Network,
) -> None:
    described = replace(threshold_network.description, class_roles=("dark", "bright"))
    network = Network(threshold_network.unet, described)
    predicted = np.ones((64, 64), np.int32)
    predicted[:32] = 2
    corrected = predicted.copy()
    corrected[40:44, 10:20] = 2
    image = layer_image((predicted > 1).astype(np.float32))
    runs = {plane_key((slice(None), slice(None))): LabelRuns.of(predicted)}
    source = PairSource(image, corrected, "picture", predictions=runs)
    plan = plan_for(corrected, network, source=source, meaning="painted")

    (pair,) = annotation(plan)

    assert np.array_equal(pair.reviewed, predicted != corrected)
    assert np.array_equal(pair.labels > 0, predicted != corrected)
