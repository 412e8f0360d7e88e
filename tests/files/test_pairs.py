"""Images and label images that belong together by their names."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_unet.engine.base.errors import FileError, TrainingError
from napari_unet.engine.training.pairs import TrainingPair
from napari_unet.files.images import write_labels
from napari_unet.files.pairs import PairedFiles, pair_files, read_pairs


def paired(folder: Path, images: str, labels: str = "") -> PairedFiles:
    """Pair files with these names in two folders, or in one if only the first is given."""
    folders = [folder / name for name in (("images", "labels") if labels else ("both", "both"))]
    for place, names in zip(folders, (images, labels), strict=True):
        place.mkdir(exist_ok=True)
        for name in names.split():
            (place / name).touch()
    return pair_files(*folders)


def names(found: PairedFiles) -> dict[str, str]:
    return {first.name: second.name for first, second in found.pairs}


@pytest.mark.parametrize(
    ("image", "labels"),
    [
        ("x.tif", "x.png"),
        ("x.tif", "X.TIF"),
        ("x.ome.tif", "x_masks.tif"),
        ("x.tif", "x_cp_masks.png"),
        ("x_img.tif", "x_masks.tif"),
        ("x_img.tif", "x_img_cp_masks.tif"),
        ("x.jpg", "x_mask.png"),
        ("x.tif", "x-mask.tif"),
        ("x.tif", "x_label.tif"),
        ("x.tif", "x-labels.png"),
        ("x.tif", "x_Labels.tif"),
        ("X.tif", "x_GT.tif"),
        ("x.tif", "x_seg.tif"),
        ("x.tif", "x.labels.tif"),
        ("x.tif", "x_ground_truth.tif"),
        ("img_007.tif", "mask_007.tif"),
        ("image7.png", "label7.png"),
        ("t007.tif", "man_seg007.tif"),
        ("t007.tif", "man_track007.tif"),
        ("train-volume.tif", "train-labels.tif"),
        ("x_raw.tif", "x_gt.tif"),
        ("x_0000.tif", "x.tif"),
        ("X_001_0000.png", "x_001.png"),
        ("x_gt.tif", "x_pred.tif"),
        ("x_masks.tif", "x.tif"),
        ("x.tif", "x_instance_labels.tif"),
        ("x.tif", "x_inst.png"),
        ("x_img.tif", "x_gt_masks.tif"),
        ("x.tif", "x__masks.tif"),
        ("Z\u00e9lle.tif", "Ze\u0301lle_masks.tif"),
    ],
)
def test_files_go_together_by_the_habits_of_the_field(tmp_path, image, labels):
    found = paired(tmp_path, f"{image} other.tif", f"{labels} another_masks.tif")
    assert names(found) == {image: labels}
    assert (found.only_first, found.only_second) == (["other.tif"], ["another_masks.tif"])


@pytest.mark.parametrize(
    ("files", "pairs", "left"),
    [
        ("x.tif x_masks.tif y.tif", {"x.tif": "x_masks.tif"}, ["y.tif"]),
        ("x.tif x_cp_masks.png new.tif", {"x.tif": "x_cp_masks.png"}, ["new.tif"]),
        ("X.tif x-LABEL.tif", {"X.tif": "x-LABEL.tif"}, []),
        ("img_1.tif mask_1.tif img_2.tif", {"img_1.tif": "mask_1.tif"}, ["img_2.tif"]),
        ("x_img.tif x_gt.tif z_flows.tif", {"x_img.tif": "x_gt.tif"}, ["z_flows.tif"]),
        ("label-free.tif label-free_gt.tif", {"label-free.tif": "label-free_gt.tif"}, []),
    ],
)
def test_in_one_folder_labels_are_told_by_their_names(tmp_path, files, pairs, left):
    found = paired(tmp_path, files)
    assert names(found) == pairs
    assert (found.only_first, found.only_second) == (left, [])
    # The folder by another name is the same one.
    again = pair_files(tmp_path / "both", tmp_path / "both" / ".." / "both")
    assert names(again) == pairs


def test_numbers_are_read_whole_and_namesakes_come_first(tmp_path):
    found = paired(
        tmp_path,
        "x.tif x_img.tif a1.tif a11.tif c_0001.tif c_0002.tif",
        "x.tif x_img.tif a1_mask.tif a11_mask.tif c_0001_masks.tif c_0002_masks.tif",
    )
    assert names(found) == {
        "a1.tif": "a1_mask.tif",
        "a11.tif": "a11_mask.tif",
        "c_0001.tif": "c_0001_masks.tif",
        "c_0002.tif": "c_0002_masks.tif",
        "x.tif": "x.tif",
        "x_img.tif": "x_img.tif",
    }


@pytest.mark.parametrize(
    ("images", "labels", "one", "other"),
    [
        ("x.tif", "x_masks.tif x_cp_masks.tif", "x_cp_masks.tif", "x_masks.tif"),
        ("x.tif", "x.tif x_masks.tif", "x.tif", "x_masks.tif"),
        ("x.tif", "x.png x.tif", "x.png", "x.tif"),
        ("x.png x.tif", "x_masks.tif", "x.png", "x.tif"),
        ("x_img.tif", "x_mask.tif x_gt.tif", "x_gt.tif", "x_mask.tif"),
        ("x_0000.tif x_0001.tif", "x.tif", "x_0000.tif", "x_0001.tif"),
        ("x.tif x_masks.tif x-label.tif", "", "x-label.tif", "x_masks.tif"),
    ],
)
def test_what_is_ambiguous_is_refused_with_both_names(tmp_path, images, labels, one, other):
    with pytest.raises(FileError, match="it is not clear which one to pair") as refused:
        paired(tmp_path, images, labels)
    assert all(f"{name}'" in str(refused.value) for name in (one, other))


def test_words_with_spaces_around_them_tell_labels_too(tmp_path):
    for name in ("my cells 1.tif", "my cells 1 - masks.tif", "b.tif", "b mask.tif"):
        (tmp_path / name).touch()
    found = pair_files(tmp_path, tmp_path)
    assert names(found) == {"b.tif": "b mask.tif", "my cells 1.tif": "my cells 1 - masks.tif"}
    assert (found.only_first, found.only_second) == ([], [])


@pytest.mark.parametrize("files", ["x.tif y.tif", "x_masks.tif y_masks.tif"])
def test_one_folder_whose_names_tell_nothing_is_refused(tmp_path, files):
    with pytest.raises(FileError, match=r"is given for both, and by their names .*two folders"):
        paired(tmp_path, files)


def test_a_file_never_goes_with_itself(tmp_path):
    (tmp_path / "x.tif").touch()
    (tmp_path / "x_masks.tif").touch()
    with pytest.raises(FileError, match="is given twice; a file goes with another one"):
        pair_files(tmp_path / "x.tif", tmp_path / "x.tif")
    assert names(pair_files(tmp_path / "x.tif", tmp_path)) == {"x.tif": "x_masks.tif"}


def test_a_link_to_a_file_is_that_file(tmp_path):
    (tmp_path / "labels").mkdir()
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "x.tif").touch()
    (tmp_path / "labels" / "x.tif").symlink_to(tmp_path / "images" / "x.tif")
    with pytest.raises(FileError, match="No file in"):
        pair_files(tmp_path / "images", tmp_path / "labels")


def test_labels_of_cellpose_are_found_beside_their_images_where_no_picture_of_them_is(tmp_path):
    (tmp_path / "both").mkdir()
    for name in ("x_seg.npy", "y_seg.npy"):
        write_labels(tmp_path / "both" / name, np.eye(4, dtype=int))

    assert names(paired(tmp_path, "x.tif y.tif y_cp_masks.png")) == {
        "x.tif": "x_seg.npy",
        "y.tif": "y_cp_masks.png",
    }


def test_what_cellpose_saved_among_the_images_is_none(tmp_path):
    (tmp_path / "images").mkdir()
    write_labels(tmp_path / "images" / "x_seg.npy", np.eye(4, dtype=int))

    found = paired(tmp_path, "x.tif", "x_masks.tif")

    assert (names(found), found.only_first) == ({"x.tif": "x_masks.tif"}, [])


def test_outlines_are_read_on_the_grid_of_their_image(tmp_path):
    labels = np.zeros((6, 8), np.uint8)
    labels[1, 2] = 5
    tifffile.imwrite(tmp_path / "x.tif", labels)
    path = tmp_path / "x_rois.zip"
    write_labels(path, labels)
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b""  # as Fiji writes it

    (pair,) = read_pairs(
        tmp_path / "x.tif",
        path,
        ndim=2,
        make_pair=TrainingPair,
    )

    np.testing.assert_array_equal(pair.labels, labels)


def test_a_grey_image_among_others_is_not_turned_by_their_channel_axis(tmp_path):
    grey = np.arange(16, dtype=np.uint16).reshape(4, 4)
    tifffile.imwrite(tmp_path / "grey.tif", grey)
    tifffile.imwrite(tmp_path / "two.tif", np.stack([grey, grey]), photometric="minisblack")
    tifffile.imwrite(tmp_path / "labels.tif", grey // 8)
    for name, shape in (("grey.tif", (4, 4)), ("two.tif", (4, 4, 2))):
        [(image, labels)] = read_pairs(
            tmp_path / name,
            tmp_path / "labels.tif",
            ndim=2,
            make_pair=lambda image, labels, _: (image, labels),
            channel_axis=0,
        )
        assert image.shape == shape
        assert np.array_equal(image.reshape(4, 4, -1)[..., 0], grey)
        assert np.array_equal(labels, grey // 8)


@pytest.mark.parametrize("shape", [(2, 3, 4, 20, 20), (2, 3, 20, 20)])
def test_an_image_with_other_axes_than_its_labels_is_refused_in_words_of_training(tmp_path, shape):
    tifffile.imwrite(tmp_path / "x.tif", np.zeros(shape, np.uint16), photometric="minisblack")
    tifffile.imwrite(tmp_path / "labels.tif", np.ones((20, 20), np.uint16))
    with pytest.raises(TrainingError, match=r"x.tif' has shape .* and its labels \(20, 20\); an"):
        read_pairs(tmp_path / "x.tif", tmp_path / "labels.tif", ndim=2, make_pair=TrainingPair)
