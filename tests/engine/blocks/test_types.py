"""Types of cells, told in blocks: those of the whole image, to the last digit."""

import numpy as np
import pytest
import torch

from napari_unet import segment, segment_blocks
from napari_unet.engine.base.settings import InstanceSettings
from napari_unet.engine.networks.network import NetworkDescription, new_network
from napari_unet.engine.networks.unet import UNetConfig

ROLES = ("background", "cell: large", "cell: small", "border")


@pytest.fixture
def model():
    """One that has learned nothing."""
    config = UNetConfig(2, 1, len(ROLES), base_width=4, depth=1)
    made = new_network(NetworkDescription("n", config, ROLES, object_diameter_px=10.0), 0)
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for values in made.unet.parameters():
            values += 0.15 * torch.randn(values.shape, generator=random)
    return made


@pytest.mark.parametrize(
    ("shape", "block", "options"),
    [
        ((51, 60), (20, 33), {}),
        ((51, 60), (20, 33), {"diameter_px": 7.0}),
        ((51, 60), (20, 33), {"diameter_px": 14.0}),
        ((2, 30, 33), (16, 16), {"every_slice": True}),
        ((7, 18, 20), (4, 10, 20), {"volume": "three_planes"}),
    ],
)
def test_types_are_those_of_the_whole_image(model, shape, block, options):
    image = (np.random.default_rng(1).random(shape) * 200).astype(np.uint8)
    options = {"tile_px": 24, **options}
    scores = segment(image, model, **options).scores
    options["instances"] = InstanceSettings(
        foreground_threshold=float(1 - np.quantile(scores[0], 0.3)),
        seed_threshold=float(np.quantile(scores[1] + scores[2], 0.8)),
        min_size_px=1,
        min_seed_px=1,
    )
    whole = segment(image, model, **options)
    out = np.zeros(shape, np.int32)
    *_, last = segment_blocks(image, model, out, block=block, **options)
    np.testing.assert_array_equal(out, whole.labels)
    assert whole.cell_count > 3
    assert last.types.names == whole.types.names == ("large", "small")
    np.testing.assert_array_equal(last.types.labels, whole.types.labels)
    np.testing.assert_array_equal(last.types.shares, whole.types.shares)
    assert last.notes == ()
