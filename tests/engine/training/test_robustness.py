"""Training that is stopped, runs out of memory or diverges, and what it still knows after it."""

import dataclasses
import errno
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_unet.engine.base.device_errors import is_out_of_memory
from napari_unet.engine.base.errors import CheckpointError, SettingsError, TrainingError
from napari_unet.engine.base.score_calibration import ScoreCalibration
from napari_unet.engine.base.settings import InstanceSettings
from napari_unet.engine.labels.evaluation import evaluate
from napari_unet.engine.networks.network import Network, NetworkDescription
from napari_unet.engine.networks.unet import UNet, UNetConfig
from napari_unet.engine.training.knowledge.bank import Bank, BankImage
from napari_unet.engine.training.knowledge.before import Before
from napari_unet.engine.training.pairs import TrainingPair
from napari_unet.engine.training.patches import BatchesAhead
from napari_unet.engine.training.run import TrainingRun
from napari_unet.engine.training.settings import TrainingSettings
from napari_unet.engine.training.training import train
from napari_unet.engine.training.validation import ValidationResult

ROLES = ("background", "cell", "border")
CONFIG = UNetConfig(base_width=4, depth=2, classes=3)
TINY = NetworkDescription("tiny", CONFIG, ROLES)
QUICK = TrainingSettings(
    steps=4, batch_size=4, patch_size_px=32, warmup_steps=2, precision="float32",
    validation_interval=2, learning_rate=1e-2,
)  # fmt: skip


def cells(seed: int = 0, count: int = 4) -> TrainingPair:
    rng = np.random.default_rng(seed)
    y, x = np.ogrid[:48, :56]
    labels = np.zeros((48, 56), np.uint16)
    for number, (row, column) in enumerate([(12, 12), (12, 25), (34, 18), (32, 44)][:count], 1):
        labels[(y - row) ** 2 + (x - column) ** 2 <= 36] = number
    return TrainingPair(100 * (labels > 0) + rng.normal(20, 5, labels.shape), labels)


KNOWN = Bank((BankImage("cells", "learn", cells(5).image, np.asarray(cells(5).labels)),))


def run_of(settings=QUICK, description=TINY, **options) -> TrainingRun:
    options = {"validation": [cells(3)], "device": "cpu", **options}
    return train([cells()], settings=settings, description=description, **options)


def weights_of(network: Network) -> torch.Tensor:
    return torch.cat([value.flatten().float() for value in network.unet.state_dict().values()])


def start(dropout: float = 0.0) -> Network:
    config = dataclasses.replace(CONFIG, dropout=dropout)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Network(UNet(config), dataclasses.replace(TINY, architecture=config))


# -- resume ------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("adapt_norms", [True, False])
@pytest.mark.parametrize("stopped_after", [1, 2, 3])
def test_resumed_training_is_the_uninterrupted_one_to_the_bit(
    tmp_path: Path, stopped_after: int, adapt_norms: bool, optimizer: str
) -> None:
    settings = dataclasses.replace(
        QUICK, optimizer=optimizer, adapt_norms=adapt_norms, bank_share=0.5
    )

    def begun(**options) -> TrainingRun:
        return run_of(settings, network=start(dropout=0.3), bank=KNOWN, **options)

    whole = begun()
    losses = [report.loss for report in whole]
    first = begun()
    early = [next(first).loss for _ in range(stopped_after)]
    first.save_state(tmp_path / "state")
    torch.rand(100)  # what others draw in between changes nothing
    second = begun(resume_from=tmp_path / "state")

    assert early + [report.loss for report in second] == losses
    assert torch.equal(weights_of(second.network), weights_of(whole.network))
    assert torch.equal(weights_of(second.latest), weights_of(whole.latest))
    assert torch.equal(
        weights_of(Network(second._learner.unet, TINY)),
        weights_of(Network(whole._learner.unet, TINY)),
    )
    assert second.best_quality == whole.best_quality
    for mine, other in zip(
        second._learner.optimizer.state_dict()["state"].values(),
        whole._learner.optimizer.state_dict()["state"].values(),
        strict=True,
    ):
        for name, value in mine.items():
            assert (
                torch.equal(value, other[name]) if torch.is_tensor(value) else value == other[name]
            )


def test_training_draws_nothing_from_the_random_numbers_of_others():
    before = torch.get_rng_state()
    list(run_of(network=start(dropout=0.3)))
    assert torch.equal(before, torch.get_rng_state())


