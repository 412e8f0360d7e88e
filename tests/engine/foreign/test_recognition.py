"""Networks of public layouts, written anew here, are recognised from their weights alone."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_unet.engine.foreign.guesses import with_guess
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


# -- public layouts, in our own words -------------------------------------------------------------


class _Milesial(nn.Module):
    class Double(nn.Module):
        def __init__(self, given, out, middle=None):
            super().__init__()
            middle = middle or out
            self.double_conv = nn.Sequential(
                nn.Conv2d(given, middle, 3, padding=1, bias=False),
                nn.BatchNorm2d(middle),
                nn.ReLU(),
                nn.Conv2d(middle, out, 3, padding=1, bias=False),
                nn.BatchNorm2d(out),
                nn.ReLU(),
            )

        def forward(self, x):
            return self.double_conv(x)

    class Down(nn.Module):
        def __init__(self, given, out):
            super().__init__()
            self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), _Milesial.Double(given, out))

        def forward(self, x):
            return self.maxpool_conv(x)

    class Up(nn.Module):
        def __init__(self, given, out, bilinear):
            super().__init__()
            if bilinear:
                self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
                self.conv = _Milesial.Double(given, out, given // 2)
            else:
                self.up = nn.ConvTranspose2d(given, given // 2, 2, stride=2)
                self.conv = _Milesial.Double(given, out)

        def forward(self, x, skip):
            x = self.up(x)
            rows, columns = (b - a for a, b in zip(x.shape[2:], skip.shape[2:], strict=True))
            x = functional.pad(
                x, [columns // 2, columns - columns // 2, rows // 2, rows - rows // 2]
            )
            return self.conv(torch.cat([skip, x], dim=1))

    class Out(nn.Module):
        def __init__(self, given, out):
            super().__init__()
            self.conv = nn.Conv2d(given, out, 1)

        def forward(self, x):
            return self.conv(x)

    def __init__(self, channels=3, classes=2, *, bilinear=False, base=8):
        super().__init__()
        factor = 2 if bilinear else 1
        w = [base * 2**level for level in range(5)]
        self.inc = self.Double(channels, w[0])
        self.down1 = self.Down(w[0], w[1])
        self.down2 = self.Down(w[1], w[2])
        self.down3 = self.Down(w[2], w[3])
        self.down4 = self.Down(w[3], w[4] // factor)
        self.up1 = self.Up(w[4], w[3] // factor, bilinear)
        self.up2 = self.Up(w[3], w[2] // factor, bilinear)
        self.up3 = self.Up(w[2], w[1] // factor, bilinear)
        self.up4 = self.Up(w[1], w[0], bilinear)
        self.outc = self.Out(w[0], classes)

    def forward(self, x):
        skips = [self.inc(x)]
        for down in (self.down1, self.down2, self.down3, self.down4):
            skips.append(down(skips[-1]))
        x = skips.pop()
        for up in (self.up1, self.up2, self.up3, self.up4):
            x = up(x, skips.pop())
        return self.outc(x)


class _OldMilesial(nn.Module):
    """Names of the first years: inc.conv.conv.0, down1.mpconv.1.conv.0; 64-128-256-512-512."""

    class Double(nn.Module):
        def __init__(self, given, out):
            super().__init__()
            self.conv = nn.Sequential(
                nn.Conv2d(given, out, 3, padding=1),
                nn.BatchNorm2d(out),
                nn.ReLU(),
                nn.Conv2d(out, out, 3, padding=1),
                nn.BatchNorm2d(out),
                nn.ReLU(),
            )

        def forward(self, x):
            return self.conv(x)

    class In(nn.Module):
        def __init__(self, given, out):
            super().__init__()
            self.conv = _OldMilesial.Double(given, out)

        def forward(self, x):
            return self.conv(x)

    class Down(nn.Module):
        def __init__(self, given, out):
            super().__init__()
            self.mpconv = nn.Sequential(nn.MaxPool2d(2), _OldMilesial.Double(given, out))

        def forward(self, x):
            return self.mpconv(x)

    class Up(nn.Module):
        def __init__(self, given, out, bilinear):
            super().__init__()
            if bilinear:
                self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
            else:
                self.up = nn.ConvTranspose2d(given // 2, given // 2, 2, stride=2)
            self.conv = _OldMilesial.Double(given, out)

        def forward(self, x, skip):
            return self.conv(torch.cat([skip, self.up(x)], dim=1))

    def __init__(self, channels=1, classes=1, *, bilinear=True, base=8):
        super().__init__()
        self.inc = self.In(channels, base)
        self.down1 = self.Down(base, 2 * base)
        self.down2 = self.Down(2 * base, 4 * base)
        self.down3 = self.Down(4 * base, 8 * base)
        self.down4 = self.Down(8 * base, 8 * base)
        self.up1 = self.Up(16 * base, 4 * base, bilinear)
        self.up2 = self.Up(8 * base, 2 * base, bilinear)
        self.up3 = self.Up(4 * base, base, bilinear)
        self.up4 = self.Up(2 * base, base, bilinear)
        self.outc = _Milesial.Out(base, classes)

    forward = _Milesial.forward


class _Course(nn.Module):
    """The `enc1_1 ... dec1_1, fc` layout: five levels, a decoder that narrows before enlarging."""

    def __init__(self, base=4, classes=1):
        super().__init__()

        def cbr(given, out):
            return nn.Sequential(
                nn.Conv2d(given, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU()
            )

        w = [base * 2**level for level in range(5)]
        given = 1
        for level in range(4):
            setattr(self, f"enc{level + 1}_1", cbr(given, w[level]))
            setattr(self, f"enc{level + 1}_2", cbr(w[level], w[level]))
            given = w[level]
        self.enc5_1 = cbr(w[3], w[4])
        self.dec5_1 = cbr(w[4], w[3])
        for level in (3, 2, 1, 0):
            setattr(self, f"unpool{level + 1}", nn.ConvTranspose2d(w[level], w[level], 2, 2))
            setattr(self, f"dec{level + 1}_2", cbr(2 * w[level], w[level]))
            setattr(self, f"dec{level + 1}_1", cbr(w[level], w[max(level - 1, 0)]))
        self.fc = nn.Conv2d(w[0], classes, 1)

    def forward(self, x):
        skips = []
        for level in "1234":
            x = getattr(self, f"enc{level}_2")(getattr(self, f"enc{level}_1")(x))
            skips.append(x)
            x = functional.max_pool2d(x, 2)
        x = self.dec5_1(self.enc5_1(x))
        for level in "4321":
            x = torch.cat((getattr(self, f"unpool{level}")(x), skips.pop()), dim=1)
            x = getattr(self, f"dec{level}_1")(getattr(self, f"dec{level}_2")(x))
        return self.fc(x)


class _BrainSegmentation(nn.Module):
    def __init__(self, channels=3, classes=1, base=8):
        super().__init__()

        def block(given, out, name):
            parts = []
            for number in "12":
                parts += [
                    (f"{name}conv{number}", nn.Conv2d(given, out, 3, padding=1, bias=False)),
                    (f"{name}norm{number}", nn.BatchNorm2d(out)),
                    (f"{name}relu{number}", nn.ReLU()),
                ]
                given = out
            return nn.Sequential(OrderedDict(parts))

        w = [base * 2**level for level in range(5)]
        for level in range(4):
            given = channels if level == 0 else w[level - 1]
            setattr(self, f"encoder{level + 1}", block(given, w[level], f"enc{level + 1}"))
        self.bottleneck = block(w[3], w[4], "bottleneck")
        for level in (3, 2, 1, 0):
            setattr(self, f"upconv{level + 1}", nn.ConvTranspose2d(w[level + 1], w[level], 2, 2))
            setattr(self, f"decoder{level + 1}", block(2 * w[level], w[level], f"dec{level + 1}"))
        self.conv = nn.Conv2d(w[0], classes, 1)

    def forward(self, x):
        skips = []
        for level in "1234":
            skips.append(getattr(self, f"encoder{level}")(x))
            x = functional.max_pool2d(skips[-1], 2)
        x = self.bottleneck(x)
        for level in "4321":
            x = torch.cat((getattr(self, f"upconv{level}")(x), skips.pop()), dim=1)
            x = getattr(self, f"decoder{level}")(x)
        return torch.sigmoid(self.conv(x))


class _Vanvugt(nn.Module):
    class Block(nn.Module):
        def __init__(self, given, out, padding, batch_norm):
            super().__init__()
            parts = []
            for _ in range(2):
                parts += [nn.Conv2d(given, out, 3, padding=int(padding)), nn.ReLU()]
                parts += [nn.BatchNorm2d(out)] if batch_norm else []
                given = out
            self.block = nn.Sequential(*parts)

        def forward(self, x):
            return self.block(x)

    class Up(nn.Module):
        def __init__(self, given, out, up_mode, padding, batch_norm):
            super().__init__()
            if up_mode == "upconv":
                self.up = nn.ConvTranspose2d(given, out, 2, 2)
            else:
                self.up = nn.Sequential(
                    nn.Upsample(mode="bilinear", scale_factor=2), nn.Conv2d(given, out, 1)
                )
            self.conv_block = _Vanvugt.Block(given, out, padding, batch_norm)

        def forward(self, x, skip):
            x = self.up(x)
            rows, columns = ((b - a) // 2 for a, b in zip(x.shape[2:], skip.shape[2:], strict=True))
            skip = skip[:, :, rows : rows + x.shape[2], columns : columns + x.shape[3]]
            return self.conv_block(torch.cat([x, skip], 1))

    def __init__(self, *, depth=3, wf=3, padding=True, batch_norm=False, up_mode="upconv"):
        super().__init__()
        given = 1
        self.down_path = nn.ModuleList()
        for level in range(depth):
            self.down_path.append(self.Block(given, 2 ** (wf + level), padding, batch_norm))
            given = 2 ** (wf + level)
        self.up_path = nn.ModuleList()
        for level in reversed(range(depth - 1)):
            self.up_path.append(self.Up(given, 2 ** (wf + level), up_mode, padding, batch_norm))
            given = 2 ** (wf + level)
        self.last = nn.Conv2d(given, 2, 1)

    def forward(self, x):
        skips = []
        for level, down in enumerate(self.down_path):
            x = down(x)
            if level < len(self.down_path) - 1:
                skips.append(x)
                x = functional.max_pool2d(x, 2)
        for up in self.up_path:
            x = up(x, skips.pop())
        return self.last(x)


class _BioImageUNet(nn.Module):
    """encode1 ... encode8, middle_conv1, up1, decode1 ... decode8, final; leaky ReLU of 0.1."""

    levels = 4
    slope = 0.1

    def __init__(self, base=4, classes=1):
        super().__init__()
        given, n = 1, self.levels
        for level in range(n):
            for step in (1, 2):
                setattr(self, f"encode{2 * level + step}", self._conv(given, base * 2**level))
                given = base * 2**level
        self.middle_conv1 = self._conv(given, 2 * given)
        self.middle_conv2 = self._conv(2 * given, 2 * given)
        for step in range(n):
            width = base * 2 ** (n - 1 - step)
            setattr(self, f"up{step + 1}", nn.ConvTranspose2d(2 * width, width, 2, 2))
            setattr(self, f"decode{2 * step + 1}", self._conv(2 * width, width))
            setattr(self, f"decode{2 * step + 2}", self._conv(width, width))
        self._ending(base, classes)

    def _ending(self, base, classes):
        self.final = nn.Sequential(nn.Conv2d(base, classes, 1))

    def _conv(self, given, out):
        act = nn.LeakyReLU(self.slope) if self.slope else nn.ReLU()
        return nn.Sequential(
            nn.Conv2d(given, out, 3, padding=1), nn.BatchNorm2d(out), act, nn.Dropout2d(0.0)
        )

    def _skip(self, first, second):
        return second

    def forward(self, x):
        skips = []
        for level in range(self.levels):
            first = getattr(self, f"encode{2 * level + 1}")(x)
            second = getattr(self, f"encode{2 * level + 2}")(first)
            skips.append(self._skip(first, second))
            x = functional.max_pool2d(second, 2)
        x = self.middle_conv2(self.middle_conv1(x))
        for step in range(self.levels):
            x = torch.cat((getattr(self, f"up{step + 1}")(x), skips.pop()), 1)
            x = getattr(self, f"decode{2 * step + 2}")(getattr(self, f"decode{2 * step + 1}")(x))
        return self._ended(x)

    def _ended(self, x):
        return self.final(x)


class _BioImageUNetVersion0(_BioImageUNet):
    """ReLU; skips from the first convolution of each level; one channel before the end."""

    slope = 0.0

    def _ending(self, base, classes):
        self.decode9 = self._conv(base, 1)
        self.final = nn.Sequential(nn.Conv2d(1, 1, 1))

    def _skip(self, first, second):
        return first

    def _ended(self, x):
        return self.final(self.decode9(x))


class _UpsBeforeDowns(nn.Module):
    """A course's network that registers its way up, a flat list, before its way down."""

    class Double(nn.Module):
        def __init__(self, given, out):
            super().__init__()
            parts = []
            for _ in range(2):
                parts += [nn.Conv2d(given, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out)]
                parts += [nn.ReLU()]
                given = out
            self.conv = nn.Sequential(*parts)

        def forward(self, x):
            return self.conv(x)

    def __init__(self, widths=(8, 16, 32), channels=3, classes=1):
        super().__init__()
        self.ups = nn.ModuleList()
        self.downs = nn.ModuleList()
        given = channels
        for width in widths:
            self.downs.append(self.Double(given, width))
            given = width
        for width in reversed(widths):
            self.ups.append(nn.ConvTranspose2d(2 * width, width, 2, 2))
            self.ups.append(self.Double(2 * width, width))
        self.bottleneck = self.Double(given, 2 * given)
        self.final_conv = nn.Conv2d(widths[0], classes, 1)

    def forward(self, x):
        skips = []
        for down in self.downs:
            skips.append(down(x))
            x = functional.max_pool2d(skips[-1], 2)
        x = self.bottleneck(x)
        for up, double in zip(self.ups[::2], self.ups[1::2], strict=True):
            x = double(torch.cat((skips.pop(), up(x)), dim=1))
        return self.final_conv(x)


