"""What the scores of a result say of it."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_unet.engine.models.checkpoint import load_checkpoint
from napari_unet.engine.models.one_call import segment
from napari_unet.engine.networks.bundled import BUNDLED_MODELS, BundledModel
from napari_unet.engine.networks.network import NetworkDescription, TrainingIntensity
from napari_unet.engine.networks.unet import UNetConfig
from napari_unet.engine.segmentation.judgement import Judgement
from napari_unet.engine.segmentation.planes import PlaneScores
from napari_unet.files.samples import load_sample

ROLES = ("background", "cell", "border")
TRAINED = NetworkDescription(
    "trained",
    UNetConfig(classes=3),
    class_roles=ROLES,
    intensity=TrainingIntensity("uint8", 0, 10, 200),
)


def plane(background: list[float], cell: list[float], *, shape: tuple[int, int]) -> PlaneScores:
    """A row of pixels; what is neither of the two is border."""
    scores = np.array([[background], [cell], [1 - np.add(background, cell)]], np.float32)
    scaled = scores.shape[1:]
    return PlaneScores(scores, ROLES, shape, scaled, (slice(0, 1), slice(0, scaled[1])))


def judged(certainty: float, cell_score: float) -> Judgement:
    judgement = Judgement()
    row = plane([1 - certainty] * 4, [cell_score] * 4, shape=(1, 4))
    judgement.add(row, np.array([[1, 1, 2, 2]], np.int32))
    return judgement


def row(*numbers: int) -> NDArray[np.int32]:
    return np.array([numbers], np.int32)


def test_certainty_is_that_of_all_that_is_seen_and_the_median_cell_counts() -> None:
    judgement = Judgement()

    judgement.add(
        plane([0.6, 0.1, 0.3, 0.2, 0.0, 0.4], [0.0, 0.5, 0.7, 0.1, 0.9, 0.6], shape=(1, 6)),
        row(0, 1, 1, 2, 3, 0),
    )

    # The last pixel was dropped, being too small a cell; the first one is background.
    assert judgement.certainty == pytest.approx(1 - (0.1 + 0.3 + 0.2 + 0.0 + 0.4) / 5)
    assert judgement.cell_score == pytest.approx(0.6)  # of 0.6, 0.1 and 0.9


def test_slices_add_up_though_their_numbers_go_on() -> None:
    judgement = Judgement()

    judgement.add(plane([0.1, 1.0], [0.8, 0.0], shape=(1, 2)), row(1, 0))
    judgement.add(plane([0.3, 0.5], [0.6, 0.2], shape=(1, 2)), row(7, 9))  # half counts not
    judgement.add(plane([1.0, 1.0], [0.0, 0.0], shape=(1, 2)), row(0, 0))

    assert judgement.certainty == pytest.approx(0.8)
    assert judgement.cell_score == pytest.approx(0.6)


def test_cells_of_a_resized_image_are_judged_by_the_nearest_scores() -> None:
    judgement = Judgement()

    judgement.add(plane([0.1, 0.4], [0.8, 0.6], shape=(1, 4)), row(1, 2, 3, 3))

    # Of 0.8, 0.8 and 0.6.
    assert judgement.cell_score == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("certainty", "cell_score", "is_doubted"),
    [(0.95, 0.8, False), (0.78, 0.6, False), (0.7, 0.6, True), (0.79, 0.3, True)],
)
def test_little_certainty_is_doubted_and_faint_cells_before(
    certainty: float, cell_score: float, is_doubted: bool
) -> None:
    sentence = judged(certainty, cell_score).doubt(TRAINED)

    assert bool(sentence) == is_doubted
    if is_doubted:
        assert f"only {100 * certainty:.0f} % sure" in sentence
        assert sentence.endswith("correct some cells and train the model on them.")


def test_doubt_names_the_bundled_models_for_other_images(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = (BundledModel("dots", "dots", ()), BundledModel("rods", "rods in DIC", ()))
    for module in ("segmentation.judgement", "networks.bundled"):
        monkeypatch.setattr(f"napari_unet.engine.{module}.BUNDLED_MODELS", rows)

    sentence = judged(0.6, 0.3).doubt(replace(TRAINED, name="dots"))

    assert sentence.endswith(
        "Check the cell size, take the model 'rods' for rods in DIC, or correct some cells and "
        "train the model on them."
    )


def test_nothing_is_claimed_of_networks_trained_elsewhere_of_volumes_and_without_cells() -> None:
    doubtful = judged(0.6, 0.3)

    assert doubtful.doubt(TRAINED)
    assert not doubtful.doubt(replace(TRAINED, intensity=None))
    assert not doubtful.doubt(replace(TRAINED, architecture=UNetConfig(ndim=3, classes=3)))
    assert not Judgement().doubt(TRAINED)


@pytest.mark.parametrize(
    ("model", "name"), [(row.name, name) for row in BUNDLED_MODELS for name in row.samples]
)
def test_no_sample_of_its_kind_is_doubted(model: str, name: str) -> None:
    sample = load_sample(name)

    result = segment(sample.image, load_checkpoint(model))

    assert not [note for note in result.notes if "not to be trusted" in note]


def test_what_is_found_in_a_brick_wall_is_doubted() -> None:
    from skimage import data

    result = segment(data.brick(), load_checkpoint("nuclei"))

    assert result.cell_count > 0
    assert "not to be trusted" in result.notes[-1]
