"""Measure how long the window does not answer, beside its goals.

    python benchmarks/responsiveness.py                  # everything; half an hour on two cores
    python benchmarks/responsiveness.py --quick          # smaller images
    python benchmarks/responsiveness.py --closing 50     # close what runs, 50 times each way
    python benchmarks/responsiveness.py --painting       # the brush, without and with the map
    python benchmarks/responsiveness.py --training       # while a network learns
    python benchmarks/responsiveness.py --busy           # steps beside two spinning processes

Every part runs in a real napari window in a fresh process; where there is no
display, in a virtual one (Xvfb) whose OpenGL the processor computes, so that
drawing costs much more than with a graphics card. What is napari's own is
measured beside it. Under each row stands what ran while the window did not
answer. `QT_API=pyside6` measures with PySide6.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from event_loop import LONG_S, Gap, QtMessages, Watch, spend, wait_until
from goals import Row, print_table

GOAL_S = LONG_S
STOP_GOAL_S = 1.0
STACK = (30, 512, 512)
PLUGIN, WIDGET = "napari-unet-cells", "Segment cells"
SAMPLE = "large"
CAUSES_SHOWN = 3
PAINTED_STROKES = 2
PAINTED_WAYS = {
    "off": "no weight map",
    "still": "a layer like it that stands still",
    "live": "the live weight map",
}
_QUIET_PERCENT = 10.0
WAITING = {"sleeping": {"OMP_WAIT_POLICY": "PASSIVE"}, "spinning": {"GOMP_SPINCOUNT": "300000"}}
"""What the package chooses for threads that wait, and what GNU's OpenMP does without it."""

BUSY_GOAL, QUIET_GOAL = 2.2, 1.03
BUSY_ROUNDS, BUSY_STEPS = 3, 6
WITH_DISPLAY = Path(__file__).parent.parent / "scripts" / "with_display.sh"


def milliseconds(
    name: str, seconds: float, goal_s: float | None = None, causes: list[str] | None = None
) -> Row:
    """A row of a time; with a goal it must not be above it."""
    found, shown = f"{1000 * seconds:.0f} ms", tuple((causes or [])[:CAUSES_SHOWN])
    if goal_s is None:
        return Row(name, found, causes=shown)
    return Row(name, found, f"<= {1000 * goal_s:.0f} ms", seconds <= goal_s, shown)


# In a process of its own: a window, an image, the widget.


class Window:
    """A napari window with an image and, once it is docked, the widget."""

    def __init__(self, shape: tuple[int, ...], *, settle_s: float = 1.0) -> None:
        import napari

        self._settle_s = settle_s
        self.viewer = napari.Viewer()
        self.viewer.add_image(sample_image(shape), name="image")
        self.widget: Any = None
        spend(settle_s)

    def dock(self) -> None:
        """Open the widget; the model is loaded beside it."""
        _, self.widget = self.viewer.window.add_plugin_dock_widget(PLUGIN, WIDGET)
        form = getattr(self.widget, "form", None)
        if form is not None and self.viewer.layers["image"].ndim > 2:
            form.extent_choice.choose("stack")

    def dock_and_load(self) -> None:
        """Open the widget and wait for the model."""
        self.dock()
        assert wait_until(lambda: not self.widget.model_choice.is_loading)
        spend(self._settle_s)

    def click(self) -> None:
        """Click Run, or Stop."""
        self.widget.panel.button.click()

    @property
    def is_running(self) -> bool:
        """Whether the button says Stop."""
        return bool(self.widget.panel.is_running)

    @property
    def result(self) -> Any:
        """The layer with the cells, if there is one."""
        layers = self.viewer.layers
        return next((each for each in layers if "napari_unet" in each.metadata), None)

    @property
    def shows_cells(self) -> bool:
        """Whether the layer has any labels; looks at some pixels of it."""
        return self.result is not None and bool(self.result.data[..., ::16, ::16].any())