class _ConvolutionAfterEnlarging(nn.Module):
    """Conv1 ... Conv3, Up3.up.1, Up_conv3, Conv_1x1: nearest enlargement, then 3x3 and norm."""

    class Conv(nn.Module):
        def __init__(self, given, out):
            super().__init__()
            parts = []
            for _ in range(2):
                parts += [nn.Conv2d(given, out, 3, 1, 1), nn.BatchNorm2d(out), nn.ReLU()]
                given = out
            self.conv = nn.Sequential(*parts)

        def forward(self, x):
            return self.conv(x)

    class Enlarge(nn.Module):
        def __init__(self, given, out):
            super().__init__()
            self.up = nn.Sequential(
                nn.Upsample(scale_factor=2),
                nn.Conv2d(given, out, 3, 1, 1),
                nn.BatchNorm2d(out),
                nn.ReLU(),
            )

        def forward(self, x):
            return self.up(x)

    def __init__(self, base=4):
        super().__init__()
        w = [base, 2 * base, 4 * base]
        self.Conv1 = self.Conv(3, w[0])
        self.Conv2 = self.Conv(w[0], w[1])
        self.Conv3 = self.Conv(w[1], w[2])
        self.Up3 = self.Enlarge(w[2], w[1])
        self.Up_conv3 = self.Conv(w[2], w[1])
        self.Up2 = self.Enlarge(w[1], w[0])
        self.Up_conv2 = self.Conv(w[1], w[0])
        self.Conv_1x1 = nn.Conv2d(w[0], 1, 1)

    def forward(self, x):
        one = self.Conv1(x)
        two = self.Conv2(functional.max_pool2d(one, 2))
        x = self.Conv3(functional.max_pool2d(two, 2))
        x = self.Up_conv3(torch.cat((two, self.Up3(x)), 1))
        x = self.Up_conv2(torch.cat((one, self.Up2(x)), 1))
        return self.Conv_1x1(x)


