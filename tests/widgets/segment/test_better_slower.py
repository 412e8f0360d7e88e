"""Averaging in the Segment form: what is offered, what it costs, and what comes out."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from napari.components import ViewerModel
from napari.utils.notifications import notification_manager
from numpy.typing import NDArray
from qtpy.QtWidgets import QApplication

from napari_unet.engine.base.errors import CodeInFileError
from napari_unet.engine.models import checkpoint
from napari_unet.engine.models.checkpoint import save_checkpoint
from napari_unet.engine.models.one_call import segment
from napari_unet.engine.networks.network import Network
from napari_unet.session import Session
from napari_unet.widgets.segment.better_slower import BetterSlower


@pytest.fixture
def strict_file(threshold_network: Network, tmp_path: Path) -> str:
    """A second model: it is sure only of what is as bright as can be."""
    network = Network(
        type(threshold_network.unet)(threshold_network.unet.config),
        replace(threshold_network.description, name="strict"),
    )
    network.unet.load_state_dict(threshold_network.unet.state_dict())
    with torch.no_grad():
        network.unet.head.bias[:] = torch.tensor([18.0, -18.0])
    return str(save_checkpoint(network, tmp_path / "strict"))


@pytest.fixture
def stack_file(stack_network: Network, tmp_path: Path) -> str:
    return str(save_checkpoint(stack_network, tmp_path / "volumes"))


@pytest.fixture
def better(person: Any) -> BetterSlower:
    return person.widget.form.better


@pytest.fixture
def pick(person: Any, better: BetterSlower) -> Callable[[str], None]:
    """Pick a second model as the mouse does, and wait until it is there, or not."""

    def pick(file: str) -> None:
        person.widget.model_choice.remember(file)
        names = [better.second_box.itemText(n) for n in range(better.second_box.count())]
        index = names.index(Path(file).stem)
        notification_manager.records.clear()
        better.second_box.setCurrentIndex(index)
        better.second_box.activated.emit(index)
        person.wait(lambda: not better.is_loading)

    return pick


def test_both_choices_multiply_and_the_folded_title_says_so(
    person: Any, better: BetterSlower, pick: Any, strict_file: str
) -> None:
    fold = person.widget.form.better_fold
    assert (better.times_slower, fold.text(), better.caption.message) == (1, "Better, slower", "")
    better.choose_averaging("flips")
    assert (better.times_slower, fold.text()) == (4, "Better, slower (4 times)")
    pick(strict_file)
    assert (better.times_slower, fold.text()) == (8, "Better, slower (8 times)")
    assert better.caption.message.startswith("About 8 times slower.")
    better.choose_averaging("flips+rotations")
    assert better.times_slower == 16


def test_a_run_has_the_mean_of_both_models_and_all_copies(
    viewer: ViewerModel,
    person: Any,
    better: BetterSlower,
    pick: Any,
    faint: NDArray[np.float32],
    model_file: Path,
    strict_file: str,
) -> None:
    viewer.add_image(faint)
    pick(strict_file)
    better.choose_averaging("flips")
    person.run()

    models = [str(model_file), strict_file]
    expected = segment(faint, models, averaging="flips")
    np.testing.assert_array_equal(person.result.data, expected.labels)
    assert expected.cell_count < segment(faint, models[0]).cell_count
    made = person.result.metadata["napari_unet"]
    assert made["model"] == "threshold + strict"
    assert made["settings"]["averaging"] == "flips"
    assert [each["model_source"] for each in made["averaged_with"]] == [strict_file]
    assert all(each["model_sha256"] for each in made["averaged_with"])


def test_thresholds_move_over_the_mean_without_another_run(
    viewer: ViewerModel,
    person: Any,
    pick: Any,
    faint: NDArray[np.float32],
    model_file: Path,
    strict_file: str,
) -> None:
    viewer.add_image(faint)
    pick(strict_file)
    person.run()
    person.set("seed_threshold", 0.3)
    message = person.set("foreground_threshold", 0.3)

    instances = person.widget.form.instances()
    expected = segment(faint, [str(model_file), strict_file], instances=instances)
    np.testing.assert_array_equal(person.result.data > 0, expected.labels > 0)
    assert message.startswith("3 cells with these settings")


def test_results_with_and_without_the_second_model_are_layers_of_their_own(
    viewer: ViewerModel,
    person: Any,
    better: BetterSlower,
    pick: Any,
    squares: NDArray[np.uint8],
    strict_file: str,
) -> None:
    viewer.add_image(squares, name="cells")
    person.run()
    pick(strict_file)
    person.run()
    better.choose_second("")
    person.run()
    assert [layer.name for layer in person.results] == [
        "cells: threshold",
        "cells: threshold + strict",
    ]


def test_the_first_model_is_not_offered_as_the_second(
    person: Any, better: BetterSlower, pick: Any, strict_file: str
) -> None:
    pick(strict_file)
    offered = [better.second_box.itemText(n) for n in range(better.second_box.count())]
    assert offered[0] == "none"
    assert "threshold" not in offered
    person.widget.model_choice.load(strict_file)
    person.wait(lambda: not person.widget.model_choice.is_loading)

    assert (better.second, better.second_box.currentText()) == (None, "none")
    offered = [better.second_box.itemText(n) for n in range(better.second_box.count())]
    assert "threshold" in offered
    assert "strict" not in offered


def test_a_model_that_does_not_fit_is_refused_in_a_sentence(
    person: Any, better: BetterSlower, pick: Any, stack_file: str
) -> None:
    pick(stack_file)
    assert (better.second, better.second_box.currentText()) == (None, "none")
    assert "'threshold-3d' reads 3-D images and 'threshold' 2-D ones" in person.notified()


def test_a_second_model_goes_when_another_first_one_does_not_fit_it(
    person: Any,
    session: Session,
    better: BetterSlower,
    pick: Any,
    strict_file: str,
    stack_file: str,
) -> None:
    pick(strict_file)
    person.widget.model_choice.load(stack_file)
    person.wait(lambda: not person.widget.model_choice.is_loading)
    person.wait(lambda: better.second is None)
    assert session.source == stack_file
    assert "'strict' reads 2-D images and 'threshold-3d' 3-D ones" in person.notified()


def test_a_file_that_is_gone_is_refused(
    person: Any, better: BetterSlower, pick: Any, strict_file: str
) -> None:
    Path(strict_file).unlink()
    pick(strict_file)
    assert (better.second, better.second_box.currentText()) == (None, "none")
    assert "strict" in person.notified()


def test_a_file_with_a_program_is_refused_as_a_second_model(
    person: Any,
    better: BetterSlower,
    pick: Any,
    strict_file: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(source: str, *, allow_code: bool = False) -> Network:
        raise CodeInFileError(f"'{source}' carries a program; it runs only if you allow it.")

    monkeypatch.setattr(checkpoint, "load_checkpoint", refuse)
    pick(strict_file)
    assert (better.second, better.second_box.currentText()) == (None, "none")
    assert "carries a program, and a second model must not" in person.notified()


def test_run_waits_for_the_second_model(
    viewer: ViewerModel,
    person: Any,
    better: BetterSlower,
    squares: NDArray[np.uint8],
    strict_file: str,
) -> None:
    viewer.add_image(squares)
    person.widget.model_choice.remember(strict_file)
    better.choose_second(strict_file)
    assert better.is_loading
    person.run()
    assert person.result.metadata["napari_unet"]["model"] == "threshold + strict"


def test_a_script_is_not_copied_while_the_second_model_is_on_its_way(
    viewer: ViewerModel,
    person: Any,
    better: BetterSlower,
    squares: NDArray[np.uint8],
    strict_file: str,
) -> None:
    viewer.add_image(squares)
    person.widget.model_choice.remember(strict_file)
    better.choose_second(strict_file)
    with pytest.raises(Exception, match="second model is still being loaded"):
        person.widget._read_recipe()


def test_a_copied_script_averages_the_same(
    viewer: ViewerModel,
    person: Any,
    better: BetterSlower,
    pick: Any,
    squares: NDArray[np.uint8],
    strict_file: str,
) -> None:
    viewer.add_image(squares)
    pick(strict_file)
    better.choose_averaging("flips+rotations")
    recipe = person.widget._read_recipe()
    assert recipe.second_model == strict_file
    assert recipe.settings.averaging == "flips+rotations"


def test_stop_between_copies_keeps_what_was_there_and_says_so(
    viewer: ViewerModel,
    person: Any,
    better: BetterSlower,
    engine: Any,
    squares: NDArray[np.uint8],
) -> None:
    viewer.add_image(squares)
    better.choose_averaging("flips+rotations")
    engine.holds_after = 3
    person.click()
    person.wait(engine.is_held.is_set)
    QApplication.processEvents()
    person.click()
    assert not person.widget.panel.is_running
    assert person.message.startswith("Stopped.")

    engine.holds_after = None
    engine.go_on.set()
    assert person.run().startswith("3 cells")


def test_reset_takes_both_back(
    person: Any, better: BetterSlower, pick: Any, strict_file: str
) -> None:
    better.choose_averaging("flips")
    pick(strict_file)
    person.widget.form.remembered.reset()
    assert (better.averaging, better.second, better.times_slower) == ("none", None, 1)
