"""Which plain U-Net of nnU-Net a set of weights belongs to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from napari_unet.engine.foreign.graph_choices import ACTIVATION
from napari_unet.engine.foreign.guesses import guess_of, normalization_guess, output_guesses
from napari_unet.engine.foreign.libraries.blueprint import (
    Blueprint,
    count,
    smallest_image,
    weights_below,
)
from napari_unet.engine.images.normalization import ZeroMean
from napari_unet.engine.networks.network import Guess
from napari_unet.engine.networks.output_meaning import (
    OutputMeaning,
    guessed_meaning,
    roles_of_names,
)

_CONVOLUTION = "encoder.stages.{}.0.convs.{{}}.conv.weight"

# One weight has up to four names: its layer's, its place in a sequence of all, and both again
# below the decoder, which holds the encoder too.
_DUPLICATE = re.compile(r"^decoder\.encoder\.|\.all_modules\.")


def plain_conv_unet(tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> Blueprint | None:
    """Recognise nnU-Net's `PlainConvUNet`; None if these are the weights of something else."""
    weights = weights_below(tensors, r"encoder\.stages\.0\.0\.convs\.0\.conv\.weight")
    if weights is None or "decoder.seg_layers.0.weight" not in weights:
        return None
    weights = {key: value for key, value in weights.items() if not _DUPLICATE.search(key)}
    arguments = _arguments(weights)
    if arguments is None:
        return None

    def build() -> Any:
        from dynamic_network_architectures.architectures.unet import PlainConvUNet

        return PlainConvUNet(**arguments)

    in_channels, classes = arguments["input_channels"], arguments["num_classes"]
    labels = _labels(facts)
    known = labels if labels and len(labels.channels) == classes else None
    meaning = known or guessed_meaning(classes)
    reason = "The file does not tell the activation; nnU-Net uses a leaky ReLU, slope 0.01."
    return Blueprint(
        title="nnU-Net PlainConvUNet",
        extra="nnunet",
        library="dynamic_network_architectures.architectures.unet",
        build=build,
        weights=weights,
        image_shape=smallest_image(in_channels, arguments["strides"]),
        meaning=meaning,
        normalization=ZeroMean(per_channel=in_channels > 1),
        guesses=(
            guess_of(ACTIVATION, "leaky ReLU (0.01)", reason),
            _intensity_guess(facts),
            *(() if known else output_guesses(meaning)),
        ),
    )


def _arguments(weights: Mapping[str, Tensor]) -> dict[str, Any] | None:
    """Arguments of `PlainConvUNet`, read off its weights; None if some are missing."""
    stages = count(weights, "encoder.stages.{}.0.convs.0.conv.weight")
    firsts = [weights[_CONVOLUTION.format(n).format(0)] for n in range(stages)]
    ups = [weights.get(f"decoder.transpconvs.{n}.weight") for n in range(stages - 1)]
    heads = count(weights, "decoder.seg_layers.{}.weight")
    ndim = firsts[0].ndim - 2
    if heads != stages - 1 or ndim not in (2, 3):
        return None
    # The way up enlarges by what the way down shrank, in one step without overlap.
    strides = [tuple(up.shape[2:]) for up in ups[::-1] if up is not None]
    decoder = "decoder.stages.{}.convs.{{}}.conv.weight"
    norm = "encoder.stages.0.0.convs.0.norm."
    norms: tuple[type[nn.Module], ...] = (nn.InstanceNorm2d, nn.InstanceNorm3d)
    if f"{norm}running_mean" in weights:
        norms = (nn.BatchNorm2d, nn.BatchNorm3d)
    return {
        "input_channels": firsts[0].shape[1],
        "n_stages": stages,
        "features_per_stage": [first.shape[0] for first in firsts],
        "conv_op": (nn.Conv2d, nn.Conv3d)[ndim - 2],
        "kernel_sizes": [tuple(first.shape[2:]) for first in firsts],
        "strides": [(1,) * ndim, *strides],
        "n_conv_per_stage": [count(weights, _CONVOLUTION.format(n)) for n in range(stages)],
        "num_classes": weights[f"decoder.seg_layers.{heads - 1}.weight"].shape[0],
        "n_conv_per_stage_decoder": [count(weights, decoder.format(n)) for n in range(heads)],
        "conv_bias": "encoder.stages.0.0.convs.0.conv.bias" in weights,
        "norm_op": norms[ndim - 2] if f"{norm}weight" in weights else None,
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "nonlin": nn.LeakyReLU,
        "nonlin_kwargs": {"inplace": True},
        "deep_supervision": False,  # only the last head is at full resolution
    }


def _labels(facts: Mapping[str, Any]) -> OutputMeaning | None:
    """Meaning of the channels, if nnU-Net's own file tells it."""
    labels = _dictionary(_dictionary(facts, "init_args"), "dataset_json").get("labels")
    if not isinstance(labels, Mapping) or not labels:
        return None
    # With a list of numbers for a label, the classes are regions that may overlap.
    regions = any(isinstance(value, list | tuple) for value in labels.values())
    names = [str(name) for name in labels]
    if regions:
        return OutputMeaning("sigmoid", roles_of_names([n for n in names if n != "background"]))
    names = [name for name in names if name != "ignore"]
    try:
        return OutputMeaning("softmax", roles_of_names(sorted(names, key=lambda n: int(labels[n]))))
    except (TypeError, ValueError):
        return None


def _intensity_guess(facts: Mapping[str, Any]) -> Guess:
    init = _dictionary(facts, "init_args")
    plans = _dictionary(_dictionary(init, "plans"), "configurations")
    schemes = _dictionary(plans, str(init.get("configuration"))).get("normalization_schemes")
    reason = "The file does not tell; nnU-Net's usual way is mean 0, deviation 1 of each image."
    if isinstance(schemes, list | tuple) and schemes:
        found = ", ".join(sorted(set(map(str, schemes))))
        reason = f"The file says {found}; mean 0, deviation 1 of each image is closest to it."
        if set(schemes) == {"ZScoreNormalization"}:
            reason = "The file says ZScoreNormalization: mean 0, deviation 1 of each image."
    return normalization_guess(ZeroMean(), reason)


def _dictionary(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = values.get(key)
    return found if isinstance(found, Mapping) else {}
