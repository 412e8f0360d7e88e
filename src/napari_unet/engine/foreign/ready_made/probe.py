"""What can be found out about a network of unknown layers by letting it compute small images."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from napari_unet.engine.base.errors import CheckpointError

Run = Callable[[Tensor], Tensor]
"""From one image (1, C, *S) to one output (1, C', *S')."""

# A program of somebody else refuses a size with whatever its author thought of.
_REFUSALS = (RuntimeError, ValueError, AssertionError, IndexError, TypeError, NotImplementedError)

_ALIKE = 1e-3
"""Of the largest output: below it two outputs are the same."""

_SEEN = 1e-6
"""Of the largest change: below it a pixel is out of sight."""

_FELT = 0.05
"""The same where everything is in sight, because a layer measures the image as a whole."""

# Short axes that are tried in turn: small ones are quick, unpadded networks need large ones.
_SHORT = {2: (32, 64, 128, 256), 3: (16, 32, 64)}
_LONG = {2: 512, 3: 128}
_SIDES = {2: (64, 128, 224, 256, 320, 384, 512, 572, 1024), 3: (32, 48, 64, 96, 128)}
_MOST_MULTIPLE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class SizesSeen:
    """What a network of unknown layers was seen to read."""

    in_channels: int
    size_multiple: int = 1
    """Shift of the input, in pixels, that shifts the output alike."""
    size_rest: int = 0
    """Sizes that it reads leave this rest when divided by `size_multiple`."""
    size_loss_px: int = 0
    """Input size minus output size."""
    reach_px: int = 0
    """How far from an output pixel the input was seen to change it."""
    sees_all: bool = False
    """Whether every output pixel depends a little on all of the image."""
    fixed_size: tuple[int, ...] | None = None
    """The one size that it reads; larger images are then computed in overlapping windows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed(SizesSeen):
    """All that a network of unknown layers was seen to do."""

    out_channels: int
    is_probability: bool
    """Whether all its numbers lie between 0 and 1."""
    adds_up: bool
    """Whether the channels of each pixel add up to 1."""


def probed(
    run: Run,
    *,
    ndim: int,
    in_channels: Sequence[int],
    fixed_size: Sequence[int] | None = None,
    seconds: float = 1.5,
) -> Probed:
    """Find out what a network reads and how far it looks.

    Parameters
    ----------
    ndim : int
        Spatial axes, 2 or 3.
    in_channels : sequence of int
        Numbers of channels to try, likely ones first.
    fixed_size : sequence of int, optional
        The one size that it reads, if that is known.
    seconds : float
        After that nothing more is refined; what is not known then is taken
        to be the safe side.

    Raises
    ------
    CheckpointError
        If it computes no image of any size that was tried.
    """
    probe, refusal = _Probe(run, seconds), ""
    free = [(*(short,) * (ndim - 1), _LONG[ndim]) for short in _SHORT[ndim]]
    fixed = [(side,) * ndim for side in _SIDES[ndim]]
    if fixed_size is not None:
        free, fixed = [], [tuple(fixed_size)]
    for channels in in_channels:
        for sizes in free:
            found = probe.look(channels, sizes)
            if found is not None:
                return probe.refined(found, sizes)
        for sizes in fixed:
            if not probe.has_time(8):
                break
            found = probe.look(channels, sizes)
            if found is not None:
                return replace(found, fixed_size=sizes, size_multiple=1)
        refusal = refusal or probe.refusal
    reads = " or ".join(map(str, in_channels))
    raise CheckpointError(
        f"The network computes no image of {reads} channels in any size that was tried "
        f"({refusal}); it is no U-Net that can be used here, or it reads one unusual size. "
        "Export it with free image sizes."
    )


