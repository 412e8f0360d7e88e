"""Time to recognise and load another program's weights, beside torch loading what it knows."""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_unet import load_checkpoint

SIZES_MB = {2: 8, 31: 32, 124: 64}
"""Megabytes of a file, and the width at full resolution that makes them."""

GOAL = 1.5


class Block(nn.Module):
    """Two convolutions, each with batch norm and ReLU."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(before, after, 3, padding=1),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1),
            nn.BatchNorm2d(after),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, after, H, W)."""
        y: Tensor = self.layers(x)
        return y


class PlainUNet(nn.Module):
    """The U-Net of the paper as a lab writes it, padded, with four poolings.

    Parameters
    ----------
    width : int
        Features at full resolution.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(5)]
        self.descent = nn.ModuleList(
            Block(a, b) for a, b in zip([1, *widths[:-1]], widths, strict=True)
        )
        pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.enlarge = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, 2) for a, b in pairs)
        self.ascent = nn.ModuleList(Block(a, b) for a, b in pairs)
        self.score = nn.Conv2d(width, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, 2, H, W)."""
        skips = []
        for number, block in enumerate(self.descent):
            x = block(functional.max_pool2d(x, 2) if number else x)
            skips.append(x)
        for enlarge, block, skip in zip(self.enlarge, self.ascent, skips[-2::-1], strict=True):
            x = block(torch.cat((enlarge(x), skip), 1))
        y: Tensor = self.score(x)
        return y


def seconds(action: Callable[[], object], *, times: int) -> float:
    """Median duration of an action; the first time, which fills caches, does not count."""
    action()
    found = []
    for _ in range(times):
        start = time.perf_counter()
        action()
        found.append(time.perf_counter() - start)
    return statistics.median(found)


def main() -> None:
    """Print one line for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=9, help="repetitions (default: 9)")
    times = parser.parse_args().times
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, median of {times}")
    print("file       torch.load + load_state_dict   recognised and loaded   ratio   goal")
    with tempfile.TemporaryDirectory() as folder:
        for megabytes, width in SIZES_MB.items():
            path = Path(folder) / f"{megabytes}.pt"
            reference = PlainUNet(width)
            torch.save(reference.state_dict(), path)

            def plain(path: Path = path, reference: nn.Module = reference) -> None:
                reference.load_state_dict(torch.load(path, weights_only=True))

            plain_s = seconds(plain, times=times)
            ours_s = seconds(lambda path=path: load_checkpoint(path), times=times)  # type: ignore[misc]
            x = torch.randn(1, 1, 32, 32)
            with torch.no_grad():
                network = load_checkpoint(path)
                difference = (reference.eval()(x) - network.unet(x)).abs().max().item()
            assert difference < 1e-4, difference
            ratio = ours_s / plain_s
            outcome = "reached" if ratio <= GOAL else "missed"
            print(
                f"{path.stat().st_size / 1e6:6.1f} MB  {plain_s * 1e3:26.1f} ms"
                f"  {ours_s * 1e3:19.1f} ms   {ratio:5.2f}   <= {GOAL} {outcome}"
            )


if __name__ == "__main__":
    main()
