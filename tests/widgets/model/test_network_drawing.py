"""The network as a picture: to scale, inside of the widget, told in words under the mouse."""

from collections.abc import Iterator

import numpy as np
import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QEvent, QPoint
from qtpy.QtGui import QColor, QHelpEvent, QPalette
from qtpy.QtWidgets import QApplication, QToolTip, QWidget

from napari_unet.engine.networks.network import Network
from napari_unet.engine.networks.unet import UNetConfig
from napari_unet.session import Session
from napari_unet.viewer import worker
from napari_unet.widgets.model.network_bars import Bar, NetworkFacts
from napari_unet.widgets.model.network_drawing import NetworkDrawing
from napari_unet.widgets.model.network_panel import NetworkPanel
from napari_unet.widgets.shared.image_layers import SelectedImage

CONFIG = UNetConfig(base_width=32, depth=4)


def facts(config: UNetConfig = CONFIG, shape: tuple[int, ...] = (520, 696)) -> NetworkFacts:
    roles = ("background", "cell", "border")
    return NetworkFacts(1, roles, config.levels, config.level_sizes(shape), (215,) * config.ndim)


@pytest.fixture
def drawing(qtbot: QtBot) -> NetworkDrawing:
    drawing = NetworkDrawing()
    qtbot.addWidget(drawing)
    drawing.show_facts(facts())
    drawing.resize(300, drawing.sizeHint().height())
    return drawing


def bars(drawing: NetworkDrawing, side: str) -> list[Bar]:
    return [bar for bar in drawing.bars() if bar.side == side]


@pytest.mark.parametrize("width", [150, 240, 300, 800])
def test_every_bar_is_inside_and_none_overlaps_another(drawing: NetworkDrawing, width: int) -> None:
    drawing.resize(width, drawing.sizeHint().height())
    found = drawing.bars()

    assert len(found) == 9
    for bar in found:
        assert bar.box.left() >= 0
        assert bar.box.right() <= width
        assert bar.box.bottom() <= drawing.height()
        assert not [x for x in found if x is not bar and x.box.intersects(bar.box)]


def test_bars_are_as_wide_as_their_features_and_as_high_as_their_pixels(
    drawing: NetworkDrawing,
) -> None:
    down, up = bars(drawing, "down"), bars(drawing, "up")
    (bottom,) = bars(drawing, "bottom")

    assert [bar.features for bar in down] == ["32", "64", "128", "256"]
    assert bottom.features == "512"
    assert down[2].box.width() == pytest.approx(2 * down[1].box.width())
    assert bottom.box.width() == pytest.approx(2 * down[3].box.width())
    assert down[0].box.height() == pytest.approx(2 * down[1].box.height())
    assert [bar.box.width() for bar in up] == [bar.box.width() for bar in down]
    assert down[0].box.left() == pytest.approx(drawing.width() - up[0].box.right())


def test_the_sizes_are_those_of_the_image(drawing: NetworkDrawing) -> None:
    assert [bar.size for bar in bars(drawing, "down")] == [
        "528 x 704",
        "264 x 352",
        "132 x 176",
        "66 x 88",
    ]
    assert bars(drawing, "bottom")[0].size == "33 x 44"


def test_in_large_type_only_the_tooltips_have_the_sizes(drawing: NetworkDrawing) -> None:
    font = drawing.font()
    font.setPointSize(22)
    drawing.setFont(font)

    assert {bar.size for bar in drawing.bars()} == {""}
    assert "528 x 704" in bars(drawing, "down")[0].tooltip


def told_at(drawing: NetworkDrawing, place: QPoint, qtbot: QtBot) -> str:
    QToolTip.hideText()
    event = QHelpEvent(QEvent.Type.ToolTip, place, drawing.mapToGlobal(place))
    QApplication.sendEvent(drawing, event)
    return QToolTip.text()


