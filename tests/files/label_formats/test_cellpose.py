"""Cellpose's `_seg.npy`: written as Cellpose loads it, read without running what is in it."""

import os
import pickle
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest

from napari_unet.engine.base.errors import FileError, LabelsError
from napari_unet.files.image_file import ImageFile
from napari_unet.files.images import read_labels, write_labels

MASKS = np.zeros((6, 7), np.uint16)
MASKS[1:5, 1:5], MASKS[0, 6] = 1, 2


def saved(path: Path, content: Any) -> Path:
    np.save(path, content, allow_pickle=True)
    return path


def test_cellpose_finds_what_it_looks_for(tmp_path: Path) -> None:
    path = tmp_path / "cells_seg.npy"

    write_labels(path, MASKS, image="cells.png")

    # As cellpose.io and its window load it.
    content = np.load(path, allow_pickle=True).item()
    np.testing.assert_array_equal(content["masks"], MASKS)
    assert content["masks"].dtype == content["outlines"].dtype == np.uint16
    rims = MASKS.copy()
    rims[2:4, 2:4] = 0
    np.testing.assert_array_equal(content["outlines"], rims)
    assert (content["filename"], content["chan_choose"]) == ("cells.png", [0, 0])
    assert content["ismanual"].tolist() == [False, False]
    assert content["flows"] == [[], [], [], [], [[]]]
    write_labels(path, MASKS.astype(int) * 40_000, overwrite=True)
    content = np.load(path, allow_pickle=True).item()
    assert (content["masks"].dtype, content["filename"]) == (np.uint32, "cells.tif")


def test_what_cellpose_writes_is_read(tmp_path: Path) -> None:
    content = {
        "outlines": MASKS,
        "colors": np.zeros((2, 3), np.uint8),
        "masks": np.asfortranarray(MASKS),
        "filename": PurePosixPath("/images/cells.png"),
        "flows": [np.zeros((1, 6, 7), np.float32), [], [np.zeros(2), None]],
        "ismanual": np.zeros(2, bool),
        "manual_changes": [["10:00", "added mask", [[1, 2]]]],
        "normalize_params": {"lowhigh": None, "percentile": [1.0, 99.0], "normalize": True},
        "model_path": 0,
        "diameter": np.float64(30),
        "zdraw": [None, None],
    }

    file = read_labels(saved(tmp_path / "cells_seg.npy", content))

    np.testing.assert_array_equal(file.array, MASKS)
    assert (file.axes, file.name) == ("YX", "cells")


@pytest.mark.parametrize(
    ("masks", "expected"),
    [
        (MASKS[np.newaxis], MASKS),
        (MASKS.astype(np.int32) - 1, MASKS),
        (MASKS.astype(">u4"), MASKS),
        (MASKS.astype(np.float32), MASKS),
        (np.stack([MASKS, MASKS * 2]), np.stack([MASKS, MASKS * 2])),
    ],
)
def test_masks_of_any_whole_numbers_and_of_early_versions_are_read(
    tmp_path: Path, masks: np.ndarray, expected: np.ndarray
) -> None:
    image = ImageFile(tmp_path / "i.tif", np.zeros(expected.shape), "ZYX"[-expected.ndim :], (2, 2))

    file = read_labels(saved(tmp_path / "a_seg.npy", {"masks": masks}), image=image)

    np.testing.assert_array_equal(file.array, expected)
    assert file.pixel_size_um == (2, 2)
    plain = saved(tmp_path / "plain.npy", expected)
    np.testing.assert_array_equal(read_labels(plain).array, expected)


class Exploit:
    def __reduce__(self) -> Any:
        return os.mkdir, ("was_run",)


@pytest.mark.parametrize("protocol", [4, 5])
def test_code_in_a_file_is_never_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: int
) -> None:
    monkeypatch.chdir(tmp_path)
    path = saved(tmp_path / "a_seg.npy", {"masks": MASKS})
    header = path.read_bytes()[:128]
    array = np.array({"more": Exploit(), "masks": MASKS}, object)
    path.write_bytes(header + pickle.dumps(array, protocol=protocol))

    with pytest.raises(FileError, match=r"holds more than arrays \((posix|nt).mkdir\).*save the"):
        read_labels(path)
    assert not (tmp_path / "was_run").exists()


@pytest.mark.parametrize("name", ["builtins.eval", "numpy.f2py.compile", "functools.partial"])
def test_nothing_but_arrays_and_containers_may_be_named(tmp_path: Path, name: str) -> None:
    path = saved(tmp_path / "a_seg.npy", {"masks": MASKS})
    module, _, function = name.rpartition(".")
    path.write_bytes(path.read_bytes()[:128] + f"c{module}\n{function}\n.".encode())

    with pytest.raises(FileError, match=rf"holds more than arrays \({name}\)"):
        read_labels(path)


def test_no_array_is_made_of_what_a_pickle_says_of_its_type(tmp_path: Path) -> None:
    objects = np.array([[1, "a"]], object)

    with pytest.raises(FileError, match="has masks of the type 'O8'; labels are integers"):
        read_labels(saved(tmp_path / "a_seg.npy", {"masks": objects}))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"flows": MASKS}, "holds no masks of Cellpose"),
        ([MASKS], "holds no masks of Cellpose"),
        ({"masks": [1, 2]}, "holds no masks of Cellpose"),
        ({"masks": np.zeros(4, int)}, r"an array of shape \(4,\); labels are a plane or a stack"),
        (np.zeros((1, 2, 2, 2), int), r"an array of shape \(1, 2, 2, 2\)"),
    ],
)
def test_what_holds_no_masks_is_said(tmp_path: Path, content: Any, complaint: str) -> None:
    array = content if isinstance(content, np.ndarray) else np.array(None, object)
    if array.dtype == object:
        array[()] = content

    with pytest.raises(FileError, match=complaint):
        read_labels(saved(tmp_path / "a_seg.npy", array))


def test_scores_are_no_labels_and_frames_of_stacks_no_stack(tmp_path: Path) -> None:
    with pytest.raises(LabelsError, match="holds numbers that are not whole"):
        read_labels(saved(tmp_path / "a_seg.npy", {"masks": np.full((2, 2), 0.5)}))
    with pytest.raises(FileError, match="Cellpose holds a plane or a stack"):
        write_labels(tmp_path / "b_seg.npy", np.zeros((2, 2, 2, 2), int))
