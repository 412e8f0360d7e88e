"""What unlabelled pixels mean, and that an ignored one counts nowhere."""

import dataclasses

import numpy as np
import pytest
import torch

from napari_unet.engine.base.errors import LabelsError, SettingsError, TrainingError
from napari_unet.engine.networks.annotation import class_target, training_target
from napari_unet.engine.networks.network import NetworkDescription
from napari_unet.engine.networks.unet import UNetConfig
from napari_unet.engine.training.pairs import TrainingPair, annotated_pair
from napari_unet.engine.training.patches import Patches
from napari_unet.engine.training.settings import NO_AUGMENTATION, TrainingSettings
from napari_unet.engine.training.training import train
from napari_unet.engine.training.validation import reviewed_part
from napari_unet.engine.weight_map.weight_map import IGNORED, boundary_weight_map

ROLES = ("background", "cell", "border")
TINY = NetworkDescription("tiny", UNetConfig(base_width=4, depth=2, classes=3), ROLES)
TISSUE = NetworkDescription(
    "tissue", UNetConfig(base_width=4, depth=2, classes=3), ("background", "tumour", "stroma")
)
QUICK = TrainingSettings(
    steps=2, batch_size=2, patch_size_px=32, precision="float32", augmentation=NO_AUGMENTATION
)


def squares() -> np.ndarray:
    labels = np.zeros((64, 64), np.uint16)
    labels[4:14, 4:14] = 1
    labels[4:14, 16:26] = 2
    labels[40:50, 44:54] = 3
    return labels


def image(labels: np.ndarray) -> np.ndarray:
    return np.random.default_rng(0).normal(10, 1, labels.shape) + 50 * (labels > 0)


def patches(pair: TrainingPair, description=TINY, settings=QUICK) -> Patches:
    return train([pair], settings=settings, description=description, device="cpu")._patches


def test_without_a_mask_everything_was_reviewed():
    pair = annotated_pair(image(squares()), squares())
    assert pair.reviewed is None
    assert np.array_equal(pair.checked_labels(), squares())


def test_only_regions_were_reviewed():
    regions = np.zeros((64, 64), bool)
    regions[:20, :30] = True
    pair = annotated_pair(image(squares()), squares(), regions=regions)
    assert np.array_equal(pair.checked_labels(), np.where(regions, squares().astype(int), IGNORED))


def test_only_painted_pixels_count_and_a_ring_around_painted_cells_is_background():
    labels = np.zeros((9, 9), int)
    labels[4, 4] = 7
    labels[0, 0] = 2
    pair = annotated_pair(
        np.ones((9, 9)), labels, unlabelled="ignore", background_label=2, ring_px=1
    )
    expected = np.full((9, 9), IGNORED)
    expected[3:6, 4] = expected[4, 3:6] = 0
    expected[4, 4], expected[0, 0] = 7, 0
    assert np.array_equal(pair.checked_labels(), expected)


def test_a_class_that_was_painted_gets_no_ring():
    pair = annotated_pair(image(squares()), squares(), unlabelled="ignore", label_kind="classes")
    assert np.array_equal(pair.reviewed, squares() > 0)


def test_regions_add_to_what_was_painted():
    regions = np.zeros((64, 64), bool)
    regions[60:] = True
    pair = annotated_pair(
        image(squares()), squares(), unlabelled="ignore", regions=regions, ring_px=0
    )
    assert np.array_equal(pair.reviewed, (squares() > 0) | regions)


def test_ignored_pixels_have_no_weight_and_the_others_that_of_the_weight_map():
    labels = squares().astype(np.int32)
    labels[:, 20:] = IGNORED
    target, weights = patches(TrainingPair(image(squares()), squares())).supervise(labels)
    expected = boundary_weight_map(labels, class_balance=False, ignore_label=IGNORED)
    assert np.array_equal(weights, expected)
    assert not weights[:, 20:].any()
    assert not target[:, 20:].any()


def test_cell_has_no_border_towards_ignored_pixels():
    labels = np.array([[0, 0, 1, 1, 1, 1, 1, 1, 1, IGNORED]] * 7, np.int32)
    target = training_target(labels, ROLES, border_width_px=2)
    assert target[3].tolist() == [0, 0, 2, 2, 1, 1, 1, 1, 1, 0]


