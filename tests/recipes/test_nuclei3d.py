"""What the networks of `recipes/nuclei3d/` learn, and which cells a border cuts."""

import importlib
from pathlib import Path

import numpy as np
import pytest

RECIPE = Path(__file__).parents[2] / "recipes" / "nuclei3d"

# The source distribution has the tests, but no recipes.
pytestmark = pytest.mark.skipif(not RECIPE.is_dir(), reason="there is no recipes/ here")


@pytest.fixture(autouse=True)
def _found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(RECIPE))


def test_volumes_of_a_group_are_left_out_together() -> None:
    volumes = importlib.import_module("training_volumes")

    learned = {each.name for each in volumes.learned("embryo")}

    assert learned == {"plant 1135", "plant 1136", "synthetic"}
    assert len(volumes.learned(None)) == len(volumes.VOLUMES) == 5


def test_cell_at_any_face_of_a_volume_is_cut() -> None:
    labels = np.zeros((5, 5, 5), np.int32)
    labels[2, 2, 2], labels[4, 2, 2], labels[2, 0:2, 2] = 1, 2, 3

    cut = importlib.import_module("cut_cells").are_cut(labels)

    assert cut.tolist() == [True, False, True, True]
