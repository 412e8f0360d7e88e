"""`napari-unet demo` with a screen and without."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_unet.cli import main

Output = Any
"""The fixture `output`: `read()` returns both streams, `complaint()` the only line of error."""

Pixels = Callable[..., np.ndarray]


def test_demo_without_a_window_counts_cells_and_can_be_run_again(
    tmp_path: Path, model: str, output: Output
) -> None:
    words = ["demo", "--no-window", "-o", str(tmp_path / "demo"), "--model", model]
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "fluorescence.tif").write_text("a user's own file")

    for _ in range(2):
        assert main(words) == 0
        out = output.read()[0]
        assert "cells found; a person saw 106 in this image" in out
        for name in ("unet-demo-labels.tif", "unet-demo-overlay.png"):
            assert str(tmp_path / "demo" / name) in out
            assert (tmp_path / "demo" / name).exists()
    assert (tmp_path / "demo" / "fluorescence.tif").read_text() == "a user's own file"


def test_demo_without_a_screen_writes_files(
    tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch, output: Output
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.chdir(tmp_path)

    assert main(["demo", "--model", model]) == 0

    assert (tmp_path / "napari-unet-demo" / "unet-demo-labels.tif").exists()


def test_demo_on_a_screen_that_is_gone_says_so_and_writes_files(
    tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch, output: Output
) -> None:
    monkeypatch.setenv("DISPLAY", ":4711")
    monkeypatch.setenv("QT_QPA_PLATFORM", "xcb")

    assert main(["demo", "--model", model, "-o", str(tmp_path / "demo")]) == 0

    assert output.complaint() == "napari cannot open a window here; writing files instead."
    assert (tmp_path / "demo" / "unet-demo-labels.tif").exists()
