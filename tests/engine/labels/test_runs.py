"""Labels kept as runs come back as they were."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_unet.engine.labels.runs import LabelRuns


@given(
    hnp.arrays(
        st.sampled_from([np.uint8, np.int32, np.int64]),
        hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=6),
        elements=st.integers(0, 3),
    )
)
def test_labels_come_back_as_they_were(labels: np.ndarray) -> None:
    kept = LabelRuns.of(labels).labels()

    assert kept.dtype == labels.dtype
    assert np.array_equal(kept, labels)


def test_a_copy_is_kept_and_tells_what_was_changed() -> None:
    labels = np.array([[1, 1, 0], [0, 2, 2]])
    kept = LabelRuns.of(labels)

    labels[0, 2] = 1

    assert kept.changed(labels).tolist() == [[False, False, True], [False, False, False]]


@pytest.mark.parametrize("cells", [1, 2000])
def test_it_takes_a_small_part_of_the_memory(cells: int) -> None:
    labels = np.zeros((512, 512), np.int32)
    for number in range(cells):
        y, x = divmod(number * 11, 500)
        labels[y : y + 8, x : x + 8] = number + 1

    kept = LabelRuns.of(labels)

    assert kept.starts.nbytes + kept.numbers.nbytes < labels.nbytes / 4