class _Probe:
    """Runs a network on noise; after so many seconds nothing more is refined."""

    def __init__(self, run: Run, seconds: float) -> None:
        self._run, self._seconds = run, seconds
        self._started = time.monotonic()
        self._generator = torch.Generator().manual_seed(0)
        self.refusal = ""

    def look(self, channels: int, sizes: tuple[int, ...]) -> Probed | None:
        """Describe the network by what it makes of one size; None if it refuses that."""
        output = self._output(self._noise(channels, sizes))
        if output is None:
            return None
        lost = sizes[-1] - output.shape[-1]
        reach, sees_all = self._reach(channels, sizes, lost)
        total = output.sum(dim=1)
        return Probed(
            in_channels=channels,
            out_channels=output.shape[1],
            size_multiple=min(sizes[0], _MOST_MULTIPLE),
            size_loss_px=lost,
            reach_px=reach,
            sees_all=sees_all,
            is_probability=bool(output.min() >= 0 and output.max() <= 1),
            adds_up=bool(torch.allclose(total, torch.ones_like(total), atol=1e-3)),
        )

    def refined(self, probed: Probed, sizes: tuple[int, ...]) -> Probed:
        """Find the smallest shift that shifts the output alike, and the sizes without loss."""
        multiple = probed.size_multiple
        while multiple > 1 and self.has_time() and self._shifts(probed, sizes, multiple // 2):
            multiple //= 2
        rest, least = 0, probed.size_loss_px
        if least:
            # Unpadded networks round odd sizes down, and are then off by the rest.
            for more in range(2, multiple, 2):
                larger = tuple(n + more for n in sizes)
                output = self._output(self._noise(probed.in_channels, larger))
                if output is not None and larger[-1] - output.shape[-1] < least:
                    rest, least = more, larger[-1] - output.shape[-1]
                if not self.has_time(8):
                    break
        return replace(probed, size_multiple=multiple, size_rest=rest, size_loss_px=least)

    def has_time(self, times: float = 1.0) -> bool:
        """Whether the seconds, so many times over, have not passed."""
        return time.monotonic() - self._started < times * self._seconds

    def _noise(self, channels: int, sizes: Sequence[int]) -> Tensor:
        return torch.randn(1, channels, *sizes, generator=self._generator)

    def _output(self, x: Tensor) -> Tensor | None:
        """What the network makes of an image; None if it refuses or gives no such image."""
        try:
            with torch.no_grad():
                y = self._run(x)
        except _REFUSALS as error:
            lines = str(error).strip().splitlines()
            self.refusal = lines[-1].strip()[:200] if lines else type(error).__name__
            return None
        lost = {a - b for a, b in zip(x.shape[2:], y.shape[2:], strict=False)}
        if y.ndim != x.ndim or len(lost) != 1 or min(lost) < 0 or max(lost) % 2:
            self.refusal = f"{tuple(x.shape)} becomes {tuple(y.shape)}"
            return None
        return y

    def _reach(self, channels: int, sizes: Sequence[int], lost: int) -> tuple[int, bool]:
        """How far a change is felt along the last axis, and whether it is everywhere."""
        middle = sizes[-1] // 2
        image, other = self._noise(channels, sizes), self._noise(channels, sizes)
        before = self._output(image)
        reach, sees_all = 0, False
        for half in (slice(0, middle), slice(middle, None)):
            changed = image.clone()
            changed[..., half] = other[..., half]
            after = self._output(changed)
            if before is None or after is None:
                return middle, True
            change = (after - before).abs().flatten(0, -2).amax(dim=0)
            edge = middle - lost // 2
            if half.start == 0:
                change, edge = change.flip(0), len(change) - edge
            # Up to the edge the input is as it was; what changed there saw beyond it.
            distance = _distance(change, edge, _SEEN)
            if distance >= edge - 1:
                sees_all, distance = True, _distance(change, edge, _FELT)
            reach = max(reach, distance)
        return reach, sees_all

    def _shifts(self, probed: Probed, sizes: tuple[int, ...], shift: int) -> bool:
        """Whether an input that is shifted gives the same output, shifted."""
        image = self._noise(probed.in_channels, (*sizes[:-1], sizes[-1] + shift))
        whole, part = self._output(image), self._output(image[..., shift:])
        inside = probed.reach_px
        if whole is None or part is None or probed.sees_all or 2 * inside >= part.shape[-1]:
            return False
        whole = whole[..., shift:]
        return whole.shape == part.shape and torch.allclose(
            whole[..., inside:], part[..., inside:], rtol=0, atol=_ALIKE * float(part.abs().max())
        )


def _distance(change: Tensor, edge: int, share: float) -> int:
    """Pixels from the edge back to the first one that changed by a share of the most."""
    seen = torch.nonzero(change[:edge] > share * float(change.max()))
    return edge - int(seen.min()) if len(seen) else 0