def test_validation_that_was_broken_off_is_made_up_for(tmp_path: Path) -> None:
    whole = run_of()
    list(whole)
    first = run_of(should_stop=lambda: True)
    next(first)
    report = next(first)
    assert report.validation is None
    assert report.validation_loss is None
    first.save_state(tmp_path / "state")
    second = run_of(resume_from=tmp_path / "state")
    made_up = next(second)
    assert (made_up.step, made_up.is_best) == (3, True)
    list(second)
    assert second.best_quality == whole.best_quality
    assert torch.equal(weights_of(second.network), weights_of(whole.network))


def test_validation_of_the_last_step_is_made_up_for_in_a_report_of_its_own():
    run = run_of(dataclasses.replace(QUICK, steps=1), should_stop=lambda: True)
    loss = next(run).loss
    run.should_stop = lambda: False
    (report,) = list(run)
    assert (report.step, report.loss, report.is_best) == (1, loss, True)
    assert report.validation is not None


def test_other_settings_than_before_are_noted(tmp_path: Path) -> None:
    first = run_of()
    next(first)
    first.save_state(tmp_path / "state")
    settings = dataclasses.replace(QUICK, steps=6)
    report = next(run_of(settings, resume_from=tmp_path / "state"))
    assert report.notes[0].startswith("The training goes on with another steps than it was begun")


def test_settings_that_an_older_state_did_not_know_are_not_taken_for_changed(
    tmp_path: Path,
) -> None:
    first = run_of()
    next(first)
    first.save_state(tmp_path / "state")
    state = torch.load(tmp_path / "state", weights_only=True)
    settings = json.loads(state["settings"])
    del settings["crowded_share"], settings["augmentation"]["stain"]
    torch.save({**state, "settings": json.dumps(settings)}, tmp_path / "state")

    assert run_of(resume_from=tmp_path / "state").notes == ()
    other = dataclasses.replace(QUICK, crowded_share=0.5)
    assert "another crowded_share than" in run_of(other, resume_from=tmp_path / "state").notes[0]


def test_state_survives_a_full_disk_and_the_error_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of()
    path = tmp_path / "state"
    run.save_state(path)
    before = path.read_bytes()

    def fill(_state: object, file: Path) -> None:
        file.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", fill)
    with pytest.raises(CheckpointError, match="The disk is full, ") as caught:
        run.save_state(path)
    assert str(tmp_path) in str(caught.value)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


# -- memory ------------------------------------------------------------------------------------


def short_of_memory(run: TrainingRun, most: int, error: Exception) -> list[int]:
    """Let the network of a run refuse more than `most` patches at once; note the sizes."""
    forward, sizes = run._learner.unet.forward, []

    def limited(images: torch.Tensor) -> torch.Tensor:
        sizes.append(len(images))
        if len(images) > most:
            raise error
        return forward(images)

    run._learner.unet.forward = limited
    return sizes


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
        MemoryError(),
    ],
)
def test_batch_that_does_not_fit_is_computed_in_parts_and_said(error: Exception) -> None:
    settings = dataclasses.replace(QUICK, adapt_norms=False, validation_interval=0)
    whole, short = run_of(settings, validation=()), run_of(settings, validation=())
    sizes = short_of_memory(short, 1, error)
    losses = [report.loss for report in whole]
    reports = list(short)

    assert sizes[:4] == [4, 2, 1, 1]
    assert [report.loss for report in reports] == pytest.approx(losses, rel=1e-3)
    assert torch.allclose(weights_of(short.latest), weights_of(whole.latest), atol=2e-3)
    assert "so it is computed in parts of 1" in reports[-1].notes[-1]


def test_memory_that_ran_out_is_remembered_by_a_resumed_training(tmp_path: Path) -> None:
    first = run_of(validation=())
    short_of_memory(first, 2, MemoryError())
    next(first)
    first.save_state(tmp_path / "state")
    second = run_of(validation=(), resume_from=tmp_path / "state")
    assert second._learner.part_size == 2
    assert "in parts of 2" in next(second).notes[0]


def test_parts_of_a_batch_count_what_is_known_as_before():
    settings = dataclasses.replace(
        QUICK, batch_size=8, bank_share=0.6, adapt_norms=False, validation_interval=0
    )
    options = {"network": start(), "bank": KNOWN, "validation": ()}
    whole, short = run_of(settings, **options), run_of(settings, **options)
    for run in (whole, short):
        held_all_over(run)
    short_of_memory(short, 5, MemoryError())
    assert next(short).loss == pytest.approx(next(whole).loss, rel=1e-5)
    learned = [weights_of(Network(run._learner.unet, TINY)) for run in (whole, short)]
    assert torch.allclose(*learned, atol=1e-4)


