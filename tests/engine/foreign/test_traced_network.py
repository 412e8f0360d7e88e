"""Other libraries' networks are taken over layer by layer, exactly or not at all."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from napari_unet.engine.base.errors import CheckpointError
from napari_unet.engine.foreign.libraries.traced_network import traced_network
from napari_unet.engine.networks.layer_graph import GraphConfig
from napari_unet.engine.networks.layers import Clip
from napari_unet.engine.networks.output_meaning import OutputMeaning

MEANING = OutputMeaning("softmax", ("background", "cell"))


class Many(nn.Module):
    """One of every kind of layer that libraries use."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(1, 4, 5, padding="same")
        self.norm, self.groups = nn.BatchNorm2d(4), nn.GroupNorm(2, 4)
        self.shrink = nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2, bias=False)
        self.slopes, self.shared = nn.PReLU(8), nn.Conv2d(8, 8, 3, padding=2, dilation=2)
        self.up, self.gate = nn.ConvTranspose2d(8, 4, 2, 2), nn.Conv2d(4, 1, 1)
        self.last = nn.Conv2d(12, 2, 1)
        self.drop = nn.Dropout2d()

    def forward(self, x):
        a = functional.elu(self.norm(self.first(x)), inplace=True)
        b = self.slopes(self.shrink(functional.pad(a, (0, 0, 0, 0))))
        b = functional.relu6(self.shared(self.drop(b)))
        b += functional.hardtanh(self.shared(b), -2, 2)  # the same weights again
        b = torch.clamp(b, min=0.1)
        c = functional.gelu(self.groups(self.up(b)))
        d = functional.interpolate(functional.avg_pool2d(a, 2), scale_factor=2, mode="bilinear")
        e = c * torch.sigmoid(self.gate(c))
        return self.last(torch.cat([functional.silu(d), e, functional.softplus(a)], dim=1))


def test_every_kind_of_layer_is_taken_over():
    module = Many().eval()
    network = traced_network(module, (1, 16, 12), meaning=MEANING, origin="test")
    x = torch.randn(2, 1, 20, 28)
    with torch.no_grad():
        assert torch.allclose(network.author_output(x), module(x), atol=1e-5)
    assert sum(isinstance(layer, Clip) for layer in network.config.layers) == 3
    assert GraphConfig.from_json(network.config.to_json()) == network.config
    assert network.author_weights().keys() == module.state_dict().keys()


class Changed(Many):
    def __init__(self, change):
        super().__init__()
        self.change = change

    def forward(self, x):
        return self.change(self, super().forward(x))


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda net, y: functional.adaptive_avg_pool2d(y, 4), "adaptive_avg_pool2d"),
        (lambda net, y: y + torch.ones(1), "add"),
        (lambda net, y: y - 1, "sub"),
        (lambda net, y: y * y.mean((2, 3), keepdim=True), "mean"),
        (lambda net, y: y[:, :, ::2], "getitem"),
        (lambda net, y: functional.pad(y, (1, 1)), "pad"),
        (lambda net, y: functional.interpolate(y, size=(7, 9)), "interpolate"),
        (lambda net, y: functional.max_pool2d(y, 2, ceil_mode=True), "max_pool2d"),
    ],
)
def test_what_no_layer_computes_is_refused_by_name(change, name):
    with pytest.raises(CheckpointError, match=f"computes '_*{name}_*' in a way"):
        traced_network(Changed(change).eval(), (1, 16, 12), meaning=MEANING, origin="test")


def test_network_of_several_outputs_and_of_another_size_is_refused():
    several = Changed(lambda net, y: [y, y]).eval()
    with pytest.raises(CheckpointError, match="gives out several images"):
        traced_network(several, (1, 16, 12), meaning=MEANING, origin="test")
    smaller = Changed(lambda net, y: functional.max_pool2d(y, 2)).eval()
    with pytest.raises(CheckpointError, match="of this test is not supported"):
        traced_network(smaller, (1, 16, 12), meaning=MEANING, origin="test")


def test_network_that_is_not_the_same_is_refused(monkeypatch):
    from napari_unet.engine.networks.graph_network import GraphNetwork

    right = GraphNetwork.author_output
    monkeypatch.setattr(GraphNetwork, "author_output", lambda net, x: right(net, x) + 1e-3)
    with pytest.raises(CheckpointError, match="computes something else than the library"):
        traced_network(Many().eval(), (1, 16, 12), meaning=MEANING, origin="test")
