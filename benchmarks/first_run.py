"""Measure the first run after installing: from the click on Run to the first cells on the canvas.

    python benchmarks/first_run.py               # a fresh cache, then the same once more
    python benchmarks/first_run.py --compiled    # and what was compiled in which thread
    python benchmarks/first_run.py --gaps        # and where the window stood still

In a real napari window, with the bundled sample and the bundled model: the Segment form is
opened and Run clicked at once. At first the folders of what numba compiles and of the user's data
are empty, as after installing; the second process finds there what the first one left. Python's
own compiled files are there in both, because pip writes them. Processor seconds are told beside:
on a busy machine they are what compares.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import nullcontext
from typing import Any

from goals import Row, print_table
from numba.core import event
from responsiveness import PLUGIN, WIDGET, WITH_DISPLAY, busy_rows, told

SAMPLE = "fluorescence"
COLD_GOAL_S, AGAIN_GOAL_S = 8.0, 2.0


class Compilations(event.Listener):
    """Notes what numba compiles, in which thread, and how long that takes."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._open: dict[int, list[tuple[float, float]]] = {}

    def on_start(self, _event: Any) -> None:
        """Begin."""
        own = self._open.setdefault(threading.get_ident(), [])
        own.append((time.perf_counter(), time.thread_time()))

    def on_end(self, event: Any) -> None:
        """Note one that nothing else asked for."""
        began_s, cpu_s = self._open[threading.get_ident()].pop()
        if not self._open[threading.get_ident()]:
            function = event.data["dispatcher"].py_func
            took = f"{time.thread_time() - cpu_s:.2f} s of {time.perf_counter() - began_s:.2f} s"
            thread = threading.current_thread().name
            self.lines.append(f"{took} in {thread}: {function.__module__}.{function.__name__}")


def measure(*, with_gaps: bool) -> dict[str, Any]:
    """Open napari, the sample and the form, click, and wait for cells on the canvas."""
    from event_loop import Watch, spend, wait_until

    compiled = Compilations()
    event.register("numba:compile", compiled)
    import napari

    viewer = napari.Viewer()
    viewer.open_sample(PLUGIN, SAMPLE)
    viewer.layers.remove(viewer.layers[-1])  # the truth
    spend(1.0)
    drawn: list[float] = []
    # The watch itself takes its share of a busy processor.
    with Watch() if with_gaps else nullcontext() as watch:
        _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, WIDGET)
        spend(0.01)
        clicked_s, cpu_s, qt_s = time.perf_counter(), time.process_time(), time.thread_time()
        widget.panel.button.click()

        def on_draw(_event: object) -> None:
            result = viewer.layers[-1]
            if not drawn and "napari_unet" in result.metadata and result.data.any():
                drawn.append(time.perf_counter())

        viewer.window._qt_viewer.canvas._scene_canvas.events.draw.connect(on_draw)
        said: list[str] = []

        def is_over() -> bool:
            text = widget.panel.bar.format() if widget.panel.is_running else widget.panel.message
            if text and not (said and said[-1].endswith(f": {text}")):
                said.append(f"{time.perf_counter() - clicked_s:.1f} s: {text}")
            return bool(drawn) and not widget.panel.is_running

        wait_until(is_over, look_ms=50)
        all_s = time.perf_counter() - clicked_s
        cpu_s, qt_s = time.process_time() - cpu_s, time.thread_time() - qt_s
        clicked_again_s = time.perf_counter()
        widget.panel.button.click()
        wait_until(lambda: not widget.panel.is_running, look_ms=10)
        again_s = time.perf_counter() - clicked_again_s
        spend(0.3)
    found = {
        "again": again_s,
        "first": drawn[0] - clicked_s,
        "all": all_s,
        "cpu": cpu_s,
        "qt": qt_s,
        "gaps": told(watch.gaps) if watch is not None else [],
        "compiled": compiled.lines,
        "said": said,
    }
    viewer.close()
    return found


def in_window(home: str, *options: str) -> dict[str, Any]:
    """What `measure` finds in a process of its own that keeps its files in `home`."""
    folders = {"HOME": home, "NUMBA_CACHE_DIR": f"{home}/numba"}
    folders |= {name: f"{home}/{name}" for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME")}
    result = subprocess.run(
        [sys.executable, __file__, "--part", *options],
        env={**os.environ, **folders},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        raise SystemExit(result.stderr)
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found


def seconds(name: str, found_s: float, goal_s: float) -> Row:
    """A row of a time that must not be above its goal."""
    return Row(name, f"{found_s:.2f} s", f"<= {goal_s:.0f} s", found_s <= goal_s)


def rows(*, with_compiled: bool, with_gaps: bool) -> Any:
    """As after installing, then as on any other day."""
    with tempfile.TemporaryDirectory() as home:
        for state in ("fresh cache", "napari started again"):
            yield from busy_rows()
            found = in_window(home, *(["--gaps"] if with_gaps else []))
            yield seconds(f"{state}, click on Run to first cells", found["first"], COLD_GOAL_S)
            yield seconds("    Run once more, click to the end", found["again"], AGAIN_GOAL_S)
            yield Row("    processor, all threads", f"{found['cpu']:.2f} s")
            yield Row("    processor, Qt's thread", f"{found['qt']:.2f} s")
            yield Row("    click to the end", f"{found['all']:.2f} s", causes=tuple(found["said"]))
            if with_gaps:
                yield Row("    gaps", str(len(found["gaps"])), causes=tuple(found["gaps"]))
            if with_compiled:
                name = "    compiled"
                yield Row(name, str(len(found["compiled"])), causes=tuple(found["compiled"]))


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Measure the first run after installing.")
    parser.add_argument("--compiled", action="store_true", help="tell what was compiled")
    parser.add_argument("--gaps", action="store_true", help="tell where the window stood still")
    parser.add_argument("--part", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if sys.platform == "linux" and not {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys():
        command = [str(WITH_DISPLAY), sys.executable, __file__, *sys.argv[1:]]
        return subprocess.run(command, check=False).returncode
    if arguments.part:
        print(json.dumps(measure(with_gaps=arguments.gaps)))
        return 0
    return 0 if print_table(rows(with_compiled=arguments.compiled, with_gaps=arguments.gaps)) else 1


if __name__ == "__main__":
    sys.exit(main())
