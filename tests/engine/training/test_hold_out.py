"""Images set aside share no pixel with those that are learned from."""

import numpy as np
import pytest

from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.training.hold_out import hold_out
from napari_unet.engine.training.pairs import TrainingPair, annotated_pair


def pair(name: str = "a", cells: int = 6, shape: tuple[int, int] = (64, 200)) -> TrainingPair:
    """Squares in a row of columns, each of 8 x 8 pixels; the image is its own pixels' numbers."""
    labels = np.zeros(shape, np.uint16)
    for number in range(cells):
        row, column = divmod(number, shape[1] // 12)
        labels[12 * row + 2 : 12 * row + 10, 12 * column + 2 : 12 * column + 10] = number + 1
    return TrainingPair(np.arange(labels.size, dtype=float).reshape(shape), labels, name)


def test_whole_images_are_held_out_where_there_are_enough():
    pairs = [pair(name) for name in "abcde"]
    held = hold_out(pairs, share=0.4)
    assert len(held.validation) == 2
    assert {p.name for p in held.training} | {p.name for p in held.validation} == set("abcde")
    assert held.sentence.startswith("2 images with 12 cells held out of 5: ")
    assert [p.name for p in hold_out(pairs, share=0.4).validation] == [
        p.name for p in held.validation
    ]


def test_image_without_cells_is_never_what_a_model_is_judged_by():
    pairs = [pair(name) for name in "abcd"] + [pair("empty", cells=0)]
    for seed in range(10):
        assert "empty" not in {p.name for p in hold_out(pairs, seed=seed).validation}


def test_block_of_a_single_image_is_held_out_with_a_gap():
    whole = pair(cells=60)
    held = hold_out([whole], share=0.25, gap_px=20)
    (left,), (block,) = held.training, held.validation
    assert "of 'a', with " in held.sentence
    assert "a gap of 20 pixels" in held.sentence
    judged = np.asarray(block.image)[block.reviewed]
    learned = np.asarray(left.image)
    assert not set(learned.reshape(-1)) & set(np.asarray(block.image).reshape(-1))
    rows, columns = np.divmod(learned, 200), np.divmod(judged, 200)
    apart = max(
        max(columns[axis].min() - rows[axis].max(), rows[axis].min() - columns[axis].max())
        for axis in (0, 1)
    )
    assert apart > 20
    assert left.intensity_reference is whole.image
    assert block.intensity_reference is whole.image


def test_cell_cut_by_the_block_is_not_judged():
    held = hold_out([pair(cells=60)], share=0.28, gap_px=20)
    (block,) = held.validation
    whole_cells = np.bincount(block.labels[block.reviewed])[1:]
    assert set(whole_cells[whole_cells > 0]) == {64}


def test_colour_axis_is_kept_wherever_it_is():
    whole = pair(cells=60)
    for axis in (0, -1):
        coloured = TrainingPair(
            np.stack([whole.image] * 2, axis=axis), whole.labels, channel_axis=axis
        )
        held = hold_out([coloured], share=0.25, gap_px=20)
        for part in (*held.training, *held.validation):
            plane = np.moveaxis(part.image, axis, 0)[0]
            assert plane.shape == part.labels.shape


def test_two_images_give_up_a_block_of_one():
    held = hold_out([pair("a", cells=60), pair("b", cells=8)], share=0.25, gap_px=20)
    assert [p.name for p in held.training] == ["a", "b"]
    assert [p.name for p in held.validation] == ["a"]
    assert held.training[1].labels.shape == (64, 200)


@pytest.mark.parametrize(("cells", "words"), [(5, "5 cells in 1 image are too few"), (1, "1 cell")])
def test_too_little_is_said_and_nothing_is_held_out(cells, words):
    one = pair(cells=cells)
    held = hold_out([one])
    assert held.training == (one,)
    assert held.validation == ()
    assert held.sentence.startswith("Nothing is held out, as " + words)


def test_block_of_classes_keeps_what_its_cut_goes_through():
    labels = np.ones((60, 200), np.uint8)
    labels[30:] = 2
    held = hold_out(
        [TrainingPair(np.ones((60, 200)), labels, "a")], gap_px=20, label_kind="classes"
    )
    (block,) = held.validation
    assert "with 2 labels, is held out" in held.sentence
    assert np.count_nonzero(block.reviewed) == 60 * 40
    labels[:, :100] = 1
    labels[:, 100:] = 2
    one = TrainingPair(np.ones((60, 200)), labels, "a")
    assert (
        np.unique(hold_out([one], gap_px=10, label_kind="classes").validation[0].labels).size == 2
    )


def test_share_of_nothing_holds_nothing_out():
    assert hold_out([pair()], share=0).sentence == "Nothing is held out, as it was asked for."
    with pytest.raises(SettingsError, match="share is 1; use 0 up to"):
        hold_out([pair()], share=1)
    with pytest.raises(SettingsError, match="gap_px is -1"):
        hold_out([pair()], gap_px=-1)


def volume() -> np.ndarray:
    """36 cubes of 6 x 6 x 6 voxels in 80 x 20 x 20, four in a layer, nine layers."""
    labels = np.zeros((80, 20, 20), np.uint16)
    for number in range(36):
        layer, (row, column) = number // 4, divmod(number % 4, 2)
        z, y, x = 9 * layer + 1, 9 * row + 2, 9 * column + 2
        labels[z : z + 6, y : y + 6, x : x + 6] = number + 1
    return labels


def test_block_of_a_volume_lies_along_the_axis_that_leaves_most_and_its_gap_is_no_longer():
    held = hold_out([TrainingPair(np.ones((80, 20, 20)), volume(), "v")], gap_px=48)
    (left,), (block,) = held.training, held.validation
    assert held.sentence.startswith("The beginning of 'v', with 8 cells, is held out, and a gap of")
    assert "a gap of 10 pixels" in held.sentence
    assert left.labels.shape == (54, 20, 20)
    assert np.unique(left.checked_labels()[left.checked_labels() > 0]).size == 24
    assert block.labels.shape == (26, 20, 20)


def test_of_slices_one_in_six_is_held_out_and_none_of_three():
    image, labels = np.ones((80, 20, 20)), volume()
    six = annotated_pair(image, labels, slices=[3, 12, 30, 39, 48, 75], name="v")
    held = hold_out([six])
    (left,), (block,) = held.training, held.validation
    assert "with 4 cells, is held out" in held.sentence
    assert left.in_slices
    assert block.in_slices
    assert [np.unique(part).size - 1 for part in left.checked_labels() if part.max() > 0] == [4] * 5
    three = annotated_pair(image, labels, slices=[3, 30, 75])
    assert hold_out([three]).validation == ()
