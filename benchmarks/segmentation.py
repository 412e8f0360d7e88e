"""Measure segmentation against the usual ways to run the same network, beside its goals.

    python benchmarks/segmentation.py            # everything; tens of minutes on two cores
    python benchmarks/segmentation.py --quick    # a smaller image, once

Contenders take turns, and a ratio is the median over the rounds, so that a
machine that gets slower meanwhile does not favour anybody. MONAI and
bioimageio.core come with the extra `bench`; without them their rows are left out.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from goals import MIB, Row, at_least, at_most, peak_bytes, print_table, ratio, take_turns
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from napari_unet import UNetError, bundled_models, load_checkpoint, segment
from napari_unet.engine.base.device import cpu_has_fast_bfloat16
from napari_unet.engine.images.normalization import IntensityScaling
from napari_unet.engine.images.source import ImageSource
from napari_unet.engine.labels.evaluation import evaluate
from napari_unet.engine.networks.network import Network
from napari_unet.engine.networks.unet import UNet, UNetConfig
from napari_unet.engine.segmentation.bands import BAND_VALUES, BandedUNet
from napari_unet.engine.segmentation.instances import instances_from_scores
from napari_unet.engine.segmentation.tiling import (
    automatic_tile_px,
    axis_tile,
    predict_tiles,
    split_axis,
)

CPU = torch.device("cpu")
CONFIG = UNetConfig(base_width=32)
CORE_PX, HALO_PX = 512, 96
SAMPLES = ("large.png", "fluorescence.png", "crowded.png", "histology.png", "brightfield.png")


def randomised() -> UNet:
    """The network that is timed; its weights do not matter."""
    torch.manual_seed(0)
    return UNet(CONFIG).eval()


def random_image(size: int) -> np.ndarray:
    """A uint8 image that does not matter either."""
    return np.random.default_rng(0).integers(0, 255, (size, size), np.uint8)


def source_of(image: np.ndarray) -> ImageSource:
    """The image as tiling reads it."""
    return ImageSource(image[np.newaxis], 1, IntensityScaling(0.0, 1 / 255))


# Time: every contender gets the normalised image and returns scores (2, H, W).


def ours(unet: UNet, image: np.ndarray, dtype: torch.dtype) -> Callable[[], np.ndarray]:
    """Exact tiles at the automatic size."""
    fused = unet.fused(CPU, dtype)

    def compute() -> np.ndarray:
        scores = np.empty((CONFIG.classes, *image.shape), np.float32)
        for tile in predict_tiles(source_of(image), BandedUNet(fused)):
            scores[(slice(None), *tile.region)] = tile.scores
        return scores

    return compute


def whole(network: torch.nn.Module, image: np.ndarray, **layout: Any) -> Callable[[], np.ndarray]:
    """One forward of the whole image, in the layout given."""
    x = torch.from_numpy(image.astype(np.float32) / 255)[None, None].to(**layout)

    def compute() -> np.ndarray:
        with torch.inference_mode():
            return torch.softmax(network(x).float(), 1)[0].numpy()

    return compute


def monai_window(unet: UNet, image: np.ndarray) -> Callable[[], np.ndarray]:
    """MONAI's sliding window at its default overlap, which is not exact."""
    from monai.inferers import sliding_window_inference

    x = torch.from_numpy(image.astype(np.float32) / 255)[None, None]

    def compute() -> np.ndarray:
        with torch.inference_mode():
            logits = sliding_window_inference(x, CORE_PX, 1, unet, overlap=0.25)
            assert isinstance(logits, Tensor)
            return torch.softmax(logits, 1)[0].numpy()

    return compute


def bioimageio_blocks(unet: UNet, image: np.ndarray, folder: Path) -> Callable[[], np.ndarray]:
    """Its own prediction pipeline on the same network, as TorchScript, with our exact halo."""
    from bioimageio.core import Sample, create_prediction_pipeline
    from bioimageio.core import Tensor as NamedTensor

    block = CORE_PX + 2 * HALO_PX
    pipeline = create_prediction_pipeline(
        bioimageio_description(unet, block, folder), devices=["cpu"], weights_format="torchscript"
    )
    x = (image.astype(np.float32) / 255)[None, None]
    dims = ("batch", "channel", "y", "x")

    def compute() -> np.ndarray:
        sample = Sample(members={"raw": NamedTensor.from_numpy(x, dims=dims)}, stat={}, id="image")
        shape = {"raw": dict(zip(dims, (1, 1, block, block), strict=True))}
        with contextlib.redirect_stderr(io.StringIO()):  # its bar would cut through the table
            predicted = pipeline.predict_sample_with_fixed_blocking(sample, shape)
        logits = torch.from_numpy(np.asarray(predicted.members["scores"].data))
        return torch.softmax(logits, 1)[0].numpy()

    return compute


