"""When a training ends: its loss levels off, its steps or its seconds are done; then it goes on."""

import dataclasses
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_unet.engine.networks.network import Network, NetworkDescription
from napari_unet.engine.networks.unet import UNetConfig
from napari_unet.engine.training.learner import Learner
from napari_unet.engine.training.length.learning_curve import LearningCurve
from napari_unet.engine.training.length.pace import Pace, duration_in_words
from napari_unet.engine.training.length.schedule import Schedule
from napari_unet.engine.training.pairs import TrainingPair
from napari_unet.engine.training.run import TrainingRun
from napari_unet.engine.training.settings import MANY_STEPS, TrainingSettings
from napari_unet.engine.training.training import train

PATIENCE = 40
TINY = NetworkDescription(
    "tiny", UNetConfig(base_width=4, depth=2, classes=3), ("background", "cell", "border")
)
# A rate at which nothing is learned: the loss is level from the start.
LEVEL = TrainingSettings.fine_tuning(
    steps=60, batch_size=1, patch_size_px=32, learning_rate=1e-9, precision="float32",
    validation_interval=0, patience=5, decay=0.0,
)  # fmt: skip


def level_at(losses: np.ndarray, validations: dict[int, float] | None = None) -> int | None:
    """Step at which a training with these losses is found to have levelled off."""
    curve = LearningCurve()
    for step, loss in enumerate(losses, start=1):
        curve.add_step(float(loss))
        if validations and step in validations:
            curve.add_validation(validations[step])
        if curve.has_levelled_off(PATIENCE):
            return step
    return None


def noisy(losses: np.ndarray, seed: int) -> np.ndarray:
    """As loud as losses of patches of real images are: some are ten times as high as others."""
    return losses * np.exp(np.random.default_rng(seed).normal(0, 0.6, losses.shape))


def cells(seed: int = 0) -> TrainingPair:
    rng = np.random.default_rng(seed)
    labels = np.zeros((48, 56), np.uint16)
    for number, (y, x) in enumerate([(6, 6), (6, 30), (28, 10), (28, 40)], start=1):
        labels[y : y + 12, x : x + 12] = number
    return TrainingPair(100 * (labels > 0) + rng.normal(20, 5, labels.shape), labels)


def run_of(settings: TrainingSettings = LEVEL, **options: object) -> TrainingRun:
    return train([cells()], settings=settings, description=TINY, device="cpu", **options)


def weights_of(network: Network) -> torch.Tensor:
    return torch.cat([value.flatten().float() for value in network.unet.state_dict().values()])


# -- the curve ---------------------------------------------------------------------------------


def test_losses_that_stay_have_levelled_off_as_soon_as_two_windows_are_full() -> None:
    assert level_at(np.full(200, 0.3)) == 2 * PATIENCE


def test_losses_that_fall_by_a_third_in_each_window_never_level_off() -> None:
    assert level_at(0.67 ** (np.arange(400) / PATIENCE)) is None


def test_losses_level_off_after_the_knee_and_not_before() -> None:
    # A tenth of it is left after 100 steps, and it stays so.
    losses = np.where(np.arange(400) < 100, 10.0 ** (-np.arange(400) / 100), 0.1)
    assert 100 + PATIENCE <= level_at(losses) <= 100 + 2 * PATIENCE


@pytest.mark.parametrize("seed", range(20))
def test_noise_does_not_hide_a_level_and_does_not_make_one_of_a_steep_fall(seed: int) -> None:
    level = level_at(noisy(np.full(300, 0.1), seed))
    falling = level_at(noisy(0.5 ** (np.arange(120) / PATIENCE), seed))

    assert level is not None
    assert level < 4 * PATIENCE
    assert falling is None


def test_a_batch_in_which_nothing_counts_is_no_error() -> None:
    assert level_at(np.zeros(100)) == 2 * PATIENCE


def test_held_out_images_keep_a_training_going_whose_steps_have_levelled_off() -> None:
    falling = {step: 0.8 ** (step / 20) for step in range(20, 200, 20)}
    level = dict.fromkeys(range(20, 200, 20), 0.5)
    rising = {step: 0.5 + step / 1000 for step in range(20, 200, 20)}

    steps = np.full(199, 0.3)
    assert level_at(steps, falling) is None
    assert level_at(steps, level) == 80
    assert level_at(steps, rising) == 80
    # It is looked at right after a validation.
    assert level_at(steps, {step - 1: 0.5 for step in range(20, 200, 20)}) == 99


