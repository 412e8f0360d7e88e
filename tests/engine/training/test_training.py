"""Training: learns, stops, resumes exactly, and says what it cannot use."""

import dataclasses

import numpy as np
import pytest
import torch

from napari_unet.engine.base.errors import (
    CheckpointError,
    LabelsError,
    SettingsError,
    TrainingError,
)
from napari_unet.engine.base.settings import SegmentationSettings
from napari_unet.engine.models.scores import learned_from
from napari_unet.engine.networks.network import NetworkDescription, new_network
from napari_unet.engine.networks.unet import UNet, UNetConfig
from napari_unet.engine.segmentation.segmentation import iterate_scores
from napari_unet.engine.training.pairs import TrainingPair, annotated_pair, new_description
from napari_unet.engine.training.settings import NO_AUGMENTATION, TrainingSettings
from napari_unet.engine.training.state import load_interrupted
from napari_unet.engine.training.training import train
from napari_unet.engine.training.volumes.arithmetic import learning_format
from napari_unet.engine.training.volumes.patch_size import patch_shape, step_bytes

TINY = NetworkDescription(
    "tiny", UNetConfig(base_width=4, depth=2, classes=3), ("background", "cell", "border")
)
QUICK = TrainingSettings(
    steps=4, batch_size=2, patch_size_px=32, warmup_steps=2, precision="float32",
    validation_interval=2,
)  # fmt: skip


def cells(seed: int = 0, shape: tuple[int, ...] = (48, 56)) -> TrainingPair:
    """Bright discs on a dark, noisy ground; one pair of them touches."""
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*[np.arange(n) for n in shape[-2:]], indexing="ij")
    labels = np.zeros(shape, np.uint16)
    for number, (y, x) in enumerate([(12, 12), (12, 25), (34, 18), (32, 44)], start=1):
        labels[..., (axes[0] - y) ** 2 + (axes[1] - x) ** 2 <= 36] = number
    image = 100 * (labels > 0) + rng.normal(20, 5, shape)
    return TrainingPair(image.astype(np.float32), labels, f"cells {seed}")


def weights_of(network):
    return torch.cat([p.detach().flatten() for p in network.unet.state_dict().values()])


def test_network_learns_to_find_cells_it_has_not_seen():
    settings = dataclasses.replace(
        QUICK, steps=120, learning_rate=5e-3, average=0.9, validation_interval=60
    )
    run = train([cells(1), cells(2)], settings=settings, validation=[cells(3)], description=TINY)
    reports = list(run)
    assert [report.step for report in reports] == list(range(1, 121))
    assert np.mean([r.loss for r in reports[-10:]]) < 0.5 * np.mean([r.loss for r in reports[:10]])
    assert reports[-1].validation.pooled(0.5).average_precision >= 0.75
    assert any(report.is_best for report in reports)


def test_same_seed_gives_the_same_network_and_another_seed_does_not():
    def trained(seed):
        run = train([cells()], settings=dataclasses.replace(QUICK, seed=seed), description=TINY)
        list(run)
        return weights_of(run.network)

    assert torch.equal(trained(1), trained(1))
    assert not torch.equal(trained(1), trained(2))


def test_stopped_and_resumed_equals_uninterrupted(tmp_path):
    def started():
        return train([cells()], settings=QUICK, validation=[cells(3)], description=TINY)

    whole = started()
    losses = [report.loss for report in whole]
    first = started()
    early = [next(first).loss for _ in range(3)]
    first.save_state(tmp_path / "state")
    second = train(
        [cells()], settings=QUICK, validation=[cells(3)], description=TINY,
        resume_from=tmp_path / "state",
    )  # fmt: skip
    assert early + [report.loss for report in second] == losses
    assert torch.equal(weights_of(second.network), weights_of(whole.network))
    assert torch.equal(weights_of(second.latest), weights_of(whole.latest))