def sample_image(shape: tuple[int, ...]) -> np.ndarray:
    """A real image, repeated mirrored; each slice of a stack is another part of it."""
    from napari_unet.files.samples import load_sample

    image = load_sample(SAMPLE).image
    padding = [(0, max(0, n - m)) for n, m in zip(shape[-2:], image.shape, strict=True)]
    plane = np.pad(image, padding, mode="symmetric")[: shape[-2], : shape[-1]]
    if len(shape) == 2:
        return plane
    return np.stack([np.roll(plane, 17 * number, axis=0) for number in range(shape[0])])


def engine_threads() -> list[threading.Thread]:
    """Threads in which the engine works."""
    return [thread for thread in threading.enumerate() if thread.name == "napari-unet"]


def told(gaps: list[Gap]) -> list[str]:
    """The gaps as text, the longest first."""
    return [str(gap) for gap in sorted(gaps, key=lambda gap: -gap.seconds)]


def measure_napari(shape: tuple[int, ...]) -> dict[str, Any]:
    """What napari alone does to the event loop, without this plugin."""
    window = Window(shape)
    found: dict[str, Any] = {"graphics": graphics()}

    def measure(name: str, act: Callable[[], None]) -> None:
        with Watch() as watch:
            act()
            spend(0.3)
        found[name], found[f"{name} causes"] = watch.longest_s, told(watch.gaps)

    measure("idle", lambda: spend(3.0))
    labels = np.zeros(shape, np.int32)
    measure("first labels", lambda: window.viewer.add_labels(labels.copy()))
    measure("labels", lambda: window.viewer.add_labels(labels))

    def refresh() -> None:
        for number in range(10):
            labels[..., :: number + 2, :] = number + 1
            window.viewer.layers[-1].refresh(extent=False, thumbnail=False)
            spend(0.1)

    def pan() -> None:
        for number in range(20):
            window.viewer.camera.center = (0, 10 * number, 10 * number)
            spend(0.02)

    measure("refresh", refresh)
    measure("pan", pan)
    return found


def graphics() -> str:
    """What draws."""
    from napari.utils.info import sys_info

    lines = sys_info().replace("<br>", "\n").splitlines()
    return next((line.split(":", 1)[1].strip(" */b<>") for line in lines if "GL ver" in line), "?")


def measure_run(shape: tuple[int, ...]) -> dict[str, Any]:
    """Opening the widget for the first time, then one segmentation."""
    window = Window(shape)
    with Watch() as opening:
        window.dock()
        spend(0.05)
    with Watch() as loading:
        began = time.perf_counter()
        assert wait_until(lambda: not window.widget.model_choice.is_loading)
        loaded = time.perf_counter() - began
        spend(1.0)
    added: list[float] = []
    window.viewer.layers.events.inserted.connect(lambda _: added.append(time.perf_counter()))
    canvas, drawn = window.viewer.window._qt_viewer.canvas, []

    def on_draw(_event: object) -> None:
        if not drawn and window.shows_cells:
            drawn.append(time.perf_counter())

    canvas._scene_canvas.events.draw.connect(on_draw)
    with Watch() as running:
        began = time.perf_counter()
        window.click()
        assert wait_until(lambda: not window.is_running)
        ended = time.perf_counter()
        spend(0.5)
    # napari adds a layer in one call; that gap is a row of its own.
    arrival = [
        gap
        for gap in running.gaps
        if any(gap.began_s <= when <= gap.began_s + gap.seconds for when in added)
    ]
    others = [gap for gap in running.gaps if gap not in arrival]
    longest = max((gap.seconds for gap in others), default=min(running.longest_s, LONG_S))
    return {
        "opening": opening.longest_s,
        "opening causes": told(opening.gaps),
        "loading": loading.longest_s,
        "loading causes": told(loading.gaps),
        "loaded": loaded,
        "arrival": max((gap.seconds for gap in arrival), default=0.0),
        "arrival causes": told(arrival),
        "running": longest,
        "running causes": told(others),
        "long gaps": len(others),
        "first": drawn[0] - began if drawn else ended - began,
        "all": ended - began,
        "message": window.widget.panel.message,
    }


