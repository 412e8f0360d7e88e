"""Networks that come as a finished program: they segment and cannot learn."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_unet.engine.base.errors import CheckpointError, ImageShapeError
from napari_unet.engine.foreign.guess_options import normalization_guess, output_guesses
from napari_unet.engine.foreign.prelude import Step
from napari_unet.engine.foreign.ready_made.probe import Probed, probed
from napari_unet.engine.foreign.ready_made.program import TITLES, Program, ProgramKind, open_program
from napari_unet.engine.images.image import mirrored
from napari_unet.engine.images.normalization import Percentiles
from napari_unet.engine.networks.annotation import BORDER, CELL
from napari_unet.engine.networks.architecture import Architecture, NetworkModule
from napari_unet.engine.networks.channel_roles import guessed_meaning
from napari_unet.engine.networks.graph_network import in_range
from napari_unet.engine.networks.layer_graph import GraphConfig
from napari_unet.engine.networks.network import Network, NetworkDescription
from napari_unet.engine.networks.output_meaning import OutputMeaning

_WIDTH, _NUMBERS_PER_FEATURE = 64, 8
"""Features at full resolution, and arrays of that many kept at once, where neither is known."""


@dataclass(frozen=True, slots=True)
class ReadyMadeConfig:
    """Shape of a network whose layers are not known.

    Parameters
    ----------
    ndim : int
        2 or 3 spatial axes.
    in_channels : int
    meaning : OutputMeaning
        Of its output channels.
    kind : {"torchscript", "torch-export", "onnx"}
    file : str
        Where it comes from.
    size_multiple : int
        Shift of the input, in pixels, that shifts the output alike.
    size_rest : int
        Sizes that it reads leave this rest when divided by `size_multiple`.
    size_loss_px : int
        Input size minus output size.
    reach_px : int
        How far from an output pixel the input was seen to change it.
    sees_all : bool
        Whether every output pixel depends a little on all of the image.
    fixed_size : tuple of int, optional
        The one size that it reads; larger images are then computed in
        overlapping windows.
    prelude : tuple of Step
        What is done to each pixel before the program sees it.
    """

    ndim: int
    in_channels: int
    meaning: OutputMeaning
    kind: ProgramKind
    file: str = ""
    size_multiple: int = 1
    size_rest: int = 0
    size_loss_px: int = 0
    reach_px: int = 0
    sees_all: bool = False
    fixed_size: tuple[int, ...] | None = None
    prelude: tuple[Step, ...] = ()

    @property
    def classes(self) -> int:
        """Classes that it scores."""
        return len(self.meaning.class_roles)

    @property
    def widths(self) -> tuple[int, ...]:
        """Features at full resolution, about; the levels are not known."""
        return (_WIDTH,)

    @property
    def sentence(self) -> str:
        """What it is, in a few words for people."""
        sizes = "" if self.fixed_size is None else f" that reads {_by(self.fixed_size)} pixels"
        return f"{TITLES[self.kind]} program{sizes}"

    @property
    def inexact_because(self) -> str:
        """Why tiles differ from the image as a whole."""
        if self.fixed_size is not None:
            return f"it reads no more than {_by(self.fixed_size)} pixels at once"
        if self.sees_all:
            return "each of its pixels depends a little on the whole tile"
        return f"how far it looks ({self.reach_px} pixels) was measured, not known"

    @property
    def is_trainable(self) -> bool:
        """Whether it can learn."""
        return False

    @property
    def margin_px(self) -> int:
        """Pixels beyond an output pixel, on each side, that were seen to change its value."""
        return self.reach_px

    @property
    def tile_overlap_px(self) -> int:
        """Output that a tile must compute beyond its own."""
        beyond = max(0, self.reach_px - self.size_loss_px // 2)
        if self.fixed_size is not None:
            beyond = min(beyond, min(self.fixed_size) // 4)
        return math.ceil(beyond / self.size_multiple) * self.size_multiple

    def output_size(self, input_size: int) -> int:
        """Output pixels along an axis of `input_size` pixels.

        Raises
        ------
        ImageShapeError
            If it reads no such size.
        """
        if input_size <= self.size_loss_px or (input_size - self.size_rest) % self.size_multiple:
            raise ImageShapeError(
                f"An axis has {input_size} pixels; this network reads {self.valid_input_size(1)} "
                f"plus multiples of {self.size_multiple}. Use segment(), which takes any size."
            )
        return input_size - self.size_loss_px

    def valid_input_size(self, output_at_least: int) -> int:
        """Smallest input size in pixels whose output covers `output_at_least` pixels."""
        least = max(1, output_at_least) + self.size_loss_px
        if self.fixed_size is not None:
            return max(least, *self.fixed_size)
        steps = math.ceil((least - self.size_rest) / self.size_multiple)
        return max(1, steps) * self.size_multiple + self.size_rest

    def numbers_at_once(self, sizes: Sequence[int]) -> int:
        """Most numbers, about, that are kept at once for an input of these sizes."""
        return _NUMBERS_PER_FEATURE * _WIDTH * math.prod(self.fixed_size or sizes)

    def to_json(self) -> dict[str, Any]:
        """Values that JSON can hold, for people: a program cannot be made again from them."""
        return {**asdict(self), "kind": f"ready-made {TITLES[self.kind]}"}


def _by(sizes: Sequence[int]) -> str:
    return " x ".join(map(str, sizes))


class ReadyMadeNetwork(NetworkModule):
    """Lets a program of others compute class logits.

    Parameters
    ----------
    program : Program
    config : ReadyMadeConfig
    """

    def __init__(self, program: Program, config: ReadyMadeConfig) -> None:
        super().__init__()
        self.program = program
        self.config: ReadyMadeConfig = config

    @property
    def memory_format(self) -> torch.memory_format:
        """As its author had it."""
        return torch.contiguous_format

    def forward(self, x: Tensor) -> Tensor:
        """Class logits (N, classes, *S') of images (N, in_channels, *S)."""
        return self.config.meaning.class_logits(self.author_output(x))

    def author_output(self, x: Tensor) -> Tensor:
        """What the program gives out: (N, channels, *S')."""
        config = self.config
        x = x.float()
        for step in config.prelude:
            x = in_range(x, step)
        outputs = []
        for image in torch.split(x, 1):
            if config.fixed_size is None:
                outputs.append(self.program(image))
            else:
                outputs.append(_in_windows(self.program, image, config, config.fixed_size))
        return torch.cat(outputs)

    def with_config(self, config: Architecture) -> ReadyMadeNetwork:
        """Return the same program with its output read another way."""
        assert isinstance(config, ReadyMadeConfig)  # noqa: S101
        return ReadyMadeNetwork(self.program, config).eval()

    def fused(self, device: torch.device, dtype: torch.dtype = torch.float32) -> ReadyMadeNetwork:  # noqa: ARG002
        """Return it for a device; in float32, because a program names its own number format."""
        found = copy.copy(self)
        found._modules = {"program": self.program.on(device)}
        return found


def _in_windows(
    program: Program, image: Tensor, config: ReadyMadeConfig, window: tuple[int, ...]
) -> Tensor:
    """Compute an image of any size in windows of one size, and keep the middle of each."""
    lost, edge = config.size_loss_px, config.tile_overlap_px
    sizes = tuple(image.shape[2:])
    for axis, (n, length) in enumerate(zip(sizes, window, strict=True), start=2):
        if n < length:
            index = torch.from_numpy(mirrored(np.arange(length), n))
            image = image.index_select(axis, index.to(image.device))
    starts = [
        _starts(n, length, length - lost - 2 * edge)
        for n, length in zip(image.shape[2:], window, strict=True)
    ]
    result: Tensor | None = None
    for corner in itertools.product(*starts):
        part = image
        for axis, (start, length) in enumerate(zip(corner, window, strict=True), start=2):
            part = part.narrow(axis, start, length)
        y: Tensor = program(part)
        if result is None:
            result = y.new_empty(*y.shape[:2], *(n - lost for n in image.shape[2:]))
        target = result
        for axis, (start, length, all_starts) in enumerate(
            zip(corner, window, starts, strict=True), start=2
        ):
            # What another window sees better is left to that one.
            low = 0 if start == all_starts[0] else edge
            high = length - lost - (0 if start == all_starts[-1] else edge)
            target = target.narrow(axis, start + low, high - low)
            y = y.narrow(axis, low, high - low)
        target.copy_(y)
    assert result is not None  # noqa: S101
    for axis, n in enumerate(sizes, start=2):
        result = result.narrow(axis, 0, min(n - lost, result.shape[axis]))
    return result


def _starts(size: int, window: int, step: int) -> list[int]:
    return [*range(0, size - window, step), size - window]


def load_ready_made(path: str | Path, *, kind: ProgramKind, allow_code: bool) -> Network:
    """Open a network that comes as a program.

    Parameters
    ----------
    path : path
    kind : {"torchscript", "torch-export", "onnx"}
    allow_code : bool
        Whether the user said yes to running what is in the file.

    Returns
    -------
    Network
        It segments; it cannot be fine-tuned or saved as .safetensors.

    Raises
    ------
    CodeInFileError
        If the file carries code and nobody said yes.
    CheckpointError
        If it cannot be opened, or computes no images.
    """
    path = Path(path)
    program = open_program(path, kind=kind, allow_code=allow_code)
    return ready_made_network(program, name=path.stem, file=str(path))


def ready_made_network(program: Program, *, name: str, file: str) -> Network:
    """Find out what a program computes, and describe it as a network.

    Parameters
    ----------
    program : Program
    name : str
    file : str
        Where it comes from.

    Raises
    ------
    CheckpointError
        If it computes no images.
    """
    given = program.input
    known = [n for n in given.sizes if n is not None]
    found = probed(
        program,
        ndim=given.ndim,
        in_channels=given.channels,
        # A program may fix some axes only; the others then get the longest of these.
        fixed_size=[n or max(known) for n in given.sizes] if known else None,
    )
    own = _own_description(program, found.out_channels)
    meaning, reason = _meaning(found)
    if own is not None:
        is_image = isinstance(own.unet, GraphConfig) and own.unet.meaning.final == "none"
        meaning = OutputMeaning("none" if is_image else "probability", own.class_roles)
    config = ReadyMadeConfig(
        ndim=given.ndim,
        in_channels=found.in_channels,
        meaning=meaning,
        kind=program.kind,
        file=file,
        size_multiple=found.size_multiple if found.fixed_size is None else 1,
        size_rest=found.size_rest,
        size_loss_px=found.size_loss_px,
        reach_px=found.reach_px,
        sees_all=found.sees_all,
        fixed_size=found.fixed_size,
    )
    network = ReadyMadeNetwork(program, config).eval()
    if own is not None:
        return Network(network, replace(own, unet=config, guesses=()))
    normalization = Percentiles()
    usual = "The file does not tell; 0..1 is the most usual range."
    guesses = (normalization_guess(normalization, usual), *output_guesses(meaning, reason=reason))
    description = NetworkDescription(
        name, config, meaning.class_roles, normalization, guesses=guesses
    )
    return Network(network, description)


def _own_description(program: Program, channels: int) -> NetworkDescription | None:
    """What this project wrote into the file when it exported the network."""
    try:
        own = NetworkDescription.from_json(program.description)
    except CheckpointError:
        return None
    return own if len(own.class_roles) == channels else None


def _meaning(found: Probed) -> tuple[OutputMeaning, str]:
    """How the output is read, and the reason where its numbers were seen to tell it."""
    meaning = guessed_meaning(found.out_channels)
    if not found.is_probability:
        return meaning, ""
    reason = "All numbers that it gave out lie between 0 and 1."
    if found.out_channels == 2 and not found.adds_up:
        return OutputMeaning("probability", (CELL, BORDER)), reason
    return replace(meaning, final="probability"), reason
