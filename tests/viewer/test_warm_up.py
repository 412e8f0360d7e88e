"""Large imports beside the Qt thread; each test in a fresh process."""

import subprocess
import sys
import threading
import time

import pytest

from napari_unet.viewer.warm_up import PREPARING, Preparation


def printed(program: str) -> str:
    command = [sys.executable, "-c", program]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout


def test_importing_torch_causes_no_full_search_for_garbage_and_makes_none_due() -> None:
    output = printed(
        """
import gc
import napari_unet.viewer.warm_up
full = []
gc.callbacks.append(lambda phase, info: full.append(phase) if info["generation"] == 2 else None)
old = len(gc.get_objects(generation=2))
napari_unet.viewer.warm_up.import_torch()
import torch
print(full, gc.isenabled(), gc.get_freeze_count(), len(gc.get_objects(generation=2)) > old + 50_000)
"""
    )

    assert output.split() == ["[]", "True", "0", "True"]


def test_a_switched_off_collector_stays_off() -> None:
    output = printed(
        "import gc, napari_unet.viewer.warm_up; gc.disable(); "
        "napari_unet.viewer.warm_up.import_torch(); print(gc.isenabled())"
    )

    assert output.split() == ["False"]


def test_objects_that_somebody_froze_stay_frozen() -> None:
    output = printed(
        "import gc, napari_unet.viewer.warm_up; gc.freeze(); frozen = gc.get_freeze_count(); "
        "napari_unet.viewer.warm_up.import_torch(); print(gc.get_freeze_count() > 0.9 * frozen > 0)"
    )

    assert output.split() == ["True"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_the_libraries_of_torch_are_loaded_before_its_import() -> None:
    output = printed(
        """
import sys
from pathlib import Path
from napari_unet.viewer.warm_up import _load_torch_libraries
_load_torch_libraries()
maps = Path("/proc/self/maps").read_text()
print("libtorch_cpu" in maps, "libtorch_python" in maps, "torch" in sys.modules)
import torch
print(torch.ones(2).sum().item())
"""
    )

    assert output.split() == ["True", "False", "False", "2.0"]


def test_without_the_libraries_torch_is_imported_as_usual() -> None:
    output = printed(
        """
import ctypes
def refuse(*arguments):
    raise OSError("no loader")
usual, ctypes.CDLL = ctypes.CDLL, refuse
from napari_unet.viewer.warm_up import _load_torch_libraries
_load_torch_libraries()
ctypes.CDLL = usual
import torch
print(torch.ones(2).sum().item())
"""
    )

    assert output.split() == ["2.0"]


def test_warming_up_leaves_nothing_to_compile_to_the_first_image() -> None:
    output = printed(
        """
import numpy as np
from numba.core.dispatcher import Dispatcher
from napari_unet.viewer import warm_up
from napari_unet.viewer.warm_up import preparation
said = set(preparation.wait_for("cells"))
from napari_unet.engine.segmentation import watershed as flood
from napari_unet.engine.segmentation import instances
from napari_unet.engine.labels import components as pieces
from napari_unet.engine.base.settings import InstanceSettings
functions = [f for m in (flood, instances, pieces) for f in vars(m).values()]
def versions():
    return sum(len(f.signatures) for f in functions if isinstance(f, Dispatcher))
before = versions()
cell = np.random.default_rng(0).random((200, 200)).astype(np.float32)
scores = np.stack([1 - cell, cell])
labels = instances.instances_from_scores(scores, ("background", "cell"), InstanceSettings())
instances.keep_numbers(labels, labels)
print(before > 5, versions() - before, said <= {warm_up.PREPARING})
"""
    )

    assert output.split() == ["True", "0", "True"]


def test_warming_up_leaves_nothing_to_import_to_the_first_labels_layer() -> None:
    output = printed(
        """
import sys
import numpy as np
import napari.layers
from napari_unet.viewer.warm_up import preparation
list(preparation.wait_for("cells"))
before = set(sys.modules)
napari.layers.Labels(np.zeros((64, 64), np.int32))
print(sorted(set(sys.modules) - before))
"""
    )

    assert output.strip() == "[]"


def test_a_weight_map_finds_all_compiled_that_was_prepared() -> None:
    output = printed(
        """
import numpy as np
from numba.core.dispatcher import Dispatcher
from napari_unet.engine.weight_map import candidates, formula, tracker, two_nearest, weight_map
from napari_unet.viewer.warm_up import preparation
list(preparation.wait_for("weights"))
modules = (candidates, formula, tracker, two_nearest, weight_map)
functions = [f for m in modules for f in vars(m).values() if isinstance(f, Dispatcher)]
def versions():
    return sum(len(f.signatures) for f in functions)
before = versions()
labels = np.random.default_rng(0).integers(0, 3, (90, 90)).repeat(3, axis=0)
weight_map.boundary_weight_map(labels)
tracker.WeightMapTracker(labels).update((slice(0, 5), slice(0, 5)))
# From the cache only those come that Python calls.
print(before > 0, versions() - before)
"""
    )

    assert output.split() == ["True", "0"]


def test_parts_are_prepared_one_after_the_other_and_each_once() -> None:
    done: list[str] = []
    go_on = threading.Event()

    def cells() -> None:
        go_on.wait(10)
        done.append("cells")

    preparation = Preparation({"cells": cells, "weights": lambda: done.append("weights")})
    preparation.ask_for("cells", "weights")
    preparation.ask_for("weights")
    waiting = preparation.wait_for("weights")

    assert next(waiting) == PREPARING
    assert done == []
    go_on.set()
    assert set(waiting) <= {PREPARING}
    assert done == ["cells", "weights"]
    assert list(preparation.wait_for("cells")) == []


def test_what_cannot_be_prepared_holds_nothing_up(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise OSError("no room for the cache")

    preparation = Preparation({"cells": fail, "weights": lambda: None})

    assert set(preparation.wait_for("cells")) <= {PREPARING}
    assert "no room for the cache" in caplog.text


def test_the_end_waits_for_what_is_compiled_and_begins_nothing_more() -> None:
    done: list[str] = []
    begun = threading.Event()

    def cells() -> None:
        begun.set()
        time.sleep(0.05)
        done.append("cells")

    preparation = Preparation({"cells": cells, "weights": lambda: done.append("weights")})
    preparation.ask_for("cells", "weights")
    begun.wait(10)
    preparation.end(10)

    assert done == ["cells"]


_TWO_THREADS = """
import sys, threading
import numpy as np
from napari.layers import Labels
from napari_unet.viewer import warm_up

sys.setswitchinterval(1e-5)
failures = []

def load():
    try:
        warm_up._load_units()
        Labels(np.zeros((2, 2), int))
    except Exception as error:
        failures.append(error)

thread = threading.Thread(target=load)
thread.start()
for _ in range(int(sys.argv[1])):
    pass
layer = Labels(np.zeros((2, 2), int), units=("um", "um"))
thread.join()
assert not failures, failures
assert layer.units == Labels(np.zeros((2, 2), int), units=("um", "um")).units
"""


@pytest.mark.parametrize("later", [0, 2_000_000, 10_000_000])
def test_units_are_there_for_both_threads_whoever_comes_first(later: int) -> None:
    # In a process of its own, in which nothing has asked for a unit yet.
    subprocess.run(
        [sys.executable, "-c", _TWO_THREADS, str(later)], check=True, capture_output=True
    )
