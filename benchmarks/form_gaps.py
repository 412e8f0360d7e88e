"""Measure how long the window does not answer in Evaluate, Measure, Batch and Tracks.

    python benchmarks/form_gaps.py [--before SRC] [--only evaluate measure ...] [--rounds 3]

A row for each moment: the longest time in which the event loop did not come round, and how much of
it the Qt thread computed; on a busy machine it waits for a processor otherwise. `--before` is the
`src` folder of another checkout, of which the same is measured in turn, in a column beside it.
*napari* is what napari alone needs for the same layers. Every part runs in a real window in a fresh
process; where there is no display, in a virtual one whose OpenGL the processor computes, so that
drawing costs much more than with a graphics card. 4096 x 4096 pixels with 10,000 cells, a film of
20 frames of 512 x 512, and a batch of three samples.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from evaluating import result_of
from event_loop import LONG_S, Watch, spend, wait_until
from measuring import discs
from tracking import jittering_discs

PLUGIN = "napari-unet-cells"
WITH_DISPLAY = Path(__file__).parent.parent / "scripts" / "with_display.sh"
SIDE, CELLS, FRAMES = 4096, 10_000, 20
_SETTLED_S = 1.5
_CAUSES_SHOWN = 2
NAPARI = "napari"


class Moments:
    """What was measured in this process, by name."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, Any]] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Measure what is done in this context, and what is drawn after it."""
        with Watch() as watch:
            yield
            spend(0.5)
        gaps = sorted(watch.gaps, key=lambda gap: -gap.seconds)
        computing_s = max((gap.cpu_s for gap in gaps), default=min(watch.longest_s, LONG_S))
        causes = [str(gap) for gap in gaps[:_CAUSES_SHOWN]]
        if watch.longest_s > self.found.get(name, {}).get("s", 0):
            found = {"s": watch.longest_s, "computing": computing_s, "causes": causes}
            self.found[name] = found


def window(*layers: tuple[str, np.ndarray]) -> Any:
    """Open a viewer with layers of labels, once it has been drawn."""
    import napari

    viewer = napari.Viewer()
    for name, labels in layers:
        viewer.add_labels(labels, name=name)
    spend(_SETTLED_S)
    return viewer


def opened(viewer: Any, name: str) -> Any:
    """Dock a widget, once what it prepares is ready."""
    from napari_unet.viewer.commands import open_widget
    from napari_unet.viewer.warm_up import preparation

    widget = open_widget(viewer, name)
    assert wait_until(lambda: preparation._thread is None)
    spend(_SETTLED_S)
    return widget


def measure_napari(moments: Moments) -> None:
    """Do with napari alone what the forms do: layers are added and get colours."""
    from napari.layers import Tracks
    from napari.utils.colormaps import CyclicLabelColormap

    labels = discs(SIDE, CELLS)
    viewer = window(("cells", labels))
    with moments("the errors are shown for the first time"):
        viewer.add_labels((labels > 0).astype(np.uint8), name="kinds")
    viewer.layers.pop()
    spend(0.5)
    table = np.random.default_rng(0).random((CELLS + 1024, 4), np.float32)
    with moments("cells get the colours of a column"):
        viewer.layers[0].colormap = CyclicLabelColormap(colors=table)
    viewer.layers.clear()
    film = jittering_discs(400, FRAMES)
    viewer.add_labels(film)
    spend(0.5)
    frames, numbers = np.repeat(np.arange(FRAMES), 400), np.tile(np.arange(400), FRAMES)
    order = np.argsort(numbers, kind="stable")
    places = np.random.default_rng(0).random((frames.size, 2)) * film.shape[1]
    with moments("the tracks are shown"):
        viewer.add_labels(film.copy())
        viewer.add_layer(Tracks(np.column_stack([numbers, frames, places])[order]))
    viewer.layers.clear()
    image = np.random.default_rng(0).integers(0, 255, (1024, 1024), np.uint8)
    with moments("a result is opened"):
        viewer.add_image(image)
        viewer.add_labels(np.zeros(image.shape, np.int32))
    with moments("the next result is opened"):
        viewer.layers.pop()
        viewer.layers.pop()
        viewer.add_image(image)
        viewer.add_labels(np.zeros(image.shape, np.int32))


def measure_evaluate(moments: Moments) -> None:
    """Compare two layers twice."""
    truth = discs(SIDE, CELLS)
    viewer = window(("truth", truth), ("cells", result_of(truth)))
    widget = opened(viewer, "Evaluate")
    for when in ("for the first time", "again"):
        with moments(f"the errors are shown {when}"):
            widget.button.click()
            assert wait_until(lambda: not widget.job.is_running)
            wait_until(lambda: widget.curve.has_plots, timeout_s=10)


