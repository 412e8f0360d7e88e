"""Windows of a large image: few, inside of it, and the one with most in it is found."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.engine.images.windows import windows_of


class Lazy:
    """An image on a disk, which counts the pixels that are read."""

    def __init__(self, array: Any) -> None:
        self._array, self.shape, self.pixels_read = array, array.shape, 0

    def __getitem__(self, parts: Any) -> Any:
        read = self._array[parts]
        self.pixels_read += read.size
        return read


@settings(max_examples=50, deadline=None)
@given(
    stack=st.lists(st.integers(1, 5), max_size=2),
    plane=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    side_px=st.integers(1, 70),
)
def test_windows_lie_in_the_image_and_reach_its_edges(
    stack: list[int], plane: tuple[int, int], side_px: int
) -> None:
    image = np.zeros((1, *stack, *plane), np.uint8)

    windows = windows_of(image, side_px)

    assert len(windows.places) == len(set(map(str, windows.places))) <= 27
    for place in windows.places:
        sizes = image[(0, *place)].shape
        assert sizes == (*(1 for _ in stack), *(min(n, side_px) for n in plane))
    for axis, length in enumerate(plane, start=len(stack)):
        if length > side_px:
            assert min(each[axis].start for each in windows.places) == 0
            assert max(each[axis].stop for each in windows.places) == length


@pytest.mark.parametrize("channels_of", [1, 3])
def test_the_richest_window_has_the_texture_not_the_slope_of_light_or_a_speck(
    channels_of: int,
) -> None:
    image = np.tile(np.linspace(0, 120, 300), (300, 1))
    image[150, 150] = 60_000
    image[210:290, 10:90:4] += 40
    channels = np.repeat(image[np.newaxis], channels_of, axis=0)

    assert windows_of(channels, 100).richest == (slice(200, 300), slice(0, 100))


def test_of_a_stack_the_richest_window_is_in_one_slice() -> None:
    stack = np.zeros((1, 2, 9, 64, 64), np.uint8)
    stack[0, 1, 8, ::2] = 200

    assert windows_of(stack, 64).richest == (slice(1, 2), slice(8, 9), slice(0, 64), slice(0, 64))


def test_little_is_read_of_a_lazy_image_and_of_large_windows_little_is_kept() -> None:
    image = Lazy(np.zeros((1, 40, 400, 400), np.uint8))

    windows = windows_of(image, 80, most_samples=20)  # type: ignore[arg-type]

    assert image.pixels_read == 3 * 9 * 80 * 80
    assert windows.samples.shape == (1, 27, 20, 20)