def test_what_a_curve_knew_comes_back_with_the_state() -> None:
    first, second = LearningCurve(), LearningCurve()
    for _ in range(2 * PATIENCE):
        first.add_step(0.3)
    first.add_validation(0.2)
    second.load_state(first.state())
    assert second.state() == first.state()


# -- the schedule ------------------------------------------------------------------------------


def test_the_rate_falls_over_its_share_once_the_loss_has_levelled_off() -> None:
    settings = dataclasses.replace(LEVEL, steps=1000, patience=15, decay=0.25, warmup_steps=0)
    schedule = Schedule(settings)
    rates = []
    while not schedule.is_over:
        rates.append(schedule.learning_rate / settings.learning_rate)
        schedule.count_step(0.3, 0.1)
    # Found after 30 steps, which are three quarters of 40.
    assert (schedule.step, schedule.ending) == (40, "levelled off")
    assert rates[:31] == pytest.approx([1.0] * 31)
    assert rates[30:] == sorted(rates[30:], reverse=True)
    assert rates[-1] < 0.05


def test_exactly_the_steps_or_the_seconds_that_were_given_count() -> None:
    by_steps = TrainingSettings.fine_tuning(steps=7)
    assert (by_steps.steps, by_steps.patience, by_steps.seconds) == (7, 0, None)
    by_time = TrainingSettings.fine_tuning(seconds=3)
    assert (by_time.steps, by_time.patience, by_time.seconds) == (MANY_STEPS, 0, 3)
    assert TrainingSettings.from_nothing(steps=7) == TrainingSettings(steps=7, patience=0)
    assert TrainingSettings.from_nothing() == TrainingSettings()


@pytest.mark.parametrize(
    ("steps", "settings", "expected"),
    [
        (
            3,
            TrainingSettings.fine_tuning(steps=3),
            "hardly learned: at least 30 steps are needed, and it took 3;",
        ),
        (1, TrainingSettings.fine_tuning(seconds=9), "and it took 1; train further."),
        (
            299,
            TrainingSettings.from_nothing(steps=299),
            "at least 300 steps are needed, and it took 299;",
        ),
    ],
)
def test_too_few_steps_are_said(steps: int, settings: TrainingSettings, expected: str) -> None:
    schedule = Schedule(settings)
    for _ in range(steps):
        schedule.count_step(0.3, 10.0)
    assert schedule.is_over
    assert expected in schedule.shortfall


def test_a_loss_that_still_falls_at_the_end_is_said_and_one_that_is_level_is_not() -> None:
    for fall, expected in (
        (0.5, "The loss was still falling when it ended; train further."),
        (1.0, None),
    ):
        schedule = Schedule(TrainingSettings.fine_tuning(steps=100))
        for step in range(100):
            schedule.count_step(fall ** (step / PATIENCE), 0.1)
        assert (schedule.ending, schedule.shortfall) == ("steps", expected)


def test_time_left_goes_by_the_last_steps() -> None:
    now = 0.0
    pace = Pace(clock=lambda: now)
    schedule = Schedule(TrainingSettings.fine_tuning())
    assert schedule.seconds_left(pace.step_s) is None
    for seconds in [100.0] + [1.0] * 21 + [3.0] * 20:
        now += seconds
        pace.count_step()
        schedule.count_step(0.3, seconds)
    assert pace.step_s == pytest.approx(3.0)
    assert schedule.seconds_left(pace.step_s) == pytest.approx(3.0 * (300 - 42))
    timed = Schedule(TrainingSettings.fine_tuning(seconds=60))
    timed.count_step(0.3, 25.0)
    assert timed.seconds_left(None) == 35.0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "about 10 seconds"), (44, "about 40 seconds"), (50, "about a minute"),
        (100, "about 2 minutes"), (3540, "about 59 minutes"), (3580, "about an hour"),
        (9000, "about 2 hours"),
    ],
)  # fmt: skip
def test_durations_are_no_finer_than_they_can_be_known(seconds: float, words: str) -> None:
    assert duration_in_words(seconds) == words


# -- trainings ---------------------------------------------------------------------------------


def test_a_level_loss_ends_the_training_and_its_network_says_so() -> None:
    run = run_of()
    reports = list(run)
    assert 10 <= len(reports) < 60
    assert reports[-1].share == 1
    assert reports[0].steps == 60
    assert reports[-1].steps == len(reports)
    assert run.network.description.history[-1]["ended"] == "levelled off"
    assert "hardly learned" in reports[-1].shortfall
    assert [report.shortfall for report in reports[:-1]] == [None] * (len(reports) - 1)


