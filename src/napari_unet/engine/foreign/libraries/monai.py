"""Which MONAI U-Net a set of weights belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from napari_unet.engine.foreign.graph_choices import ACTIVATION
from napari_unet.engine.foreign.guesses import (
    fixed_guess,
    guess_of,
    normalization_guess,
    output_guesses,
)
from napari_unet.engine.foreign.libraries.blueprint import (
    Blueprint,
    count,
    smallest_image,
    weights_below,
)
from napari_unet.engine.images.normalization import Percentiles
from napari_unet.engine.networks.layers import Axes
from napari_unet.engine.networks.network import Guess
from napari_unet.engine.networks.output_meaning import guessed_meaning

_LIBRARY = "monai.networks.nets"


def monai_unet(tensors: Mapping[str, Tensor]) -> Blueprint | None:
    """Recognise MONAI's `UNet`; None if these are the weights of something else."""
    weights = weights_below(tensors, r"(model\.)?1\.submodule\.")
    if weights is None:
        return None
    # Wrappers are stripped by name, and MONAI's own outermost name is one of the usual ones.
    weights = {f"model.{key.removeprefix('model.')}": value for key, value in weights.items()}
    units = count(weights, "model.0.conv.unit{}.conv.weight")
    first = weights.get("model.0.conv.unit0.conv.weight" if units else "model.0.conv.weight")
    up = weights.get("model.2.0.conv.weight" if units else "model.2.conv.weight")
    last = weights.get("model.2.1.conv.unit0.conv.weight") if units else up
    if first is None or up is None or last is None or first.ndim not in (4, 5):
        return None
    outs = last.shape[0] if units else last.shape[1]
    channels, strides = _levels(weights, units=units)
    if len(channels) != len(strides) + 1:
        return None
    act, norm, guesses = _act_and_norm(weights, activation="ReLU", norm="instance")
    ndim = first.ndim - 2

    def build() -> Any:
        from monai.networks.nets import UNet

        return UNet(
            spatial_dims=ndim,
            in_channels=first.shape[1],
            out_channels=outs,
            channels=channels,
            strides=strides,
            kernel_size=tuple(first.shape[2:]),
            up_kernel_size=tuple(up.shape[2:]),
            num_res_units=units,
            act=act,
            norm=norm,
            bias="model.0.conv.unit0.conv.bias" in weights or "model.0.conv.bias" in weights,
        )

    steps = "the size of its shortcuts" if units else "MONAI's own examples"
    guesses += (
        fixed_guess(
            "strides",
            "Shrinks by",
            ", ".join("x".join(map(str, stride)) for stride in strides),
            f"The file does not tell how far each level shrinks the image; taken from {steps}.",
        ),
    )
    return _blueprint("MONAI UNet", build, weights, first, strides, outs, guesses)


def _levels(weights: Mapping[str, Tensor], *, units: int) -> tuple[list[int], list[Axes]]:
    """Channels of each level, and the strides between them."""
    channels: list[int] = []
    strides: list[Axes] = []
    inner = "conv.unit0.conv.weight" if units else "conv.weight"
    prefix = "model."
    while (kernel := weights.get(f"{prefix}0.{inner}")) is not None:
        channels.append(kernel.shape[0])
        strides.append(_stride(weights, f"{prefix}0.", kernel, units=units))
        prefix += "1.submodule."
    bottom = weights.get(f"{prefix}{inner}")
    if bottom is not None:
        channels.append(bottom.shape[0])
    return channels, strides


def _stride(weights: Mapping[str, Tensor], block: str, kernel: Tensor, *, units: int) -> Axes:
    shortcut = weights.get(f"{block}residual.weight")
    lengths = kernel.shape[2:]
    # A shortcut that does not shrink the image has a kernel of one pixel, or none at all.
    if units and max(lengths) > 1 and (shortcut is None or max(shortcut.shape[2:]) == 1):
        return (1,) * len(lengths)
    return tuple(2 if length > 1 else 1 for length in lengths)


