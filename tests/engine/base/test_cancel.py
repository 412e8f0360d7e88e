"""A cancel flag ends work inside torch, and only where it may."""

import threading

import pytest
import torch
from torch.nn import functional

from napari_unet.engine.base.cancel import CancelsTorch


class _CancelledError(BaseException):
    pass


def test_work_goes_on_until_the_flag_is_set() -> None:
    cancel = threading.Event()
    with CancelsTorch(cancel, _CancelledError):
        assert torch.add(torch.ones(1), 1).item() == 2
        cancel.set()
        with pytest.raises(_CancelledError):
            torch.ones(1) + 1


def test_work_that_may_be_left_only_before_a_convolution_is_left_there() -> None:
    cancel = threading.Event()
    cancel.set()
    image, weights = torch.ones(1, 1, 3, 3), torch.ones(1, 1, 3, 3)
    with CancelsTorch(cancel, _CancelledError, before="conv"):
        assert torch.add(image, 1).sum().item() == 18
        with pytest.raises(_CancelledError):
            functional.conv2d(image, weights)