def bioimageio_description(unet: UNet, block: int, folder: Path) -> Any:
    """Describe the network to bioimageio.core, with the files that it wants."""
    from bioimageio.spec.common import FileDescr
    from bioimageio.spec.model import v0_5

    torch.jit.trace(unet, torch.zeros(1, 1, block, block)).save(str(folder / "network.pt"))
    for name, channels in (("raw", 1), ("scores", CONFIG.classes)):
        np.save(folder / f"{name}.npy", np.zeros((1, channels, block, block), np.float32))
    (folder / "README.md").write_text("# Benchmark\n## Validation\nNone.\n", encoding="utf-8")
    real = v0_5.IntervalOrRatioDataDescr(type="float32")
    size = v0_5.ParameterizedSize(min=block, step=CONFIG.size_multiple)
    raw = v0_5.InputTensorDescr(
        id="raw",
        axes=[
            v0_5.BatchAxis(),
            v0_5.ChannelAxis(channel_names=["grey"]),
            *(v0_5.SpaceInputAxis(id=axis, size=size) for axis in "yx"),
        ],
        test_tensor=FileDescr(source=folder / "raw.npy"),
        data=real,
    )
    scores = v0_5.OutputTensorDescr(
        id="scores",
        axes=[
            v0_5.BatchAxis(),
            v0_5.ChannelAxis(channel_names=["background", "cell"]),
            *(
                v0_5.SpaceOutputAxisWithHalo(
                    id=axis, halo=HALO_PX, size=v0_5.SizeReference(tensor_id="raw", axis_id=axis)
                )
                for axis in "yx"
            ),
        ],
        test_tensor=FileDescr(source=folder / "scores.npy"),
        data=real,
    )
    weights = v0_5.TorchscriptWeightsDescr(
        source=folder / "network.pt", pytorch_version=v0_5.Version("2.6")
    )
    # Unchecked: checking wants a model that is ready to be published.
    return v0_5.ModelDescr.model_construct(
        name="benchmark",
        description="The benchmark's network",
        authors=[v0_5.Author(name="benchmark")],
        cite=[v0_5.CiteEntry(text="Ronneberger et al.", doi="10.1007/978-3-319-24574-4_28")],
        license="BSD-3-Clause",
        documentation=FileDescr(source=folder / "README.md"),
        inputs=[raw],
        outputs=[scores],
        weights=v0_5.WeightsDescr(torchscript=weights),
    )


def time_rows(size: int, rounds: int, folder: Path) -> Iterator[Row]:
    """Speed at one image size."""
    unet, image = randomised(), random_image(size)
    channels_last = {"memory_format": torch.channels_last}
    contenders = {
        "ours": ours(unet, image, torch.float32),
        "tuned whole": whole(unet.fused(CPU), image, **channels_last),
        "plain whole": whole(unet, image),
    }
    if importlib.util.find_spec("monai"):
        contenders["MONAI"] = monai_window(unet, image)
    if importlib.util.find_spec("bioimageio.core"):
        contenders["bioimageio.core"] = bioimageio_blocks(unet, image, folder)
    if cpu_has_fast_bfloat16():
        contenders["ours, bfloat16"] = ours(unet, image, torch.bfloat16)
        half = {"dtype": torch.bfloat16, **channels_last}
        contenders["tuned whole, bfloat16"] = whole(unet.fused(CPU, torch.bfloat16), image, **half)
    difference = np.abs(contenders["ours"]() - contenders["plain whole"]()).max()
    yield at_most("largest difference of a score from the whole image's", difference, 1e-4, "")
    tile_px = automatic_tile_px(BandedUNet(unet.fused(CPU)), image.shape)
    yield Row("automatic tile", f"{tile_px} px")
    seconds = take_turns(contenders, rounds, time.perf_counter)
    for name, times in seconds.items():
        median = statistics.median(times)
        yield Row(f"{name}, {size} x {size}", f"{median:.2f} s, {size**2 / median / 1e6:.2f} Mpx/s")
    yield at_most("ours / tuned whole", ratio(seconds, "ours", "tuned whole"), 1.10)
    yield at_most("ours / plain whole", ratio(seconds, "ours", "plain whole"), 0.5)
    for name in ("MONAI", "bioimageio.core"):
        if name in seconds:
            yield at_least(f"{name} / ours", ratio(seconds, name, "ours"), 2.5)
    if "ours, bfloat16" in seconds:
        yield at_least("float32 / bfloat16", ratio(seconds, "ours", "ours, bfloat16"), 1.8)
        name = "tuned whole, bfloat16"
        yield Row("ours / tuned whole, bfloat16", f"{ratio(seconds, 'ours, bfloat16', name):.2f} x")


