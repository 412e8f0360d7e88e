"""Another guess for a network: the same weights, read in another way."""

import json

import pytest
import torch
from torch import nn
from torch.nn import functional

from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.foreign.guesses import with_guess, with_roles
from napari_unet.engine.foreign.recognition.opening import recognise
from napari_unet.engine.networks.layers import Activation, Join, Norm
from napari_unet.engine.networks.network import (
    Network,
    NetworkDescription,
    UNetConfig,
    build_module,
)
from napari_unet.engine.networks.unet import UNet


class SmallUNet(nn.Module):
    """One pooling; a norm of a kind behind each convolution; every choice in reach."""

    def __init__(self, *, norm=nn.BatchNorm2d, classes=3, transposed=False, activation=nn.ReLU):
        super().__init__()

        def block(given, out):
            parts = []
            for _ in range(2):
                parts += [nn.Conv2d(given, out, 3, padding=1), norm(out), activation()]
                given = out
            return nn.Sequential(*parts)

        self.transposed = transposed
        self.fine, self.coarse = block(1, 8), block(8, 16)
        if transposed:
            self.rise = nn.ConvTranspose2d(16, 8, 2, 2)
        self.merge = block(16 if transposed else 24, 8)
        self.answer = nn.Conv2d(8, classes, 1)
        self.order, self.mode, self.pool = "enlarged first", "bilinear", functional.max_pool2d

    def forward(self, x):
        fine = self.fine(x)
        x = self.coarse(self.pool(fine, 2))
        if self.transposed:
            x = self.rise(x)
        else:
            corners = {"align_corners": True} if self.mode == "aligned" else {}
            mode = "nearest" if self.mode == "nearest" else "bilinear"
            x = functional.interpolate(x, scale_factor=2, mode=mode, **corners)
        pair = (fine, x) if self.order == "skip first" else (x, fine)
        return self.answer(self.merge(torch.cat(pair, 1)))


def network_of(module) -> Network:
    torch.manual_seed(0)
    for tensor in module.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape) - 0.3 * (tensor.ndim > 1))
    module.eval()
    return recognise(module.state_dict(), name="small")


def value(network, about):
    return next(guess.value for guess in network.description.guesses if guess.about == about)


