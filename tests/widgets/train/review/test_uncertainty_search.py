"""Where to annotate next says what it is doing, can be stopped, and what it has is kept."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt

from napari_unet.engine.labels.uncertainty import rank_uncertainty
from napari_unet.engine.models.one_call import segment
from napari_unet.engine.networks.network import Network, NetworkDescription
from napari_unet.engine.networks.unet import UNet, UNetConfig
from napari_unet.session import Session
from napari_unet.viewer import worker
from napari_unet.widgets.train.form import TrainForm
from napari_unet.widgets.train.review.ranking import Looked, rank_places
from napari_unet.widgets.train.review.uncertainty_search import UncertaintySearch


@pytest.fixture
def pair(viewer: ViewerModel) -> tuple[Image, Labels]:
    """Half a picture is clear, and from row 100 on nobody could tell what is a cell."""
    picture = np.zeros((256, 128), np.float32)
    picture[8:40, 8:40], picture[100:, :] = 1, 0.5
    picture += np.linspace(0, 0.004, picture.size, dtype=np.float32).reshape(picture.shape)
    image = viewer.add_image(picture, name="picture")
    return image, viewer.add_labels(np.zeros(picture.shape, np.int32), name="cells")


@pytest.fixture
def form(viewer: ViewerModel, session: Session, qtbot: QtBot) -> TrainForm:
    form = TrainForm(viewer, session)
    qtbot.addWidget(form)
    return form


@pytest.fixture
def search(
    viewer: ViewerModel, session: Session, form: TrainForm, qtbot: QtBot
) -> Iterator[UncertaintySearch]:
    session.choose_device("cpu")
    search = UncertaintySearch(viewer, session, form.read_sources)
    qtbot.addWidget(search)
    search.show()
    yield search
    search.stop()
    assert worker.stop_all()


def click(qtbot: QtBot, search: UncertaintySearch) -> None:
    qtbot.mouseClick(search.button, Qt.MouseButton.LeftButton)


def wait(qtbot: QtBot, search: UncertaintySearch) -> None:
    qtbot.waitUntil(lambda: not search.run_panel.is_running, timeout=30_000)


def test_while_it_looks_the_button_stops_and_the_bar_says_what_is_done(
    search: UncertaintySearch, pair: Any, engine: Any, qtbot: QtBot
) -> None:
    engine.tile_px, engine.holds_after = 64, 5
    click(qtbot, search)
    assert search.button.text() == "Stop"
    assert search.run_panel.bar.isVisible()
    assert engine.is_held.wait(30)
    qtbot.waitUntil(lambda: search.run_panel.bar.value() == 5, timeout=10_000)
    assert search.run_panel.bar.format().startswith("looking at the image")

    engine.go_on.set()
    with qtbot.waitSignal(search.found, timeout=30_000):
        pass

    assert search.button.text() == "Find where to annotate next"
    assert not search.run_panel.bar.isVisible()
    assert search.run_panel.message == ""
    assert search.panel.region.box[0].stop > 100


def test_a_stop_ranks_what_was_looked_at(
    search: UncertaintySearch, pair: Any, engine: Any, qtbot: QtBot
) -> None:
    engine.tile_px, engine.holds_after = 64, 4
    click(qtbot, search)
    assert engine.is_held.wait(30)

    click(qtbot, search)
    wait(qtbot, search)

    assert search.run_panel.message in (
        "Stopped: these places are in the part that was looked at.",
        "Stopped: in the part that was looked at the network is sure everywhere.",
    )
    assert search.button.text() == "Find where to annotate next"


def test_a_stop_before_the_first_tile_says_so(
    search: UncertaintySearch, pair: Any, engine: Any, qtbot: QtBot
) -> None:
    engine.holds_after = 0
    click(qtbot, search)
    assert engine.is_held.wait(30)

    click(qtbot, search)
    wait(qtbot, search)

    assert search.run_panel.message == "Stopped before any part of the image was looked at."
    assert not search.panel.isVisible()


def test_a_failure_is_told_below_the_button(
    search: UncertaintySearch, pair: Any, engine: Any, qtbot: QtBot
) -> None:
    engine.holds_after, engine.error = 1, ValueError("odd")
    engine.go_on.set()
    click(qtbot, search)
    wait(qtbot, search)
    assert "(ValueError: odd)" in search.run_panel.message


def no_layers(viewer: ViewerModel, _session: Session) -> str:
    viewer.layers.clear()
    return "There is no image with labels"


def no_labels(viewer: ViewerModel, _session: Session) -> str:
    viewer.layers.remove("cells")
    return "There is no image with labels"


def classes(_viewer: ViewerModel, session: Session) -> str:
    config = UNetConfig(in_channels=1, base_width=2, depth=1, classes=2)
    session.adopt(
        Network(UNet(config), NetworkDescription("tissue", config, class_roles=("fat", "muscle"))),
        "",
    )
    return (
        "'tissue' tells fat, muscle apart and finds no cells, and places are ranked by the cells "
        "in them; choose a model that finds cells."
    )


@pytest.mark.parametrize("change", [no_layers, no_labels, classes])
def test_what_cannot_be_ranked_is_one_sentence_below_the_button(
    search: UncertaintySearch,
    viewer: ViewerModel,
    session: Session,
    pair: Any,
    qtbot: QtBot,
    change: Callable[[ViewerModel, Session], str],
) -> None:
    sentence = change(viewer, session)

    click(qtbot, search)

    assert search.run_panel.message.startswith(sentence)
    assert not search.run_panel.is_running
    assert search.button.isEnabled()


def test_the_places_are_those_of_the_image_and_of_its_mirror_images(
    form: TrainForm, pair: Any, threshold_network: Network
) -> None:
    (source,) = form.read_sources()
    everything = (slice(None), slice(None))

    *looked, ranked = rank_places(source, everything, threshold_network, "cpu", threading.Event())

    plain, flipped = (
        segment(pair[0].data, threshold_network, device="cpu", averaging=averaging)
        for averaging in ("none", "flips")
    )
    expected = rank_uncertainty(
        plain.scores, plain.class_roles, plain.labels, flipped_scores=flipped.scores
    )
    assert ranked.regions == expected
    assert (ranked.share, ranked.is_stopped) == (1.0, False)
    assert looked[-1] == Looked(4, 4)


@pytest.mark.parametrize("tiles", [1, 11, 14])
def test_after_a_stop_nothing_is_said_of_what_was_not_seen(
    form: TrainForm, pair: Any, threshold_network: Network, engine: Any, tiles: int
) -> None:
    (source,) = form.read_sources()
    everything, cancel = (slice(None), slice(None)), threading.Event()
    *_, whole = rank_places(source, everything, threshold_network, "cpu", cancel)
    engine.tile_px = 64
    reports = rank_places(source, everything, threshold_network, "cpu", cancel)
    looked = [next(reports) for _ in range(tiles)]
    cancel.set()

    (ranked,) = reports

    assert ranked.is_stopped
    assert looked[0].tiles == 4 * 11
    assert (ranked.share == 1) == (tiles >= 11)
    # Of the image as it is all is known after 11 tiles; of one tile only its own pixels count.
    found, all_of_it = (each.regions[0].uncertainty for each in (ranked, whole))
    assert found == pytest.approx(all_of_it, abs=0.02) if tiles >= 11 else found < all_of_it / 2


def test_a_stop_in_the_middle_of_a_tile_keeps_the_tiles_before(
    form: TrainForm, pair: Any, threshold_network: Network, engine: Any, monkeypatch: Any
) -> None:
    import torch

    engine.tile_px = 64
    (source,) = form.read_sources()
    cancel = threading.Event()
    reports = rank_places(source, (slice(None),) * 2, threshold_network, "cpu", cancel)
    next(reports)
    convolve = torch.nn.functional.conv2d

    def told_to_stop(*arguments: Any, **options: Any) -> Any:
        cancel.set()
        return convolve(*arguments, **options)

    monkeypatch.setattr(torch.nn.functional, "conv2d", told_to_stop)
    monkeypatch.setattr(torch, "conv2d", told_to_stop)
    ranked = list(reports)[-1]

    assert ranked.is_stopped
    assert 0 < ranked.share < 1
