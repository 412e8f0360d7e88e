"""What is said of labels before a training: little of good ones, a sentence of bad ones."""

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from napari_unet.engine.checks.finding import Finding
from napari_unet.engine.checks.label_facts import AnnotatedImage, Grid, LabelFacts
from napari_unet.engine.checks.preflight import label_findings, preflight, preflight_all, repair
from napari_unet.engine.images.normalization import TypeRange
from napari_unet.engine.networks.network import NetworkDescription, TrainingIntensity
from napari_unet.engine.networks.unet import UNetConfig
from napari_unet.files.samples import load_sample, sample_names


def model(in_channels: int = 1, ndim: int = 2, classes: int = 2, **known: Any):
    config = UNetConfig(ndim, in_channels, classes, base_width=1, depth=1, batch_norm=False)
    return NetworkDescription("m", config, **({"object_diameter_px": 20.0} | known))


def cells(size: int = 20, count: int = 9) -> np.ndarray:
    """Square cells in rows of three, that do not touch."""
    labels = np.zeros((3 * size + 40, 3 * size + 40), np.uint16)
    for number in range(count):
        y, x = (10 + (size + 10) * n for n in divmod(number, 3))
        labels[y : y + size, x : x + size] = number + 1
    return labels


def textured(labels: np.ndarray) -> np.ndarray:
    """An image with bright cells on a dark, uneven ground."""
    ramp = np.arange(labels.size).reshape(labels.shape) % 7
    return (np.where(labels > 0, 100, 10) + ramp).astype(np.uint8)


def codes(findings: tuple[Finding, ...], *, notes: bool = False) -> list[str]:
    return [each.code for each in findings if notes or each.severity != "note"]


def only(code: str, findings: tuple[Finding, ...]) -> Finding:
    found = [each for each in findings if each.code == code]
    assert len(found) == 1, findings
    assert found[0].text.endswith(".")
    assert not re.search(r"\. [A-Z]", found[0].text), "one sentence"
    return found[0]


# -- good labels -----------------------------------------------------------------------------------


def test_good_labels_are_counted_and_nothing_else():
    labels = cells()
    found = preflight(labels, image=textured(labels), network=model(), name="mine")
    assert codes(found, notes=True) == ["content"]
    assert found[0].text == (
        "'mine' holds 9 cells, the median one 23 pixels across, on 3,600 of its 10,000 pixels "
        "(36 %)."
    )


@pytest.mark.parametrize("name", sample_names())
def test_truth_of_the_bundled_samples_gives_no_warning(name: str):
    sample = load_sample(name)
    assert sample.labels is not None
    assert codes(preflight(sample.labels, image=sample.image)) == []


# -- pieces ----------------------------------------------------------------------------------------


def test_a_mask_is_a_warning_and_one_click_numbers_its_pieces():
    mask = np.where(cells() > 0, 255, 0).astype(np.uint8)
    found = only("mask", preflight(mask))
    assert found.severity == "warning"
    assert "9 separate pieces have the one number 255" in found.text
    assert found.remedy == "Number the 9 pieces"
    repaired = repair(mask, found)
    assert codes(preflight(mask, network=model()), notes=True) == ["mask", "content"]
    assert "9 cells, the median one 23 pixels across" in preflight(mask)[1].text
    assert len(np.unique(repaired)) == 10
    assert np.array_equal(repaired > 0, mask > 0)
    assert codes(preflight(repaired)) == []


def test_one_cell_is_no_mask():
    assert "mask" not in codes(preflight(cells(count=1)))


def test_a_number_in_two_places_is_torn_apart_and_the_larger_part_keeps_it():
    labels = cells()
    labels[labels == 9] = 1
    labels[:5, :5] = 1
    found = only("disconnected", preflight(labels))
    assert "The number 1 lies in several places of 'labels', in 3 pieces" in found.text
    assert found.ids == (1,)
    repaired = repair(labels, found)
    assert repaired[15, 15] == 1
    assert sorted({int(repaired[75, 75]), int(repaired[0, 0])}) == [9, 10]
    assert np.array_equal(repaired[labels != 1], labels[labels != 1])


def test_specks_are_removed_and_many_of_them_are_a_warning():
    labels = cells()
    labels[0, 0] = 30
    assert only("specks", preflight(labels)).severity == "note"
    labels[0, ::2] = np.arange(50) + 40
    found = only("specks", preflight(labels))
    assert found.severity == "warning"
    assert "51 specks of at most 1 pixel" not in found.text
    assert "50 specks of at most 1 pixel" in found.text
    assert np.array_equal(repair(labels, found), cells())