def test_cell_that_fills_the_patch_is_all_inside():
    assert (training_target(np.ones((5, 5), np.int32), ROLES) == 1).all()


def test_class_balance_does_not_count_ignored_pixels():
    reviewed = np.zeros((64, 64), bool)
    reviewed[:20, :30] = True
    settings = dataclasses.replace(QUICK, class_balance=True)
    part = TrainingPair(image(squares())[:20, :30], squares()[:20, :30])
    whole = TrainingPair(image(squares()), squares(), reviewed=reviewed)
    assert np.array_equal(
        patches(whole, settings=settings)._class_weights,
        patches(part, settings=settings)._class_weights,
    )


def test_pixels_beyond_the_image_are_ignored():
    labels = np.ones((8, 8), int)
    batch = patches(TrainingPair(np.ones((8, 8)), labels)).batch(0)
    assert float((batch.weights > 0).float().sum(dim=(1, 2)).max()) <= 64


def test_what_ignored_pixels_hold_changes_nothing():
    regions = np.zeros((64, 64), bool)
    regions[:20, :30] = True
    scribbled = np.where(regions, squares(), 9).astype(np.uint16)
    batches = [
        patches(TrainingPair(image(squares()), labels, reviewed=regions)).batch(3)
        for labels in (squares(), scribbled)
    ]
    assert torch.equal(batches[0].weights, batches[1].weights)
    assert torch.equal(batches[0].target, batches[1].target)


def test_no_patch_is_drawn_where_everything_is_ignored():
    reviewed = np.zeros((64, 64), bool)
    reviewed[40:50, 44:54] = True
    settings = dataclasses.replace(QUICK, background_share=1.0, patch_size_px=16)
    nothing = TrainingPair(image(squares()), squares(), reviewed=np.zeros((64, 64), bool))
    pair = TrainingPair(image(squares()), squares(), reviewed=reviewed)
    run = train([nothing, pair], settings=settings, description=TINY, device="cpu")
    for step in range(10):
        assert (run._patches.batch(step).weights.sum(dim=(1, 2)) > 0).all()


def test_corrected_pixels_are_drawn_more_often():
    corrected = np.zeros((64, 64), bool)
    corrected[44:48, 46:50] = True
    settings = dataclasses.replace(QUICK, patch_size_px=16, background_share=0.0)

    def drawn_near(mask):
        source = patches(
            TrainingPair(image(squares()), squares(), corrected=mask), settings=settings
        )
        rngs = [np.random.default_rng(seed) for seed in range(200)]
        centres = [source._draw_centre(rng, source.prepared[0]) for rng in rngs]
        return np.mean([centre[0] > 32 for centre in centres])

    assert drawn_near(None) == pytest.approx(1 / 3, abs=0.1)
    assert drawn_near(corrected) == pytest.approx(2 / 3, abs=0.1)


def test_images_are_drawn_by_their_weight():
    pair = TrainingPair(image(squares()), squares())
    pairs = [pair, dataclasses.replace(pair, weight=3.0)]
    prepared = train(pairs, settings=QUICK, description=TINY, device="cpu")._patches.prepared
    assert prepared[1].odds == pytest.approx(3 * prepared[0].odds)


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_a_weight_that_is_none_is_refused(weight):
    pair = TrainingPair(image(squares()), squares(), "left", weight=weight)
    with pytest.raises(TrainingError, match=f"'left' has the weight {weight:g}; use a positive"):
        patches(pair)


def test_patches_are_centred_where_cells_touch_as_often_as_asked_for():
    settings = dataclasses.replace(QUICK, patch_size_px=16, background_share=0.0, crowded_share=0.6)
    pair = TrainingPair(image(squares()), squares())
    source = patches(pair, settings=settings)
    # Between the first two cells are two pixels of background, so that nothing touches.
    assert [len(p.crowded) for p in source.prepared] == [0]
    labels = squares()
    labels[4:14, 15:16] = 2
    source = patches(TrainingPair(image(labels), labels), settings=settings)
    # One pixel of background: of each cell the column beside it lies within two pixels.
    rows, columns = source.prepared[0].crowded.T
    assert sorted(set(columns)) == [13, 15]
    assert sorted(set(rows)) == list(range(4, 14))
    rngs = [np.random.default_rng(seed) for seed in range(300)]
    centres = [source._draw_centre(rng, source.prepared[0]) for rng in rngs]
    # Else a third of the centres is near the cell at the bottom.
    assert np.mean([centre[0] > 32 for centre in centres]) == pytest.approx(0.4 / 3, abs=0.06)