class _KerasPort(nn.Module):
    """conv1 ... conv9 with up6 ... up9: nearest enlargement, 2x2 convolution padded "same"."""

    def __init__(self, base=4):
        super().__init__()
        w = [base * 2**level for level in range(5)]
        given = 1
        for level in range(5):
            setattr(self, f"conv{level + 1}", self._double(given, w[level]))
            given = w[level]
        for step, level in enumerate((3, 2, 1, 0)):
            setattr(self, f"up{6 + step}", nn.Conv2d(w[level + 1], w[level], 2))
            setattr(self, f"conv{6 + step}", self._double(2 * w[level], w[level]))
        self.conv10 = nn.Conv2d(w[0], 2, 3, padding=1)
        self.conv11 = nn.Conv2d(2, 1, 1)

    @staticmethod
    def _double(given, out):
        return nn.Sequential(
            nn.Conv2d(given, out, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(out, out, 3, padding=1),
            nn.ReLU(),
        )

    def forward(self, x):
        skips = []
        for level in range(1, 5):
            skips.append(getattr(self, f"conv{level}")(x))
            x = functional.max_pool2d(skips[-1], 2)
        x = self.conv5(x)
        for step in range(6, 10):
            x = functional.interpolate(x, scale_factor=2, mode="nearest")
            # What torch does for padding="same".
            x = functional.relu(getattr(self, f"up{step}")(functional.pad(x, (0, 1, 0, 1))))
            x = getattr(self, f"conv{step}")(torch.cat((x, skips.pop()), 1))
        return self.conv11(functional.relu(self.conv10(x)))


class _GroupNormFirst(nn.Module):
    """3-D: norm, convolution, ReLU; the last convolution of a level widens; nearest enlargement."""

    class Single(nn.Sequential):
        def __init__(self, given, out):
            groups = 8 if given >= 8 else 1
            super().__init__(
                OrderedDict(
                    groupnorm=nn.GroupNorm(groups, given),
                    conv=nn.Conv3d(given, out, 3, padding=1, bias=False),
                    ReLU=nn.ReLU(),
                )
            )

    class Double(nn.Sequential):
        def __init__(self, given, middle, out):
            single = _GroupNormFirst.Single
            super().__init__(
                OrderedDict(SingleConv1=single(given, middle), SingleConv2=single(middle, out))
            )

    class Coder(nn.Module):
        def __init__(self, *widths):
            super().__init__()
            self.basic_module = _GroupNormFirst.Double(*widths)

        def forward(self, x):
            return self.basic_module(x)

    def __init__(self):
        super().__init__()
        self.encoders = nn.ModuleList(
            [self.Coder(1, 8, 16), self.Coder(16, 16, 32), self.Coder(32, 32, 64)]
        )
        self.decoders = nn.ModuleList([self.Coder(96, 32, 32), self.Coder(48, 16, 16)])
        self.final_conv = nn.Conv3d(16, 2, 1)

    def forward(self, x):
        skips = []
        for level, encoder in enumerate(self.encoders):
            x = encoder(functional.max_pool3d(x, 2) if level else x)
            skips.append(x)
        skips.pop()
        for decoder in self.decoders:
            skip = skips.pop()
            x = functional.interpolate(x, size=skip.shape[2:], mode="nearest")
            x = decoder(torch.cat((skip, x), dim=1))
        return self.final_conv(x)


KNOWN = {
    "milesial": lambda: _Milesial(),
    "milesial, bilinear": lambda: _Milesial(bilinear=True),
    "milesial of the first years": lambda: _OldMilesial(),
    "milesial of the first years, transposed": lambda: _OldMilesial(bilinear=False),
    "enc1_1 ... fc": lambda: _Course(),
    "brain segmentation": lambda: _BrainSegmentation(),
    "vanvugt": lambda: _Vanvugt(),
    "vanvugt, batch norm": lambda: _Vanvugt(batch_norm=True),
    "vanvugt, upsample": lambda: _Vanvugt(up_mode="upsample", batch_norm=True, depth=4),
    "bio-image-unet": lambda: _BioImageUNet(),
    "bio-image-unet, version 0": lambda: _BioImageUNetVersion0(),
    "ups before downs": lambda: _UpsBeforeDowns(),
    "convolution after enlarging": lambda: _ConvolutionAfterEnlarging(),
    "group norm first, 3-D": lambda: _GroupNormFirst(),
}


@pytest.mark.parametrize("name", KNOWN)
def test_public_layout_gives_what_its_author_gives(name):
    module = randomised(KNOWN[name]())
    assert_same(module, recognised(module))


@pytest.mark.parametrize("name", KNOWN)
def test_public_layout_with_sorted_keys_gives_the_same(name):
    # As a .safetensors file has them.
    module = randomised(KNOWN[name]())
    assert_same(module, recognise(dict(sorted(module.state_dict().items())), name="net"))


@pytest.mark.parametrize("name", KNOWN)
def test_public_layout_with_shuffled_keys_gives_the_same(name):
    module = randomised(KNOWN[name]())
    items = list(module.state_dict().items())
    np.random.default_rng(3).shuffle(items)
    assert_same(module, recognise(dict(items), name="net"))


# Where a level's skip leaves from is told by nothing but the author's code.
@pytest.mark.parametrize("name", [name for name in KNOWN if "version 0" not in name])
def test_public_layout_under_meaningless_names_gives_the_same(name):
    module = randomised(KNOWN[name]())
    usual = recognised(module)
    network = recognise(renamed(module.state_dict()), name="net")
    for guess in usual.description.guesses:
        if guess.about not in ("roles", "final", "normalization"):
            network = with_guess(network, guess.about, guess.value)
    image = image_for(network)
    with torch.no_grad():
        wanted = usual.unet(image)
        torch.testing.assert_close(network.unet(image), wanted, atol=1e-4, rtol=1e-4)


def renamed(tensors):
    """The same tensors in the same order, each layer called by a word that tells nothing."""
    words, result = {}, {}
    for key, tensor in tensors.items():
        layer, _, part = key.rpartition(".")
        number = words.setdefault(layer, len(words))
        result[f"{_word(number)}.{part}"] = tensor
    return result


def _word(number):
    syllables = ("ba", "ko", "mi", "ru", "te", "zu", "fa", "lo", "ni", "pe")
    return "".join(syllables[int(digit)] for digit in f"{number * 7919 % 1000:03}{number}")


# -- what is guessed, and why ---------------------------------------------------------------------


def test_activation_stands_where_the_numbers_leave_room_for_it():
    # Convolution 0, norm 2, convolution 3: between 0 and 2 stands what has no weights.
    network = recognised(randomised(_Vanvugt(batch_norm=True)))
    assert value(network, "activation_place") == "before the normalisation"


def test_facts_of_the_file_come_before_all_else():
    facts = {"hyper_parameters": {"activation": "ELU", "align_corners": False}}
    network = recognise(_Milesial(bilinear=True).state_dict(), name="net", facts=facts)
    assert value(network, "activation") == "ELU"
    assert value(network, "upsampling") == "linear"
    assert reason(network, "activation") == "the file says activation = ELU"


def test_mean_and_deviation_in_the_file_become_a_layer():
    module = randomised(_Milesial(channels=3))
    network = recognised(module, mean=[0.5, 0.4, 0.3], std=[0.2, 0.2, 0.1])
    image = image_for(network)
    shift = torch.tensor([0.5, 0.4, 0.3]).view(1, 3, 1, 1)
    scale = torch.tensor([0.2, 0.2, 0.1]).view(1, 3, 1, 1)
    with torch.no_grad():
        wanted = module((image - shift) / scale)
        torch.testing.assert_close(network.unet.author_output(image), wanted, atol=1e-3, rtol=1e-3)
    assert network.description.normalization.kind == "none"


@pytest.mark.parametrize(
    ("classes", "final", "roles", "class_roles"),
    [
        (1, "sigmoid", "cell", ("background", "cell")),
        (2, "softmax", "background, cell", ("background", "cell")),
        (3, "softmax", "background, cell, border", ("background", "cell", "border")),
        (4, "softmax", "background, class 2, class 3, class 4", None),
    ],
)
def test_output_channels_mean_what_their_number_means_most_often(
    classes, final, roles, class_roles
):
    network = recognised(_Milesial(classes=classes))
    assert (value(network, "final"), value(network, "roles")) == (final, roles)
    assert network.description.class_roles == (class_roles or tuple(roles.split(", ")))


def test_valid_padding_is_a_guess_that_can_be_changed():
    module = randomised(_Vanvugt(padding=False, depth=3))
    network = with_guess(recognised(module), "padding", "none")
    assert network.description.architecture.size_loss_px == 40
    assert_same(module, network)


def test_a_2x2_convolution_behind_an_interpolation_is_padded_at_its_far_end():
    module = randomised(_KerasPort())
    assert_same(module, with_guess(recognised(module), "upsampling", "nearest"))


def test_two_unets_in_a_row_are_one_network():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = _Milesial(3, 2, base=4)
            self.second = _Milesial(5, 2, base=4)

        def forward(self, x):
            return self.second(torch.cat((x, self.first(x)), 1))

    module = randomised(Two())
    network = recognised(module)
    assert_same(module, network)
    network = with_guess(network, "second_input", "image and sigmoid of output")
    image = image_for(network)
    with torch.no_grad():
        wanted = module.second(torch.cat((image, torch.sigmoid(module.first(image))), 1))
        torch.testing.assert_close(network.unet.author_output(image), wanted, atol=1e-4, rtol=1e-4)


def test_the_weights_are_not_copied():
    module = _Milesial()
    tensors = module.state_dict()
    network = recognise(tensors, name="net")
    mine = network.unet.author_weights()["inc.double_conv.0.weight"]
    assert mine.data_ptr() == tensors["inc.double_conv.0.weight"].data_ptr()
    assert mine.requires_grad is False
    assert all(parameter.requires_grad for parameter in network.unet.parameters())


# -- under names of no known layout ---------------------------------------------------------------


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
