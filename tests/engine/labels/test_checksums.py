"""Checksums say whether labels are as they were written."""

from typing import Any

import numpy as np
import pytest

from napari_unet.engine.labels.checksums import are_as_written, is_as_written, plane_checksums

LABELS = np.arange(2 * 300 * 4, dtype=np.int32).reshape(2, 300, 4)


@pytest.mark.parametrize("plane_ndim", [2, 3])
def test_one_changed_pixel_is_known_in_whatever_type_the_labels_are(plane_ndim: int) -> None:
    known = plane_checksums(LABELS, plane_ndim=plane_ndim)
    assert list(known) == (["0,:,:", "1,:,:"] if plane_ndim == 2 else [":,:,:"])
    assert are_as_written(LABELS, known)
    assert are_as_written(LABELS.astype(np.uint16), known)

    edited = LABELS.copy()
    edited[1, 299, 3] = 0
    assert not are_as_written(edited, known)
    if plane_ndim == 2:
        assert is_as_written(edited[0], known["0,:,:"])
        assert not is_as_written(edited[1], known["1,:,:"])


@pytest.mark.parametrize(
    "known",
    [None, {}, "abc", {"0,:,:": "x"}, {"x": [1]}, {"7,:,:": [1]}, {":,:,:,:": [1]}, {":,:": [1]}],
)
def test_what_a_file_may_hold_instead_is_no_proof(known: Any) -> None:
    assert not are_as_written(LABELS, known)