# Arithmetic, counted on tensors without memory.


def arithmetic_rows(size: int) -> Iterator[Row]:
    """Operations of all tiles beside those of the whole image."""
    meta = torch.device("meta")
    unet = UNet(CONFIG).to(meta).fused(meta)
    tile_px = automatic_tile_px(BandedUNet(randomised().fused(CPU)), (size, size))

    def operations(compute: Callable[[], Tensor]) -> int:
        with FlopCounterMode(display=False) as counter:
            compute()
        return counter.get_total_flops()

    axis = [
        axis_tile(CONFIG, size, *piece) for piece in split_axis(size, tile_px, CONFIG.size_multiple)
    ]
    counted: dict[tuple[Any, ...], int] = {}
    total = 0
    # The bands of the CPU are counted, too.
    banded = BandedUNet(unet, band_values=BAND_VALUES)
    for rows in axis:
        for columns in axis:
            lengths = tuple(stop - start for start, stop in (rows.read, columns.read))
            key = (*lengths, rows.crop, columns.crop)
            if key not in counted:
                x = torch.empty(1, 1, *lengths, device=meta)
                crops = (rows.crop, columns.crop)
                counted[key] = operations(lambda x=x, crops=crops: banded(x, crops=crops))
            total += counted[key]
    once = operations(lambda: unet(torch.empty(1, 1, size, size, device=meta)))
    yield at_most(f"arithmetic / whole image's, {size} x {size}", total / once, 1.2)


# Memory, in a process of its own.


def measure_memory(size: int) -> int:
    """Peak bytes above the model and the image, at core 512, with the output streamed."""
    import psutil

    network = randomised().fused(CPU)
    image = random_image(size)
    before = psutil.Process().memory_info().rss
    peak_before = peak_bytes()
    for _ in predict_tiles(source_of(image), BandedUNet(network), tile_px=CORE_PX):
        pass
    # A process without a higher peak has not needed more than it once had.
    return max(peak_bytes(), peak_before) - before


