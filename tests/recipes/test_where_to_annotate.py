"""Which cells the two arms of `recipes/where_to_annotate.py` annotate."""

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from napari_unet import TrainingPair
from napari_unet.engine.labels.uncertainty import UncertainRegion

RECIPES = Path(__file__).parents[2] / "recipes"

# The source distribution has the tests, but no recipes.
pytestmark = pytest.mark.skipif(not RECIPES.is_dir(), reason="there is no recipes/ here")


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(RECIPES))
    return importlib.import_module("where_to_annotate")


def region(first: int, last: int, uncertainty: float) -> UncertainRegion:
    box = (slice(0, 1), slice(first, last))
    return UncertainRegion((0.0, (first + last - 1) / 2), box, uncertainty, "unsure", "")


def image_of(recipe: ModuleType, things: list[int], *regions: UncertainRegion):
    array = np.array([things])
    item = TrainingPair(np.ones(array.shape, np.float32), np.maximum(array, 0))
    return recipe.Seen(item, array, {1}, regions)


@pytest.fixture
def pool(recipe: ModuleType):
    # The centre of 2 is outside of the first frame; -4 was found where no cell is.
    one = [1, 1, 1, 0, 3, 0, 2, 2, 2, 2, 2, -4]
    return [
        image_of(recipe, one, region(0, 7, 0.5), region(9, 12, 0.2)),
        image_of(recipe, [0, 5, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0], region(0, 7, 0.4)),
    ]


def test_surest_places_come_last_whatever_the_image_and_middles_of_frames_first(recipe, pool):
    assert recipe.ranked_things(pool, 4, 0) == [[3, 1, -4], [5]]
    assert recipe.ranked_things(pool, 3, 0) == [[3, 1], [5]]


def test_random_cells_are_true_ones(recipe, pool):
    chosen = recipe.random_things(pool, 4, 0)
    assert [sorted(numbers) for numbers in chosen] == [[1, 2, 3], [5]]
    assert sum(map(len, recipe.random_things(pool, 2, 0))) == 2


def test_only_what_was_annotated_is_known_and_a_false_cell_is_background(recipe, pool):
    (pair,) = recipe.painted(pool, [[3, -4], []])
    assert pair.labels.tolist() == [[0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]]
    near = [2, 3, 4, 5, 6]  # two pixels around the cell
    assert np.flatnonzero(pair.reviewed).tolist() == [*near, 11]


def test_what_was_chosen_is_told_in_words(recipe, pool):
    assert recipe.in_words(pool, [[1, 3, -4], []]) == "3 in 1 images, 1 wrong, 1 false"
