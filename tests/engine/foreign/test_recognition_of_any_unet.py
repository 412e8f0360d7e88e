"""U-Nets of any depth, width, block, naming and order are recognised; others are refused."""

import contextlib
import time
from dataclasses import dataclass, replace

import numpy as np
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from napari_unet.engine.base.errors import CheckpointError
from napari_unet.engine.foreign.recognition.opening import recognise
from napari_unet.engine.networks.network import Network


@dataclass(frozen=True)
class Options:
    ndim: int = 2
    channels: int = 1
    classes: int = 2
    widths: tuple[int, ...] = (4, 8, 16)
    convolutions: int = 2
    norm: bool = True
    bias: bool = True
    up: str = "transposed"  # or "interpolate", "interpolate, 1x1", "interpolate, 3x3"
    residual: bool = False
    # "as computed", "way up first", "three lists"
    order: str = "as computed"
    names: str = "words"  # or "lists", "levels"


class AnyUNet(nn.Module):
    """Skip first, linear interpolation, ReLU, zero padding, pooling: as most U-Nets are."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.options = o = options
        widths = o.widths
        above = (o.channels, *widths)
        down = [_Block(o, a, b) for a, b in zip(above[:-2], widths[:-1], strict=True)]
        bottom = _Block(o, above[-2], widths[-1])
        ups, blocks = [], []
        for level in reversed(range(len(widths) - 1)):
            enlarge = _Enlarge(o, widths[level + 1], widths[level])
            ups.append(enlarge)
            blocks.append(_Block(o, widths[level] + enlarge.out, widths[level]))
        head = _conv(o, 1)(widths[0], o.classes, 1)
        self._register(down, bottom, ups, blocks, head)
        # Not registered a second time.
        self.__dict__["parts"] = (down, bottom, ups, blocks, head)

    def _register(self, down, bottom, ups, blocks, head):
        name = {
            "words": ("encoder{0}", "bottleneck", "upsample{1}", "decoder{1}", "outlayer"),
            "lists": ("contract.{0}", "middle", "grow.{2}", "expand.{2}", "last"),
            "levels": ("level{0}.down", "level{3}.down", "level{1}.up", "level{1}.merge", "end"),
        }[self.options.names]
        depth = len(down)
        named_down = [(name[0].format(i), block) for i, block in enumerate(down)]
        named_bottom = [(name[1].format(0, 0, 0, depth), bottom)]
        paths = [
            [(n.format(0, depth - 1 - i, i), module) for i, module in enumerate(modules)]
            for n, modules in ((name[2], ups), (name[3], blocks))
        ]
        in_turn = [pair for both in zip(*paths, strict=True) for pair in both]
        order = {
            "as computed": [*named_down, *named_bottom, *in_turn, (name[4], head)],
            "way up first": [*in_turn, (name[4], head), *named_down, *named_bottom],
            "three lists": [*named_down, *named_bottom, *paths[0], *paths[1], (name[4], head)],
        }[self.options.order]
        for path, module in order:
            _put(self, path, module)

    def forward(self, x):
        down, bottom, ups, blocks, head = self.parts
        pool = functional.max_pool2d if self.options.ndim == 2 else functional.max_pool3d
        skips = []
        for block in down:
            skips.append(block(x))
            x = pool(skips[-1], 2)
        x = bottom(x)
        for up, block in zip(ups, blocks, strict=True):
            x = block(torch.cat((up(x), skips.pop()), dim=1))
        return head(x)


class _Block(nn.Module):
    def __init__(self, o: Options, given: int, out: int) -> None:
        super().__init__()
        if o.residual:
            self.shortcut = _conv(o, 1)(given, out, 1, bias=o.bias)
        parts = []
        for number in range(o.convolutions):
            parts += [_conv(o, 3)(given if number == 0 else out, out, 3, padding=1, bias=o.bias)]
            parts += [_norm(o)(out)] if o.norm else []
            parts += [nn.ReLU()] if not (o.residual and number == o.convolutions - 1) else []
        self.body = nn.Sequential(*parts)

    def forward(self, x):
        if hasattr(self, "shortcut"):
            return functional.relu(self.body(x) + self.shortcut(x))
        return self.body(x)


class _Enlarge(nn.Module):
    def __init__(self, o: Options, given: int, out: int) -> None:
        super().__init__()
        self.options, self.out = o, out
        if o.up == "transposed":
            kind = nn.ConvTranspose2d if o.ndim == 2 else nn.ConvTranspose3d
            self.op = kind(given, out, 2, 2, bias=o.bias)
        elif o.up == "interpolate":
            self.out = given
        else:
            kernel = 1 if "1x1" in o.up else 3
            self.op = _conv(o, kernel)(given, out, kernel, padding=kernel // 2, bias=o.bias)

    def forward(self, x):
        if self.options.up == "transposed":
            return self.op(x)
        mode = "bilinear" if self.options.ndim == 2 else "trilinear"
        x = functional.interpolate(x, scale_factor=2, mode=mode)
        if self.options.up == "interpolate":
            return x
        x = self.op(x)
        return functional.relu(x) if "3x3" in self.options.up else x


def _conv(o, kernel):
    return nn.Conv2d if o.ndim == 2 else nn.Conv3d


def _norm(o):
    return nn.BatchNorm2d if o.ndim == 2 else nn.BatchNorm3d


def _put(root, path, module):
    *parents, last = path.split(".")
    for parent in parents:
        if parent not in root._modules:
            root.add_module(parent, nn.Module())
        root = root._modules[parent]
    root.add_module(last, module)


def randomised(module):
    generator = torch.Generator().manual_seed(0)
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            noise = torch.randn(tensor.shape, generator=generator)
            if tensor.ndim > 1:
                noise *= (2 / tensor[0].numel()) ** 0.5
            tensor.copy_(0.5 + noise.abs() if name.endswith("var") else noise)
    return module.eval()


def assert_same(module: nn.Module, network: Network) -> None:
    config = network.description.architecture
    size = 2 * config.size_multiple
    generator = torch.Generator().manual_seed(1)
    image = torch.randn((1, config.in_channels, *(size,) * config.ndim), generator=generator)
    with torch.no_grad():
        torch.testing.assert_close(
            network.unet.author_output(image), module(image), atol=1e-4, rtol=1e-4
        )


@st.composite
def options(draw):
    base, growth = draw(st.sampled_from((4, 6, 8))), draw(st.sampled_from((1, 2, 2, 2)))
    depth = draw(st.integers(1, 4))
    names = draw(st.sampled_from(("words", "lists", "levels")))
    order = draw(st.sampled_from(("as computed", "way up first", "three lists")))
    up = draw(
        st.sampled_from(("transposed", "interpolate", "interpolate, 1x1", "interpolate, 3x3"))
    )
    if growth == 1:
        # All layers are of one shape: only names and order in the file tell them apart.
        names, order, up = (
            "words",
            "as computed",
            draw(st.sampled_from(("transposed", "interpolate"))),
        )
    return Options(
        ndim=draw(st.sampled_from((2, 2, 3))) if depth < 3 else 2,
        channels=draw(st.integers(1, 3)),
        classes=draw(st.sampled_from((1, 2, 3, 5))),
        # Wide levels are often capped.
        widths=tuple(
            base * growth ** min(level, 4 if names == "levels" else 3) for level in range(depth + 1)
        ),
        convolutions=draw(st.sampled_from((1, 2, 2, 3))) if growth > 1 else 2,
        norm=draw(st.booleans()),
        bias=draw(st.booleans()),
        up=up,
        residual=False,
        order="as computed" if names == "levels" else order,
        names=names,
    )


@settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
@given(options())
def test_any_unet_gives_what_its_author_gives(some):
    module = randomised(AnyUNet(some))
    assert_same(module, recognise(module.state_dict(), name="net"))


@settings(
    max_examples=30, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
@given(options().map(lambda some: replace(some, residual=True, convolutions=2)))
def test_any_residual_unet_gives_what_its_author_gives(some):
    module = randomised(AnyUNet(some))
    assert_same(module, recognise(module.state_dict(), name="net"))


@settings(
    max_examples=30, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
@given(options().filter(lambda some: some.widths[0] < some.widths[-1]), st.integers(0, 999))
def test_any_unet_is_recognised_whatever_the_order_of_its_keys(some, seed):
    some = replace(some, convolutions=2, norm=True)
    module = randomised(AnyUNet(some))
    items = list(module.state_dict().items())
    np.random.default_rng(seed).shuffle(items)
    assert_same(module, recognise(dict(items), name="net"))


# -- files that were damaged ----------------------------------------------------------------------


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    residual=st.booleans(),
    where=st.integers(0, 10**6),
    what=st.sampled_from(
        ("left out", "renamed", "doubled", "flattened", "cut", "whole numbers", "emptied", "turned")
    ),
)
def test_a_damaged_state_dict_is_refused_or_still_a_network(residual, where, what):
    tensors = dict(AnyUNet(Options(residual=residual)).state_dict())
    key = list(tensors)[where % len(tensors)]
    tensor = tensors.pop(key)
    changed = {
        "renamed": lambda: {f"{key}x": tensor},
        "doubled": lambda: {key: tensor, f"copy.{key}": tensor},
        "flattened": lambda: {key: tensor.flatten()},
        "cut": lambda: {key: tensor[:1] if tensor.ndim else tensor},
        "whole numbers": lambda: {key: tensor.int()},
        "emptied": lambda: {key: tensor[:0] if tensor.ndim else tensor},
        "turned": lambda: {key: tensor.transpose(0, 1) if tensor.ndim > 1 else tensor},
    }
    tensors |= changed.get(what, dict)()
    begin = time.thread_time()  # which other programs do not lengthen
    # Any other error fails the test.
    with contextlib.suppress(CheckpointError):
        network = recognise(tensors, name="net")
        size = network.description.architecture.valid_input_size(8)
        with torch.no_grad():
            network.unet(torch.rand(1, network.description.architecture.in_channels, size, size))
    assert time.thread_time() - begin < 2.0
