"""What a segmentation takes of the computer's memory."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from napari_unet.engine.base.border_test import BorderTest
from napari_unet.engine.base.settings import InstanceSettings
from napari_unet.engine.networks.network import NetworkDescription
from napari_unet.engine.networks.unet import UNetConfig
from napari_unet.engine.segmentation.memory import (
    BORDER_BYTES_PER_PIXEL,
    PLANE_BYTES_PER_PIXEL,
    RESTORING_BYTES_PER_PIXEL,
    segmentation_memory,
)

THREE_CLASSES = NetworkDescription(
    "three", UNetConfig(classes=3, base_width=32), class_roles=("background", "cell", "border")
)
BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "memory.py"


def test_each_pixel_costs_scores_labels_and_what_tells_cells_apart():
    def needed(side: int) -> int:
        return segmentation_memory((side, side), THREE_CLASSES, kept_scores=False)

    # Both are larger than a tile, so that only the pixels differ.
    more = needed(4000) - needed(2000)
    assert more == pytest.approx((3 * 4 + 4 + PLANE_BYTES_PER_PIXEL) * 12e6)


def test_planes_add_their_labels_and_only_kept_scores():
    plane = segmentation_memory((500, 400), THREE_CLASSES, kept_scores=False)
    stack = segmentation_memory((2, 5, 500, 400), THREE_CLASSES, kept_scores=False)
    kept = segmentation_memory((2, 5, 500, 400), THREE_CLASSES, kept_scores=True)

    assert stack - plane == 9 * 4 * 200_000
    assert kept - stack == 9 * 3 * 4 * 200_000


def test_a_network_of_three_axes_reads_a_stack_at_once():
    volume = NetworkDescription("volume", UNetConfig(ndim=3, base_width=32))

    once = segmentation_memory((10, 100, 100), volume, kept_scores=True)
    twice = segmentation_memory((2, 10, 100, 100), volume, kept_scores=True)

    assert twice - once == (4 + 2 * 4) * 100_000


def test_resizing_counts_at_the_larger_size():
    enlarged = segmentation_memory((1000, 1000), THREE_CLASSES, kept_scores=False, zoom=2)
    large = segmentation_memory((2000, 2000), THREE_CLASSES, kept_scores=False)

    # The labels are there at both sizes.
    assert enlarged - large == pytest.approx((4 + RESTORING_BYTES_PER_PIXEL) * 1e6)


def test_shrinking_still_counts_labels_and_kept_scores_at_the_images_own_size():
    def needed(side: int, *, kept_scores: bool) -> int:
        return segmentation_memory((side, side), THREE_CLASSES, kept_scores=kept_scores, zoom=0.5)

    dropped, kept = needed(4000, kept_scores=False), needed(4000, kept_scores=True)

    assert kept - dropped == 3 * 4 * 16_000_000
    assert dropped > (4 + RESTORING_BYTES_PER_PIXEL) * 16_000_000


def test_tiles_on_a_gpu_take_nothing_of_the_computers_memory():
    sizes = [
        segmentation_memory((3000, 3000), THREE_CLASSES, kept_scores=False, number_bytes=n)
        for n in (0, 2, 4)
    ]

    assert sizes[2] - sizes[1] == sizes[1] - sizes[0] > 100_000_000


def test_judging_borders_is_counted():
    judging = replace(
        THREE_CLASSES, instances=InstanceSettings(border_test=BorderTest.joining_none())
    )
    plain, judged = (
        segmentation_memory((1000, 1000), each, kept_scores=False)
        for each in (THREE_CLASSES, judging)
    )
    assert judged - plain == BORDER_BYTES_PER_PIXEL * 1_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_the_estimate_is_on_the_safe_side_of_what_is_measured():
    command = [sys.executable, BENCHMARK, "1024", "--once", "dropped"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    description = NetworkDescription(
        "nuclei",
        UNetConfig(in_channels=3, classes=3, base_width=32, max_width=160),
        class_roles=("background", "cell", "border"),
    )

    estimate = segmentation_memory((1024, 1024), description, kept_scores=False)

    found = int(output)
    # Processors differ in what their convolutions keep at hand.
    assert found / 1.1 < estimate < 2 * found
