"""A wider network begins with what a narrower one knows."""

import importlib
from pathlib import Path
from types import ModuleType

import pytest
import torch

from napari_unet.engine.networks.network import Network, NetworkDescription, new_network
from napari_unet.engine.networks.unet import UNetConfig

RECIPES = Path(__file__).parents[2] / "recipes"

# The source distribution has the tests, but no recipes.
pytestmark = pytest.mark.skipif(not RECIPES.is_dir(), reason="there is no recipes/ here")


@pytest.fixture
def widening(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(RECIPES))
    return importlib.import_module("widening")


def description(base: int, limit: int, up: str) -> NetworkDescription:
    shape = UNetConfig(in_channels=3, classes=3, base_width=base, depth=3, max_width=limit, up=up)
    return NetworkDescription("small", shape, class_roles=("background", "cell", "border"))


def trained(base: int, limit: int, up: str) -> Network:
    """As after a training: batch norm has measured something."""
    network = new_network(description(base, limit, up), 1)
    network.unet.train()
    network.unet(torch.randn(4, 3, 32, 32))
    network.unet.eval()
    return network


@pytest.mark.parametrize("up", ["transposed", "interpolate"])
@pytest.mark.parametrize(("base", "limit"), [(4, 8), (4, 12), (6, 16), (5, 40)])
def test_it_computes_what_the_narrow_one_did_and_can_learn_more(widening, base, limit, up):
    narrow = trained(4, 8, up)
    wide = widening.widened(narrow, description(base, limit, up), 0)
    image = torch.randn(1, 3, 32, 32)
    wide.unet.eval()
    assert torch.allclose(wide.unet(image), narrow.unet(image), atol=1e-4)
    wide.unet(image).square().mean().backward()
    gradients = [weight.grad for weight in wide.unet.parameters()]
    unread = [g for g, w in zip(gradients, wide.unet.parameters(), strict=True) if (w == 0).any()]
    assert all(gradient.any() for gradient in unread)


def test_a_network_is_not_made_narrower(widening):
    with pytest.raises(SystemExit, match="wider than"):
        widening.widened(trained(4, 16, "transposed"), description(4, 8, "transposed"), 0)
