"""Where to annotate next."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from napari_unet.engine.base.errors import ImageShapeError, SettingsError
from napari_unet.engine.labels.uncertainty import (
    UncertainRegion,
    pixel_uncertainty,
    rank_uncertainty,
)

ROLES = ("background", "cell")


def scored(cell: np.ndarray) -> np.ndarray:
    cell = cell.astype(np.float32)
    return np.stack([1 - cell, cell])


def unclear(*places: tuple[int, int, float], size: int = 16, shape=(128, 128)) -> np.ndarray:
    """Cell scores, clear but for squares of a score each."""
    cell = np.zeros(shape)
    for y, x, score in places:
        cell[y : y + size, x : x + size] = score
    return cell


def ranked(cell: np.ndarray, **options) -> tuple[UncertainRegion, ...]:
    return rank_uncertainty(scored(cell), ROLES, **({"window_px": 32} | options))


def test_window_holds_what_is_unsure_and_the_most_unsure_comes_first():
    regions = ranked(unclear((8, 8, 0.3), (72, 104, 0.5)))
    assert [each.box for each in regions] == [
        (slice(64, 96), slice(96, 128)),
        (slice(0, 32), slice(0, 32)),
    ]
    assert regions[0].kind == "unsure"
    assert regions[0].reason == "The network can hardly tell cell from background here."
    assert regions[0].centre == (79.5, 111.5)


def test_doubt_is_the_mean_over_the_window_less_the_edges():
    (region,) = ranked(unclear((8, 8, 0.25)))
    # 12 x 12 of 16 x 16 pixels are further than 2 from the edge; scores there are 0.5 apart.
    assert region.uncertainty == pytest.approx(0.5 * 12 * 12 / 32**2)


def test_sharp_cells_give_no_doubt_nor_do_the_soft_edges_of_their_scores():
    cell = np.zeros((64, 64))
    cell[20:44, 20:44] = 0.5
    cell[22:42, 22:42] = 1
    assert ranked(cell) == ()
    assert ranked(np.zeros((64, 64))) == ()


def test_a_class_of_three_is_in_doubt_if_the_two_best_are_near():
    scores = np.zeros((3, 32, 32), np.float32)
    scores[0], scores[1], scores[2] = 0.1, 0.45, 0.45
    (region,) = rank_uncertainty(scores, ("background", "cell", "border"), window_px=32)
    assert region.uncertainty == pytest.approx(1)


def test_scores_that_differ_for_the_mirrored_image_are_unstable():
    cell = unclear((8, 8, 1.0), (72, 104, 1.0))
    flipped = unclear((8, 8, 1.0), (72, 104, 0.0))
    (region,) = ranked(cell, flipped_scores=scored(flipped))
    assert region.kind == "unstable"
    assert region.box == (slice(64, 96), slice(96, 128))


def test_a_narrow_gap_that_is_scored_as_cell_is_in_doubt_and_a_clear_one_is_not():
    labels = np.zeros((128, 128), int)
    labels[20:30, 20:29], labels[20:30, 30:40] = 1, 2
    labels[90:100, 90:99], labels[90:100, 100:110] = 3, 4
    cell = (labels > 0).astype(float)
    cell[20:30, 29] = 0.9
    (region,) = ranked(cell, labels=labels)
    assert region.kind == "gap"
    assert all(part.start <= 29 < part.stop for part in region.box)


def test_reviewed_pixels_are_not_in_doubt():
    cell = unclear((8, 8, 0.5), (72, 104, 0.5))
    reviewed = np.zeros(cell.shape, bool)
    reviewed[64:] = True
    (region,) = ranked(cell, reviewed=reviewed)
    assert region.box == (slice(0, 32), slice(0, 32))
    assert ranked(cell, reviewed=np.ones(cell.shape, bool)) == ()


def test_as_many_windows_as_asked_for():
    cell = np.full((128, 128), 0.5)
    assert len(ranked(cell, count=5)) == 5
    assert len(ranked(cell, count=100)) == 16


def test_a_volume_has_windows_of_three_axes():
    cell = np.zeros((8, 64, 64))
    cell[4:, 40:60, 40:60] = 0.5
    region = rank_uncertainty(scored(cell), ROLES, window_px=32)[0]
    assert region.box == (slice(0, 8), slice(32, 64), slice(32, 64))


def test_a_window_is_about_four_cells_wide_and_never_larger_than_the_image():
    labels = np.kron(np.arange(1, 17).reshape(4, 4), np.ones((20, 20), int))
    cell = np.full(labels.shape, 0.5)
    assert rank_uncertainty(scored(cell), ROLES, labels)[0].box == (slice(0, 80), slice(0, 80))
    small = rank_uncertainty(scored(np.full((5, 7), 0.5)), ROLES)[0]
    assert small.box == (slice(0, 5), slice(0, 7))
    empty = np.zeros((200, 200), int)
    assert rank_uncertainty(scored(empty + 0.5), ROLES, empty)[0].box == (
        slice(0, 128),
        slice(0, 128),
    )


def test_what_does_not_fit_is_refused():
    scores = scored(np.zeros((9, 9)))
    with pytest.raises(ImageShapeError, match="with 3 classes"):
        rank_uncertainty(scores, ("background", "cell", "border"))
    with pytest.raises(ImageShapeError, match="labels have shape"):
        rank_uncertainty(scores, ROLES, np.zeros((9, 8), int))
    with pytest.raises(ImageShapeError, match="reviewed pixels have shape"):
        rank_uncertainty(scores, ROLES, reviewed=np.zeros((9, 8), bool))
    with pytest.raises(SettingsError, match="window_px is 0"):
        rank_uncertainty(scores, ROLES, window_px=0)
    assert rank_uncertainty(np.zeros((2, 0, 9), np.float32), ROLES) == ()


@given(st.integers(0, 2**32 - 1), st.sampled_from([(30, 41), (5, 20, 23)]), st.integers(1, 50))
def test_windows_do_not_overlap_lie_in_the_image_and_are_in_order(seed, shape, window_px):
    rng = np.random.default_rng(seed)
    cell = rng.random(shape)
    labels = (rng.random(shape) > 0.5).astype(int)
    scores = scored(cell)
    before = scores.copy()
    regions = rank_uncertainty(
        scores, ROLES, labels, flipped_scores=scores[..., ::-1], window_px=window_px, count=9
    )
    assert np.array_equal(scores, before)
    taken = np.zeros(shape, int)
    for region in regions:
        assert all(
            0 <= part.start < part.stop <= n for part, n in zip(region.box, shape, strict=True)
        )
        taken[region.box] += 1
        assert 0 < region.uncertainty <= 1
    assert taken.max(initial=0) <= 1
    doubts = [region.uncertainty for region in regions]
    assert doubts == sorted(doubts, reverse=True)


@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_the_first_window_holds_as_much_doubt_as_any_other_on_the_grid(seed, window_px):
    cell = np.repeat(np.repeat(np.random.default_rng(seed).random((6, 8)), 6, 0), 6, 1)
    padded = np.pad(1 - abs(2 * cell - 1), 2, constant_values=np.inf)
    nearness = np.zeros(cell.shape)
    for y, x in np.ndindex(*cell.shape):
        nearness[y, x] = padded[y : y + 5, x : x + 5].min()
    (region,) = ranked(cell, window_px=window_px, count=1)
    steps = [-(-min(window_px, n) // 4) for n in cell.shape]
    sides = [
        -(-min(window_px, n) // step) * step for n, step in zip(cell.shape, steps, strict=True)
    ]
    sums = [
        nearness[y : y + sides[0], x : x + sides[1]].sum()
        for y in range(0, cell.shape[0], steps[0])
        for x in range(0, cell.shape[1], steps[1])
    ]
    assert nearness[region.box].sum() == pytest.approx(max(sums), rel=1e-4)
    assert region.uncertainty == pytest.approx(max(sums) / np.prod(sides), rel=1e-4)


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (9, 12), (4, 7, 6)])
def test_what_is_beyond_edges_is_the_least_within_two_pixels(shape: tuple[int, ...]) -> None:
    scores = np.random.default_rng(0).random((2, *shape)).astype(np.float32)
    nearness = np.clip(1 - np.abs(scores[0] - scores[1]), 0, 1)
    size = (1,) * (len(shape) - 2) + (5, 5)
    wanted = ndimage.minimum_filter(nearness, size, mode="nearest")
    assert np.array_equal(pixel_uncertainty(scores), wanted)