def measure_stops(shape: tuple[int, ...], times: int) -> dict[str, Any]:
    """Stop at random moments: when the button says Run again, and when the thread is over."""
    window = Window(shape)
    window.dock_and_load()
    chance = np.random.default_rng(0)
    began = time.perf_counter()
    window.click()
    wait_until(lambda: not window.is_running)
    whole_s = time.perf_counter() - began
    answers: list[float] = []
    ends: list[float] = []
    gaps: list[Gap] = []
    longest = 0.0
    while len(answers) < times:
        window.click()
        due = time.perf_counter() + chance.uniform(0, whole_s)
        wait_until(lambda due=due: time.perf_counter() > due, look_ms=1)
        if not window.is_running:
            continue  # It was faster this time.
        with Watch() as watch:
            # From when the click was due: had the loop been held up then, it counts.
            window.click()
            wait_until(lambda: not window.is_running, look_ms=1)
            answers.append(time.perf_counter() - due)
            wait_until(lambda: not engine_threads(), look_ms=1)
            ends.append(time.perf_counter() - due)
            spend(0.3)
        longest = max(longest, watch.longest_s)
        gaps += watch.gaps
    return {
        "answer": max(answers),
        "median answer": statistics.median(answers),
        "end": max(ends),
        "gap": longest,
        "gap causes": told(gaps),
        "stops": len(answers),
    }


def measure_closing(times: int) -> dict[str, Any]:
    """Close something while the engine works, again and again in one process."""
    ways = ("viewer", "image", "result", "dock", "stop")
    chance = np.random.default_rng(0)
    stray, texts, longest = 0, [], 0.0
    with QtMessages() as messages:
        for number in range(times * len(ways)):
            way = ways[number % len(ways)]
            window = Window((2048, 2048), settle_s=0.1)
            window.dock_and_load()
            window.click()
            spend(chance.uniform(0, 2.5))
            if way == "result":
                wait_until(lambda w=window: w.result is not None or not w.is_running)
            began = time.perf_counter()
            _close(window, way)
            if not wait_until(lambda: not engine_threads(), timeout_s=30):
                stray += 1
            longest = max(longest, time.perf_counter() - began)
            if way != "viewer":
                window.viewer.close()
            del window
            spend(0.2)
        texts = messages.texts
    return {"rounds": times * len(ways), "stray": stray, "messages": texts, "longest": longest}


def _close(window: Window, way: str) -> None:
    layers = window.viewer.layers
    if way == "viewer":
        window.viewer.close()
    elif way == "image":
        layers.remove("image")
    elif way == "result" and window.result is not None:
        layers.remove(window.result)
    elif way == "dock":
        window.viewer.window.remove_dock_widget(window.widget)
    else:
        window.click()


