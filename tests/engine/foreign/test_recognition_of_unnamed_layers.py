"""Layers under names of no known layout: what weights and running means tell of them."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_unet.engine.foreign.recognition.opening import recognise
from napari_unet.engine.networks.network import Network


def randomised(module: nn.Module, *, seed: int = 0) -> nn.Module:
    """Weights and running statistics as no initialisation would make them."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in module.state_dict().items():
        if not tensor.is_floating_point():
            continue
        noise = torch.randn(tensor.shape, generator=generator)
        if tensor.ndim > 1:
            noise *= (2 / tensor[0].numel()) ** 0.5
        if name.endswith("running_var"):
            noise = 0.5 + noise.abs()
        tensor.copy_(noise if tensor.ndim > 1 or "running" in name else noise * 0.3 + 0.5)
    return module.eval()


def image_for(network: Network, *, size: int = 32) -> Tensor:
    config = network.description.architecture
    size = config.valid_input_size(size if config.size_loss_px == 0 else 1)
    generator = torch.Generator().manual_seed(1)
    return torch.randn((1, config.in_channels, *(size,) * config.ndim), generator=generator)


def assert_same(module: nn.Module, network: Network) -> None:
    """The author's module and the recognised network give the same."""
    image = image_for(network)
    with torch.no_grad():
        wanted = module(image)
        found = network.unet.author_output(image)
    assert found.shape == wanted.shape
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


def recognised(module: nn.Module, **facts) -> Network:
    return recognise(module.state_dict(), name="net", facts=facts)


def value(network: Network, about: str) -> str:
    return next(g.value for g in network.description.guesses if g.about == about)


def reason(network: Network, about: str) -> str:
    return next(g.reason for g in network.description.guesses if g.about == about)


class _Unnamed(nn.Module):
    """Two levels with batch norm, under names of no known layout."""

    def __init__(self, *, skip_first=False, activation=nn.ReLU):
        super().__init__()
        self.skip_first = skip_first

        def block(given, out):
            parts = []
            for _ in range(2):
                parts += [nn.Conv2d(given, out, 3, padding=1), nn.BatchNorm2d(out), activation()]
                given = out
            return nn.Sequential(*parts)

        self.fine = block(1, 8)
        self.middle = block(8, 16)
        self.coarse = block(16, 32)
        self.rise_middle = nn.ConvTranspose2d(32, 16, 2, 2)
        self.merge_middle = block(32, 16)
        self.rise_fine = nn.ConvTranspose2d(16, 8, 2, 2)
        self.merge_fine = block(16, 8)
        self.answer = nn.Conv2d(8, 2, 1)

    def forward(self, x):
        fine = self.fine(x)
        middle = self.middle(functional.max_pool2d(fine, 2))
        x = self.rise_middle(self.coarse(functional.max_pool2d(middle, 2)))
        x = self.merge_middle(torch.cat((middle, x) if self.skip_first else (x, middle), 1))
        x = self.rise_fine(x)
        x = self.merge_fine(torch.cat((fine, x) if self.skip_first else (x, fine), 1))
        return self.answer(x)


def learned(module):
    """Weights of a network whose norms have seen images."""
    generator = torch.Generator().manual_seed(0)
    for name, parameter in module.named_parameters():
        if parameter.ndim > 1:
            shape = parameter.shape
            parameter.data = (
                torch.randn(shape, generator=generator) * (1 / parameter[0].numel()) ** 0.5
            )
            parameter.data += 0.3 / parameter[0].numel()
        elif "weight" in name:
            parameter.data = 0.5 + torch.rand(parameter.shape, generator=generator)
        else:
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.5
    module.train()
    with torch.no_grad():
        for _ in range(60):
            module(torch.randn((4, 1, 32, 32), generator=generator))
    return module.eval()


def test_skip_order_is_told_by_running_means():
    # The means behind a learned norm follow from the norms before it: only one order fits.
    network = recognised(learned(_Unnamed(skip_first=False)))
    assert value(network, "skip_order") == "enlarged first"
    assert "running means" in reason(network, "skip_order")
    network = recognised(learned(_Unnamed(skip_first=True)))
    assert value(network, "skip_order") == "skip first"


def test_activation_is_told_by_running_means():
    module = learned(_Unnamed(activation=nn.ELU))
    network = recognised(module)
    assert value(network, "activation") == "ELU"
    assert_same(module, network)


@pytest.mark.parametrize("kind", [nn.LeakyReLU, nn.SiLU, nn.GELU])
def test_what_is_too_much_like_relu_is_a_guess_that_says_so(kind):
    # Real networks with ReLU are as far from what is worked out as these are.
    network = recognised(learned(_Unnamed(activation=kind)))
    assert value(network, "activation") == "ReLU"
    assert "the file does not tell" in reason(network, "activation")


def test_untrained_running_means_tell_nothing():
    network = recognised(_Unnamed(skip_first=True).eval())
    assert value(network, "skip_order") == "enlarged first"
    assert "the file does not tell" in reason(network, "skip_order")


def test_prelus_are_found_where_they_stand():
    class Net(_Unnamed):
        pass

    module = randomised(Net(activation=nn.PReLU))
    assert_same(module, recognised(module))


def test_heads_side_by_side_are_outputs_one_after_the_other():
    class Heads(_Unnamed):
        def __init__(self):
            super().__init__()
            self.answer = nn.Identity()
            self.question = nn.ModuleDict({"one": nn.Conv2d(8, 3, 1), "two": nn.Conv2d(8, 1, 1)})

        def forward(self, x):
            x = super().forward(x)
            return torch.cat([head(x) for head in self.question.values()], 1)

    module = randomised(Heads())
    assert_same(module, recognised(module))
