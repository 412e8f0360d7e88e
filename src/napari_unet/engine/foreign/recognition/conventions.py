"""Public layouts of U-Nets, told by their names, and what their code does beside the weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from napari_unet.engine.foreign.graph_choices import (
    ACTIVATION,
    ALIGNED,
    LARGEST,
    LINEAR,
    NEAREST,
    NORM,
    PADDING,
    POOLING,
    RAW_OUTPUT,
    SECOND_INPUT,
    SKIP_FIRST,
    SKIP_LAST,
    SKIP_ORDER,
    UNPADDED,
    UPSAMPLING,
    ZEROS,
)
from napari_unet.engine.images.normalization import Normalization, Percentiles, TypeRange, ZeroMean
from napari_unet.engine.networks.layer_list import LayerList
from napari_unet.engine.networks.layers import (
    Activation,
    Convolution,
    Input,
    Join,
    Layer,
    Pool,
    TransposedConvolution,
)


@dataclass(frozen=True, slots=True)
class Convention:
    """What the weights of a public layout do not tell."""

    whose: str
    """Where its code is; "" of one that tells nothing."""
    names: str
    """Layers that it has, with spaces between; "a.b" stands for "x.a.b" too, and "(a|b)",
    "a?" and "[ab]" mean what they mean in regular expressions."""
    choices: Mapping[str, str] = field(default_factory=dict)
    """What it is to what is taken."""
    normalization: Normalization | None = None
    final: Literal["softmax", "sigmoid", "probability", "none"] | None = None
    ends_with: tuple[str, ...] = ()
    """Activation behind each output; "" for none."""
    roles: tuple[str, ...] = ()
    """Of the output channels; empty to go by their number."""
    skips_from_first: bool = False
    """The skip is what the first convolution of a level gives, not the last."""
    dense_activation: bool = True
    """An activation behind each convolution rather than each sequence of them."""
    heads: tuple[str, ...] = ()
    """Parts of the names of the outputs, in their order."""
    silent: str = ""
    """Convolutions without an activation, named as in `names`."""
    absent: str = ""
    """Layers of which it has none."""
    layers: Callable[[Mapping[str, tuple[int, ...]]], LayerList] | None = None
    """Makes the graph where its layers are used more than once."""

    @property
    def reason(self) -> str:
        """Why something is taken that it tells."""
        return f"its layers are named as in {self.whose}"


def convention_of(names: Iterable[str]) -> Convention:
    """Public layout that layers are named as, or one that tells nothing.

    Parameters
    ----------
    names : iterable of str
        Of the layers that have weights.
    """
    found = list(names)

    def has(pattern: str) -> bool:
        return any(re.fullmatch(pattern, name) for name in found)

    for convention in CONVENTIONS:
        absent = patterns(convention.absent)
        if all(map(has, patterns(convention.names))) and not any(map(has, absent)):
            return convention
    return Convention("", "")


def patterns(names: str) -> list[str]:
    """Regular expressions of names of layers as a `Convention` has them."""
    return [rf"(?:[\w.]+\.)?{name.replace('.', re.escape('.'))}" for name in names.split()]


def _noise2noise(shapes: Mapping[str, tuple[int, ...]]) -> LayerList:
    """Noise2Noise: a block that is used for three poolings, another for three enlargements."""
    prefix = next(name for name in shapes if name.endswith("_block1.0"))[: -len("_block1.0")]
    layers: list[Layer] = [Input()]

    def add(layer: Layer) -> int:
        layers.append(layer)
        return len(layers) - 1

    def block(x: int, number: int, *, enlarges: bool = False) -> int:
        own = [n for n in shapes if n.startswith(f"{prefix}_block{number}.")]
        own.sort(key=lambda name: int(name.rpartition(".")[2]))
        ones, twos = (1, 1), (2, 2)
        for place, name in enumerate(own):
            out, given = shapes[name][:2]
            if enlarges and place == len(own) - 1:
                return add(TransposedConvolution((x,), name, out, given, (3, 3), twos, ones, ones))
            x = add(Convolution((x,), name, given, out, (3, 3), ones, ones, ones))
            x = add(Activation((x,), "relu"))
        return x

    def pooled(x: int) -> int:
        return add(Pool((x,), (2, 2)))

    skips = [0, pooled(block(0, 1))]
    for _ in range(3):
        skips.append(pooled(block(skips[-1], 2)))
    x = block(pooled(block(skips[-1], 2)), 3, enlarges=True)
    for number in (4, 5, 5, 5):
        x = block(add(Join((x, skips.pop()))), number, enlarges=True)
    x = block(add(Join((x, skips.pop()))), 6)
    layers[x] = Activation(layers[x].inputs, "leaky_relu", 0.1)
    return LayerList(tuple(layers), (x,))


_PLAIN = {ACTIVATION: "ReLU", PADDING: ZEROS, POOLING: LARGEST}
_SKIP_FIRST = {**_PLAIN, SKIP_ORDER: SKIP_FIRST}
_SKIP_LAST = {**_PLAIN, SKIP_ORDER: SKIP_LAST}

CONVENTIONS: tuple[Convention, ...] = (
    Convention(
        "napari-unet-cells",
        "contracting.0.conv1 expanding.0.conv1 up.0.conv head",
        {**_SKIP_FIRST, UPSAMPLING: LINEAR},
        Percentiles(),
    ),
    Convention(
        "milesial/Pytorch-UNet",
        "inc.(double_conv|conv.conv).0 up1.conv.(double_conv|conv).0 outc.conv",
        {**_SKIP_FIRST, UPSAMPLING: ALIGNED},
        TypeRange(),
    ),
    Convention(
        "ASHISRAVINDRAN/stardist_pytorch",
        "inc.conv.conv.0 up1.conv.conv.0 features out_ray.conv out_prob.conv",
        {**_SKIP_FIRST, ACTIVATION: "ELU", UPSAMPLING: ALIGNED, NORM: "groups of 8"},
        Percentiles(),
        final="probability",
        ends_with=("relu", "sigmoid"),
        roles=("unused", "cell"),
        heads=("out_ray", "out_prob"),
        silent="features",
    ),
    Convention(
        "hanyoseob/youtube-cnn-002-pytorch-unet",
        "enc1_1.0 dec1_1.0 unpool1 fc",
        _SKIP_LAST,
    ),
    Convention(
        "mateuszbuda/brain-segmentation-pytorch",
        "encoder1.enc1conv1 decoder1.dec1conv1 upconv1 conv",
        _SKIP_LAST,
        ZeroMean(),
        final="probability",
        ends_with=("sigmoid",),
    ),
    Convention(
        "jvanvugt/pytorch-unet",
        "down_path.0.block.0 up_path.0.conv_block.block.0 last",
        {**_SKIP_LAST, UPSAMPLING: LINEAR},
    ),
    Convention(
        "danihae/bio-image-unet (version 0)",
        "encode8.0 decode9.0 middle_conv2.0 final.0",
        _SKIP_LAST,
        Percentiles(0.0, 99.8),
        skips_from_first=True,
    ),
    Convention(
        "danihae/bio-image-unet (three levels)",
        "encode6.0 decode7.0 middle_conv2.0 final.0",
        _SKIP_LAST,
        Percentiles(0.0, 99.8),
        skips_from_first=True,
        absent="decode8.0",
    ),
    Convention(
        "danihae/bio-image-unet",
        "encode1.0 decode8.0 middle_conv2.0 (final.0|output_layers.[^.]+)",
        {**_SKIP_LAST, ACTIVATION: "leaky ReLU (0.1)"},
        Percentiles(0.0, 99.8),
        final="sigmoid",
    ),
    Convention(
        "aladdinpersson/Machine-Learning-Collection",
        "ups.0 ups.1.conv.0 downs.0.conv.0 bottleneck.conv.0 final_conv",
        _SKIP_FIRST,
        TypeRange(),
    ),
    Convention(
        "LeeJunHyun/Image_Segmentation",
        "Conv1.conv.0 Up2.up.1 Up_conv2.conv.0 Conv_1x1",
        {**_SKIP_FIRST, UPSAMPLING: NEAREST},
        TypeRange(),
    ),
    Convention(
        "the tutorial 'Cook your first U-Net in PyTorch'",
        "e11 e52 upconv1 d11 outconv",
        _SKIP_LAST,
    ),
    Convention(
        "nikhilroxtomar/Semantic-Segmentation-Architecture",
        "e1.conv.conv1 b.conv1 d1.up d1.conv.conv1 outputs",
        _SKIP_LAST,
    ),
    Convention(
        "the tutorial of PyImageSearch",
        "encoder.enc_?[bB]locks.0.conv1 decoder.upconvs.0 decoder.dec_?[bB]locks.0.conv1 head",
        {**_SKIP_LAST, PADDING: UNPADDED},
        TypeRange(),
        silent="conv2",
    ),
    Convention(
        "a U-Net of the tiktorch authors",
        "encoders.0.0 base.1 decoders.0.0 upsamplers.0.1 output",
        {**_SKIP_FIRST, UPSAMPLING: LINEAR},
        ZeroMean(),
        final="probability",
        ends_with=("sigmoid",),
        dense_activation=False,
    ),
    Convention(
        "wolny/pytorch-3dunet",
        "encoders.0.basic_module.SingleConv1.conv final_conv",
        {**_SKIP_FIRST, UPSAMPLING: NEAREST, NORM: "8 groups"},
        ZeroMean(),
    ),
    Convention(
        "agaldran/lwnet",
        "(unet1.)?first.block.0 (unet1.)?up_path.0.conv_bridge_layer.block.0",
        {**_SKIP_LAST, SECOND_INPUT: RAW_OUTPUT},
        TypeRange(),
    ),
    Convention(
        "joeylitalien/noise2noise-pytorch",
        "_block1.0 _block2.0 _block3.2 _block4.4 _block5.4 _block6.4",
        _SKIP_LAST,
        TypeRange(),
        final="none",
        roles=("red", "green", "blue"),
        layers=_noise2noise,
    ),
    Convention(
        "aamirmalik-dr/stem-defect-segmentation",
        "enc1.0 bottom.0 up3 dec3.0 head",
        _SKIP_LAST,
        ZeroMean(),
        final="softmax",
        roles=("background", "lattice", "vacancy", "dopant", "disordered"),
    ),
)
