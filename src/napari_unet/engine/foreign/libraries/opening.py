"""Networks of MONAI, segmentation-models-pytorch and nnU-Net, opened from their weights alone."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from napari_unet.engine.base.errors import CheckpointError
from napari_unet.engine.foreign.libraries.blueprint import Blueprint
from napari_unet.engine.foreign.libraries.monai import basic_unet, monai_unet
from napari_unet.engine.foreign.libraries.nnunet import plain_conv_unet
from napari_unet.engine.foreign.libraries.smp import smp_unet
from napari_unet.engine.foreign.libraries.traced_network import traced_network
from napari_unet.engine.networks.network import Network, NetworkDescription


def recognise_library(
    tensors: Mapping[str, Tensor], facts: Mapping[str, Any], *, name: str
) -> Network | None:
    """Open the weights of a library's network.

    The library builds the network, which is then taken over layer by layer;
    from then on it is like any other and needs the library no more.

    Parameters
    ----------
    tensors : mapping of str to tensor
        The state dict, on the CPU.
    facts : mapping
        What else the file holds, such as nnU-Net's "init_args".

    Returns
    -------
    Network, optional
        None if the names are not those of a network that is known here.

    Raises
    ------
    CheckpointError
        If the library is not installed, or the weights are of a kind of its
        networks that cannot be opened.
    """
    blueprint = (
        monai_unet(tensors)
        or basic_unet(tensors)
        or smp_unet(tensors)
        or plain_conv_unet(tensors, facts)
    )
    return None if blueprint is None else _opened(blueprint, name)


def _opened(blueprint: Blueprint, name: str) -> Network:
    module = _built(blueprint, name)
    network = traced_network(
        module, blueprint.image_shape, meaning=blueprint.meaning, origin=blueprint.title
    )
    if blueprint.standardize is not None:
        network = network.begun_with((blueprint.standardize,))
    description = NetworkDescription(
        name,
        network.config,
        class_roles=blueprint.meaning.class_roles,
        normalization=blueprint.normalization,
        guesses=blueprint.guesses,
    )
    return Network(network, description)


def _built(blueprint: Blueprint, name: str) -> nn.Module:
    """The library's own network, with the weights."""
    try:
        with warnings.catch_warnings():
            # timm and MONAI use what torch or Python will drop; nobody here can change that.
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            importlib.import_module(blueprint.library)
    except ImportError as error:
        raise CheckpointError(
            f"'{name}' is a {blueprint.title}; install it with: "
            f"pip install napari-unet-cells[{blueprint.extra}]"
        ) from error
    except RuntimeError as error:
        # torchvision, which comes along, does not start beside another release of torch.
        raise CheckpointError(
            f"'{name}' is a {blueprint.title}, but that library does not start ({error}); install "
            f"it again: pip install --force-reinstall napari-unet-cells[{blueprint.extra}]"
        ) from error
    weights = {
        key: value.float() if value.is_floating_point() else value
        for key, value in blueprint.weights.items()
    }
    try:
        # Without memory or random numbers, which the weights would replace at once.
        with torch.device("meta"):
            module: nn.Module = blueprint.build()
        module.load_state_dict(_under_all_names(module, weights), strict=True, assign=True)
    except (RuntimeError, ValueError, TypeError, AssertionError) as error:
        detail = str(error).strip().splitlines()
        raise CheckpointError(
            f"'{name}' looks like a {blueprint.title}, but the one that the library builds is "
            f"different ({detail[-1].strip() if detail else type(error).__name__}). Export it as "
            "ONNX with the program that made it and open that."
        ) from error
    return module


def _under_all_names(module: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Repeat weights under the further names that their layers have in the module."""
    complete = dict(weights)
    known: dict[int, str] = {}
    for key, value in module.state_dict(keep_vars=True).items():
        first = known.setdefault(id(value), key)
        if first in weights:
            complete.setdefault(key, weights[first])
    return complete