def test_holes_are_filled_and_large_ones_are_a_warning():
    labels = cells()
    labels[15, 15] = 0
    assert only("holes", preflight(labels)).severity == "note"
    labels[15:27, 15:27] = 0
    found = only("holes", preflight(labels))
    assert found.severity == "warning"
    assert "1 cell of 'labels' has 1 hole, 144 pixels together" in found.text
    assert found.box == (slice(15, 27), slice(15, 27))
    assert np.array_equal(repair(labels, found), cells())


def test_touching_cells_are_counted_in_a_note():
    labels = cells()
    labels[12:14, 30:40] = 1
    found = only("touching", preflight(labels))
    assert found.severity == "note"
    assert found.ids == (1, 2)


def test_a_finding_without_a_repair_changes_nothing():
    labels = cells()
    for found in preflight(labels):
        after = repair(labels, found)
        assert np.array_equal(after, labels)
        assert after is not labels


@given(
    arrays(
        np.uint8,
        array_shapes(min_dims=2, max_dims=3, max_side=8),
        elements=st.sampled_from([0, 0, 1, 2, 250]),
    )
)
def test_a_repair_stays_in_its_box_and_among_its_cells_and_is_not_offered_again(labels):
    for found in preflight(labels, unlabelled="ignore"):
        if not found.remedy:
            continue
        repaired = repair(labels, found)
        changed = repaired != labels
        assert changed.any()
        outside = changed.copy()
        outside[found.box] = False
        assert not outside.any()
        before = set(labels[changed].tolist())
        assert before <= {0, *found.ids}
        assert found.code not in codes(preflight(repaired, unlabelled="ignore"), notes=True)


# -- mistaken files --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sample_names())
def test_images_are_told_from_labels_and_labels_from_images(name: str):
    sample = load_sample(name)
    image = sample.image if sample.image.ndim == sample.labels.ndim else sample.image[..., 1]
    swapped = only("not-labels", preflight(image, image=sample.labels))
    assert swapped.is_senseless
    assert "so give the two the other way round" in swapped.text
    alone = only("not-labels", preflight(image))
    assert "looks like an image rather than labels" in alone.text
    twice = only("not-image", preflight(sample.labels, image=sample.labels))
    assert twice.is_senseless
    shrunk = preflight(sample.labels[::3, ::3], image=image[::3, ::3])
    assert not {"not-labels", "not-image"} & set(codes(shrunk))


def test_cells_that_fill_the_image_are_labels_however_many_touch():
    y, x = np.indices((120, 120)) // 4
    assert "not-labels" not in codes(preflight(1 + y * 30 + x))


def test_numbers_are_looked_at_without_a_training_in_mind():
    mask = (cells() > 0).astype(np.uint8)
    (found,) = label_findings(mask, name="truth")
    assert found.text == (
        "'truth' is a mask: 9 separate pieces have the one number 1, so they count as one cell."
    )
    assert label_findings(cells(), name="truth") == ()


# -- what is known of the pixels -------------------------------------------------------------------


def test_labels_without_a_cell_stop_a_training():
    found = preflight(np.zeros((9, 9), int))
    assert [(each.code, each.severity) for each in found] == [("no-labels", "error")]


def test_an_empty_image_beside_others_is_a_note():
    found = preflight_all(
        [AnnotatedImage(cells(), name="a"), AnnotatedImage(np.zeros((9, 9), int), name="b")]
    )
    empty = only("empty", found)
    assert (empty.severity, empty.name) == ("note", "b")
    assert "no-labels" not in codes(found)


def test_nothing_painted_where_unpainted_is_ignored_stops_a_training():
    found = preflight(np.zeros((9, 9), int), unlabelled="ignore")
    assert [(each.code, each.severity) for each in found] == [("all-ignored", "error")]
    nowhere = preflight(cells(), reviewed=np.zeros((100, 100), bool))
    assert codes(nowhere) == ["all-ignored"]


def test_cells_without_background_are_a_warning_where_unpainted_is_ignored():
    labels = cells()
    found = only("no-background", preflight(labels, unlabelled="ignore"))
    assert "9 cells but no background" in found.text
    labels[0, :10] = 99
    assert codes(preflight(labels, unlabelled="ignore", background_label=99)) == []
    regions = np.zeros(labels.shape, bool)
    regions[:20] = True
    assert codes(preflight(cells(), unlabelled="ignore", reviewed=regions)) == []