def assert_same(module, network):
    x = torch.rand(1, 1, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(network.unet.author_output(x), module(x), atol=1e-4, rtol=1e-4)


def test_weights_are_shared_and_the_network_given_stays():
    network = network_of(SmallUNet())
    before = network.description
    other = with_guess(network, "activation", "ELU")
    assert network.description is before
    ours, theirs = network.unet.author_weights(), other.unet.author_weights()
    assert list(ours) == list(theirs)
    assert all(ours[key].data_ptr() == theirs[key].data_ptr() for key in ours)
    assert value(other, "activation") == "ELU"
    assert {x.kind for x in other.description.architecture.layers if isinstance(x, Activation)} == {
        "elu"
    }


def test_who_chose_is_the_reason():
    network = with_guess(network_of(SmallUNet()), "pooling", "mean of each block")
    guess = next(g for g in network.description.guesses if g.about == "pooling")
    assert guess.reason == "chosen by you"


def test_skip_order_is_that_of_the_concatenation():
    module = SmallUNet(transposed=True)
    network = network_of(module)
    assert_same(module, with_guess(network, "skip_order", "enlarged first"))
    module.order = "skip first"
    assert_same(module, with_guess(network, "skip_order", "skip first"))


@pytest.mark.parametrize(
    ("mode", "choice"),
    [("bilinear", "linear"), ("aligned", "linear, corners aligned"), ("nearest", "nearest")],
)
def test_enlarging_is_that_of_torch(mode, choice):
    module = SmallUNet()
    network = network_of(module)
    module.mode = mode
    assert_same(module, with_guess(network, "upsampling", choice))


def test_pooling_by_means():
    module = SmallUNet()
    network = network_of(module)
    module.pool = functional.avg_pool2d
    assert_same(module, with_guess(network, "pooling", "mean of each block"))


def test_a_strided_convolution_stands_for_pooling_and_back():
    module = SmallUNet()
    network = network_of(module)
    strided = with_guess(network, "pooling", "strided convolution")
    module.coarse[0].stride, pool = (2, 2), module.pool
    module.pool = lambda x, _: x
    assert_same(module, strided)
    module.coarse[0].stride, module.pool = (1, 1), pool
    assert_same(module, with_guess(strided, "pooling", "largest of each block"))


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate"])
def test_padding_is_that_of_torch(mode):
    module = SmallUNet()
    network = network_of(module)
    for part in module.modules():
        if isinstance(part, nn.Conv2d) and part.kernel_size == (3, 3):
            part.padding_mode = mode
            part._reversed_padding_repeated_twice = [1, 1, 1, 1]
    choice = {"zeros": "zeros", "reflect": "reflected", "replicate": "repeated edge"}[mode]
    assert_same(module, with_guess(network, "padding", choice))


def test_without_padding_the_output_is_smaller():
    network = with_guess(network_of(SmallUNet()), "padding", "none")
    # Two convolutions above, four at the level below: 4 + 2 * 4 + 4 pixels.
    assert network.description.architecture.size_loss_px == 16
    assert value(network, "padding") == "none"


@pytest.mark.parametrize(
    ("norm", "choice"),
    [
        (lambda n: nn.InstanceNorm2d(n, affine=True), "instance"),
        (lambda n: nn.GroupNorm(4, n), "4 groups"),
        (lambda n: nn.GroupNorm(n // 4, n), "groups of 4"),
        (lambda n: nn.GroupNorm(1, n), "1 group"),
        (lambda n: nn.GroupNorm(8 if n >= 8 else 1, n), "8 groups"),
    ],
)
def test_normalisation_of_features(norm, choice):
    module = SmallUNet(norm=norm)
    assert_same(module, with_guess(network_of(module), "norm", choice))


def test_groups_that_do_not_divide_the_channels_are_refused():
    class Six(SmallUNet):
        def __init__(self):
            super().__init__(norm=lambda n: nn.GroupNorm(1, n))
            parts = [nn.Conv2d(8, 12, 3, padding=1), nn.GroupNorm(1, 12), nn.ReLU()]
            self.coarse = nn.Sequential(*parts, nn.Conv2d(12, 16, 3, padding=1), nn.ReLU())

    network = network_of(Six())
    with pytest.raises(SettingsError, match="has 12 channels, which are not 8 groups"):
        with_guess(network, "norm", "8 groups")


def test_activation_changes_places_with_the_norm():
    network = network_of(SmallUNet())
    moved = with_guess(network, "activation_place", "before the normalisation")
    for layer in moved.description.architecture.layers:
        if isinstance(layer, Norm):
            assert isinstance(moved.description.architecture.layers[layer.inputs[0]], Activation)
    back = with_guess(moved, "activation_place", "after the normalisation")
    assert back.description.architecture == network.description.architecture


def test_activation_of_a_sum_stands_behind_or_before_it():
    class Residual(SmallUNet):
        def __init__(self):
            super().__init__()
            self.fine = Block(1, 8)
            self.coarse = Block(8, 16)
            self.merge = Block(24, 8)

    class Block(nn.Module):
        def __init__(self, given, out):
            super().__init__()
            self.shortcut = nn.Conv2d(given, out, 1)
            self.body = nn.Sequential(
                nn.Conv2d(given, out, 3, padding=1),
                nn.BatchNorm2d(out),
                nn.ReLU(),
                nn.Conv2d(out, out, 3, padding=1),
                nn.BatchNorm2d(out),
            )
            self.behind = True

        def forward(self, x):
            body, way = self.body(x), self.shortcut(x)
            return torch.relu(body + way) if self.behind else torch.relu(body) + way

    module = Residual()
    network = network_of(module)
    assert_same(module, network)
    for part in (module.fine, module.coarse, module.merge):
        part.behind = False
    before = with_guess(network, "sum_activation", "before the sum")
    assert_same(module, before)
    back = with_guess(before, "sum_activation", "after the sum")
    assert back.description.architecture == network.description.architecture


def test_every_option_of_every_guess_can_be_taken_or_is_refused_in_words():
    network = network_of(SmallUNet(norm=lambda n: nn.GroupNorm(4, n)))
    for guess in network.description.guesses:
        for option in guess.options:
            other = with_guess(network, guess.about, option)
            assert value(other, guess.about) == option
            config = other.description.architecture
            x = torch.rand(1, 1, *(config.valid_input_size(16),) * 2)
            with torch.no_grad():
                assert other.unet(x).shape[1] == len(other.description.class_roles)


# -- the output -----------------------------------------------------------------------------------


def test_roles_are_free_names():
    network = with_roles(network_of(SmallUNet()), ("background", "nucleus", "unused"))
    assert network.description.class_roles == ("background", "nucleus")
    assert value(network, "roles") == "background, nucleus, unused"
    network = with_guess(network, "roles", "cell, background, border")
    assert network.description.class_roles == ("cell", "background", "border")


def test_one_name_for_each_channel():
    network = network_of(SmallUNet())
    with pytest.raises(SettingsError, match="gives 3 channels but 2 names"):
        with_roles(network, ("background", "cell"))
    with pytest.raises(SettingsError, match="use each name once"):
        with_guess(network, "roles", "cell, cell, border")


def test_softmax_of_one_channel_is_refused():
    network = network_of(SmallUNet(classes=1))
    with pytest.raises(SettingsError, match="cannot be 'softmax'; use one of sigmoid"):
        with_guess(network, "final", "softmax")


def test_an_activation_at_the_end_is_left_out_where_scores_are_made_otherwise():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()

            def block(given, out, name):
                block = nn.Sequential()
                for number, channels in (("1", given), ("2", out)):
                    conv = nn.Conv2d(channels, out, 3, padding=1, bias=False)
                    block.add_module(f"{name}conv{number}", conv)
                    block.add_module(f"{name}norm{number}", nn.BatchNorm2d(out))
                    block.add_module(f"{name}relu{number}", nn.ReLU())
                return block

            self.encoder1 = block(1, 8, "enc1")
            self.bottleneck = block(8, 16, "bottleneck")
            self.upconv1 = nn.ConvTranspose2d(16, 8, 2, 2)
            self.decoder1 = block(16, 8, "dec1")
            self.conv = nn.Conv2d(8, 1, 1)

    network = network_of(Named())
    assert value(network, "final") == "probability"
    assert network.description.architecture.layers[-1].kind == "sigmoid"
    other = with_guess(network, "final", "sigmoid")
    assert not any(
        isinstance(layer, Activation) and layer.kind == "sigmoid"
        for layer in other.description.architecture.layers
    )
    x = torch.rand(1, 1, 16, 16)
    with torch.no_grad():
        wanted = torch.softmax(network.unet(x), 1)
        torch.testing.assert_close(torch.softmax(other.unet(x), 1), wanted, atol=1e-4, rtol=1e-4)


def test_normalisation_of_the_image_belongs_to_the_description():
    network = with_guess(network_of(SmallUNet()), "normalization", "zero-mean")
    assert network.description.normalization.kind == "zero-mean"
    network = with_guess(network, "normalization", "percentile 0 to 99.8")
    assert network.description.normalization.low_percentile == 0
    assert network.description.normalization.high_percentile == 99.8


# -- files and other networks ---------------------------------------------------------------------


def test_a_network_that_was_saved_keeps_its_guesses():
    network = network_of(SmallUNet())
    description = NetworkDescription.from_json(network.description.to_json())
    assert json.loads(network.description.to_json())["guesses"]
    unet = build_module(description.architecture)
    unet.load_state_dict(network.unet.state_dict())
    loaded = Network(unet.eval(), description)
    other = with_guess(loaded, "skip_order", "skip first")
    joins = [x for x in other.description.architecture.layers if isinstance(x, Join)]
    assert all(low < high for low, high in (join.inputs for join in joins))


def test_what_was_not_guessed_cannot_be_guessed_otherwise():
    network = network_of(SmallUNet(transposed=True))
    with pytest.raises(SettingsError, match="Nothing was guessed about 'upsampling' of 'small'"):
        with_guess(network, "upsampling", "nearest")
    ours = Network(UNet(UNetConfig(base_width=2)), NetworkDescription("ours", UNetConfig()))
    with pytest.raises(SettingsError, match="guesses about nothing"):
        with_guess(ours, "activation", "ReLU")


def test_only_options_can_be_taken():
    with pytest.raises(SettingsError, match="Activation cannot be 'tanh'; use one of ReLU"):
        with_guess(network_of(SmallUNet()), "activation", "tanh")
