"""Networks that come as a finished program: they segment and cannot learn."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_unet.engine.base.errors import CheckpointError, ImageShapeError
from napari_unet.engine.foreign.guesses import normalization_guess, output_guesses
from napari_unet.engine.foreign.model_file.contents import ModelFileKind
from napari_unet.engine.foreign.ready_made.probe import Probed, SizesSeen, probed
from napari_unet.engine.foreign.ready_made.program import Program, open_program
from napari_unet.engine.images.image import mirrored
from napari_unet.engine.images.normalization import Percentiles
from napari_unet.engine.networks.architecture import Architecture, NetworkModule
from napari_unet.engine.networks.class_roles import BORDER, CELL
from napari_unet.engine.networks.layer_sizes import Level, LevelSizes
from napari_unet.engine.networks.layers import Layer
from napari_unet.engine.networks.network import Network, NetworkDescription
from napari_unet.engine.networks.output_meaning import OutputMeaning, guessed_meaning

_WIDTH, _NUMBERS_PER_FEATURE = 64, 8
"""Features at full resolution, and arrays of that many kept at once, where neither is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyMadeConfig(SizesSeen):
    """Shape of a network whose layers are not known."""

    ndim: int
    """2 or 3 spatial axes."""
    meaning: OutputMeaning
    """Of its output channels."""
    kind: ModelFileKind
    file: str = ""
    """Where it comes from."""
    prelude: tuple[Layer, ...] = ()
    """What is done to each pixel before the program sees it."""

    @property
    def classes(self) -> int:
        return len(self.meaning.class_roles)

    @property
    def widths(self) -> tuple[int, ...]:
        """Features at full resolution, about; the levels are not known."""
        return (_WIDTH,)

    @property
    def levels(self) -> tuple[Level, ...]:
        """None: the layers are not known."""
        return ()

    def level_sizes(self, shape: Sequence[int]) -> tuple[LevelSizes, ...]:  # noqa: ARG002
        """None: the layers are not known."""
        return ()

    def read_as(self, meaning: OutputMeaning) -> ReadyMadeConfig:
        return replace(self, meaning=meaning)

    @property
    def sentence(self) -> str:
        sizes = "" if self.fixed_size is None else f" that reads {_by(self.fixed_size)} pixels"
        return f"{self.kind} program{sizes}"

    @property
    def inexact_because(self) -> str:
        if self.fixed_size is not None:
            return f"it reads no more than {_by(self.fixed_size)} pixels at once"
        if self.sees_all:
            return "each of its pixels depends a little on the whole tile"
        return f"how far it looks ({self.reach_px} pixels) was measured, not known"

    @property
    def is_trainable(self) -> bool:
        return False

    def along(self, axis: int) -> ReadyMadeConfig:  # noqa: ARG002
        """Itself: it reads all axes alike."""
        return self

    @property
    def margin_px(self) -> int:
        """Pixels beyond an output pixel, on each side, that were seen to change its value."""
        return self.reach_px

    @property
    def tile_overlap_px(self) -> int:
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
        return {**asdict(self), "kind": f"ready-made {self.kind}"}


def _by(sizes: Sequence[int]) -> str:
    return " x ".join(map(str, sizes))


class ReadyMadeNetwork(NetworkModule):
    """Lets a program of others compute class logits."""

    def __init__(self, program: Program, config: ReadyMadeConfig) -> None:
        super().__init__()
        self.program = program
        self.config: ReadyMadeConfig = config

    @property
    def memory_format(self) -> torch.memory_format:
        """As its author had it."""
        return torch.contiguous_format

    def forward(self, x: Tensor) -> Tensor:
        return self.config.meaning.class_logits(self.author_output(x))

    def author_output(self, x: Tensor) -> Tensor:
        """What the program gives out: (N, channels, *S')."""
        config = self.config
        x = x.float()
        for step in config.prelude:
            x = step.compute([x], None)
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
    lost, sizes = config.size_loss_px, image.shape[2:]
    for axis, (n, length) in enumerate(zip(sizes, window, strict=True), start=2):
        if n < length:
            index = torch.from_numpy(mirrored(np.arange(length), n))
            image = image.index_select(axis, index.to(image.device))
    axes = [
        _windows(n, length, lost, config.tile_overlap_px)
        for n, length in zip(image.shape[2:], window, strict=True)
    ]
    result: Tensor | None = None
    for parts in itertools.product(*axes):
        y = program(image[_spatial(read for read, _, _ in parts)])
        if result is None:
            result = y.new_empty(*y.shape[:2], *(n - lost for n in image.shape[2:]))
        kept = _spatial(place for _, place, _ in parts)
        result[kept] = y[_spatial(own for _, _, own in parts)]
    assert result is not None  # noqa: S101
    return result[_spatial(slice(n - lost) for n in sizes)]


def _spatial(parts: Iterable[slice]) -> tuple[slice, ...]:
    """Index of a part of (N, C, *S)."""
    return (slice(None), slice(None), *parts)


def _windows(size: int, window: int, lost: int, edge: int) -> list[tuple[slice, slice, slice]]:
    """Windows along an axis: what each reads, keeps in the result, and keeps of its own output."""
    starts = [*range(0, size - window, window - lost - 2 * edge), size - window]
    found = []
    for start in starts:
        # What another window sees better is left to that one.
        low = 0 if start == starts[0] else edge
        high = window - lost - (0 if start == starts[-1] else edge)
        part = (slice(start, start + window), slice(start + low, start + high), slice(low, high))
        found.append(part)
    return found


def load_ready_made(path: Path, *, kind: ModelFileKind, allow_code: bool) -> Network:
    """Open a network that comes as a program, find out what it computes, and describe it.

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
    program = open_program(path, kind=kind, allow_code=allow_code)
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
        own_meaning = own.architecture.meaning
        is_image = own_meaning is not None and own_meaning.final == "none"
        meaning = OutputMeaning("none" if is_image else "probability", own.class_roles)
    config = ReadyMadeConfig(
        **{field.name: getattr(found, field.name) for field in fields(SizesSeen)},
        ndim=given.ndim,
        meaning=meaning,
        kind=kind,
        file=str(path),
    )
    network = ReadyMadeNetwork(program, config).eval()
    if own is not None:
        return Network(network, replace(own, architecture=config, guesses=()))
    return Network(network, _guessed_description(path.stem, config, reason))


def _guessed_description(name: str, config: ReadyMadeConfig, reason: str) -> NetworkDescription:
    normalization = Percentiles()
    usual = "The file does not tell; 0..1 is the most usual range."
    guesses = (
        normalization_guess(normalization, usual),
        *output_guesses(config.meaning, reason=reason),
    )
    return NetworkDescription(
        name, config, config.meaning.class_roles, normalization, guesses=guesses
    )


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
