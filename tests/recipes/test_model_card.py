"""What a model card counts and draws, on a few cells worked out by hand."""

import importlib
import xml.etree.ElementTree as ET
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from napari_unet.engine.base.score_calibration import ScoreCalibration
from napari_unet.engine.labels.evaluation import Evaluation, ImageScore, ThresholdScore

RECIPES = Path(__file__).parents[2] / "recipes"

# The source distribution has the tests, but no recipes.
pytestmark = pytest.mark.skipif(not RECIPES.is_dir(), reason="there is no recipes/ here")


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    monkeypatch.syspath_prepend(str(RECIPES))
    names = ("reliability", "measurement", "chart", "tuning")
    modules: dict[str, ModuleType] = {name: importlib.import_module(name) for name in names}
    return SimpleNamespace(**modules)


def evaluation_of(*counts: tuple[int, int, int]) -> Evaluation:
    """From right, extra and missed cells of each image."""
    return Evaluation(
        tuple(
            ImageScore(
                right + missed, right + extra, (ThresholdScore(0.5, right, extra, missed),), (), 0
            )
            for right, extra, missed in counts
        )
    )


def slow_interval(evaluation: Evaluation, draws: int) -> tuple[float, float]:
    """The definition: draw as many images, pool them, take the percentiles."""
    images = evaluation.images
    chosen = np.random.default_rng(0).integers(0, len(images), (draws, len(images)))
    found = [Evaluation(tuple(images[i] for i in row)).pooled(0.5) for row in chosen]
    low, high = np.quantile([score.average_precision for score in found], (0.025, 0.975))
    return float(low), float(high)


def test_bootstrap_is_that_of_pooled_images_drawn_with_replacement(recipe):
    evaluation = evaluation_of((5, 1, 0), (0, 3, 7), (20, 2, 4), (0, 0, 0), (9, 0, 1))
    found = recipe.measurement.bootstrap_interval(evaluation, 0.5, draws=200)
    assert found == pytest.approx(slow_interval(evaluation, 200))
    assert found[0] < evaluation.pooled(0.5).average_precision < found[1]


def test_bootstrap_of_images_that_are_alike_is_a_point(recipe):
    alike = evaluation_of((3, 1, 0), (3, 1, 0), (3, 1, 0))
    assert recipe.measurement.bootstrap_interval(alike, 0.5) == (0.75, 0.75)
    assert recipe.measurement.bootstrap_interval(evaluation_of((0, 0, 0)), 0.5) == (1.0, 1.0)


def test_quality_pools_the_images_of_a_kind_and_weighs_it_by_the_root_of_their_number(recipe):
    counts = [(1, 0, 0), (1, 0, 1), (0, 0, 1), (1, 0, 0), (1, 0, 0)]
    evaluations = [evaluation_of(each) for each in counts]
    quality = recipe.tuning.quality_of(["many", "many", "few", "many", "many"])
    assert quality(evaluations) == pytest.approx((2 * 4 / 5 + 1 * 0) / 3)


def test_cell_is_right_that_covers_half_of_what_it_and_a_true_one_have(recipe):
    truth = np.array([[1, 1, 1, 0, 2, 2, 2, 0]])
    labels = np.array([[1, 1, 0, 0, 0, 0, 2, 0]], np.int32)
    background = np.array([[0.1, 0.3, 1, 1, 1, 1, 0.4, 1]], np.float32)
    scores = np.stack([background, 1 - background])
    cells = recipe.reliability.found_cells("a", scores, ("background", "cell"), truth, labels)
    assert cells.scores == pytest.approx([0.8, 0.6])
    assert cells.is_right.tolist() == [True, False]  # IoU 2 / 3 and 1 / 3


def test_calibration_error_is_the_distance_of_claim_and_truth(recipe):
    # Ten bins of two: the lower five claim 0.2 and are right half of the time, the others 1.
    claimed = np.array([0.2] * 10 + [1.0] * 10)
    is_right = np.array([True, False] * 5 + [True] * 10)
    assert recipe.reliability.calibration_error(claimed, is_right) == pytest.approx(0.15)


def test_fit_finds_the_map_that_cells_were_drawn_with(recipe):
    random = np.random.default_rng(0)
    scores = random.uniform(0.3, 0.98, 40_000)
    is_right = random.random(scores.size) < ScoreCalibration(3.0, -2.0).probability(scores)
    kinds = np.where(random.random(scores.size) < 0.9, "common", "rare")
    fitted = recipe.reliability.fitted(recipe.reliability.Cells(kinds, scores, is_right))
    assert fitted.slope == pytest.approx(3.0, abs=0.15)
    assert fitted.offset == pytest.approx(-2.0, abs=0.15)


def test_cells_come_back_from_their_table(recipe, tmp_path):
    cells = recipe.reliability.Cells(
        np.array(["U2OS", "other stain"]), np.array([0.25, 0.5]), np.array([True, False])
    )
    cells.write(tmp_path / "cells.csv")
    back = recipe.reliability.Cells.read(tmp_path / "cells.csv")
    assert back.kinds.tolist() == ["U2OS", "other stain"]
    assert back.scores.tolist() == [0.25, 0.5]
    assert back.is_right.tolist() == [True, False]


def test_chart_puts_points_where_their_numbers_are(recipe):
    line = recipe.chart.Line("a < b", [(0.0, 0.0), (2.0, 1.0)], "#000")
    panel = recipe.chart.Panel("title", "x", "y", (0.0, 1.0, 2.0), (0.0, 1.0), [line])
    root = ET.fromstring(recipe.chart.chart([panel]))  # noqa: S314 - it was made a line above
    dots = [node for node in root.iter() if node.tag.endswith("circle")]
    places = [(float(dot.get("cx")), float(dot.get("cy"))) for dot in dots]
    assert places == [(0.0, 260.0), (300.0, 0.0)]
    assert "a < b" in [node.text for node in root.iter()]
