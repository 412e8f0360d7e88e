"""What does not fit between model, image and what is wanted is said."""

from dataclasses import replace
from typing import Any

import numpy as np
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt

from napari_unet.engine.networks.network import Network
from napari_unet.session import LoadedModel, Session
from napari_unet.widgets.model.widget import ModelWidget


def test_what_does_not_fit_the_image_is_said(
    widget: ModelWidget,
    viewer: ViewerModel,
    session: Session,
    stack_network: Network,
    ready_made_network: Network,
    qtbot: QtBot,
) -> None:
    viewer.add_image(np.random.default_rng(0).random((64, 64)), name="flat")
    session.adopt(stack_network, "")
    told = (
        "'flat' has 2 axes and the model reads stacks of 3. Open a stack, or choose a model that "
        "reads single images."
    )
    qtbot.waitUntil(lambda: widget.concerns.texts[:1] == [told], timeout=5000)

    description = replace(ready_made_network.description, class_roles=("cell", "green"))
    session.adopt(Network(ready_made_network.unet, description), "ready.pt")

    assert widget.concerns.texts[0] == (
        "The model tells 'cell' and 'green', and not where cells are, so nothing can be segmented. "
        "Choose another model."
    )


def test_a_ready_made_network_is_described_as_what_it_is(
    widget: ModelWidget, session: Session, ready_made_network: Network
) -> None:
    session.adopt(ready_made_network, "/models/ready.pt")

    text = widget.text.toPlainText()
    assert "Ready-made: it finds cells as it is, and cannot be fine-tuned." in text
    assert "TorchScript program." in text
    assert "parameters" not in text


def test_a_foreign_network_says_whose_it_is_and_what_was_changed(
    widget: ModelWidget, session: Session, foreign_network: Network
) -> None:
    model = LoadedModel(foreign_network, "/m/foreign.pth", guesses={"activation": "relu"})
    session.adopt_model(model, request=session.request())

    text = widget.text.toPlainText()
    assert "U-Net with levels of 2, 4 features (a course)." in text
    assert "Changed by hand after it was opened: activation is relu." in text
    assert "To begin with: a cell where the score is above" in text
    assert widget.guesses.isVisible()


def test_saving_a_ready_made_network_is_answered_with_what_to_do(
    failure: Any, widget: ModelWidget, session: Session, ready_made_network: Network, qtbot: QtBot
) -> None:
    session.adopt(ready_made_network, "/models/ready.pt")

    qtbot.mouseClick(widget.save_button, Qt.MouseButton.LeftButton)

    assert failure(widget).endswith("pass on the file that it came in: '/models/ready.pt'.")