def held_all_over(run: TrainingRun) -> None:
    """As if everything were unlabelled, too."""
    said = Before(torch.full((3, 48, 56), 1 / 3), 1.0, (0, 0))
    run._patches.hold([said], [said] * len(KNOWN.pairs("learn")))


def test_patch_that_does_not_fit_alone_is_answered_with_one_sentence():
    run = run_of()
    short_of_memory(run, 0, MemoryError())
    with pytest.raises(TrainingError, match="Not even one patch of 32 x 32 pixels fits"):
        next(run)
    assert torch.isfinite(weights_of(run.network)).all()


def test_other_errors_are_not_taken_for_missing_memory():
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    run = run_of()
    short_of_memory(run, 0, RuntimeError("something else"))
    with pytest.raises(RuntimeError, match="something else"):
        next(run)


# -- divergence --------------------------------------------------------------------------------


def test_diverged_training_goes_back_to_the_last_good_state():
    run = run_of(validation=())
    next(run)
    good = weights_of(run.network)
    with torch.no_grad():
        run._learner.unet.head.weight.fill_(float("inf"))
    with pytest.raises(TrainingError, match="loss became nan at step 2; the best state so far"):
        next(run)
    assert torch.equal(weights_of(run.network), good)
    assert torch.equal(weights_of(Network(run._learner.unet, TINY)), good)


def test_gradient_that_is_no_number_changes_nothing():
    run = run_of(validation=())
    next(run)
    good = weights_of(run.network)
    run._learner.unet.head.weight.register_hook(lambda gradient: gradient * float("nan"))
    with pytest.raises(TrainingError, match="The gradient became nan at step 2"):
        next(run)
    assert torch.equal(weights_of(run.network), good)


def test_validation_that_is_no_number_is_never_the_best(monkeypatch):
    run = run_of()
    monkeypatch.setattr(TrainingRun, "validate", lambda _: ValidationResult(float("nan"), None))
    assert not any(report.is_best for report in run)
    assert torch.equal(weights_of(run.network), weights_of(run.latest))


# -- time and validation -----------------------------------------------------------------------


def test_seconds_end_a_training_and_the_learning_rate_falls_with_them():
    settings = dataclasses.replace(QUICK, steps=100_000, seconds=1.0, validation_interval=0)
    run = run_of(settings, validation=())
    shares, rates = [], []
    for report in run:
        shares.append(report.share)
        rates.append(run._learner.optimizer.param_groups[0]["lr"])
    assert 1 < len(shares) < 100_000
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    # How low it gets depends on how many steps there is time for.
    assert rates[-1] < max(rates)


def test_held_out_images_without_a_cell_are_judged_by_their_loss():
    run = run_of(validation=[cells(3, count=0)])
    reports = list(run)
    assert "The held-out images show no cell" in reports[0].notes[0]
    validated = [report for report in reports if report.validation_loss is not None]
    assert [report.step for report in validated] == [2, 4]
    assert all(report.validation is None for report in validated)
    assert validated[0].is_best


def test_state_is_chosen_by_cells_where_there_are_many_and_by_the_loss_where_there_are_few():
    def result(right: int, cells: int, loss: float) -> ValidationResult:
        truth = np.arange(1, cells + 1)[:, None]
        return ValidationResult(loss, evaluate(truth, np.where(truth <= right, truth, 0)))

    assert result(31, 40, 0.9).quality > result(30, 40, 0.1).quality
    assert result(30, 40, 0.1).quality > result(30, 40, 0.9).quality
    assert result(2, 3, 0.1).quality > result(3, 3, 0.9).quality


def test_report_tells_the_iou_of_held_out_cells():
    settings = dataclasses.replace(QUICK, steps=60, average=0.9, validation_interval=60)
    report = list(run_of(settings))[-1]
    assert 0.5 < report.validation.mean_matched_iou <= 1
    assert report.validation_loss > 0


def test_held_out_pixels_that_were_not_reviewed_do_not_count():
    held_out = cells(3)
    reviewed = np.zeros(held_out.labels.shape, bool)
    reviewed[:24] = True
    garbage = np.where(reviewed, held_out.labels, 9)
    runs = [
        run_of(validation=[TrainingPair(held_out.image, labels, reviewed=reviewed)])
        for labels in (held_out.labels, garbage)
    ]
    reports = [list(run)[-1] for run in runs]
    assert reports[0].validation == reports[1].validation
    assert reports[0].validation_loss == reports[1].validation_loss
    assert reports[0].validation.images[0].true_cells == 2


