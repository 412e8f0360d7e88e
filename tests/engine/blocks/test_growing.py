"""What can be seen of labels while they are made in blocks."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_unet.engine.blocks import growing
from napari_unet.engine.blocks.growing import FOREGROUND, GrowingLabels
from napari_unet.engine.blocks.segmentation import segment_blocks
from napari_unet.engine.networks.network import Network


@pytest.mark.parametrize("most_px", [1 << 20, 400])
def test_cells_are_seen_as_soon_as_they_are_scored_and_then_with_their_numbers(
    most_px: int,
    sure_above: Callable[..., Network],
    dim_squares: NDArray[np.uint8],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(growing, "_PLANE_PX", most_px)
    seen, out = GrowingLabels(), np.zeros(dim_squares.shape, np.int32)
    after_scores: list[NDArray[np.int32]] = []
    for report in segment_blocks(dim_squares, sure_above(0.3), out, block=(32, 32), growing=seen):
        if report.stage == "scores":
            after_scores.append(seen[:, :].copy())

    shown = [int((each == FOREGROUND).sum()) for each in after_scores]
    assert shown[0] == 0
    assert shown == sorted(shown)
    assert set(np.unique(after_scores[-1])) == {0, FOREGROUND}
    # Of cells as wide as 10 pixels, each pixel of the small picture stands for 4 x 4.
    assert after_scores[-1][10, 10] == FOREGROUND
    assert after_scores[-1][30, 50] == 0

    np.testing.assert_array_equal(seen[:, :], out)
    np.testing.assert_array_equal(seen[7], out[7])
    np.testing.assert_array_equal(seen[3:60:5, 60:70], out[3:60:5, 60:70])
    assert seen[45, 65] == out[45, 65] > 0
    step = 1 if most_px > 10_000 else 4
    assert len(seen.levels) == (1 if step == 1 else 2)
    np.testing.assert_array_equal(seen.levels[-1], out[::step, ::step])


def test_what_was_found_before_a_stop_is_seen_again(
    sure_above: Callable[..., Network], dim_squares: NDArray[np.uint8], tmp_path: Path
) -> None:
    stack = np.stack([dim_squares, dim_squares[::-1]])
    out = np.zeros(stack.shape, np.int32)
    given = (stack, sure_above(0.3), out)
    options = {"block": (32, 80), "work": tmp_path / "work", "every_slice": True}
    first = segment_blocks(*given, **options)
    for report in first:
        if report.stage == "pieces":
            break
    first.close()

    seen = GrowingLabels()
    assert next(segment_blocks(*given, **options, growing=seen)).done == 4
    assert (seen[0, :, :] == FOREGROUND).sum() == 301
    assert seen[1, 63 - 60, 4] == FOREGROUND
