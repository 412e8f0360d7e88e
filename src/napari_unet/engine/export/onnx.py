"""A network as ONNX, which runs without PyTorch, held against our own output."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from napari_unet.engine.base.errors import CheckpointError
from napari_unet.engine.models.facts import (
    PROGRAM,
    model_facts,
    output_gives_scores,
    program_version,
)
from napari_unet.engine.networks.architecture import Architecture, NetworkModule
from napari_unet.engine.networks.network import Network

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 18
_IR_VERSION = 8
"""The oldest that holds this opset: older runtimes, such as those in Fiji, refuse newer ones."""

MOST_DIFFERENCE = 1e-4
"""Largest difference of a score from ours."""

_MOST_BYTES = 2_000_000_000
"""A protocol buffer, which an ONNX file is, ends at 2 GiB."""

_MOST_MULTIPLE_CHECKED = 32
_AXIS_NAMES = ("z", "y", "x")


class ScoringNetwork(nn.Module):
    """A network with the softmax that segmentation adds."""

    def __init__(self, module: NetworkModule) -> None:
        super().__init__()
        self.module = module
        self.gives_scores = output_gives_scores(module.config)

    def forward(self, x: Tensor) -> Tensor:
        """Scores (N, classes, *S') of images (N, in_channels, *S)."""
        output: Tensor = self.module(x)
        return torch.softmax(output, dim=1) if self.gives_scores else output


def reference_scores(network: Network, images: Any) -> Any:
    """Compute with the network itself, on the CPU, what an export must give.

    Parameters
    ----------
    images : (N, in_channels, *S) float32 array
        Normalised.

    Returns
    -------
    (N, classes, *S') float32 array
    """
    module = copy.deepcopy(network.unet).to("cpu", torch.float32).eval()
    with torch.inference_mode():
        return ScoringNetwork(module)(torch.from_numpy(images)).numpy()


def onnx_model(network: Network) -> ModelProto:
    """Translate a network; batch and image size stay free.

    Returns
    -------
    onnx.ModelProto
        Input "image", output "scores" (or "values"), with what is known of
        the network in its metadata.

    Raises
    ------
    CheckpointError
        If it is too large, or holds something that ONNX has no word for.
    """
    weight_bytes = sum(value.numel() * 4 for value in network.unet.state_dict().values())
    if weight_bytes > _MOST_BYTES:
        raise CheckpointError(
            f"'{network.description.name}' has {weight_bytes / 1e9:.1f} GB of weights; one ONNX "
            "file holds 2 GB at most. Export it as .safetensors or as a state dict."
        )
    config = network.description.architecture
    # The exporter writes Python code with the names of the layers in it and runs it.
    module = network.unet.with_plain_names().fused(torch.device("cpu"))
    example = torch.zeros(2, config.in_channels, *check_sizes(config)[0])
    try:
        with _without_remarks():
            program = torch.onnx.export(
                ScoringNetwork(module).eval(),
                (example,),
                dynamo=True,
                dynamic_shapes=(_free_sizes(config),),
                input_names=["image"],
                output_names=["scores" if output_gives_scores(config) else "values"],
                opset_version=OPSET,
                external_data=False,
                verbose=False,
            )
    # Whatever PyTorch cannot trace or translate comes as an error of one of its many kinds.
    except Exception as error:
        raise CheckpointError(
            f"'{network.description.name}' cannot be translated to ONNX "
            f"({_first_line(error)}); export it as .safetensors or as a state dict."
        ) from error
    assert program is not None  # noqa: S101 - so it is with dynamo=True
    return _described(program.model_proto, network)


def check_onnx(model: ModelProto, network: Network) -> float:
    """Run a translated network with ONNX Runtime, on images of two sizes.

    Returns
    -------
    float
        Largest difference of a score from ours.

    Raises
    ------
    CheckpointError
        If it does not run or gives other scores.
    """
    import onnxruntime

    name, config = network.description.name, network.description.architecture
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # fatal: errors come as exceptions
    random = np.random.default_rng(0)
    most = 0.0
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        for number, sizes in enumerate(check_sizes(config)):
            shape = (2 - number, config.in_channels, *sizes)
            images = random.random(shape, np.float32)
            ours = reference_scores(network, images)
            (theirs,) = session.run(None, {"image": images})
            different = theirs.shape != ours.shape
            most = max(most, np.inf if different else float(np.abs(theirs - ours).max()))
    # ONNX Runtime's errors have no common class of their own.
    except Exception as error:
        raise CheckpointError(
            f"'{name}' was translated to ONNX but does not run there ({_first_line(error)}); "
            "nothing was written. Export it as .safetensors or as a state dict."
        ) from error
    if not most <= MOST_DIFFERENCE:
        raise CheckpointError(
            f"'{name}' gives other scores as ONNX than here (by up to {most:.2g}; expected at "
            f"most {MOST_DIFFERENCE:g}), so nothing was written. Export it as .safetensors or as "
            "a state dict."
        )
    return most


def check_sizes(config: Architecture) -> tuple[tuple[int, ...], ...]:
    """Two image shapes, no axis as long as another, in which pooled sizes are odd and even."""
    # Not the smallest: instance normalisation needs more than one pixel at the lowest level.
    first = 3 if config.size_multiple <= _MOST_MULTIPLE_CHECKED else 2
    axes = [config.along(axis) for axis in range(config.ndim)]
    starts = [each.valid_input_size(first * each.size_multiple) for each in axes]

    def grown(steps: Iterable[int]) -> tuple[int, ...]:
        parts = zip(starts, axes, steps, strict=True)
        return tuple(start + each.size_multiple * step for start, each, step in parts)

    return grown(range(config.ndim)), grown(range(config.ndim, 0, -1))


def _free_sizes(config: Architecture) -> dict[int, Any]:
    """Tell the exporter that sizes are a multiple plus a rest, so that all below are whole."""
    sizes: dict[int, Any] = {0: torch.export.Dim("batch")}
    for axis, name in enumerate(_AXIS_NAMES[-config.ndim :], start=2):
        along = config.along(axis - 2)
        multiple, least = along.size_multiple, along.valid_input_size(1)
        size: Any = torch.export.Dim(name, min=max(1, least // multiple))
        size = multiple * size if multiple > 1 else size
        sizes[axis] = size + least % multiple if least % multiple else size
    return sizes


def _described(model: ModelProto, network: Network) -> ModelProto:
    """Write into the model what is known of it."""
    import onnx

    facts = model_facts(network.description)
    model.ir_version = _IR_VERSION
    model.producer_name, model.producer_version = PROGRAM, program_version()
    model.doc_string = "\n".join(f"{name}: {text}" for name, text in facts.items())
    del model.metadata_props[:]
    texts = {**facts, "description": network.description.to_json()}
    onnx.helper.set_model_props(model, texts)
    for node in model.graph.node:
        # Where in PyTorch and in which folder each came from is nobody's business.
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.value_info, *model.graph.initializer):
        del value.metadata_props[:]
    del model.graph.metadata_props[:]
    return model


@contextmanager
def _without_remarks() -> Iterator[None]:
    """Keep remarks of the exporter to its own programmers from the user."""
    with warnings.catch_warnings():
        for category in (FutureWarning, DeprecationWarning, UserWarning):
            warnings.filterwarnings("ignore", category=category)
        yield


def _first_line(error: Exception) -> str:
    """Return the cause of a failure in a few words; PyTorch writes pages."""
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    line = next(iter(str(cause).strip().splitlines()), "")
    return f"{type(cause).__name__}: {line[:200]}" if line else type(cause).__name__
