"""Views of arrays that only zarr and h5py can read."""

import numpy as np
import pytest

from napari_unet.engine.images.lazy import viewable


class Stored:
    """As an array of zarr: it is read by slices and whole numbers, and says its chunks."""

    def __init__(self, array, chunks):
        self._array, self.shape, self.dtype, self.chunks = array, array.shape, array.dtype, chunks
        self.read = []

    def __getitem__(self, where):
        self.read.append(where)
        assert all(isinstance(part, int | slice) for part in where)
        return self._array[where]


ARRAY = np.arange(2 * 5 * 6 * 3).reshape(2, 5, 6, 3)


VIEWS = {
    "new axis": lambda array: array[np.newaxis],
    "channels in front": lambda array: np.moveaxis(array, -1, 0)[:3],
    "part of a plane": lambda array: np.moveaxis(array, -1, 0)[:, 1][
        (slice(None), slice(1, 4), slice(-2, None))
    ],
    "new axis of a part": lambda array: array[1, -1][2:4][np.newaxis, 1:],
    "new axis and back": lambda array: array[np.newaxis][0][0],
    "one of its parts": lambda array: list(array)[1],
    "nothing": lambda array: array[:, 3:1],
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_a_view_is_that_of_numpy_and_reads_nothing_by_itself(view):
    stored = Stored(ARRAY, (1, 5, 2, 3))
    seen, expected = view(viewable(stored)), view(ARRAY)
    assert (seen.shape, seen.ndim, seen.size) == (expected.shape, expected.ndim, expected.size)
    assert seen.dtype == expected.dtype
    assert stored.read == []
    np.testing.assert_array_equal(np.asarray(seen), expected)
    assert len(stored.read) == 1


def test_chunks_follow_the_axes():
    stored = viewable(Stored(ARRAY, (1, 5, 2, 3)))
    assert np.moveaxis(stored, -1, 0)[np.newaxis][0, :, 1].chunks == (3, 5, 2)
    assert viewable(Stored(ARRAY, None)).chunks is None


def test_arrays_that_can_be_viewed_stay_and_steps_are_refused():
    assert viewable(ARRAY) is ARRAY
    with pytest.raises(IndexError, match="cut without steps"):
        viewable(Stored(ARRAY, None))[::2]