def test_thresholds_stay_where_few_cells_are_held_out():
    run = run_of()
    list(run)
    assert run.tuned().description.instances == run.network.description.instances


def test_thresholds_are_tuned_where_enough_cells_are_held_out(monkeypatch):
    monkeypatch.setattr("napari_unet.engine.training.validation._ENOUGH_CELLS", 4)
    blind = dataclasses.replace(TINY, instances=InstanceSettings(min_size_px=1000))
    settings = dataclasses.replace(QUICK, steps=60, average=0.9, validation_interval=0)
    run = run_of(settings, blind)
    list(run)
    assert run.tuned().description.instances != run.network.description.instances
    run.should_stop = lambda: True
    assert run.tuned().description.instances == run.network.description.instances


def test_thresholds_are_tuned_a_little_where_enough_cells_were_learned_from(monkeypatch):
    monkeypatch.setattr("napari_unet.engine.training.validation._ENOUGH_CELLS", 6)
    blind = dataclasses.replace(
        TINY, instances=InstanceSettings(min_size_px=1000, seed_threshold=0.45)
    )
    settings = dataclasses.replace(QUICK, steps=60, average=0.9, validation_interval=0)
    pairs = [cells(1), cells(2)]
    run = train(pairs, settings=settings, description=blind)
    list(run)

    tuned = run.tuned().description.instances
    assert tuned.min_size_px < 1000
    # What the network is surer of on images that it knows stays as it was.
    assert tuned.seed_threshold == 0.45
    # Where not everything was reviewed, a false cell would not be seen as one.
    partly = [dataclasses.replace(pair, reviewed=pair.labels > 0) for pair in pairs]
    run = train(partly, settings=dataclasses.replace(settings, steps=1), description=blind)
    list(run)
    assert run.tuned().description.instances == run.network.description.instances


# -- knowledge and fine-tuning -----------------------------------------------------------------


def test_crop_says_the_intensities_of_its_whole():
    whole = cells()
    crop = dataclasses.replace(
        whole, image=whole.image[:24], labels=whole.labels[:24], intensity_reference=whole.image
    )
    described = [
        train([pair], settings=QUICK, description=TINY, device="cpu").network.description
        for pair in (whole, crop)
    ]
    assert described[0].intensity == described[1].intensity


def test_pieces_far_smaller_than_the_cells_are_no_cells():
    y, x = np.ogrid[:96, :96]
    labels = ((y - 48) ** 2 + (x - 48) ** 2 <= 900).astype(int)
    run = train([TrainingPair(100.0 * labels, labels)], settings=QUICK, description=TINY)
    # The usual spread, as one cell has none, and a little more, as one cell is no mean.
    least = np.exp(-2.5 * 0.5 * np.sqrt(5 / 6) * np.sqrt(2)) * labels.sum()
    assert run.network.description.instances.min_size_px == int(least)
    small = train([cells()], settings=QUICK, description=TINY).network
    assert small.description.instances.min_size_px < 0.5 * (cells().labels == 1).sum()


def test_network_that_learns_loses_its_calibration_and_keeps_its_cells():
    calibration = ScoreCalibration(slope=2.0, offset=-np.log(16))
    calibrated = dataclasses.replace(
        TINY, instances=InstanceSettings(min_score=0.5, score_calibration=calibration)
    )
    learned = train([cells()], settings=QUICK, description=calibrated).network.description
    assert learned.instances.score_calibration is None
    # The odds of 1 to one, times 16, and of these the root: 4 to one.
    assert learned.instances.min_score == pytest.approx(0.8)


def test_held_norms_keep_the_statistics_of_the_start():
    run = run_of(dataclasses.replace(QUICK, adapt_norms=False), network=start())
    list(run)
    before, after = start().unet.state_dict(), run.latest.unet.state_dict()
    for name in before:
        if "running" in name:
            assert torch.equal(before[name], after[name])


def test_fine_tuning_has_few_settings():
    settings = TrainingSettings.fine_tuning(seconds=30, strength=0.5, seed=7)
    assert (settings.seconds, settings.seed) == (30, 7)
    assert settings.learning_rate == TrainingSettings.fine_tuning().learning_rate / 2
    assert TrainingSettings.fine_tuning(steps=10).seconds is None
    with pytest.raises(SettingsError, match="strength is 0; use a positive number"):
        TrainingSettings.fine_tuning(strength=0)


def test_batches_made_ahead_in_a_thread_are_the_same():
    patches = run_of()._patches
    ahead = BatchesAhead(patches)
    for step in (0, 1, 2, 1):
        assert torch.equal(ahead.batch(step).images, patches.batch(step).images)
