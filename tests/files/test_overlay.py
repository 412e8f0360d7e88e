"""The picture of the result: outlines where cells are, contrast, stacks and colours."""

import numpy as np
import pytest

from napari_unet.files.overlay import draw_overlay


def _two_touching_cells() -> np.ndarray:
    labels = np.zeros((600, 700), int)
    labels[100:200, 100:200], labels[100:200, 200:300] = 1, 2
    return labels


def test_each_cell_is_outlined_inside_its_border_in_its_own_colour() -> None:
    labels = _two_touching_cells()

    picture = draw_overlay(np.zeros(labels.shape), labels)

    factor = picture.shape[0] // labels.shape[0]
    drawn = picture.any(axis=-1)
    inside = np.kron(labels > 0, np.ones((factor, factor), bool))
    assert not drawn[~inside].any()
    left, right = picture[150 * factor, 100 * factor], picture[150 * factor, 300 * factor - 1]
    assert left.any()
    assert right.any()
    assert left.tolist() != right.tolist()
    middle = picture[150 * factor, 200 * factor - 1], picture[150 * factor, 200 * factor]
    assert [colour.tolist() for colour in middle] == [left.tolist(), right.tolist()]
    assert not drawn[150 * factor, 150 * factor]


def test_dim_image_is_stretched_to_the_full_range() -> None:
    image = np.tile(np.linspace(1000, 1100, 64), (64, 1)).astype(np.uint16)

    picture = draw_overlay(image, np.zeros((64, 64), int))

    assert picture.min() == 0
    assert picture.max() == 255


@pytest.mark.parametrize(
    ("shape", "channel_axis"),
    [((8, 9), None), ((5, 8, 9), None), ((8, 9, 3), None), ((8, 9, 4), 2), ((2, 8, 9), 0)],
)
def test_stacks_and_channels_give_one_rgb_picture(
    shape: tuple[int, ...], channel_axis: int | None
) -> None:
    image = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    labels = np.zeros((5, 8, 9) if shape == (5, 8, 9) else (8, 9), int)

    picture = draw_overlay(image, labels, channel_axis=channel_axis)

    assert picture.shape == (32, 36, 3)
    assert picture.dtype == np.uint8


def test_stack_shows_its_middle_slice() -> None:
    image = np.zeros((5, 64, 64))
    image[2, :32] = 1

    picture = draw_overlay(image, np.zeros(image.shape, int))

    assert picture[:100].min() == 255
    assert picture[150:].max() == 0


def test_constant_image_is_black_and_not_an_error() -> None:
    assert not draw_overlay(np.full((8, 8), 7), np.zeros((8, 8), int)).any()