def test_background_without_cells_stops_a_training():
    labels = np.full((9, 9), 99)
    found = preflight(labels, unlabelled="ignore", background_label=99)
    assert codes(found) == ["no-labels"]


def test_cells_at_every_pixel_are_a_warning():
    found = only("no-background", preflight(np.repeat([[1, 2]], 50, axis=0).repeat(30, axis=1)))
    assert "cells at all 3,000 of its pixels" in found.text


def test_ignored_pixels_are_told_in_the_note():
    labels = cells()
    labels[90:] = 99
    found = only("content", preflight(labels, unlabelled="ignore", background_label=99))
    assert found.text.endswith(
        "(36 %); 1,000 pixels of background count too, the other 5,400 are ignored."
    )


def test_strokes_of_background_are_no_cells_in_several_places():
    labels = cells()
    labels[:3, :3] = labels[50:53, :3] = labels[98:, 98:] = 99
    found = preflight(labels, unlabelled="ignore", background_label=99)
    assert codes(found) == []
    assert "99" not in only("content", found).text


def test_cells_outside_of_the_reviewed_regions_are_left_alone():
    labels = cells()
    labels[labels == 9] = 8
    labels[labels == 2] = 1
    reviewed = np.zeros(labels.shape, bool)
    reviewed[:35] = True
    found = only("disconnected", preflight(labels, reviewed=reviewed))
    assert found.ids == (1,)
    assert np.array_equal(repair(labels, found)[60:], labels[60:])


def test_a_single_tiny_cell_is_a_warning_and_a_few_cells_are_a_note():
    labels = np.zeros((50, 50), int)
    labels[3:6, 3:6] = 1
    assert "has 9 pixels" in only("tiny", preflight(labels)).text
    few = only("few", preflight(cells(count=2)))
    assert few.severity == "note"
    assert few.text.startswith("Only 2 cells are painted")


def test_cells_are_counted_over_all_images():
    two = [AnnotatedImage(cells(count=3), name=name) for name in "ab"]
    assert codes(preflight_all(two), notes=True) == ["content", "content"]
    assert codes(preflight_all([])) == ["no-images"]


# -- the model and the image -----------------------------------------------------------------------


def test_cells_of_another_size_than_the_models_are_a_warning():
    found = only("size", preflight(cells(60), network=model()))
    assert found.severity == "warning"
    assert "68 pixels across and those the model learned on 20; resize" in found.text
    assert "by 0.3," in found.text
    assert "size" not in codes(preflight(cells(60), network=model(object_diameter_px=None)))


def test_labels_of_another_shape_stop_a_training():
    found = only("shape", preflight(cells(), image=np.zeros((100, 90))))
    assert found.severity == "error"
    assert "100 x 100 pixels but its image has 100 x 90" in found.text
    regions = only("shape", preflight(cells(), reviewed=np.ones((3, 3), bool)))
    assert "reviewed regions have 3 x 3" in regions.text


def test_labels_that_are_no_whole_numbers_stop_a_training_whatever_their_dtype():
    assert preflight(cells().astype(float)) == preflight(cells())
    assert only("not-integer", preflight(cells() / 2)).severity == "error"
    assert codes(preflight(np.full((3, 3), np.nan))) == ["not-integer"]
    huge = only("numbers", preflight(np.full((3, 3), 2**63, np.uint64)))
    assert "9223372036854775808, which is too large" in huge.text


def test_numbers_below_0_are_told_and_count_as_background():
    labels = np.where(cells() == 0, -1, cells().astype(int))
    found = only("negative", preflight(labels))
    assert "(down to -1), which are no cells; they count as background" in found.text
    assert LabelFacts(AnnotatedImage(labels)).background_px == int((labels < 0).sum())
    assert "negative" in [each.code for each in label_findings(labels, name="a.tif")]


def test_numbers_beyond_63_bits_are_looked_at_where_they_are_only_compared():
    mask = np.zeros((40, 40), np.uint64)
    mask[5:15, 5:15] = mask[25:35, 25:35] = 2**63 + 5
    assert [each.code for each in label_findings(mask, name="a.tif")] == ["mask"]


