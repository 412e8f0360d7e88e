"""Large imports beside the Qt thread; each test in a fresh process."""

import subprocess
import sys

import pytest


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
from napari_unet.viewer.warm_up import warm_up
warm_up()
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
print(before > 5, versions() - before)
"""
    )

    assert output.split() == ["True", "0"]


def test_warming_up_leaves_nothing_to_import_to_the_first_labels_layer() -> None:
    output = printed(
        """
import sys, threading
import numpy as np
import napari.layers
from napari_unet.viewer.warm_up import warm_up
thread = threading.Thread(target=warm_up)
thread.start()
thread.join()
before = set(sys.modules)
napari.layers.Labels(np.zeros((64, 64), np.int32))
import napari_unet.engine.segmentation.segmentation
print(sorted(set(sys.modules) - before))
"""
    )

    assert output.strip() == "[]"


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