def test_a_slow_machine_makes_the_same_network(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = dataclasses.replace(LEVEL, learning_rate=3e-3, validation_interval=4)
    fast = run_of(settings, validation=[cells(3)])
    quick = [report.loss for report in fast]
    learn = Learner.learn

    def slowly(self: Learner, *arguments: object, **options: object) -> float:
        time.sleep(0.05)
        return learn(self, *arguments, **options)

    monkeypatch.setattr(Learner, "learn", slowly)
    slow = run_of(settings, validation=[cells(3)])
    assert [report.loss for report in slow] == quick
    assert torch.equal(weights_of(slow.network), weights_of(fast.network))
    assert slow.schedule.ending == fast.schedule.ending


def test_a_training_that_has_ended_goes_on_as_if_it_had_not(tmp_path: Path) -> None:
    settings = dataclasses.replace(LEVEL, learning_rate=1e-3)
    first = run_of(settings)
    ended_after = len(list(first))
    first.save_state(tmp_path / "state")

    further = run_of(settings, resume_from=tmp_path / "state")
    losses = [report.loss for report in further]

    # The same as one that was to be longer from the start, with a budget of its own.
    longer = run_of(dataclasses.replace(settings, steps=ended_after + len(losses), patience=0))
    assert [report.loss for report in longer][ended_after:] == losses
    assert torch.equal(weights_of(longer.latest), weights_of(further.latest))
    assert len(losses) >= 2 * settings.patience
    assert further.step == ended_after + len(losses)


@pytest.mark.parametrize("end", [{"steps": 4}, {"seconds": 0.2}])
def test_any_end_leaves_a_state_that_goes_on_for_as_long_again(
    tmp_path: Path, end: dict[str, float]
) -> None:
    settings = TrainingSettings.fine_tuning(batch_size=1, patch_size_px=32, **end)
    first = run_of(settings, validation=[cells(3)])
    ended_after = len(list(first))
    first.save_state(tmp_path / "state")
    for _ in range(2):
        further = run_of(settings, validation=[cells(3)], resume_from=tmp_path / "state")
        reports = list(further)
        assert reports[0].step == ended_after + 1
        assert reports[-1].share == 1
        if "steps" in end:
            assert len(reports) == 4
        ended_after = further.step
        further.save_state(tmp_path / "state")


def test_a_training_without_settings_ends_by_itself_from_a_network_and_from_nothing() -> None:
    assert train([cells()], "nuclei", device="cpu").settings == TrainingSettings.fine_tuning()
    assert train([cells()], description=TINY, device="cpu").settings == TrainingSettings()


def test_states_of_before_go_on(tmp_path: Path) -> None:
    settings = dataclasses.replace(LEVEL, steps=4, patience=0)
    whole, first = run_of(settings), run_of(settings)
    list(whole)
    next(first)
    first.save_state(tmp_path / "state")
    state = torch.load(tmp_path / "state", weights_only=True)
    for name in ("first", "levelled_at", "curve"):
        del state[name]
    torch.save(state, tmp_path / "state")
    second = run_of(settings, resume_from=tmp_path / "state")
    assert [report.step for report in second] == [2, 3, 4]
    assert torch.equal(weights_of(second.latest), weights_of(whole.latest))


# -- threads -----------------------------------------------------------------------------------


def openmp_tells(code: str, **environment: str) -> str:
    """What OpenMP says of itself when torch has loaded it."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_", "KMP_"))}
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**clean, "OMP_DISPLAY_ENV": "verbose", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="reads what GNU's OpenMP says")
def test_waiting_threads_sleep_unless_the_user_says_otherwise() -> None:
    sleeping = "GOMP_SPINCOUNT = '0'"
    assert sleeping in openmp_tells("import napari_unet.engine.training.training")
    assert sleeping in openmp_tells("from napari_unet import train")
    assert sleeping in openmp_tells("from napari_unet.viewer import worker; worker._load_torch()")
    # What the user says stays, and what is loaded already cannot be told any more.
    chosen = openmp_tells("from napari_unet import train", GOMP_SPINCOUNT="9000")
    assert "GOMP_SPINCOUNT = '9000'" in chosen
    active = openmp_tells("from napari_unet import train", OMP_WAIT_POLICY="active")
    assert sleeping not in active
