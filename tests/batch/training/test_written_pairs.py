"""Pairs that were layers, written and read again."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_unet.batch.training.written_pairs import read_written_pairs, write_pairs
from napari_unet.engine.base.errors import FileError
from napari_unet.engine.training.pairs import TrainingPair


def test_pairs_come_back_with_all_that_was_known_of_them(tmp_path: Path) -> None:
    stack = np.arange(2 * 4 * 5, dtype=np.uint16).reshape(2, 4, 5)
    labels = np.array([[0, 1, 1, 0, 7]] * 4, np.int64)
    pairs = [
        TrainingPair(
            stack[0],
            labels,
            "a, slice 1",
            reviewed=labels > 0,
            corrected=labels == 7,
            intensity_reference=stack,
            weight=2.0,
            types={1: "mitotic"},
        ),
        TrainingPair(
            stack[1],
            labels,
            "a, slice 2",
            channel_axis=-1,
            intensity_reference=stack,
            spacing=(2.0, 0.5, 0.5),
        ),
    ]
    pairs[0] = replace(pairs[0], spacing=[2.0, 0.5, 0.5])

    write_pairs(tmp_path / "a.pairs.npz", pairs)

    with np.load(tmp_path / "a.pairs.npz", allow_pickle=False) as archive:
        assert len(archive.files) == 7  # the reference and the labels once
    for was, found in zip(pairs, read_written_pairs(tmp_path / "a.pairs.npz"), strict=True):
        for name in ("name", "channel_axis", "weight", "types"):
            assert getattr(found, name) == getattr(was, name)
        assert tuple(found.spacing or ()) == tuple(was.spacing or ())
        for name in ("image", "labels", "reviewed", "corrected", "intensity_reference"):
            np.testing.assert_array_equal(getattr(found, name), getattr(was, name))
    assert found.labels.dtype == np.int64


def test_what_is_gone_or_torn_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"are gone; take its row out of the queue"):
        read_written_pairs(tmp_path / "a.pairs.npz")
    (tmp_path / "a.pairs.npz").write_bytes(b"PK torn")
    with pytest.raises(FileError, match="holds no images of a training"):
        read_written_pairs(tmp_path / "a.pairs.npz")
