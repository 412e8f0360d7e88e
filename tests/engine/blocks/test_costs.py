"""What is said of small blocks before the work."""

import re

import numpy as np
import pytest

from napari_unet import segment_blocks
from napari_unet.engine.blocks.costs import cost_note
from napari_unet.engine.blocks.grid import Grid
from napari_unet.engine.images.source import ImageSource
from napari_unet.engine.networks.network import NetworkDescription, new_network
from napari_unet.engine.networks.unet import UNetConfig


def test_reads_are_counted_as_they_are_made(monkeypatch):
    config = UNetConfig(2, 1, 2, base_width=2, depth=1)
    model = new_network(NetworkDescription("n", config), 0)
    image = np.random.default_rng(0).integers(0, 200, (192, 192), np.uint8)
    pixels = []
    read = ImageSource.read

    def noted(self, region):
        pixels.append(np.prod([part.stop - part.start for part in region]))
        return read(self, region)

    monkeypatch.setattr(ImageSource, "read", noted)
    out = np.zeros(image.shape, np.int32)
    told = {}
    for block in ((32, 32), (64, 64)):
        pixels.clear()
        reports = list(segment_blocks(image, model, out, block=block, tile_px=64))
        told[block] = (sum(pixels) / image.size, [each.notes for each in reports if each.notes])
    times, ((note,),) = told[32, 32]
    found = re.search(
        r"blocks of 32 x 32 pixels .* about (\S+) times, .* with 64 x 64 it would be (\S+) times",
        note,
    )
    # At the edge of an image there is nothing around it to read.
    assert times == pytest.approx(float(found[1]), rel=0.2)
    times, notes = told[64, 64]
    assert times == pytest.approx(float(found[2]), rel=0.2)
    assert notes == []


def test_blocks_are_told_in_pixels_of_the_image():
    config = UNetConfig(2, 1, 2, base_width=2, depth=4)
    small, large = Grid((), (4096, 4096), (128, 128)), Grid((), (4096, 4096), (2048, 2048))

    note = cost_note(small, (8192, 8192), config, 1024)
    assert note.startswith("With blocks of 256 x 256 pixels each pixel is read about ")
    assert "; with 2048 x 2048 it would be 1." in note
    assert cost_note(large, (8192, 8192), config, 1024) is None


def test_nothing_is_said_where_no_block_reads_much_less():
    config = UNetConfig(3, 1, 2, base_width=2, depth=3)
    assert cost_note(Grid((), (512,) * 3, (192,) * 3), (512,) * 3, config, 64) is None
