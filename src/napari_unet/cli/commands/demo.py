"""Segment a bundled image of real cells: in napari where there is a screen, else into files."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.cli.console import report, say
from napari_unet.engine.base.words import count
from napari_unet.engine.networks.bundled import BUNDLED_MODELS, DEFAULT_MODEL, bundled_ancestor
from napari_unet.files.samples import load_sample, sample_files, sample_layers

if TYPE_CHECKING:
    from napari_unet.engine.networks.network import Network

_OWN_FOLDER = Path("napari-unet-demo")
_LABELS_NAME = "unet-demo-labels.tif"
_OVERLAY_NAME = "unet-demo-overlay.png"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        default=_OWN_FOLDER,
        help=f"folder for the files it writes without a screen (default: {_OWN_FOLDER})",
    )
    parser.add_argument(
        "--no-window", action="store_true", help="write files even if there is a screen"
    )
    bundled = ", ".join(row.name for row in BUNDLED_MODELS)
    parser.add_argument(
        "--model",
        default=DEFAULT_MODEL,
        help=f"a bundled model ({bundled}) or a model file (default: {DEFAULT_MODEL}); the image "
        "is of the kind that it learned on",
    )


def run(arguments: argparse.Namespace) -> int:
    """Show the sample segmented, or write what was found."""
    if not arguments.no_window and has_screen():
        if window_opens():
            return show_in_napari(arguments.model)
        say("napari cannot open a window here; writing files instead.")
    return write_files(arguments)


def has_screen() -> bool:
    """Whether windows can be expected to open."""
    if os.environ.get("QT_QPA_PLATFORM") in ("offscreen", "minimal"):
        return False
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def window_opens() -> bool:
    """Whether Qt starts: on a screen that is gone it ends the process, so another one tries."""
    trial = "from qtpy.QtWidgets import QApplication; QApplication([])"
    try:
        result = subprocess.run([sys.executable, "-c", trial], capture_output=True, timeout=60)
    except subprocess.TimeoutExpired:
        return False
    return result.returncode == 0


def show_in_napari(model: str) -> int:
    """Open napari with the sample and the Segment widget, which is at work on it."""
    import napari
    from napari.layers import Layer

    from napari_unet.session import shared_session

    sample = sample_of(shared_session().load(model))
    viewer = napari.Viewer(title="napari-unet demo")
    for layer in sample_layers(sample):
        viewer.add_layer(Layer.create(*layer))
    viewer.layers.selection.active = viewer.layers[sample]
    _, widget = viewer.window.add_plugin_dock_widget("napari-unet-cells", "Segment cells")
    widget.run()
    napari.run()
    return 0


def sample_of(network: Network) -> str:
    """Name of a bundled image of the kind that a model learned on."""
    return bundled_ancestor(network.description).samples[0]


def write_files(arguments: argparse.Namespace) -> int:
    """Segment the sample, write labels and overlay, and say how many cells were found."""
    from napari_unet.batch.file_plan import PlannedFile, check_writable
    from napari_unet.batch.images.entry import ImageEntry
    from napari_unet.batch.images.job import ImageJob
    from napari_unet.batch.settings import BatchSettings, ModelFile
    from napari_unet.engine.base.settings import SegmentationSettings
    from napari_unet.engine.labels.evaluation import evaluate
    from napari_unet.engine.models.checkpoint import load_checkpoint
    from napari_unet.files.images import read_labels

    check_writable(arguments.out)
    network = load_checkpoint(arguments.model)
    name = sample_of(network)
    planned = PlannedFile(
        sample_files(name)[0],
        arguments.out / _LABELS_NAME,
        {"overlay": arguments.out / _OVERLAY_NAME},
    )
    instances = network.description.instances
    batch = BatchSettings((ModelFile(arguments.model),), SegmentationSettings(), instances)
    # Files of these names are the demo's own.
    entry = ImageEntry(planned, batch.id, replaces=True)
    report(ImageJob((network,), batch)(entry, lambda _share: None).line)
    sample, found = load_sample(name), read_labels(planned.output).array
    score = evaluate(sample.labels, found, thresholds=(0.5,)).images[0]
    right = score.scores[0].true_positives
    report(
        f"{count(score.predicted_cells, 'cell')} found; a person saw {score.true_cells} in this "
        f"image, {right} of them match."
    )
    report(f"labels:  {planned.output}")
    report(f"overlay: {planned.extras['overlay']}")
    return 0