def test_training_from_weights_alone_goes_on_at_its_step_and_warms_up_anew(tmp_path):
    settings = dataclasses.replace(QUICK, steps=10, decay=0.0, learning_rate=1e-3, warmup_steps=4)
    first = train([cells()], settings=settings, description=TINY)
    for _ in range(5):
        next(first)
    run = train([cells()], first.latest, settings=settings)
    run.go_on_at(5)
    assert torch.equal(run.next_batch().images, first.next_batch().images)
    rates = [run.schedule.learning_rate]
    assert next(run).step == 6
    run.save_state(tmp_path / "state")
    resumed = train([cells()], first.latest, settings=settings, resume_from=tmp_path / "state")
    rates.append(resumed.schedule.learning_rate)
    next(resumed)
    rates.append(resumed.schedule.learning_rate)
    assert rates == pytest.approx([0.25e-3, 0.5e-3, 0.75e-3])
    assert [report.step for report in resumed] == [8, 9, 10]


@pytest.mark.parametrize(
    ("capability", "device", "ndim", "expected"),
    [
        ("AVX2", "cpu", 2, torch.contiguous_format),
        ("AVX512", "cpu", 2, torch.channels_last),
        ("DEFAULT", "cpu", 2, torch.channels_last),
        ("AVX2", "cuda", 2, torch.channels_last),
        ("AVX2", "cpu", 3, torch.channels_last_3d),
    ],
)
def test_network_learns_in_the_layout_that_is_fastest_there(
    monkeypatch, capability, device, ndim, expected
):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    unet = UNet(UNetConfig(ndim=ndim, base_width=2, depth=1))
    assert learning_format(unet, torch.device(device)) == expected


def test_best_state_is_kept_not_the_last():
    run = train([cells()], settings=QUICK, validation=[cells(3)], description=TINY)
    next(run)
    next(run)
    best = weights_of(run.network)
    run.best_quality = 2.0  # nothing can beat this
    list(run)
    assert torch.equal(weights_of(run.network), best)
    assert not torch.equal(weights_of(run.latest), best)


def test_starting_network_is_not_changed():
    start = train([cells()], settings=QUICK, description=TINY).network
    before = weights_of(start)
    run = train([cells()], start, settings=QUICK)
    list(run)
    assert torch.equal(weights_of(start), before)
    assert not torch.equal(weights_of(run.network), before)


def test_description_records_what_the_network_learned_from():
    run = train([cells()], settings=QUICK, description=TINY)
    next(run)
    description = run.network.description
    assert description.object_diameter_px == pytest.approx(12, abs=1)
    assert description.intensity.dtype == "float32"
    assert description.history[-1]["steps"] == 1
    assert description.history[-1]["cells"] == 4
    assert description.history[-1]["settings"]["patch_size_px"] == 32
    assert NetworkDescription.from_json(description.to_json()).history[-1]["cells"] == 4


def test_batch_is_the_image_and_its_weight_map_without_augmentation():
    pair = cells(shape=(32, 32))
    settings = dataclasses.replace(QUICK, augmentation=NO_AUGMENTATION)
    run = train([pair], settings=settings, description=TINY)
    batch = run.next_batch()
    images, target, weights = batch.images, batch.target, batch.weights
    assert images.shape == (2, 1, 32, 32)
    assert target.shape == weights.shape == (2, 32, 32)
    assert set(target.unique().tolist()) == {0, 1, 2}
    assert float(weights.max()) > 5  # the touching pair
    bright = images[:, 0] > 0.5
    # The patch lies between pixels, so that outlines may round either way.
    assert ((target > 0) == bright)[weights > 0].float().mean() > 0.95


def test_3d_stacks_train_a_3d_network():
    description = NetworkDescription(
        "volume", UNetConfig(ndim=3, base_width=2, depth=1), ("background", "cell")
    )
    settings = dataclasses.replace(QUICK, patch_size_px=16, steps=2)
    run = train([cells(shape=(6, 48, 56))], settings=settings, description=description)
    batch = run.next_batch()
    images, target = batch.images, batch.target
    assert images.shape == (2, 1, 6, 16, 16)
    assert target.shape == (2, 6, 16, 16)
    assert all(np.isfinite(report.loss) for report in run)


def test_volumes_without_a_description_begin_a_3d_network_with_patches_that_fit():
    settings = TrainingSettings(steps=1, batch_size=2)
    volume = cells(shape=(6, 48, 56))
    network = new_network(new_description([volume], shape=UNetConfig(base_width=2, depth=1)), 0)
    assert network.description.architecture.ndim == 3
    run = train([volume], settings=settings, description=network.description)
    assert run.next_batch().images.shape == (2, 1, 6, 48, 48)
    (note,) = run.notes
    assert note == (
        "Patches have 6 x 48 x 48 voxels, 2 in a batch; a step takes about 8 MB of memory at most."
    )