def test_labels_with_other_axes_stop_a_training():
    assert codes(preflight(np.zeros(9, int))) == ["axes"]
    assert codes(preflight(np.zeros((9, 9, 3), np.uint8))) == ["axes"]
    assert codes(preflight(np.zeros((0, 9), int))) == ["axes"]
    deep = only("dimensions", preflight(np.zeros((9, 9, 9), int), network=model()))
    assert "3 axes and the model reads 2-D images; train on its slices" in deep.text
    lost = preflight(cells(), image=np.zeros((2, 100, 100)))
    assert "say which axis of the image counts channels" in only("axes", lost).text


def test_channels_that_the_model_cannot_read_stop_a_training():
    image = np.zeros((5, 100, 100))
    found = only("channels", preflight(cells(), image=image, network=model(3), channel_axis=0))
    assert "5 channels and the model reads 3" in found.text


def test_colours_for_a_model_of_grey_images_are_a_note():
    image = np.stack([textured(cells())] * 3, axis=-1)
    assert only("colours", preflight(cells(), image=image, network=model())).severity == "note"
    assert codes(preflight(cells(), image=image, network=model(3)), notes=True) == ["content"]


def test_labels_on_another_grid_are_a_warning():
    here = Grid((0.5, 0.5), (0.0, 0.0))
    found = only("grid", preflight(cells(), grid=here, image_grid=Grid((0.5, 0.5), (0.0, 40.0))))
    assert "(0.5, 0.5) at (0, 40)" in found.text
    with_axes = Grid((1.0, 0.5, 0.5), (0.0, 0.0, 0.1))
    assert codes(preflight(cells(), grid=here, image_grid=with_axes)) == []


def test_an_image_that_is_flat_or_holds_no_numbers_is_told():
    assert codes(preflight(cells(), image=np.full((100, 100), 7))) == ["flat"]
    broken = only("not-finite", preflight(cells(), image=np.full((100, 100), np.nan)))
    assert broken.severity == "error"