def test_a_block_under_the_mouse_is_told_in_words(drawing: NetworkDrawing, qtbot: QtBot) -> None:
    drawing.show()
    block = bars(drawing, "up")[1].box.center().toPoint()
    middle = QPoint(drawing.width() // 2 - 40, bars(drawing, "up")[0].box.center().toPoint().y())

    assert told_at(drawing, block, qtbot) == (
        "<qt>Level 2 of 5, on the way up. 2 convolutions of 3 x 3 pixels, up to 64 features. Your "
        "image has 264 x 352 pixels here, each as wide as 2 of its own.</qt>"
    )
    assert "put beside those of the way up" in told_at(drawing, middle, qtbot)


def colours(drawing: NetworkDrawing) -> set[str]:
    image = drawing.grab().toImage()
    return {
        image.pixelColor(x, y).name() for x in range(image.width()) for y in range(image.height())
    }


@pytest.mark.parametrize(
    ("text", "ground", "down"), [("white", "#262930", "#56b4e9"), ("black", "#efebe9", "#0072b2")]
)
def test_it_takes_the_colours_of_the_theme(
    drawing: NetworkDrawing, text: str, ground: str, down: str
) -> None:
    palette = QPalette()
    palette.setColor(QPalette.ColorRole.WindowText, QColor(text))
    palette.setColor(QPalette.ColorRole.Window, QColor(ground))
    drawing.setPalette(palette)

    assert down in colours(drawing)


def test_of_an_unknown_network_there_is_a_plain_box(drawing: NetworkDrawing) -> None:
    drawing.show_facts(NetworkFacts(1, ("background", "cell")))

    assert drawing.bars() == []
    assert len(colours(drawing)) > 1


def test_screen_readers_are_told_what_is_drawn(drawing: NetworkDrawing) -> None:
    assert "Level 5 of 5, the bottom of the U." in drawing.accessibleDescription()


# With the session.


@pytest.fixture
def panel(viewer: ViewerModel, session: Session, qtbot: QtBot) -> Iterator[NetworkPanel]:
    owner = QWidget()
    qtbot.addWidget(owner)
    panel = NetworkPanel(session, SelectedImage(viewer, owner))
    qtbot.addWidget(panel)
    panel.resize(300, 300)
    panel.show()
    yield panel
    panel.stop()
    panel.close()
    assert worker.stop_all()


def wait(qtbot: QtBot, panel: NetworkPanel) -> None:
    qtbot.waitUntil(lambda: not panel.is_busy and panel.drawing.isVisible(), timeout=20_000)


def test_the_loaded_network_is_drawn_with_its_numbers(panel: NetworkPanel, qtbot: QtBot) -> None:
    wait(qtbot, panel)

    assert [bar.features for bar in panel.drawing.bars()] == ["1", "1", "2"]
    assert "sees 19 x 19 pixels around each pixel." in panel.caption.text()


def test_the_drawing_follows_the_selected_image(
    panel: NetworkPanel, viewer: ViewerModel, qtbot: QtBot
) -> None:
    wait(qtbot, panel)
    assert panel.drawing.bars()[0].size == ""

    viewer.add_image(np.zeros((5, 61, 80), np.uint8))
    qtbot.waitUntil(lambda: panel.drawing.bars()[0].size == "62 x 80", timeout=20_000)
    viewer.layers.clear()
    qtbot.waitUntil(lambda: panel.drawing.bars()[0].size == "", timeout=20_000)


def test_a_foreign_network_is_drawn_as_well_as_one_that_is_ready_made(
    panel: NetworkPanel,
    session: Session,
    foreign_network: Network,
    ready_made_network: Network,
    qtbot: QtBot,
) -> None:
    session.adopt(foreign_network, "foreign.pth")
    qtbot.waitUntil(
        lambda: [bar.features for bar in panel.drawing.bars()] == ["2", "2", "4"], timeout=20_000
    )

    session.adopt(ready_made_network, "ready.pt")
    qtbot.waitUntil(lambda: panel.drawing.bars() == [], timeout=20_000)
    assert panel.caption.text() == "Sees 7 x 7 pixels around each pixel."