def test_volumes_are_learned_from_in_float32_where_a_convolution_sees_two_slices():
    description = new_description([cells(shape=(8, 48, 56))], shape=TINY.architecture)
    pairs, halved = [cells(shape=(8, 48, 56))], description.architecture.valid_input_size(3)
    settings = dataclasses.replace(QUICK, precision="bfloat16", patch_size_px=halved)
    run = train(pairs, settings=settings, description=description, device="cpu")
    assert run.precision == torch.float32
    assert any("in float32" in note for note in run.notes)
    deeper = dataclasses.replace(settings, patch_size_px=4 * halved)
    run = train([cells(shape=(24, 48, 56))], settings=deeper, description=description, device="cpu")
    assert run.precision == torch.bfloat16
    assert not any("in float32" in note for note in run.notes)


@pytest.mark.parametrize("slices", [1, 3, 4, 5, 8])
def test_bfloat16_gradients_of_convolutions_over_volumes_are_right_but_for_two_slices(slices):
    torch.manual_seed(0)
    convolution = torch.nn.Conv3d(4, 4, 3, padding=1, bias=False)
    image, wanted = torch.randn(1, 4, slices, 8, 8), torch.randn(1, 4, slices, 8, 8)
    gradients = []
    for is_half in (False, True):
        convolution.weight.grad = None
        with torch.autocast("cpu", torch.bfloat16, enabled=is_half):
            found = convolution(image)
        (found.float() * wanted).sum().backward()
        gradients.append(convolution.weight.grad)
    error = (gradients[1] - gradients[0]).abs().max() / gradients[0].abs().max()
    assert error < 0.05


@pytest.mark.parametrize(
    ("shape", "batch_size", "diameter_px", "expected"),
    [
        ((100, 500, 500), 2, None, (48, 48, 48)),
        ((100, 500, 500), 2, 32, (64, 64, 64)),
        ((400, 500, 500), 1, 60, (128, 128, 128)),  # two million voxels
        ((16, 500, 500), 2, 96, (16, 192, 192)),
        ((5, 100, 40), 2, 90, (16, 112, 48)),  # what the network reads at least
        ((100, 100, 100), 1000, None, (16, 16, 16)),
    ],
)
def test_patches_of_volumes_are_some_cells_long_within_images_and_two_million_voxels(
    shape, batch_size, diameter_px, expected
):
    settings = TrainingSettings(batch_size=batch_size)
    shapes = [shape, (500, 500, 500)]
    found = patch_shape(settings, UNetConfig(ndim=3), shapes, diameter_px=diameter_px)
    assert found == expected


def test_patches_shrink_to_the_memory_and_a_chosen_size_that_has_no_room_is_refused():
    config, shapes = UNetConfig(ndim=3), [(100, 100, 100)]
    room = step_bytes(config, (32, 32, 32))
    assert patch_shape(TrainingSettings(batch_size=1), config, shapes, room_bytes=room) == (32,) * 3
    chosen = TrainingSettings(batch_size=1, patch_size_px=48)
    with pytest.raises(TrainingError, match=r"one patch of 48 x 48 x 48 pixels takes about 972 MB"):
        patch_shape(chosen, config, shapes, room_bytes=room)
    with pytest.raises(TrainingError, match="room for 0 MB; choose a smaller patch size"):
        patch_shape(TrainingSettings(), config, shapes, room_bytes=-1)


def test_a_batch_that_does_not_fit_is_computed_in_parts_before_the_system_ends_the_program(
    monkeypatch,
):
    volume = cells(shape=(16, 48, 56))
    description = new_description([volume], shape=UNetConfig(base_width=2, depth=1))
    one = step_bytes(description.architecture, (16, 48, 48))
    monkeypatch.setattr("napari_unet.engine.training.run.free_host_bytes", lambda: 4 * one)
    settings = TrainingSettings(steps=1, batch_size=8)
    run = train([volume], settings=settings, description=description, device="cpu")
    assert next(run).step == 1
    assert any("computed in parts of 2" in note for note in run.notes)