def measure_painting(shape: tuple[int, ...], way: str) -> dict[str, Any]:
    """Paint fast strokes, with a live weight map, with a layer like it that stands still, without.

    Moves of the mouse follow each other as fast as the window takes them.
    """
    import napari
    from weight_map import cells

    viewer = napari.Viewer()
    viewer.window.resize(1400, 1000)
    viewer.add_image(sample_image(shape), name="image")
    labels = viewer.add_labels(cells(shape, 2000 * shape[0] * shape[1] // 2048**2))
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Weight map")
    updates: list[float] = []
    if way == "live":
        widget.button.click()
        assert wait_until(lambda: not widget.live.is_busy)
        widget.live.updated.connect(lambda _: updates.append(time.perf_counter()))
    elif way == "still":
        map_like = np.random.default_rng(0).random(shape, np.float32)
        viewer.add_image(map_like, colormap="inferno", blending="additive")
        viewer.layers.selection.active = labels
    labels.mode, labels.brush_size, labels.selected_label = "paint", 20, 5000
    spend(2.0)
    moves, computed = 0, time.thread_time()
    began = time.perf_counter()
    with Watch() as watch:
        for stroke in range(PAINTED_STROKES):
            moves += _paint_stroke(viewer, 150 + 100 * stroke)
    seconds = time.perf_counter() - began
    return {
        "move": seconds / moves,
        "computing": (time.thread_time() - computed) / moves,
        "gap": watch.longest_s,
        "gap causes": told(watch.gaps),
        "updates": len(updates) / moves,
    }


def _paint_stroke(viewer: Any, y: int) -> int:
    """Drag the brush along a row of the canvas; return how many moves that took."""
    from qtpy.QtCore import QEvent, QPointF, Qt
    from qtpy.QtGui import QMouseEvent
    from qtpy.QtWidgets import QApplication

    canvas = viewer.window._qt_viewer.canvas.native
    left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton

    def send(kind: Any, x: int, button: Any, buttons: Any) -> None:
        at = QPointF(x, y)
        keys = Qt.KeyboardModifier.NoModifier
        QApplication.sendEvent(
            canvas, QMouseEvent(kind, at, canvas.mapToGlobal(at), button, buttons, keys)
        )
        spend(0.001)

    send(QEvent.Type.MouseButtonPress, 100, left, left)
    columns = range(100, 700, 12)
    for x in columns:
        send(QEvent.Type.MouseMove, x, none, left)
    send(QEvent.Type.MouseButtonRelease, 700, left, none)
    return len(columns)


def measure_training(seconds: int) -> dict[str, Any]:
    """Train on a sample with its truth, paint meanwhile, and stop."""
    import napari

    from napari_unet.widgets.train.preview import Previewed

    os.environ["XDG_DATA_HOME"] = tempfile.mkdtemp()
    viewer = napari.Viewer()
    viewer.window.resize(1400, 1000)
    _, truth = viewer.open_sample(PLUGIN, SAMPLE)
    truth.visible = True
    viewer.layers.selection.active = truth
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Train")
    assert wait_until(lambda: not widget.form.model_choice.is_loading)
    widget.form.length.kind_choice.choose_value("time")
    widget.form.length.seconds_box.setValue(10 * seconds)
    spend(2.0)
    previews: list[float] = []
    show = widget.job.preview.show

    def note_preview(seen: Previewed) -> None:
        previews.append(time.perf_counter())
        show(seen)

    widget.job.preview.show = note_preview
    began = time.perf_counter()
    with Watch() as learning:
        widget.panel.button.click()
        spend(seconds)
    truth.mode, truth.brush_size, truth.selected_label = "paint", 10, 5000
    moves, painted_from = 0, time.perf_counter()
    with Watch() as painting:
        for stroke in range(PAINTED_STROKES):
            moves += _paint_stroke(viewer, 150 + 100 * stroke)
    painted = time.perf_counter() - painted_from
    step_s = widget.panel.bar.format()
    stopped_at = time.perf_counter()
    widget.panel.button.click()
    assert wait_until(lambda: not widget.panel.is_running, look_ms=1)
    stopped = time.perf_counter() - stopped_at
    wait_until(lambda: not engine_threads())
    return {
        "learning": learning.longest_s,
        "learning causes": told(learning.gaps),
        "long gaps": len(learning.gaps),
        "first preview": previews[0] - began if previews else float("nan"),
        "painting": painting.longest_s,
        "painting causes": told(painting.gaps),
        "move": painted / moves,
        "stop": stopped,
        "message": f"{step_s}: {widget.panel.message}",
    }


def measure_steps(steps: int) -> dict[str, Any]:
    """Take steps of a training as the command line does, by all processors, without a window."""
    from napari_unet import TrainingPair, TrainingSettings, train
    from napari_unet.files.samples import load_sample

    sample = load_sample("noisy")
    settings = TrainingSettings.fine_tuning(steps=steps + 2, patch_size_px=128, keep_knowledge=0)
    run = train([TrainingPair(sample.image, sample.labels)], "nuclei", settings=settings)
    seconds = []
    for _ in range(steps + 2):
        began = time.perf_counter()
        next(run)
        seconds.append(time.perf_counter() - began)
    return {"step": statistics.median(seconds[2:])}


def quit_while_running(way: str, after_s: float) -> None:
    """Leave the process in the middle of a run, in one of several ways."""
    import napari
    from qtpy.QtCore import QTimer
    from qtpy.QtWidgets import QApplication

    window = Window((2048, 2048))
    window.dock_and_load()
    window.click()
    if way == "script ends":
        spend(after_s)
        return
    leave = {
        "window closed": window.viewer.close,
        "application quits": QApplication.quit,
        "close all windows": QApplication.closeAllWindows,
    }[way]
    QTimer.singleShot(int(1000 * after_s), leave)
    napari.run()


QUITS = ("window closed", "application quits", "close all windows", "script ends")


# The table.


def in_fresh_process(*arguments: str, environment: dict[str, str] | None = None) -> dict[str, Any]:
    """What a part of this script measures in a process of its own."""
    command = [sys.executable, __file__, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if result.returncode != 0:
        told = f"{' '.join(arguments)} ended with {result.returncode}"
        raise SystemExit(f"{told}:\n{result.stderr}\n{result.stdout}")
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found


def busy_rows() -> Iterator[Row]:
    """Whether other programs take the processors, which makes every gap longer."""
    busy = psutil.cpu_percent(interval=2.0)
    if busy > _QUIET_PERCENT:
        yield Row(f"(other programs keep the processors busy at {busy:.0f} %)", "")


def text_of(shape: tuple[int, ...]) -> str:
    """What a person calls the image."""
    return " x ".join(map(str, shape))


def napari_rows(shape: tuple[int, ...]) -> Iterator[Row]:
    """What is napari's own."""
    found = in_fresh_process("--part", "napari", *map(str, shape))
    size = text_of(shape)
    yield from busy_rows()
    yield Row(f"graphics: {found['graphics']}", "")
    yield milliseconds("napari alone, longest gap idle", found["idle"])
    for name, text in (
        ("first labels", "adding the first, empty Labels layer"),
        ("labels", "adding another"),
        ("refresh", "refreshing it"),
        ("pan", "moving the view"),
    ):
        yield milliseconds(f"napari alone, {size}, {text}", found[name])


def run_rows(shape: tuple[int, ...]) -> Iterator[Row]:
    """One segmentation."""
    yield from busy_rows()
    found = in_fresh_process("--part", "run", *map(str, shape))
    size = text_of(shape)
    name = "the widget opens for the first time, longest gap"
    yield milliseconds(name, found["opening"], causes=found["opening causes"])
    name = f"the model is loaded for the first time ({found['loaded']:.1f} s), longest gap"
    yield milliseconds(name, found["loading"], GOAL_S, found["loading causes"])
    name = f"segmenting {size}, longest gap ({found['long gaps']} above {1000 * GOAL_S:.0f} ms)"
    yield milliseconds(name, found["running"], GOAL_S, found["running causes"])
    name = f"segmenting {size}, napari adds the result's layer"
    yield milliseconds(name, found["arrival"], causes=found["arrival causes"])
    yield Row(f"segmenting {size}, click to first cells seen", f"{found['first']:.2f} s")
    yield Row(f"segmenting {size}, click to all cells", f"{found['all']:.2f} s")
    yield Row(f"    {found['message']}", "")


def stop_rows(shape: tuple[int, ...], times: int) -> Iterator[Row]:
    """Stopping at random moments."""
    yield from busy_rows()
    found = in_fresh_process("--part", "stops", *map(str, shape), "--times", str(times))
    size = f"{text_of(shape)}, {found['stops']} random moments"
    yield milliseconds(f"Stop answers, {size}, longest", found["answer"], STOP_GOAL_S)
    yield milliseconds(f"Stop answers, {size}, median", found["median answer"])
    yield milliseconds(f"the thread is over, {size}, longest", found["end"])
    yield milliseconds(f"stopping, {size}, longest gap", found["gap"], GOAL_S, found["gap causes"])


def closing_rows(times: int) -> Iterator[Row]:
    """Closing things while they run."""
    found = in_fresh_process("--part", "closing", "--times", str(times))
    name = "viewer, image, result or dock closed, or stopped, while running"
    yield Row(name, f"{found['rounds']} times")
    yield Row("    threads left", str(found["stray"]), "0", found["stray"] == 0)
    messages = found["messages"]
    causes = tuple(sorted(set(messages)))
    yield Row("    Qt warnings", str(len(messages)), "0", not messages, causes)
    yield Row("    longest time until the thread was over", f"{found['longest']:.2f} s")
    chance = np.random.default_rng(1)
    bad: list[str] = []
    slowest = 0.0
    for number in range(times):
        way = QUITS[number % len(QUITS)]
        command = [sys.executable, __file__, "--quit", way]
        after = f"{chance.uniform(0, 3):.2f}"
        began = time.perf_counter()
        result = subprocess.run(
            [*command, "--after", after], capture_output=True, text=True, check=False, timeout=300
        )
        slowest = max(slowest, time.perf_counter() - began)
        if result.returncode != 0 or result.stderr or result.stdout:
            bad.append(f"{way} after {after} s: exit {result.returncode}: {result.stderr}")
    yield Row("napari quit while running", f"{times} times")
    yield Row("    crashes, exit codes and messages", str(len(bad)), "0", not bad, tuple(bad))
    yield Row("    slowest process from its start to its end", f"{slowest:.1f} s")


def painting_rows(shape: tuple[int, ...]) -> Iterator[Row]:
    """The brush with the weight map and without."""
    yield from busy_rows()
    seconds: dict[str, list[float]] = {way: [] for way in PAINTED_WAYS}
    found: dict[str, dict[str, Any]] = {}
    for _ in range(3):
        for way in PAINTED_WAYS:
            found[way] = in_fresh_process("--part", "painting", *map(str, shape), "--way", way)
            seconds[way].append(found[way]["move"])
    size = text_of(shape)
    for way, text in PAINTED_WAYS.items():
        move = statistics.median(seconds[way])
        yield milliseconds(f"painting, {size}, {text}, a move of the mouse", move)
        yield milliseconds("    of which the Qt thread computes", found[way]["computing"])
        yield milliseconds("    longest gap", found[way]["gap"], causes=found[way]["gap causes"])
    yield Row("    moves with a map of their own", f"{100 * found['live']['updates']:.0f} %")
    pairs = zip(seconds["live"], seconds["still"], strict=True)
    slower = statistics.median(live / still for live, still in pairs)
    yield Row("    a move with the live map / with a layer that stands still", f"{slower:.2f} x")


def training_rows(seconds: int) -> Iterator[Row]:
    """While a network learns."""
    yield from busy_rows()
    found = in_fresh_process("--part", "training", "--times", str(seconds))
    name = f"learning for {seconds} s, longest gap ({found['long gaps']} above 50 ms)"
    yield milliseconds(name, found["learning"], GOAL_S, found["learning causes"])
    yield Row("click to first preview", f"{found['first preview']:.1f} s")
    name = "painting meanwhile, longest gap"
    yield milliseconds(name, found["painting"], causes=found["painting causes"])
    yield milliseconds("painting meanwhile, a move of the mouse", found["move"])
    yield milliseconds(
        "Stop, until the network is saved and the form idle", found["stop"], STOP_GOAL_S
    )
    yield Row(f"    {found['message']}", "")


@contextmanager
def spinning_processes(count: int) -> Iterator[None]:
    """Keep so many processors busy."""
    command = [sys.executable, "-c", "while True: pass"]
    spinning = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def busy_step_rows() -> Iterator[Row]:
    """Steps of a training, quiet and beside two spinning processes; the best of some rounds."""
    yield from busy_rows()
    names = {name for each in WAITING.values() for name in each} | {"OMP_NUM_THREADS"}
    plain = {name: value for name, value in os.environ.items() if name not in names}
    best: dict[tuple[str, int], float] = {}
    for _ in range(BUSY_ROUNDS):
        for others in (0, 2):
            for way, chosen in WAITING.items():
                words = ("--part", "steps", "--times", str(BUSY_STEPS))
                with spinning_processes(others):
                    found = in_fresh_process(*words, environment={**plain, **chosen})
                best[way, others] = min(found["step"], best.get((way, others), float("inf")))
    for (way, others), step_s in best.items():
        beside = f"beside {others} spinning processes" if others else "on a quiet machine"
        yield milliseconds(f"a training's step {beside}, waiting threads {way}", step_s)
    slower = best["sleeping", 2] / best["sleeping", 0]
    name = "a step beside two spinning processes / a quiet one"
    yield Row(name, f"{slower:.2f} x", f"<= {BUSY_GOAL} x", slower <= BUSY_GOAL)
    cost = best["sleeping", 0] / best["spinning", 0]
    name = "a quiet step with sleeping threads / with spinning ones"
    yield Row(name, f"{cost:.2f} x", f"<= {QUIET_GOAL} x", cost <= QUIET_GOAL)


def all_rows(arguments: argparse.Namespace) -> Iterator[Row]:
    """Everything, or only the closing."""
    import qtpy

    yield Row(f"{qtpy.API_NAME}, {os.cpu_count()} processors", "")
    if arguments.closing:
        yield from closing_rows(arguments.closing)
        return
    if arguments.busy:
        yield from busy_step_rows()
        return
    if arguments.training:
        yield from training_rows(10 if arguments.quick else 40)
        return
    if arguments.painting:
        for size in arguments.sizes or (512, 2048, 4096):
            yield from painting_rows((size, size))
        return
    sizes = arguments.sizes or ([512, 1024] if arguments.quick else [512, 2048, 4096])
    yield from napari_rows((sizes[-1],) * 2)
    for size in sizes:
        yield from run_rows((size, size))
    yield from run_rows((5, *STACK[1:]) if arguments.quick else STACK)
    yield from stop_rows((sizes[-1],) * 2, 3 if arguments.quick else 10)


def measure_part(arguments: argparse.Namespace) -> dict[str, Any]:
    """One part, in this process."""
    shape = tuple(arguments.shape)
    if arguments.part == "napari":
        return measure_napari(shape)
    if arguments.part == "run":
        return measure_run(shape)
    if arguments.part == "stops":
        return measure_stops(shape, arguments.times)
    if arguments.part == "steps":
        return measure_steps(arguments.times)
    if arguments.part == "training":
        return measure_training(arguments.times)
    if arguments.part == "painting":
        return measure_painting(shape, arguments.way)
    return measure_closing(arguments.times)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Measure how long the window does not answer.")
    parser.add_argument("--quick", action="store_true", help="smaller images, fewer stops")
    parser.add_argument("--sizes", type=int, nargs="+", help="image sizes in pixels")
    parser.add_argument("--closing", type=int, help="only close what runs, so often each way")
    parser.add_argument("--painting", action="store_true", help="only the weight map's brush")
    parser.add_argument("--training", action="store_true", help="only while a network learns")
    parser.add_argument("--busy", action="store_true", help="only steps on a busy machine")
    parts = ("napari", "run", "stops", "closing", "painting", "training", "steps")
    parser.add_argument("--part", choices=parts, help=HIDDEN)
    parser.add_argument("--way", choices=PAINTED_WAYS, default="off", help=HIDDEN)
    parser.add_argument("shape", type=int, nargs="*", help=HIDDEN)
    parser.add_argument("--times", type=int, default=1, help=HIDDEN)
    parser.add_argument("--quit", choices=QUITS, help=HIDDEN)
    parser.add_argument("--after", type=float, default=0.0, help=HIDDEN)
    arguments = parser.parse_args()
    if sys.platform == "linux" and not {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys():
        print("There is no display: a virtual one is used, with OpenGL computed by the processor.")
        command = [str(WITH_DISPLAY), sys.executable, __file__, *sys.argv[1:]]
        return subprocess.run(command, check=False).returncode
    if arguments.quit:
        quit_while_running(arguments.quit, arguments.after)
        return 0
    if arguments.part:
        faulthandler.enable()
        print(json.dumps(measure_part(arguments)))
        return 0
    return 0 if print_table(all_rows(arguments), name_width=68, found_width=12) else 1


HIDDEN = argparse.SUPPRESS

if __name__ == "__main__":
    sys.exit(main())
