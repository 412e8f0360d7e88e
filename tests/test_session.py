"""The session owns the loaded network and tells who listens."""

from pathlib import Path

import pytest

from napari_unet.engine.checkpoint import save_checkpoint
from napari_unet.engine.errors import CheckpointError
from napari_unet.engine.network import Network, NetworkDescription
from napari_unet.engine.unet import UNet, UNetConfig
from napari_unet.session import Session, shared_session


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    config = UNetConfig(base_width=2, depth=1)
    network = Network(UNet(config), NetworkDescription("tiny", config))
    return save_checkpoint(network, tmp_path / "tiny")


def test_loading_keeps_the_network_and_tells_listeners(model_file: Path) -> None:
    session, heard = Session(), []
    session.network_loaded.connect(heard.append)

    network = session.load(str(model_file))

    assert network.description.name == "tiny"
    assert heard == [network]
    assert session.network is network
    assert session.source == str(model_file)


def test_a_model_that_cannot_be_loaded_leaves_the_session_as_it_was(model_file: Path) -> None:
    session, heard = Session(), []
    network = session.load(str(model_file))
    session.network_loaded.connect(heard.append)

    with pytest.raises(CheckpointError, match=r"There is no model 'missing\.safetensors'"):
        session.load("missing.safetensors")

    assert session.network is network
    assert session.source == str(model_file)
    assert heard == []


def test_all_widgets_of_a_process_share_one_session() -> None:
    assert shared_session() is shared_session()
    assert Session().network is None
