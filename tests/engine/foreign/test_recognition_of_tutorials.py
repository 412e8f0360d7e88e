"""U-Nets as tutorials write them, and our own: each gives what its author's code gives."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_unet.engine.foreign.guesses import with_guess
from napari_unet.engine.foreign.recognition.opening import recognise
from napari_unet.engine.models.checkpoint import load_checkpoint
from napari_unet.engine.networks.layers.sizes import centre_crop
from napari_unet.engine.networks.unet import UNet, UNetConfig

WIDTHS = (4, 8, 16, 32, 64)


def padded(before: int, after: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, padding=1)


class NumberedUNet(nn.Module):
    """e11, e12, e21 ... upconv1, d11, d12 ... outconv."""

    def __init__(self) -> None:
        super().__init__()
        before = 3
        for level, width in enumerate(WIDTHS, 1):
            self.add_module(f"e{level}1", padded(before, width))
            self.add_module(f"e{level}2", padded(width, width))
            before = width
        for step, (low, high) in enumerate(zip(WIDTHS[:0:-1], WIDTHS[-2::-1], strict=True), 1):
            self.add_module(f"upconv{step}", nn.ConvTranspose2d(low, high, 2, 2))
            self.add_module(f"d{step}1", padded(low, high))
            self.add_module(f"d{step}2", padded(high, high))
        self.outconv = nn.Conv2d(WIDTHS[0], 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for level in range(1, 6):
            x = functional.max_pool2d(x, 2) if level > 1 else x
            x = functional.relu(self.get_submodule(f"e{level}1")(x))
            x = functional.relu(self.get_submodule(f"e{level}2")(x))
            skips.append(x)
        for step in range(1, 5):
            x = torch.cat([self.get_submodule(f"upconv{step}")(x), skips[4 - step]], 1)
            x = functional.relu(self.get_submodule(f"d{step}1")(x))
            x = functional.relu(self.get_submodule(f"d{step}2")(x))
        y: Tensor = self.outconv(x)
        return y


class TwoConvolutions(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = padded(before, after), nn.BatchNorm2d(after)
        self.conv2, self.bn2 = padded(after, after), nn.BatchNorm2d(after)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(x)))


class BlockUNet(nn.Module):
    """e1.conv.conv1 ... b.conv1 ... d1.up, d1.conv.conv1 ... outputs."""

    def __init__(self) -> None:
        super().__init__()
        for level, (before, after) in enumerate(zip((3, *WIDTHS), WIDTHS[:-1], strict=False), 1):
            encoder = nn.Module()
            encoder.conv = TwoConvolutions(before, after)
            self.add_module(f"e{level}", encoder)
        self.b = TwoConvolutions(WIDTHS[-2], WIDTHS[-1])
        for step, (low, high) in enumerate(zip(WIDTHS[:0:-1], WIDTHS[-2::-1], strict=True), 1):
            decoder = nn.Module()
            decoder.up = nn.ConvTranspose2d(low, high, 2, 2)
            decoder.conv = TwoConvolutions(2 * high, high)
            self.add_module(f"d{step}", decoder)
        self.outputs = nn.Conv2d(WIDTHS[0], 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for level in range(1, 5):
            skips.append(self.get_submodule(f"e{level}.conv")(x))
            x = functional.max_pool2d(skips[-1], 2)
        x = self.b(x)
        for step in range(1, 5):
            x = torch.cat([self.get_submodule(f"d{step}.up")(x), skips.pop()], 1)
            x = self.get_submodule(f"d{step}.conv")(x)
        y: Tensor = self.outputs(x)
        return y


class KerasLikeUNet(nn.Module):
    """conv1_1 ... up6, conv6_1 ...: the layer behind the interpolation stands before its block."""

    def __init__(self) -> None:
        super().__init__()
        before = 1
        for level, width in enumerate(WIDTHS, 1):
            self.add_module(f"conv{level}_1", padded(before, width))
            self.add_module(f"conv{level}_2", padded(width, width))
            before = width
        for step, (low, high) in enumerate(zip(WIDTHS[:0:-1], WIDTHS[-2::-1], strict=True), 6):
            self.add_module(f"up{step}", padded(low, high))
            self.add_module(f"conv{step}_1", padded(low, high))
            self.add_module(f"conv{step}_2", padded(high, high))
        self.conv9_3, self.conv10 = padded(WIDTHS[0], 2), nn.Conv2d(2, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        def convolved(x: Tensor, name: str) -> Tensor:
            return functional.relu(self.get_submodule(name)(x))

        skips = []
        for level in range(1, 6):
            x = functional.max_pool2d(x, 2) if level > 1 else x
            x = convolved(convolved(x, f"conv{level}_1"), f"conv{level}_2")
            skips.append(x)
        for step in range(6, 10):
            x = convolved(functional.interpolate(x, scale_factor=2.0), f"up{step}")
            x = torch.cat([skips[9 - step], x], 1)
            x = convolved(convolved(x, f"conv{step}_1"), f"conv{step}_2")
        y: Tensor = self.conv10(functional.relu(self.conv9_3(x)))
        return y


class UnpaddedBlock(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(before, after, 3), nn.Conv2d(after, after, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv2(functional.relu(self.conv1(x)))
        return y


class CroppingUNet(nn.Module):
    """encoder.encBlocks.0.conv1 ... decoder.upconvs.0, decoder.dec_blocks.0.conv1 ... head."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Module(), nn.Module()
        self.encoder.encBlocks = nn.ModuleList(map(UnpaddedBlock, (3, 4, 8), (4, 8, 16)))
        self.decoder.upconvs = nn.ModuleList(
            nn.ConvTranspose2d(low, high, 2, 2) for low, high in ((16, 8), (8, 4))
        )
        self.decoder.dec_blocks = nn.ModuleList(map(UnpaddedBlock, (16, 8), (8, 4)))
        self.head = nn.Conv2d(4, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for block in self.encoder.encBlocks:
            x = block(functional.max_pool2d(x, 2) if skips else x)
            skips.append(x)
        for up, block, skip in zip(
            self.decoder.upconvs, self.decoder.dec_blocks, skips[-2::-1], strict=True
        ):
            x = up(x)
            x = block(torch.cat([x, centre_crop(skip, x.shape[2:])], 1))
        y: Tensor = self.head(x)
        return y


def assert_same(module: nn.Module, channels: int, sizes: tuple[int, ...], **guesses: str) -> None:
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d | nn.BatchNorm3d):
            # Numbers that were never learned together, which must not be taken for evidence.
            norm.running_mean.uniform_(-0.3, 0.3)
            norm.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.uniform_(norm.bias, -0.5, 0.5)
    network = recognise(module.eval().state_dict(), name="net")
    for about, value in guesses.items():
        network = with_guess(network, about, value)
    x = torch.rand(1, channels, *sizes)
    with torch.no_grad():
        torch.testing.assert_close(network.unet.author_output(x), module(x), atol=1e-5, rtol=1e-5)


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.mark.parametrize(
    ("module", "channels", "size", "guesses"),
    [
        (NumberedUNet, 3, 32, {}),
        (BlockUNet, 3, 32, {}),
        (KerasLikeUNet, 1, 32, {"skip_order": "skip first", "upsampling": "nearest"}),
        (CroppingUNet, 3, 76, {}),
    ],
)
def test_unet_of_a_tutorial_gives_what_its_author_gets(module, channels, size, guesses):
    assert_same(module(), channels, (size, size), **guesses)


def test_the_bundled_model_is_read_from_its_weights_alone_as_it_is():
    # It has learned from real images, so its running means are evidence.
    unet = load_checkpoint("nuclei").unet
    network = recognise(unet.state_dict(), name="net")
    x = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(network.unet.author_output(x), unet(x))


def test_files_from_before_batches_were_counted_open():
    module = BlockUNet().eval()
    weights = {k: v for k, v in module.state_dict().items() if "num_batches" not in k}
    network = recognise(weights, name="net")
    x = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(network.unet.author_output(x), module(x))


@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"depth": 5},
        {"max_width": 16},
        {"up": "interpolate", "batch_norm": False},
        {"ndim": 3, "depth": 2},
        {"padding": "valid", "depth": 2},
    ],
)
def test_our_own_weights_open_without_their_description(shape):
    config = UNetConfig(**{"base_width": 8, "depth": 4, "in_channels": 1, **shape})
    sizes = (config.valid_input_size(8),) * config.ndim
    guesses = {"padding": "none"} if config.padding == "valid" else {}
    assert_same(UNet(config), 1, sizes, **guesses)