def basic_unet(tensors: Mapping[str, Tensor]) -> Blueprint | None:
    """Recognise MONAI's `BasicUNet`; None if these are the weights of something else."""
    weights = weights_below(tensors, r"conv_0\.conv_0\.conv\.weight")
    blocks = ("conv_0", *(f"down_{level}.convs" for level in range(1, 5)), "upcat_1.convs")
    if weights is None or any(f"{block}.conv_0.conv.weight" not in weights for block in blocks):
        return None
    if "final_conv.weight" not in weights:
        return None
    features = [weights[f"{block}.conv_0.conv.weight"].shape[0] for block in blocks]
    first, outs = weights["conv_0.conv_0.conv.weight"], weights["final_conv.weight"].shape[0]
    act, norm, guesses = _act_and_norm(weights, activation="leaky ReLU (0.1)", norm="none")
    ways = {"upcat_4.upsample.deconv.weight": "deconv", "upcat_4.upsample.preconv.weight": ""}
    upsample = next((way for key, way in ways.items() if key in weights), "pixelshuffle")

    def build() -> Any:
        from monai.networks.nets import BasicUNet

        return BasicUNet(
            spatial_dims=first.ndim - 2,
            in_channels=first.shape[1],
            out_channels=outs,
            features=features,
            act=act,
            norm=norm,
            bias="conv_0.conv_0.conv.bias" in weights,
            upsample=upsample or "nontrainable",
        )

    strides: list[Axes] = [(2,) * (first.ndim - 2)] * 4
    return _blueprint("MONAI BasicUNet", build, weights, first, strides, outs, guesses)


def _act_and_norm(
    weights: Mapping[str, Tensor], *, activation: str, norm: str
) -> tuple[Any, Any, tuple[Guess, ...]]:
    """MONAI's arguments for activation and normalisation, and what was guessed of them.

    Parameters
    ----------
    activation, norm : str
        What is taken where it leaves no trace in the weights.
    """
    guesses: tuple[Guess, ...] = ()
    act: Any = "PRELU"
    if not _any(weights, ".adn.A.weight"):
        slope = {"negative_slope": 0.1, "inplace": True}
        is_leaky = activation.startswith("leaky")
        act = ("LeakyReLU", slope) if is_leaky else "RELU"
        default = "this is MONAI's default here" if is_leaky else "this is the most usual one"
        reason = f"The activation leaves no trace in the weights; {default}."
        guesses += (guess_of(ACTIVATION, activation, reason),)
    if _any(weights, ".adn.N.running_mean"):
        return act, "BATCH", guesses
    if _any(weights, ".adn.N.weight"):
        reason = "Instance and group normalisation have the same weights; instance is the default."
        guesses += (fixed_guess("norm", "Normalisation of features", "instance", reason),)
        return act, ("instance", {"affine": True}), guesses
    reason = f"No normalisation of features is in the weights; here MONAI's way is '{norm}'."
    guesses += (fixed_guess("norm", "Normalisation of features", norm, reason),)
    return act, None if norm == "none" else "INSTANCE", guesses


def _any(weights: Mapping[str, Tensor], ending: str) -> bool:
    return any(key.endswith(ending) for key in weights)


def _blueprint(
    title: str,
    build: Any,
    weights: Mapping[str, Tensor],
    first: Tensor,
    strides: list[Axes],
    outs: int,
    guesses: tuple[Guess, ...],
) -> Blueprint:
    normalization = Percentiles()
    meaning = guessed_meaning(outs)
    reason = "The file does not tell; MONAI's examples bring intensities to 0..1."
    return Blueprint(
        title=title,
        extra="monai",
        library=_LIBRARY,
        build=build,
        weights=weights,
        image_shape=smallest_image(first.shape[1], strides),
        meaning=meaning,
        normalization=normalization,
        guesses=(*guesses, normalization_guess(normalization, reason), *output_guesses(meaning)),
    )