def test_an_image_unlike_those_trained_on_is_a_warning():
    labels = cells()
    intensity = TrainingIntensity("uint8", 5.0, 10.0, 100.0)
    bright = 255 - textured(labels)
    found = only("inverted", preflight(labels, image=bright, network=model(intensity=intensity)))
    assert "is bright between its cells" in found.text
    raw = model(intensity=intensity, normalization=TypeRange())
    dim = only("intensity", preflight(labels, image=textured(labels) // 8, network=raw))
    assert "times darker than those the model learned on" in dim.text
    assert codes(preflight(labels, image=textured(labels), network=raw)) == []


def test_labels_of_classes_are_not_looked_at_as_cells():
    roles = ("membrane", "mitochondrion")
    description = model(class_roles=roles)
    labels = np.tile(np.array([[1, 0, 1, 2]]), (4, 5))
    found = preflight(labels, network=description, unlabelled="ignore")
    assert codes(found, notes=True) == ["content"]
    assert "40 of membrane, 20 of mitochondrion" in found[0].text
    one = only("one-class", preflight(np.where(labels == 1, 1, 0), network=description))
    assert "only membrane and none of the other classes" in one.text
    assert "the number 3" in only("classes", preflight(labels + 1, network=description)).text


def test_errors_come_before_warnings_and_warnings_before_notes():
    mask = AnnotatedImage((cells() > 0).astype(int), name="mask")
    wrong = AnnotatedImage(cells() / 2, name="wrong")
    severities = [each.severity for each in preflight_all([mask, wrong])]
    assert severities == ["error", "warning", "note"]


def test_a_prediction_that_nobody_has_changed_is_questioned() -> None:
    labels = np.zeros((64, 64), np.int32)
    for number, (y, x) in enumerate(np.ndindex(3, 3), start=1):
        labels[y * 20 + 2 : y * 20 + 14, x * 20 + 2 : x * 20 + 14] = number
    none = np.zeros(labels.shape, bool)
    some = none.copy()
    some[5, 5] = True

    def questions(*corrected: np.ndarray | None) -> list[Finding]:
        images = [
            AnnotatedImage(labels, name=f"image {number}", corrected=each)
            for number, each in enumerate(corrected, start=1)
        ]
        return [each for each in preflight_all(images) if each.code == "untouched"]

    (one,) = questions(none)
    assert one.severity == "warning"
    assert one.text == (
        "'image 1' holds the cells that a model has found, and nobody has changed any: it would "
        "learn its own mistakes anew. Correct some cells first, above all where it is wrong."
    )
    (both,) = questions(none, none)
    assert both.text.startswith("All 2 label images hold the cells that a model has found")
    (part,) = questions(none, some, None)
    assert part.severity == "note"
    assert part.text.startswith("1 of the 3 label images ('image 1' first) hold")
    # Nobody knows where these come from, or somebody has corrected them.
    assert questions(None) == questions(some) == []


def _slices(labels: np.ndarray) -> list[AnnotatedImage]:
    return [
        AnnotatedImage(
            plane,
            name=f"cells, slice {number + 1}",
            stack="cells",
            beside=tuple(labels[n] for n in (number - 1, number + 1) if 0 <= n < len(labels)),
        )
        for number, plane in enumerate(labels)
        if plane.any()
    ]


def test_a_small_piece_over_a_cell_of_the_next_slice_is_a_cap_and_alone_it_is_a_speck() -> None:
    plane = np.zeros((40, 40), np.int32)
    plane[5:25, 5:25] = 1
    plane[30:32, 30:32] = 2
    below = np.zeros_like(plane)
    below[28:36, 28:36] = 3

    def specks(*beside: np.ndarray) -> list[Finding]:
        return [f for f in preflight(plane, beside=beside) if f.code == "specks"]

    assert [f.ids for f in specks()] == [(2,)]
    assert specks(below) == []
    assert [f.ids for f in specks(np.zeros_like(plane))] == [(2,)]


def test_what_several_slices_have_in_common_is_one_finding_with_a_part_for_each() -> None:
    labels = np.zeros((4, 40, 40), np.int32)
    labels[:, 5:25, 5:25] = 1
    labels[0, 35, 35] = 2
    labels[2, 35, 35], labels[2, 35, 38] = 2, 3

    found = preflight_all(_slices(labels))

    (specks,) = [f for f in found if f.code == "specks"]
    assert specks.text == (
        "'cells, slice 3' holds 2 specks of at most 1 pixel, far too small for a cell. There is "
        "the same in 1 other slice of 'cells'."
    )
    assert specks.name == "cells"
    assert specks.remedy == "Remove 2 specks, and so in the other slices"
    assert [(part.name, part.ids) for part in specks.parts] == [
        ("cells, slice 1", (2,)),
        ("cells, slice 3", (2, 3)),
    ]
    (content,) = [f for f in found if f.code == "content"]
    assert content.text == "'cells' holds 7 cells in 4 slices."


def test_what_is_no_stack_is_told_one_by_one() -> None:
    plane = np.zeros((40, 40), np.int32)
    plane[5:25, 5:25], plane[35, 35] = 1, 2

    found = preflight_all([AnnotatedImage(plane, name="a"), AnnotatedImage(plane, name="b")])

    assert [f.name for f in found if f.code == "specks"] == ["a", "b"]


# -- a new network of classes ----------------------------------------------------------------------


def test_classes_of_a_new_network_are_those_that_the_labels_show():
    labels = np.zeros((40, 40), np.uint8)
    labels[5:8, 5:35], labels[20:23, 5:35] = 1, 2
    scribbled = AnnotatedImage(labels, name="mine", unlabelled="ignore")
    found = preflight_all([scribbled], class_names=("gland",))
    assert [each.text for each in found] == [
        "'mine' has 90 of gland, 90 of class 2 among its 1,600 pixels."
    ]
    reviewed = preflight_all([AnnotatedImage(labels == 1, name="mine")], class_names=())
    assert codes(reviewed) == []  # class 1 and background


def test_numbers_of_cells_are_no_classes():
    labels = np.arange(30, dtype=np.uint16).repeat(40).reshape(30, 40)
    found = only("many-classes", preflight_all([AnnotatedImage(labels)], class_names=()))
    assert (found.severity, found.is_senseless) == ("warning", True)
    assert "holds numbers up to 29, each of which would be a class" in found.text
    too_many = np.arange(300, dtype=np.uint16).repeat(40).reshape(300, 40)
    found = only("many-classes", preflight_all([AnnotatedImage(too_many)], class_names=()))
    assert found.severity == "error"


def test_nothing_painted_is_told_in_words_for_classes():
    empty = AnnotatedImage(np.zeros((20, 20), np.uint8), unlabelled="ignore")
    found = only("no-labels", preflight_all([empty], class_names=()))
    assert found.text == "Nothing is painted; paint some of each class before training."
