"""What is no U-Net is refused in one sentence and at once."""

import itertools
import time

import pytest
from torch import nn

from napari_unet.engine.base.errors import CheckpointError
from napari_unet.engine.foreign.recognition.opening import recognise

# -- what is no U-Net -----------------------------------------------------------------------------


def _plain_chain(*widths):
    pairs = itertools.pairwise(widths)
    return nn.Sequential(*[part for a, b in pairs for part in (nn.Conv2d(a, b, 3), nn.ReLU())])


class _ResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 7)
        for number, (a, b) in enumerate(((16, 16), (16, 32), (32, 64))):
            block = nn.Module()
            block.conv1, block.conv2 = nn.Conv2d(a, b, 3), nn.Conv2d(b, b, 3)
            block.bn1, block.bn2 = nn.BatchNorm2d(b), nn.BatchNorm2d(b)
            self.add_module(f"layer{number}", block)


class _Dense(nn.Module):
    """Each convolution reads all before it."""

    def __init__(self):
        super().__init__()
        given = 1
        for number, width in enumerate((8, 8, 16, 16, 32, 32, 16, 16, 8, 8, 1)):
            self.add_module(f"conv{number}", nn.Conv2d(given, width, 3))
            given += width


class _Nested(nn.Module):
    """UNet++: convolutions that read all of their level."""

    def __init__(self):
        super().__init__()
        widths = (8, 16, 32, 64)
        for level, width in enumerate(widths):
            self._add(level, 0, (1, *widths)[level], width)
        for column in range(1, 4):
            for level in range(4 - column):
                given = widths[level] * column + widths[level + 1]
                self._add(level, column, given, widths[level])
        self.final = nn.Conv2d(8, 1, 1)

    def _add(self, level, column, given, width):
        block = nn.Sequential(nn.Conv2d(given, width, 3), nn.ReLU(), nn.Conv2d(width, width, 3))
        self.add_module(f"conv{level}_{column}", block)


OTHERS = {
    "perceptron": lambda: nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1)),
    "transformer": lambda: nn.TransformerEncoderLayer(8, 2),
    "1-D": lambda: nn.Sequential(nn.Conv1d(1, 4, 3), nn.Conv1d(4, 1, 3)),
    "residual classifier": _ResNet,
    "autoencoder": lambda: _plain_chain(1, 16, 32, 64, 32, 16, 1),
    "denoiser": lambda: _plain_chain(1, *[32] * 16, 1),
    "densely linked": _Dense,
    "nested": _Nested,
    "norms alone": lambda: nn.Sequential(nn.BatchNorm2d(4), nn.BatchNorm2d(4)),
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("is_sorted", [False, True])
def test_what_is_no_unet_is_refused_in_one_sentence_and_at_once(name, is_sorted):
    tensors = OTHERS[name]().state_dict()
    tensors = dict(sorted(tensors.items())) if is_sorted else tensors
    begin = time.thread_time()  # which other programs do not lengthen
    with pytest.raises(CheckpointError, match=r"^The architecture of this network is unknown: "):
        recognise(tensors, name="net")
    assert time.thread_time() - begin < 2.0


def test_an_empty_state_dict_is_refused():
    with pytest.raises(CheckpointError, match="it has no convolution"):
        recognise({}, name="net")