def memory_rows(sizes: tuple[int, int]) -> Iterator[Row]:
    """Peak memory at two image sizes."""
    if sys.platform == "win32":
        return
    peaks = []
    for size in sizes:
        command = [sys.executable, __file__, "--memory-of", str(size)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        peaks.append(int(json.loads(output)) / MIB)
        yield at_most(
            f"memory above model and image, core 512, {size} x {size}", peaks[-1], 450, "MiB"
        )
    growth = 100 * (peaks[1] / peaks[0] - 1)
    yield at_most(f"growth of memory, {sizes[0]} to {sizes[1]}", growth, 30, "%")


# Real images and the bundled model.


def bundled_network() -> Network | None:
    """The bundled model, if it is there."""
    if "nuclei" not in bundled_models():
        print("The model 'nuclei' is not bundled: rows on real images are left out.")
        return None
    return load_checkpoint("nuclei")


def sample_images() -> dict[str, np.ndarray]:
    """Real images that come with the package."""
    import napari_unet
    from napari_unet.files.images import read_image

    folder = Path(napari_unet.__file__).parent / "bundled" / "samples" / "images"
    return {name: read_image(folder / name).array for name in SAMPLES}


def agreement_rows(network: Network) -> Iterator[Row]:
    """Whether bfloat16 finds the cells that float32 finds."""
    if not cpu_has_fast_bfloat16():
        return
    truths, others, differing = [], [], []
    for image in sample_images().values():
        exact = segment(image, network, device="cpu", precision="float32").labels
        half = segment(image, network, device="cpu", precision="bfloat16").labels
        truths.append(exact)
        others.append(half)
        differing.append(np.mean((exact > 0) != (half > 0)))
    agreement = evaluate(truths, others)
    yield at_least(
        "cells of float32 found by bfloat16, AP at IoU 0.9",
        agreement.pooled(0.9).average_precision,
        0.98,
        "",
    )
    counts = [sum(int(labels.max()) for labels in side) for side in (truths, others)]
    yield Row("cells on the samples, float32 and bfloat16", f"{counts[0]} and {counts[1]}")
    yield Row("pixels that change side", f"{100 * np.mean(differing):.3f} %")


def tiled_sample(size: int) -> np.ndarray:
    """A real image, repeated mirrored to `size`."""
    image = sample_images()["large.png"]
    padding = [(0, max(0, size - n)) for n in image.shape[:2]]
    padding += [(0, 0)] * (image.ndim - 2)
    return np.pad(image, padding, mode="symmetric")[:size, :size]


def instance_rows(network: Network, size: int, rounds: int) -> Iterator[Row]:
    """Share of making instances from scores, on a real image."""
    image = tiled_sample(size)
    roles, settings = network.description.class_roles, network.description.instances
    result = segment(image, network, device="cpu")
    scores = result.scores
    assert scores is not None
    yield Row(f"cells on a real image, {size} x {size}", str(result.cell_count))
    seconds = take_turns(
        {
            "end to end": lambda: segment(image, network, device="cpu").labels,
            "instances": lambda: instances_from_scores(scores, roles, settings),
        },
        rounds,
        time.perf_counter,
    )
    for name, times in seconds.items():
        yield Row(f"{name}, bundled model", f"{statistics.median(times):.2f} s")
    # Reading and normalising counts as the network's here: it takes a few hundredths.
    shares = [
        100 * instances / (total - instances)
        for instances, total in zip(seconds["instances"], seconds["end to end"], strict=True)
    ]
    yield at_most("instances / network", statistics.median(shares), 15, "%")


def gpu_rows(network: Network, size: int, rounds: int) -> Iterator[Row]:
    """Array in, labels out on a GPU, and the share outside of the network."""
    if not torch.cuda.is_available():
        return
    image = tiled_sample(size)
    device = torch.device("cuda")
    fused = network.for_inference(device, torch.float16)
    x = torch.rand(1, network.unet.config.in_channels, size, size, device=device)
    x = x.to(torch.float16, memory_format=torch.channels_last)

    def network_alone() -> np.ndarray:
        with torch.inference_mode():
            fused(x)
        torch.cuda.synchronize()
        return np.empty(0)

    seconds = take_turns(
        {
            "end to end": lambda: segment(image, network, device="cuda").labels,
            "network": network_alone,
        },
        rounds,
        time.perf_counter,
    )
    name = torch.cuda.get_device_name(device)
    total, alone = (statistics.median(times) for times in seconds.values())
    yield Row(f"end to end, {size} x {size}, {name}, float16", f"{1000 * total:.0f} ms")
    yield Row("of this outside of the network", f"{100 * (1 - alone / total):.0f} %")


def all_rows(arguments: argparse.Namespace, folder: Path) -> Iterator[Row]:
    """Everything, the quick parts first."""
    size, rounds = (1024, 1) if arguments.quick else (2048, arguments.rounds)
    yield from arithmetic_rows(8192)
    yield from memory_rows((1024, 2048) if arguments.quick else (2048, 8192))
    network = bundled_network()
    if network is not None:
        yield from agreement_rows(network)
        yield from instance_rows(network, size, rounds)
        yield from gpu_rows(network, size, rounds)
    yield from time_rows(size, rounds, folder)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Measure segmentation beside its goals.")
    parser.add_argument("--quick", action="store_true", help="a smaller image, once")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each contender")
    parser.add_argument("--memory-of", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory_of is not None:
        print(json.dumps(measure_memory(arguments.memory_of)))
        return 0
    try:
        with tempfile.TemporaryDirectory() as folder:
            return 0 if print_table(all_rows(arguments, Path(folder)), name_width=58) else 1
    except UNetError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
