"""What the form has begun, the command that it copies goes on with, and the reverse."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from napari_unet.cli import main
from napari_unet.engine.blocks.scoring import Scoring
from napari_unet.engine.cluster.hands import OneProcess
from napari_unet.files.images import read_labels
from napari_unet.viewer import worker


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Blocks that the network has computed."""
    keys: list[Any] = []
    tiles = Scoring.tiles

    def noted(self: Scoring, plan: Any, key: Any) -> Any:
        keys.append(key)
        return tiles(self, plan, key)

    monkeypatch.setattr(Scoring, "tiles", noted)
    return keys


def usual(person: Any) -> None:
    """Leave all fields as they are."""


def changed(person: Any) -> None:
    """Say how large cells are in the unit that pixels have, and change two thresholds."""
    form = person.widget._segment_form().form
    form.size_choice.setting_um.set(3.3)
    fields = {**form.common.fields, **form.rare.fields}
    fields["foreground_threshold"].setValue(0.45)
    fields["min_size_px"].setValue(7)


def stop_before(person: Any, held: Callable[[str], Any], stage: str) -> None:
    engine = held(stage)
    person.press()
    person.wait(engine.is_held.is_set)
    person.press()
    engine.go_on.set()
    person.wait(lambda: not any(each.has_thread for each in worker._running))


@pytest.mark.parametrize("fill_in", [usual, changed])
def test_the_copied_command_goes_on_with_what_the_form_began(
    person: Any,
    two_channels: Path,
    held: Callable[[str], Any],
    scored: list[Any],
    fill_in: Callable[[Any], None],
) -> None:
    person.open(two_channels)
    fill_in(person)
    expected = whole(person)
    stop_before(person, held, "labels")
    assert len(scored) == 2  # once for the whole, once before the stop

    words = person.copied()
    assert main(words[1:]) == 0
    assert len(scored) == 2
    np.testing.assert_array_equal(read_labels(Path(words[4])).array, expected)


@pytest.mark.parametrize("fill_in", [usual, changed])
def test_the_form_goes_on_with_what_the_copied_command_began(
    person: Any,
    two_channels: Path,
    scored: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    fill_in: Callable[[Any], None],
) -> None:
    person.open(two_channels)
    fill_in(person)
    expected = whole(person)
    words = person.copied()
    done = OneProcess.done

    def interrupted(self: OneProcess, stage: str, *given: Any) -> Any:
        if stage == "labels":
            raise KeyboardInterrupt
        return done(self, stage, *given)

    with monkeypatch.context() as context:
        context.setattr(OneProcess, "done", interrupted)
        assert main(words[1:]) == 130
    assert len(scored) == 2

    assert person.run() == f"{expected.max()} cells, in '{words[4]}'."
    assert len(scored) == 2
    np.testing.assert_array_equal(read_labels(Path(words[4])).array, expected)


def test_a_stack_from_three_directions_is_the_same_by_form_and_command(
    person: Any, tmp_path: Path, squares: NDArray[np.uint8]
) -> None:
    stack = np.stack([squares[::2, ::2]] * 10)
    stack[[0, -1]] = 20
    stack += np.random.default_rng(0).integers(0, 20, stack.shape, np.uint8)
    tifffile.imwrite(tmp_path / "stack.tif", stack)
    person.open(tmp_path / "stack.tif")
    form = person.widget._segment_form().form
    form.extent_choice.choose("stack")
    form.volume_choice.choose("three_planes")
    labels = whole(person)
    assert labels.max() == 3

    words = person.copied()
    assert "three_planes" in words
    assert main(words[1:]) == 0
    np.testing.assert_array_equal(read_labels(Path(words[4])).array, labels)


def whole(person: Any) -> NDArray[Any]:
    """Labels that the form gives without an interruption, under another name."""
    out = person.form.out_edit.text()
    person.form.out_edit.setText(out.replace("labels", "whole"))
    assert " cells, in " in person.run()
    labels = read_labels(Path(person.form.out_edit.text())).array
    person.form.out_edit.setText(out)
    return labels