def measure_measure(moments: Moments) -> None:
    """Measure, colour by two columns, and fade all but some cells."""
    viewer = window(("cells", discs(SIDE, CELLS)))
    widget = opened(viewer, "Measure")
    with moments("cells are measured"):
        widget.button.click()
        assert wait_until(lambda: not widget.job.is_running)
    box = widget.colours.column_box
    with moments("cells get the colours of a column"):
        box.choose_value("area_px2")
    with moments("cells get the colours of another column"):
        box.choose_value("solidity")
    with moments("all cells but some fade"):
        widget.table.choose_all(np.arange(1, 500))


def measure_batch(moments: Moments) -> None:
    """Segment three files, and open two of the results."""
    import tifffile

    from napari_unet.files.samples import load_sample

    with tempfile.TemporaryDirectory() as folder:
        for name in ("crowded", "fluorescence", "large"):
            tifffile.imwrite(Path(folder) / f"{name}.tif", load_sample(name).image)
        viewer = window()
        widget = opened(viewer, "Batch")
        widget._on_files_chosen([Path(folder)])
        assert wait_until(lambda: widget.table.images.rowCount() == 3)
        spend(0.5)
        with moments("Run of a batch"):
            widget.panel.button.click()
            assert wait_until(lambda: not widget.panel.is_running)
        rows = widget.table.images.rows
        for row in range(3):
            entry = rows[row].entry
            begin = f"'{entry.planned.title}': "
            with moments("the next result is opened" if row else "a result is opened"):
                widget.table.entry_chosen.emit(entry)
                assert wait_until(lambda begin=begin: widget.panel.message.startswith(begin))


def measure_tracks(moments: Moments) -> None:
    """Follow the cells of a film twice."""
    viewer = window(("film", jittering_discs(400, FRAMES)))
    widget = opened(viewer, "Tracks")
    for when in ("", " again"):
        with moments(f"the tracks are shown{when}"):
            widget.panel.button.click()
            assert wait_until(lambda: not widget.job.is_running)
            wait_until(lambda: widget.plot.has_plots, timeout_s=10)


PARTS: dict[str, Callable[[Moments], None]] = {
    NAPARI: measure_napari,
    "evaluate": measure_evaluate,
    "measure": measure_measure,
    "batch": measure_batch,
    "tracks": measure_tracks,
}


def in_fresh_process(part: str, source: Path | None) -> dict[str, dict[str, Any]]:
    """Measure a part with this checkout, or with the `src` of another one."""
    paths = [*([] if source is None else [str(source)]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command = [sys.executable, __file__, "--part", part]
    result = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, env=environment, timeout=600
    )
    found: dict[str, dict[str, Any]] = json.loads(result.stdout.splitlines()[-1])
    return found


def quickest(part: str, sources: list[Path | None], rounds: int) -> list[dict[str, Any]]:
    """Measure a part with each source in turn; of all rounds the shortest pause of each moment."""
    best: list[dict[str, Any]] = [{} for _ in sources]
    for _ in range(rounds):
        for kept, source in zip(best, sources, strict=True):
            for name, moment in in_fresh_process(part, source).items():
                if name not in kept or moment["s"] < kept[name]["s"]:
                    kept[name] = moment
    return best


def told(moment: dict[str, Any] | None) -> str:
    """Say how long the pause was, and how much of it the Qt thread computed."""
    if moment is None:
        return f"{'':14}"
    return f"{1000 * moment['s']:7.0f} ({1000 * moment['computing']:4.0f})"


def print_part(part: str, arguments: argparse.Namespace, floor: dict[str, Any]) -> None:
    """Print a row for each moment of a part."""
    sources = [None] if arguments.before is None else [None, arguments.before]
    now, *before = quickest(part, sources, arguments.rounds)
    earlier = before[0] if before else {}
    for name, moment in now.items():
        cells = (earlier.get(name), moment, floor.get(name))
        print(f"{part:<9} {name:<42}{''.join(map(told, cells))}", flush=True)
        for cause in moment["causes"] if arguments.causes and moment["s"] > LONG_S else ():
            print(f"        {cause}", flush=True)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, help="the src folder of another checkout")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=3, help="the quickest of so many counts")
    parser.add_argument("--causes", action="store_true", help="tell what ran meanwhile")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if sys.platform == "linux" and not {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys():
        command = [str(WITH_DISPLAY), sys.executable, __file__, *sys.argv[1:]]
        return subprocess.run(command, check=False).returncode
    if arguments.part:
        moments = Moments()
        PARTS[arguments.part](moments)
        print(json.dumps(moments.found), flush=True)
        os._exit(0)
    heads = "".join(f"{head:>14}" for head in ("before", "now", "napari"))
    print(f"{'longest pause in ms (of which is computed)':<52}{heads}")
    floor = quickest(NAPARI, [None], arguments.rounds)[0] if NAPARI in arguments.only else {}
    for part in arguments.only:
        if part != NAPARI:
            print_part(part, arguments, floor)
    return 0


if __name__ == "__main__":
    sys.exit(main())