def test_a_chosen_patch_size_is_taken_and_images_have_the_usual_one():
    chosen = TrainingSettings(patch_size_px=128)
    assert patch_shape(chosen, UNetConfig(ndim=3), [(300, 300, 300)]) == (128, 128, 128)
    assert patch_shape(TrainingSettings(), UNetConfig(), [(9, 9)]) == (192, 192)


@pytest.mark.parametrize(
    ("image", "axis", "channels"),
    [((8, 9), None, 1), ((8, 9, 3), None, 3), ((8, 9, 4), None, 3), ((5, 8, 9), 0, 5)],
)
def test_a_new_network_reads_the_channels_of_the_images(image, axis, channels):
    pair = TrainingPair(np.ones(image), np.ones((8, 9), int), channel_axis=axis)
    grey = TrainingPair(np.ones((8, 9)), np.ones((8, 9), int))
    described = new_description([grey, pair])
    assert described.architecture.in_channels == channels
    assert described.class_roles == ("background", "cell", "border")


def scribbles(shape: tuple[int, int] = (48, 56)) -> TrainingPair:
    """Bright, middling and dark stripes; one stroke of its class in each."""
    rng = np.random.default_rng(0)
    stripes = np.repeat([[0.0, 100.0, 200.0]], shape[0], 0).repeat(shape[1] // 3 + 1, 1)
    labels = np.zeros(shape, np.uint8)
    labels[20:23, 3:15], labels[20:23, 22:34], labels[20:23, 41:53] = 1, 2, 3
    image = stripes[:, : shape[1]] + rng.normal(0, 5, shape)
    return annotated_pair(image, labels, unlabelled="ignore", label_kind="classes", name="stripes")


def test_scribbled_classes_train_a_network_from_nothing_that_tells_them_apart():
    pair = scribbles()
    description = new_description([pair], class_names=("dark",), shape=TINY.architecture)
    assert description.class_roles == ("dark", "class 2", "class 3")
    settings = dataclasses.replace(QUICK, steps=80, learning_rate=5e-3, average=0.9)
    run = train([pair], settings=settings, description=description)
    for report in run:
        assert np.isfinite(report.loss)
    usual = SegmentationSettings()
    *_, plane = iterate_scores(pair.image, run.network, settings=usual, device="cpu")
    found = plane.scores.argmax(0)
    for column, expected in ((9, 0), (28, 1), (47, 2)):
        assert (found[5:43, column - 5 : column + 6] == expected).mean() > 0.9
    # There are no cells to be counted.
    assert learned_from(run.network.description.history[-1]) == "1 image: 'stripes'"


def test_a_reviewed_zero_is_a_class_of_its_own_after_the_others():
    labels = np.array([[0, 1, 1, 2]])
    pair = TrainingPair(np.ones((1, 4)), labels)
    described = new_description([pair], class_names=("gland", "fat"))
    assert described.class_roles == ("gland", "fat", "background")
    unseen = dataclasses.replace(pair, reviewed=labels > 0)
    assert new_description([unseen], class_names=()).class_roles == ("class 1", "class 2")
    named = new_description([pair], class_names=("background", "fat"))
    assert named.class_roles == ("background", "fat")


def test_unpadded_network_learns_where_it_has_output():
    description = NetworkDescription(
        "valid", UNetConfig(base_width=2, depth=1, padding="valid"), ("background", "cell")
    )
    run = train([cells()], settings=QUICK, description=description)
    batch = run.next_batch()
    images, target = batch.images, batch.target
    assert description.architecture.output_size(images.shape[-1]) == target.shape[-1] >= 32
    assert np.isfinite(next(run).loss)


def test_colour_and_grey_images_train_one_network():
    description = dataclasses.replace(
        TINY, architecture=dataclasses.replace(TINY.unet, in_channels=3)
    )
    grey = cells()
    colour = TrainingPair(np.dstack([grey.image] * 3), grey.labels)
    run = train([grey, colour], settings=QUICK, description=description)
    assert all(np.isfinite(report.loss) for report in run)


def test_any_number_of_channels_can_be_learned():
    description = dataclasses.replace(
        TINY, architecture=dataclasses.replace(TINY.unet, in_channels=2)
    )
    grey = cells()
    pair = TrainingPair(np.stack([grey.image, grey.image]), grey.labels, channel_axis=0)
    run = train([pair], settings=QUICK, description=description)
    assert run.next_batch().images.shape == (2, 2, 32, 32)


def test_retrained_network_expects_the_cells_it_learned_last():
    start = train([cells()], settings=QUICK, description=TINY).network
    twice = TrainingPair(
        np.kron(cells().image, np.ones((2, 2))), np.kron(cells().labels, np.ones((2, 2), int))
    )
    before = start.description.object_diameter_px
    after = train([twice], start, settings=QUICK).network.description
    assert after.object_diameter_px == pytest.approx(2 * before, rel=0.01)
    assert [entry["started_from"] for entry in after.history] == [None, "tiny"]


def test_sgd_with_the_papers_momentum_learns_too():
    settings = dataclasses.replace(QUICK, optimizer="sgd", learning_rate=1e-3, steps=3)
    assert all(np.isfinite(r.loss) for r in train([cells()], settings=settings, description=TINY))


def test_class_balance_weighs_the_rare_class_more():
    settings = dataclasses.replace(QUICK, class_balance=True, augmentation=NO_AUGMENTATION)
    batch = train([cells()], settings=settings, description=TINY).next_batch()
    target, weights = batch.target, batch.weights
    assert weights[target == 1].mean() > weights[(target == 0) & (weights > 0)].min()


def test_divergence_is_said_and_the_best_state_survives():
    settings = dataclasses.replace(QUICK, validation_interval=1)
    run = train([cells()], settings=settings, validation=[cells(3)], description=TINY)
    next(run)
    best = weights_of(run.network)
    with torch.no_grad():
        run._learner.unet.head.bias.fill_(float("nan"))
    with pytest.raises(TrainingError, match="loss became nan at step 2; the best state so far"):
        next(run)
    assert torch.equal(weights_of(run.network), best)


def test_resuming_from_a_foreign_file_is_answered_with_one_sentence(tmp_path):
    path = tmp_path / "state"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(CheckpointError, match="no training state of this network"):
        train([cells()], settings=QUICK, description=TINY, resume_from=path)
    with pytest.raises(CheckpointError, match="There is no training state"):
        train([cells()], settings=QUICK, description=TINY, resume_from=tmp_path / "none")


@pytest.mark.parametrize(
    ("pairs", "error", "message"),
    [
        ([], TrainingError, "There are no training images"),
        (
            [TrainingPair(np.ones((8, 8)), np.zeros((8, 8), int))],
            TrainingError,
            "No training image has a labelled cell",
        ),
        (
            [TrainingPair(np.ones((8, 9)), np.ones((8, 8), int), "left")],
            TrainingError,
            "'left' has 8 x 9 pixels but its labels have 8 x 8",
        ),
        ([TrainingPair(np.ones((8, 8)), np.full((8, 8), 0.5))], LabelsError, "are not whole"),
    ],
)
def test_data_that_cannot_teach_are_answered_with_one_sentence(pairs, error, message):
    with pytest.raises(error, match=message):
        train(pairs, settings=QUICK, description=TINY)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"learning_rate": -1}, "learning_rate is -1"),
        ({"average": 2}, "average is 2; use 0 to 1"),
        ({"optimizer": "lion"}, "optimizer is 'lion'"),
    ],
)
def test_impossible_settings_are_refused(values, message):
    with pytest.raises(SettingsError, match=message):
        TrainingSettings(**values)


def test_what_was_learned_can_be_had_from_the_state_alone(tmp_path):
    run = train([cells()], settings=QUICK, validation=[cells(3)], description=TINY)
    for _ in range(3):
        next(run)
    run.save_state(tmp_path / "state")

    network = load_interrupted(tmp_path / "state")

    assert torch.equal(weights_of(network), weights_of(run.network))
    assert network.description.history[-1]["steps"] == 3
    assert network.description.class_roles == TINY.class_roles


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", None])
def test_a_torn_state_holds_no_network(tmp_path, content):
    path = tmp_path / "state"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match="no training state"):
        load_interrupted(path)