def test_prediction_on_ignored_pixels_is_neither_right_nor_wrong():
    truth = np.array([[1, 1, 0, 0, 0, 0]])
    prediction = np.array([[4, 4, 4, 0, 5, 5]])
    reviewed = np.array([[True, True, False, True, False, False]])
    part = reviewed_part(truth, prediction, reviewed)
    assert part[1].tolist() == [[4, 4, 0, 0, 0, 0]]
    assert part[0].tolist() == truth.tolist()


def test_numbers_are_classes_for_a_network_with_names_of_its_own():
    labels = np.array([[0, 1, 2, 3, IGNORED]], np.int32)
    target, known = class_target(labels, ("background", "tumour", "stroma"))
    assert target.tolist() == [[0, 0, 1, 2, 0]]
    assert known.tolist() == [[True, True, True, True, False]]
    target, known = class_target(labels, ("tumour", "stroma", "fat"))
    assert target[known].tolist() == [0, 1, 2]
    assert known.tolist() == [[False, True, True, True, False]]


def test_network_learns_classes_from_scribbles():
    truth = np.ones((64, 64), np.uint8)
    truth[:, 32:] = 2
    truth[40:, :] = 3
    painted = np.zeros_like(truth)
    painted[4:60:6, 4:60:6] = truth[4:60:6, 4:60:6]
    picture = truth * 50.0 + np.random.default_rng(0).normal(0, 5, truth.shape)
    pair = annotated_pair(picture, painted, unlabelled="ignore", label_kind="classes")
    settings = dataclasses.replace(QUICK, steps=60, learning_rate=1e-2, warmup_steps=5, average=0.8)
    run = train(
        [pair],
        settings=settings,
        validation=[TrainingPair(picture, truth)],
        description=TISSUE,
        device="cpu",
    )
    reports = list(run)
    assert reports[-1].validation is None
    assert reports[-1].validation_loss < 0.5
    assert reports[-1].is_best
    with torch.no_grad():
        scores = run.network.unet(run._patches.prepared[0].image[None])[0]
    found = scores.argmax(0).numpy() + 1
    assert (found == truth).mean() > 0.9


@pytest.mark.parametrize(
    ("labels", "options", "error", "message"),
    [
        (np.full((64, 64), 4), {}, LabelsError, "has the label 4, for which the network has no"),
        (np.ones((64, 64), int), {}, TrainingError, "show only 'background'; label pixels of at"),
    ],
)
def test_classes_that_cannot_teach_are_answered_with_one_sentence(labels, options, error, message):
    with pytest.raises(error, match=message):
        train([TrainingPair(np.ones((64, 64)), labels, **options)], description=TISSUE)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reviewed": np.zeros((64, 64), bool)}, "No pixel of the training images was reviewed"),
        ({"reviewed": np.zeros((64, 63), bool)}, "reviewed is a bool array of shape"),
        ({"corrected": np.zeros((64, 64), int)}, "corrected is a int64 array"),
        ({"reviewed": squares() == 0}, "No training image has a labelled cell"),
    ],
)
def test_masks_that_do_not_fit_are_answered_with_one_sentence(options, message):
    with pytest.raises(TrainingError, match=message):
        train([TrainingPair(image(squares()), squares(), **options)], description=TINY)


def test_unknown_meaning_of_unlabelled_pixels_is_refused():
    with pytest.raises(SettingsError, match="unlabelled is 'maybe'; use 'reviewed' or 'ignore'"):
        annotated_pair(image(squares()), squares(), unlabelled="maybe")
    with pytest.raises(TrainingError, match="regions is a float64 array"):
        annotated_pair(image(squares()), squares(), regions=np.ones((64, 64)))
